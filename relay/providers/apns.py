"""Apple Push Notification service, with a provider token (ES256 .p8).

One provider is one topic in one environment with its own connections, because Apple binds a connection to the keys and topics
that it sees first. The provider token is shared by all that have the same key. Payloads and headers are those of PROTOCOL.md,
section 2, the same for every message: what repeats is made once for each provider token, and the payload is the envelope's text
between two constants.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import msgspec

from relay.config import ApnsApp, ApnsClient
from relay.http2 import Fault, Field, Request, Response
from relay.http2_pool import Watch
from relay.providers.apns_reasons import verdict
from relay.providers.apns_token import OLDEST_TAKEN, ProviderToken
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
from relay.providers.transport import FAULTS, Address, Lanes, Transport, header, http2_pool, trusting
from relay.wire import App

_OK: Final = 200
_ALERT: Final = b'{"aps":{"alert":{"loc-key":"HP_NEW_MESSAGE"},"mutable-content":1,"sound":"default"}'
_BACKGROUND: Final = b'{"aps":{"content-available":1}'

_Repeating = tuple[Field, ...]


def apns_providers(
    apps: tuple[ApnsApp, ...],
    *,
    in_flight: int,
    clock: Callable[[], float],
    signs: Signs,
) -> list["ApnsProvider"]:
    """A provider for each app; those with the same key share its token."""
    tokens: dict[tuple[str, str, str], ProviderToken] = {}
    for app in apps:
        tokens.setdefault((app.team_id, app.key_id, app.key), ProviderToken(app, clock))
    return [
        ApnsProvider(
            app,
            tokens[app.team_id, app.key_id, app.key],
            in_flight=in_flight,
            clock=clock,
            watch=signs.watch("apns"),
            skew=signs.skew("apns", clock),
        )
        for app in apps
    ]


class ApnsProvider:
    def __init__(
        self,
        app: ApnsApp,
        token: ProviderToken,
        *,
        in_flight: int,
        clock: Callable[[], float],
        watch: Watch,
        skew: Skew,
    ) -> None:
        self.app = App(provider="apns", app=app.topic, environment=app.environment.value)
        self._config = app
        self._token = token
        self._in_flight = in_flight
        self._clock = clock
        self._watch = watch
        self._skew = skew
        self._credentials = Credentials()
        self._lanes: Lanes | None = None
        self._now: Callable[[], float] = lambda: 0.0
        self._header = b""
        self._taken = b""
        self._repeating: tuple[_Repeating, _Repeating, _Repeating] = ((), (), ())

    @property
    def trouble(self) -> str | None:
        if not self._token.usable:
            return "the key does not load: it must be an ES256 .p8 file's text"
        return self._skew.explain(self._credentials.trouble(self._clock()))

    async def open(self) -> None:
        self._now = asyncio.get_running_loop().time
        if self._token.usable:
            context = trusting(self._config.roots, "h2")
            self._lanes = Lanes(
                partial(self._connect, Address(self._config.host, self._config.port, context))
            )

    def _connect(self, address: Address, connections: int) -> Transport:
        if self._config.client is ApnsClient.AIOAPNS:
            from relay.providers.apns_aioapns import AioapnsTransport  # noqa: PLC0415  memory that few relays need

            return AioapnsTransport(address, connections, self._in_flight, self._watch)
        return http2_pool(address, connections, self._in_flight, self._watch)

    async def close(self) -> None:
        if self._lanes is not None:
            await self._lanes.close()

    def send(self, delivery: Delivery, done: Done) -> None:
        if self._lanes is None:
            done(UNUSABLE)
            return
        # Zero is Apple's word for "once or never".
        expires = int(self._clock()) + delivery.ttl if delivery.ttl else 0
        request = Request(
            b"/3/device/" + delivery.token.encode(),
            self._repeated(delivery),
            (
                (b"apns-expiration", b"%d" % expires),
                (b"apns-id", delivery.id.encode()),
                (b"apns-collapse-id", delivery.collapse.encode()),
            ),
            payload(delivery.data, delivery.background),
            partial(self._answered, delivery.id, done),
            self._now() + SEND_SECONDS,
            delivery.server,
            delivery.high,
        )
        self._lanes.submit(request, suspect=delivery.suspect)

    def _repeated(self, delivery: Delivery) -> _Repeating:
        header = self._token.header()
        if header is not self._header:
            self._header, self._repeating = header, self._repeat(header)
        alert_now, alert, background = self._repeating
        if delivery.background:
            return background
        return alert_now if delivery.high else alert

    def _repeat(self, header: bytes) -> tuple[_Repeating, _Repeating, _Repeating]:
        common = (
            (b":authority", self._authority().encode()),
            (b"apns-topic", self._config.topic.encode()),
            (b"authorization", header),
        )
        alert, background = (b"apns-push-type", b"alert"), (b"apns-push-type", b"background")
        now, later = (b"apns-priority", b"10"), (b"apns-priority", b"5")
        return (*common, alert, now), (*common, alert, later), (*common, background, later)

    def _authority(self) -> str:
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        return host if self._config.port == 443 else f"{host}:{self._config.port}"  # noqa: PLR2004  https's port

    def _answered(self, push_id: str, done: Done, answer: Response | Fault) -> None:
        if isinstance(answer, Response):
            done(self._read(push_id, answer))
        else:
            done(FAULTS[answer])

    def _read(self, push_id: str, answer: Response) -> Verdict:
        if answer.status == _OK:
            found = Verdict("accepted", None, push_id)
            if self._taken is not self._header:
                self._took_token()
        else:
            found = self._refused(answer)
        self._credentials.saw(found, self._clock())
        return found

    def _took_token(self) -> None:
        self._taken = self._header
        self._skew.found(0)

    def _refused(self, answer: Response) -> Verdict:
        found = verdict(answer.status, answer.body)
        if found.reason == "provider_token_expired":
            # No token that we use is as old as Apple lets one become, unless our clock is wrong. A new one would be
            # the same.
            self._skew.found(self._token.age - OLDEST_TAKEN)
            self._taken = b""
        elif found.reason == "credentials_refused" and self._taken and self._taken is not self._header:
            # The last token of this key was good. What is new is the time in it.
            self._skew.suspect()
        if found.status != "retry":
            return found
        return found.after(read_retry_after(header(answer, b"retry-after"), self._clock()))


def payload(data: Mapping[str, str], background: bool) -> bytes:  # noqa: FBT001  one of the two constant forms
    """The bytes of PROTOCOL.md, section 2; `data` is base64url only, so that nothing in it wants escaping."""
    head = _BACKGROUND if background else _ALERT
    if not data:
        return head + b"}"
    if len(data) == 1 and "hp" in data:
        return b'%b,"hp":"%b"}' % (head, data["hp"].encode())
    return head + b"," + msgspec.json.encode(data)[1:]
