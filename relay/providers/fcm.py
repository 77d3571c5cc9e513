"""Firebase Cloud Messaging, HTTP v1, with a service account.

The payload is that of PROTOCOL.md, section 2: data only, no collapse key, since FCM keeps four for a device at most. Answers go
through the table in `fcm_reasons`, access tokens come from google-auth, and a quota that is spent is not asked for again
(`fcm_quota`).
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

import msgspec

from relay.config import FcmClient, FcmProject
from relay.http2 import Fault, Field, Request, Response
from relay.http2_pool import Watch
from relay.providers.fcm_quota import Quota
from relay.providers.fcm_reasons import ACCESS_REFUSED, exhausted, message_name, verdict
from relay.providers.provider import (
    SEND_SECONDS,
    UNUSABLE,
    Credentials,
    Delivery,
    Done,
    Verdict,
    read_retry_after,
)
from relay.providers.signs import Signs
from relay.providers.skew import Skew
from relay.providers.transport import FAULTS, Address, Lanes, header, http2_pool, trusting
from relay.wire import App

if TYPE_CHECKING:
    from relay.providers.fcm_credentials import AccessToken

_OK: Final = 200
_JSON: Final = (b"content-type", b"application/json")

Write: TypeAlias = Callable[[Delivery], bytes]


def fcm_providers(
    projects: tuple[FcmProject, ...],
    *,
    in_flight: int,
    clock: Callable[[], float],
    signs: Signs,
) -> list["FcmProvider"]:
    return [
        FcmProvider(
            project,
            in_flight=in_flight,
            clock=clock,
            watch=signs.watch("fcm"),
            skew=signs.skew("fcm", clock),
        )
        for project in projects
    ]


class FcmProvider:
    def __init__(
        self,
        project: FcmProject,
        *,
        in_flight: int,
        clock: Callable[[], float],
        watch: Watch,
        skew: Skew,
    ) -> None:
        self.app = App(provider="fcm", app=project.project, environment="production")
        self._project = project
        self._in_flight = in_flight
        self._clock = clock
        self._watch = watch
        self._skew = skew
        self._credentials = Credentials()
        self._quota = Quota()
        self._access: AccessToken | None = None
        self._lanes: Lanes | None = None
        self._now: Callable[[], float] = lambda: 0.0
        address = urlsplit(project.endpoint)
        self._host, self._port = address.hostname or "", address.port or 443
        self._authority = (b":authority", address.netloc.encode())
        self._path = f"{address.path}/v1/projects/{project.project}/messages:send".encode()
        self._write: Write = payload
        self._header = b""
        self._repeating: tuple[Field, ...] = ()

    @property
    def trouble(self) -> str | None:
        if self._access is None:
            return "the service account does not load: it must be Google's JSON key file"
        return self._skew.explain(self._credentials.trouble(self._clock()))

    async def open(self) -> None:
        self._now = asyncio.get_running_loop().time
        self._access = _access(self._project, self._clock, self._skew.take)
        if self._access is not None:
            self._lanes = self._connect()

    def _connect(self) -> Lanes:
        if self._project.client is FcmClient.AIOHTTP:
            from relay.providers.fcm_pyfcm import AiohttpTransport, Messages  # noqa: PLC0415  memory that few relays need

            messages = Messages(self._project)
            self._write = messages.write
            http1 = trusting(self._project.roots)
            return Lanes(lambda _: AiohttpTransport(messages.fcm_end_point, http1, self._in_flight))
        address = Address(self._host, self._port, trusting(self._project.roots, "h2"))
        return Lanes(lambda connections: http2_pool(address, connections, self._in_flight, self._watch))

    async def close(self) -> None:
        if self._access is not None and self._lanes is not None:
            await self._access.close()
            await self._lanes.close()

    def send(self, delivery: Delivery, done: Done) -> None:
        if self._access is None:
            done(UNUSABLE)
            return
        held = self._quota.held(self._clock(), high=delivery.high)
        if held is not None:
            done(held)
            return
        self._access.ask(partial(self._post, delivery, done, self._now() + SEND_SECONDS))

    def _post(self, delivery: Delivery, done: Done, deadline: float, access: bytes | Verdict) -> None:
        if self._lanes is None or isinstance(access, Verdict):
            found = UNUSABLE if isinstance(access, bytes) else access
            self._credentials.saw(found, self._clock())
            done(found)
            return
        if access is not self._header:
            self._header, self._repeating = access, (self._authority, (b"authorization", access), _JSON)
        request = Request(
            self._path,
            self._repeating,
            (),
            self._write(delivery),
            partial(self._answered, delivery.high, done, access),
            deadline,
            delivery.server,
            delivery.high,
        )
        self._lanes.submit(request, suspect=delivery.suspect)

    def _answered(self, high: bool, done: Done, access: bytes, answer: Response | Fault) -> None:  # noqa: FBT001  by position, for every push
        if not isinstance(answer, Response):
            done(FAULTS[answer])
            return
        self._skew.look(answer)
        if answer.status == _OK:
            found = Verdict("accepted", None, message_name(answer.body))
        else:
            found = self._refused(answer, access, high=high)
        self._credentials.saw(found, self._clock())
        done(found)

    def _refused(self, answer: Response, access: bytes, *, high: bool) -> Verdict:
        now = self._clock()
        found = verdict(answer.status, answer.body)
        if found.reason == ACCESS_REFUSED.reason and self._access is not None:
            self._access.refused(access)
        if found.status != "retry":
            return found
        wait = read_retry_after(header(answer, b"retry-after"), now)
        found = found.after(wait)
        if exhausted(found, wait, answer.body):
            self._quota.spent(now, found.retry_after or 0, high=high)
        return found


def _access(
    project: FcmProject, clock: Callable[[], float], saw_date: Callable[[str | None], None]
) -> "AccessToken | None":
    from relay.providers.fcm_credentials import AccessToken, load_account  # noqa: PLC0415  google-auth and urllib3 are megabytes that a relay for APNs does not need

    account = load_account(project)
    if account is None:
        return None
    # urllib3 writes its own protocols into its context, the same ones for everybody.
    context = trusting(project.roots, "http/1.1")
    return AccessToken(account, context, clock=clock, saw_date=saw_date)


def payload(delivery: Delivery) -> bytes:
    """The bytes of PROTOCOL.md, section 2."""
    token, data = msgspec.json.encode(delivery.token), delivery.data
    if len(data) == 1 and "hp" in data:
        # base64url: nothing in it wants escaping.
        text = b'{"hp":"%b"}' % data["hp"].encode()
    else:
        # A wake is an empty envelope: FCM delivers no message without data.
        text = msgspec.json.encode(data or {"hp": ""})
    priority = b"HIGH" if delivery.high else b"NORMAL"
    form = b'{"message":{"token":%b,"data":%b,"android":{"priority":"%b","ttl":"%ds"}}}'
    return form % (token, text, priority, delivery.ttl)
