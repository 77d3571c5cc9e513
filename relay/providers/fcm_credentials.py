"""Google's access token for a service account, renewed five minutes early by one task in a thread.

google-auth is synchronous, so it runs in a thread. While the old token is good, nobody waits for the new one; where there is none,
whoever needs it waits for the one renewal that is under way. Google is not asked again for a few seconds after a failure, nor
after it gave a token that FCM then refused: a batch of five hundred must not ask five hundred times.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import urllib3
from google.auth.exceptions import RefreshError
from google.auth.transport.urllib3 import Request
from google.oauth2.service_account import Credentials as ServiceAccount
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as TimedOut

from relay.config import FcmProject
from relay.http2 import Fault
from relay.providers.fcm_reasons import ACCESS_REFUSED
from relay.providers.provider import Verdict
from relay.providers.transport import FAULTS

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
EARLY_SECONDS: Final = 5 * 60
SPARE_SECONDS: Final = 30
"""A token that ends while the push is on its way would be refused."""
FAILED_SECONDS: Final = 5.0
REQUEST_SECONDS: Final = 5.0
RENEWAL_SECONDS: Final = 6.0
"""For all of it, so that a push that waited has time left to be sent; google-auth tries some answers three times."""
_USUAL_LIFETIME: Final = 3_600
# A name server that says nothing holds a thread longer than anybody waits: metrics and readiness have the loop's own.
_THREADS: Final = ThreadPoolExecutor(16, thread_name_prefix="access-tokens")

Then: TypeAlias = Callable[[bytes | Verdict], None]
"""Takes the value of `authorization`, or what becomes of the push without one."""


def load_account(project: FcmProject) -> ServiceAccount | None:
    """The service account, or None where the text is no key file of Google's."""
    try:
        info = json.loads(project.service_account) | {"project_id": project.project}
        return ServiceAccount.from_service_account_info(info, scopes=[SCOPE])  # type: ignore[no-untyped-call, no-any-return]  # google-auth is typed in part
    except (ValueError, TypeError, KeyError):
        return None


class AccessToken:
    """`saw_date` is given the `Date` of the token end point's answers."""

    def __init__(
        self,
        account: ServiceAccount,
        context: ssl.SSLContext,
        *,
        clock: Callable[[], float],
        saw_date: Callable[[str | None], None],
    ) -> None:
        self._account = account
        self._clock = clock
        self._saw_date = saw_date
        self._pool = urllib3.PoolManager(ssl_context=context, retries=False)
        self._post: Any = Request(self._pool)  # type: ignore[no-untyped-call]  # typed in part
        self._header: bytes | None = None
        self._asked_at = 0.0
        self._renew_at = 0.0
        self._ends_at = 0.0
        self._failure: tuple[Verdict, float] | None = None
        self._waiting: list[Then] = []
        self._renewal: asyncio.Task[None] | None = None
        self._date: str | None = None

    def ask(self, then: Then) -> None:
        """Call `then` once, at once or within `RENEWAL_SECONDS`."""
        now = self._clock()
        if self._header is not None and self._asked_at <= now < self._ends_at - SPARE_SECONDS:
            if now >= self._renew_at:
                self._begin(now)
            then(self._header)
        elif (failed := self._failed(now)) is not None:
            then(failed)
        else:
            self._waiting.append(then)
            self._begin(now)

    def refused(self, header: bytes) -> None:
        """FCM refused this one: another is fetched, once for all who were refused with it."""
        if self._header is header:
            self._header = None
            self._failure = ACCESS_REFUSED, self._asked_at + FAILED_SECONDS

    def _failed(self, now: float) -> Verdict | None:
        """What stands for a renewal so soon after one that failed."""
        # More is left than there ever was where the clock was put back: a clock that was ahead is why Google refuses.
        if self._failure is None or not 0 < self._failure[1] - now <= FAILED_SECONDS:
            return None
        return self._failure[0]

    async def close(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
            self._tell(FAULTS[Fault.CLOSED])  # it may have been cancelled before it began
        self._pool.clear()

    def _begin(self, now: float) -> None:
        if self._renewal is not None and not self._renewal.done():
            return
        if self._failed(now) is not None:
            return
        self._renewal = asyncio.create_task(self._renew(now))

    async def _renew(self, asked_at: float) -> None:
        answer: bytes | Verdict = FAULTS[Fault.CLOSED]
        try:
            answer = await self._fetch(asked_at)
        finally:
            self._tell(answer)

    def _tell(self, answer: bytes | Verdict) -> None:
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then(answer)

    async def _fetch(self, asked_at: float) -> bytes | Verdict:
        self._date = None
        try:
            async with asyncio.timeout(RENEWAL_SECONDS):
                await asyncio.get_running_loop().run_in_executor(
                    _THREADS, self._account.refresh, self._exchange
                )
            return self._take(asked_at)
        except TimeoutError:
            found = FAULTS[Fault.TIMEOUT]
        except Exception as error:  # noqa: BLE001  google-auth reads whatever comes with a 200 as if it were a token
            found = _verdict(error)
        finally:
            self._saw_date(self._date)
        self._failure = found, self._clock() + FAILED_SECONDS
        return found

    def _exchange(self, **request: Any) -> Any:
        # google-auth gives its transport two minutes; a push has eight seconds.
        response = self._post(**request, timeout=REQUEST_SECONDS)
        self._date = response.headers.get("Date")
        return response

    def _take(self, asked_at: float) -> bytes:
        header, lifetime = b"Bearer " + str(self._account.token).encode("ascii"), self._lifetime()
        self._failure, self._header = None, header
        self._asked_at, self._ends_at = asked_at, asked_at + lifetime
        # One that is short must not be renewed by every push.
        self._renew_at = self._ends_at - min(EARLY_SECONDS, lifetime / 2)
        return header

    def _lifetime(self) -> float:
        # google-auth turns the answer's lifetime into a naive UTC time of its own clock; this turns it back.
        expiry: datetime | None = self._account.expiry
        if expiry is None:
            return _USUAL_LIFETIME
        return (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()


def _verdict(error: Exception) -> Verdict:
    if not isinstance(error, RefreshError):
        return FAULTS[_fault(error.__cause__ or error)]
    if error.retryable:
        return Verdict("retry", "unavailable")
    # The account was deleted, its key revoked, or the clock is wrong by minutes.
    return Verdict("rejected", "credentials_refused")


def _fault(error: BaseException) -> Fault:
    match error:
        case NameResolutionError():
            return Fault.DNS
        case NewConnectionError() | ConnectTimeoutError():
            return Fault.CONNECT
        case SSLError():
            return Fault.TLS
        case TimedOut():
            return Fault.TIMEOUT
        case ProtocolError():
            return Fault.CONNECTION_LOST
    return Fault.PROTOCOL
