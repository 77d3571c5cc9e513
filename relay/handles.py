"""`POST /v1/handles`: an app's token becomes a handle bound to one server (PROTOCOL.md, section 3).

The request is unsigned and comes from anywhere, so every field is checked against the one form that it may
have, and a fault names the field and never repeats its value. With `handle_delivery = "push"` the handle is
sent to the token instead of being answered: whoever asks must own the token. He is answered before the provider is
asked, so that neither the answer nor its time says anything about the token, or about where a name leads.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from uuid import UUID

from crypto.encoding import b64u, unb64u
from crypto.errors import Malformed, TooLarge
from crypto.handle import HandleClaims, Subscription, seal_handle
from crypto.keys import Random
from relay.config import Environment, HandleDelivery, RelayConfig
from relay.errors import Problem, bad_request
from relay.metrics import Metrics
from relay.providers.provider import SEND_SECONDS, Delivery, Provider, Verdict
from relay.subscription import check_subscription, hosts_of

DAY_MS: Final = 86_400_000
LARGEST_REQUEST: Final = 16_384
_NONCE_BYTES: Final = 12
_KEYID_BYTES: Final = 32
_REQUEST_BYTES: Final = 16
_PUSHED_TTL: Final = 300
_NOBODY: Final = ""
UNDER_WAY: Final = 1_000
"""How many handles are with providers at once: who asks has no limits but an address's, and may have many addresses."""

_FIELDS: Final = frozenset({"provider", "app", "environment", "token", "subscription", "server", "request"})
_TOKENS: Final = {
    # An even number of hexadecimal digits: it stands in a path. Apple promises no length; today's have 64.
    "apns": re.compile(r"(?:[0-9a-fA-F]{2}){16,100}"),
    "fcm": re.compile(r"[\x21-\x7e]{16,400}"),
}

AppKey = tuple[str, str, str]


@dataclass(frozen=True)
class HandleRequest:
    """A faultless request. `request` is b64u of 16 bytes, or None where the app sent none."""

    app: AppKey
    token: str | None = field(repr=False)
    subscription: Subscription | None = field(repr=False)
    server: str
    request: str | None

    @property
    def address(self) -> str:
        """The token, or what stands in its place."""
        return self.subscription.endpoint if self.subscription is not None else self.token or ""


def read_handle_request(document: Any, config: RelayConfig, apps: frozenset[AppKey]) -> HandleRequest:
    """Raises `bad_request` with the first faulty field; `apps` are those that handles are issued for."""
    if not isinstance(document, Mapping):
        raise bad_request("body", "must be a JSON object")
    if document.keys() - _FIELDS:
        raise bad_request("body", f"only {', '.join(sorted(_FIELDS))} may stand in it")
    app = _read_app(document, apps, any_app=config.issue_unconfigured)
    token, subscription = _read_address(document, app[0], hosts_of(config))
    _b64u(document, "server", _KEYID_BYTES, "must be the server's key id (43 characters of base64url)")
    request = document.get("request")
    if request is not None or config.handle_delivery is HandleDelivery.PUSH:
        _b64u(document, "request", _REQUEST_BYTES, "must be 16 random bytes, base64url")
    return HandleRequest(app, token, subscription, document["server"], request)


def _read_app(document: Mapping[str, Any], apps: frozenset[AppKey], *, any_app: bool) -> AppKey:
    provider, app, environment = (document.get(name) for name in ("provider", "app", "environment"))
    if provider not in ("apns", "fcm", "webpush"):  # a tuple: what came may not be hashable
        raise bad_request("provider", 'must be "apns", "fcm" or "webpush"')
    if not isinstance(app, str) or not re.fullmatch(r"[\x21-\x7e]{1,155}", app):
        raise bad_request("app", "must be the app's topic or project, as GET /v1/apps lists it")
    allowed = tuple(Environment) if provider == "apns" else (Environment.PRODUCTION,)
    if environment not in allowed:
        raise bad_request("environment", f"must be {' or '.join(allowed)}")
    key = (str(provider), app, str(environment))
    if key not in apps and not any_app:
        raise bad_request("app", "not configured here for this provider and environment; see GET /v1/apps")
    return key


def _read_address(
    document: Mapping[str, Any], provider: str, hosts: tuple[str, ...]
) -> tuple[str | None, Subscription | None]:
    if provider == "webpush":
        if document.get("token") is not None:
            raise bad_request("token", "a Web Push handle has a subscription instead")
        return None, check_subscription(document.get("subscription"), hosts)
    if document.get("subscription") is not None:
        raise bad_request("subscription", "only a Web Push handle has one; send a token")
    token = document.get("token")
    if not isinstance(token, str) or not _TOKENS[provider].fullmatch(token):
        raise bad_request("token", "must be the device's push token as the platform gave it")
    return token.lower() if provider == "apns" else token, None


def _b64u(document: Mapping[str, Any], name: str, length: int, rule: str) -> None:
    text = document.get(name)
    try:
        unb64u(text if isinstance(text, str) else "", length)
    except Malformed:
        raise bad_request(name, rule) from None


class HandleIssuer:
    def __init__(
        self,
        config: RelayConfig,
        *,
        providers: Mapping[AppKey, Provider],
        metrics: Metrics,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self._config = config
        self._providers = providers
        self._metrics = metrics
        self._clock = clock
        self._random = random
        self._under_way = 0
        self._epoch = config.epochs[config.seal_epoch or max(config.epochs)]

    def issue(self, wanted: HandleRequest) -> tuple[str, int]:
        """The handle, and when it expires in milliseconds."""
        now = int(self._clock() * 1000)
        provider, app, environment = wanted.app
        claims = HandleClaims(
            provider=provider,
            app=app,
            environment=environment,
            token=wanted.token,
            subscription=wanted.subscription,
            server=wanted.server,
            issued_at=now,
            expires_at=now + self._config.handle_days * DAY_MS,
        )
        try:
            return seal_handle(claims, epoch=self._epoch, nonce=self._random(_NONCE_BYTES)), claims.expires_at
        except TooLarge:
            name = "token" if wanted.subscription is None else "subscription.endpoint"
            raise bad_request(name, "too long for a handle") from None

    def send(self, wanted: HandleRequest, handle: str) -> None:
        """Push the handle to its own token, once, and do not wait for what becomes of it."""
        provider = self._providers.get(wanted.app)
        if provider is None or wanted.request is None:
            raise bad_request("app", "this relay sends handles, and has no credentials for this app")
        if self._under_way >= UNDER_WAY:
            raise Problem("limited", "too many handles are being sent; ask again", retry_after=SEND_SECONDS)
        delivery = Delivery(
            id=str(UUID(bytes=self._random(16), version=4)),
            token=wanted.address,
            data={"hh": handle, "rq": wanted.request},
            high=True,
            ttl=_PUSHED_TTL,
            collapse=b64u(self._random(16)),
            background=True,
            # Anybody may name any token and any server here: it takes no server's turn, and goes where a provider's
            # anger over bad tokens meets nobody else.
            server=_NOBODY,
            suspect=True,
            subscription=wanted.subscription,
        )
        provider.send(delivery, partial(self._sent, provider.app.provider))
        self._under_way += (
            1  # what could not be sent is not under way; who answered at once has taken one off before
        )

    def _sent(self, provider: str, verdict: Verdict) -> None:
        self._under_way -= 1
        self._metrics.handle_pushes(provider, verdict.status, verdict.reason or "").inc()
