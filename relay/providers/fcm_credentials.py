"""Google's access token for a service account, renewed five minutes early by one task in a thread.

google-auth is synchronous, so it runs in a thread; whoever needs a token while one is fetched waits for that
one. A failure is remembered for a few seconds: a batch of five hundred must not ask five hundred times.
"""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import urllib3
from google.auth.exceptions import GoogleAuthError, RefreshError
from google.auth.transport.urllib3 import Request
from google.oauth2.service_account import Credentials as ServiceAccount

from relay.providers.provider import UNREACHABLE, Verdict

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
EARLY_SECONDS: Final = 5 * 60
FAILED_SECONDS: Final = 5.0
REQUEST_SECONDS: Final = 5.0
_USUAL_LIFETIME: Final = 3_600


class NoAccess(Exception):
    """There is no token now; the verdict says whether that will pass."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class AccessToken:
    def __init__(self, account: ServiceAccount, context: ssl.SSLContext, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock
        pool = urllib3.PoolManager(ssl_context=context, retries=False)
        # google-auth gives its transport two minutes; a push has ten seconds.
        self._transport: Any = partial(Request(pool), timeout=REQUEST_SECONDS)  # type: ignore[no-untyped-call]  # typed in part
        self._pool = pool
        self._token: str | None = None
        self._renew_at = 0.0
        self._renewal: asyncio.Task[str] | None = None
        self._failure: tuple[Verdict, float] | None = None

    async def get(self) -> str:
        """A token that is good for some minutes. Raises `NoAccess`."""
        if self._token is not None and self._clock() < self._renew_at:
            return self._token
        if self._failure is not None and self._clock() < self._failure[1]:
            raise NoAccess(self._failure[0])
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew())
        # A caller's deadline ends its waiting, not the renewal that others wait for.
        return await asyncio.shield(self._renewal)

    def refused(self, token: str) -> None:
        """FCM refused this one: fetch another, once for all who were refused with it."""
        if self._token == token:
            self._token = None

    async def close(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        self._pool.clear()

    async def _renew(self) -> str:
        asked_at = self._clock()
        try:
            await asyncio.to_thread(self._account.refresh, self._transport)
        except (GoogleAuthError, urllib3.exceptions.HTTPError, ValueError) as error:
            found = _verdict(error)
            self._failure = (found, self._clock() + FAILED_SECONDS)
            raise NoAccess(found) from None
        self._failure = None
        self._token = str(self._account.token)
        self._renew_at = asked_at + self._lifetime() - EARLY_SECONDS
        return self._token

    def _lifetime(self) -> float:
        # google-auth turns the answer's lifetime into a naive UTC time of its own clock; this turns it back.
        expiry: datetime | None = self._account.expiry
        if expiry is None:
            return _USUAL_LIFETIME
        return (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()


def _verdict(error: Exception) -> Verdict:
    if not isinstance(error, RefreshError):
        return UNREACHABLE
    if error.retryable:
        return Verdict("retry", "unavailable")
    # The account was deleted, its key revoked, or the clock is wrong by minutes.
    return Verdict("rejected", "credentials_refused")
