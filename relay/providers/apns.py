"""Apple Push Notification service, with a provider token (ES256 .p8).

One provider is one topic in one environment with its own connections, because Apple binds a connection to the
keys and topics that it sees first. The provider token is shared by all that have the same key: Apple refuses
more than one in twenty minutes. Payloads and headers are those of PROTOCOL.md, section 2, the same for every
message.
"""

import ssl
from collections.abc import Callable, Mapping

import jwt
import msgspec
from aioapns.connection import AuthorizationHeaderProvider
from aioapns.exceptions import ConnectionClosed
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hpack import NeverIndexedHeaderTuple

from relay.config import ApnsApp
from relay.providers.apns_connection import HeaderList
from relay.providers.apns_pool import ApnsPool, Unreachable
from relay.providers.apns_reasons import verdict
from relay.providers.provider import (
    CONNECTION_LOST,
    UNREACHABLE,
    UNUSABLE,
    Attempts,
    Credentials,
    Delivery,
    Done,
    Verdict,
    read_retry_after,
)
from relay.wire import App

TOKEN_SECONDS = 40 * 60
"""Apple takes a token for an hour and a new one at most every twenty minutes."""
EARLIEST_RENEWAL_SECONDS = 20 * 60

_OK = 200
_ALERT = b'{"aps":{"alert":{"loc-key":"HP_NEW_MESSAGE"},"mutable-content":1,"sound":"default"}'
_BACKGROUND = b'{"aps":{"content-available":1}'


class ProviderToken(AuthorizationHeaderProvider):
    """The JWT that stands for the team; the clock is in seconds."""

    def __init__(self, app: ApnsApp, clock: Callable[[], float]) -> None:
        self._key_id = app.key_id
        self._team_id = app.team_id
        self._clock = clock
        self._key = _load(app.key)
        self._header = ""
        self._issued_at = float("-inf")

    @property
    def usable(self) -> bool:
        return self._key is not None

    def get_header(self) -> str:
        now = self._clock()
        # Also where the clock was put back: Apple takes no token from the future.
        if not 0 <= now - self._issued_at < TOKEN_SECONDS and self._key is not None:
            claims = {"iss": self._team_id, "iat": int(now)}
            token = jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})
            self._header, self._issued_at = f"bearer {token}", now
        return self._header

    def refused_as_expired(self) -> None:
        """Make a new one next time, unless this one is younger than Apple lets us replace it."""
        if not 0 <= self._clock() - self._issued_at < EARLIEST_RENEWAL_SECONDS:
            self._issued_at = float("-inf")


def _load(text: str) -> EllipticCurvePrivateKey | None:
    try:
        key = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError):
        return None
    return key if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1) else None


def apns_providers(
    apps: tuple[ApnsApp, ...], *, in_flight: int, clock: Callable[[], float]
) -> list["ApnsProvider"]:
    """A provider for each app; those with the same key share its token."""
    tokens: dict[tuple[str, str, str], ProviderToken] = {}
    for app in apps:
        tokens.setdefault((app.team_id, app.key_id, app.key), ProviderToken(app, clock))
    return [
        ApnsProvider(app, tokens[app.team_id, app.key_id, app.key], in_flight=in_flight, clock=clock)
        for app in apps
    ]


class ApnsProvider:
    def __init__(
        self, app: ApnsApp, token: ProviderToken, *, in_flight: int, clock: Callable[[], float]
    ) -> None:
        self.app = App(provider="apns", app=app.topic, environment=app.environment.value)
        self._config = app
        self._token = token
        self._clock = clock
        self._credentials = Credentials()
        self._attempts = Attempts(self._attempt, in_flight)
        self._pool: ApnsPool | None = None
        authority = app.host if app.port == 443 else f"{app.host}:{app.port}"  # noqa: PLR2004  https's port
        self._constant = (
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", authority.encode()),
        )
        self._topic = app.topic.encode()

    @property
    def trouble(self) -> str | None:
        if not self._token.usable:
            return "the key does not load: it must be an ES256 .p8 file's text"
        return self._credentials.trouble(self._clock())

    async def open(self) -> None:
        context = ssl.create_default_context(cadata=self._config.roots)
        context.set_alpn_protocols(["h2"])
        self._pool = ApnsPool(self._config.host, self._config.port, context)

    async def close(self) -> None:
        await self._attempts.close()
        if self._pool is not None:
            self._pool.close()

    def send(self, delivery: Delivery, done: Done) -> None:
        self._attempts.begin(delivery, done)

    async def _attempt(self, delivery: Delivery) -> Verdict:
        if self._pool is None or not self._token.usable:
            return UNUSABLE
        try:
            found = await self._post(self._pool, delivery)
        except Unreachable:
            return UNREACHABLE
        except ConnectionClosed:
            return CONNECTION_LOST
        self._credentials.saw(found, self._clock())
        return found

    async def _post(self, pool: ApnsPool, delivery: Delivery) -> Verdict:
        connection = await pool.acquire()
        answer = await connection.post(self._headers(delivery), payload(delivery.data, delivery.background))
        if answer.status == _OK:
            return Verdict("accepted", provider_id=delivery.id)
        found = verdict(answer.status, bytes(answer.body))
        if found.reason == "provider_token_expired":
            self._token.refused_as_expired()
        if found.status != "retry":
            return found
        return found.after(read_retry_after(answer.retry_after, self._clock()))

    def _headers(self, delivery: Delivery) -> HeaderList:
        # Zero is Apple's word for "once or never"; the path holds the token, which must not stay in a header
        # table.
        expires = int(self._clock()) + delivery.ttl if delivery.ttl else 0
        background = delivery.background
        return [
            *self._constant,
            NeverIndexedHeaderTuple(b":path", f"/3/device/{delivery.token}".encode()),
            (b"apns-topic", self._topic),
            (b"authorization", self._token.get_header().encode()),
            (b"apns-push-type", b"background" if background else b"alert"),
            (b"apns-priority", b"10" if delivery.high and not background else b"5"),
            (b"apns-expiration", str(expires).encode()),
            (b"apns-id", delivery.id.encode()),
            (b"apns-collapse-id", delivery.collapse.encode()),
        ]


def payload(data: Mapping[str, str], background: bool) -> bytes:  # noqa: FBT001  one of the two constant forms
    """The bytes of PROTOCOL.md, section 2; `data` is base64url only."""
    head = _BACKGROUND if background else _ALERT
    if not data:
        return head + b"}"
    return head + b"," + msgspec.json.encode(data)[1:]
