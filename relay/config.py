"""What a relay runs with: built keys and checked values, made in memory or by `relay.settings` from a file.

Every fault is a `ConfigError` that names the setting, what is wrong and what would be right, never the value
of a secret.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from crypto.encoding import unb64u
from crypto.errors import CryptoError
from crypto.keys import EpochKey, IdentityKey, IdentityPublicKey
from crypto.vapid import VapidKey, is_subject
from relay.wire import MAX_BYTES

KNOWN_WEBPUSH_HOSTS = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.push.apple.com",
    "*.notify.windows.com",
)
# A password with other characters than these would be taken for something else in part, and shown in an error.
REDIS_URL = r"^((rediss?://([^\s/?#@]*@)?([^\s/?#@:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[0-9]*)?|unix://([^\s/?#@]*@)?/[^\s?#]+))?$"
REDIS_URLS = '"redis://user:password@host:6379/0", "rediss://…" with TLS or "unix:///path/to/socket", percent-encoded, or ""'
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Percent = Annotated[int, msgspec.Meta(ge=1, le=100)]
FCM_QUOTA = 600_000
"""Google's default for a project, messages a minute."""


class ConfigError(ValueError):
    """A setting that cannot be used; the text names it and says what would be right."""


class Admission(StrEnum):
    OPEN = "open"
    ALLOWLIST = "allowlist"
    PASS = "pass"  # noqa: S105  the word is the protocol's, not a password


class Environment(StrEnum):
    PRODUCTION = "production"
    SANDBOX = "sandbox"


class ApnsClient(StrEnum):
    """What speaks HTTP/2 to APNs: ours, or aioapns as a comparison and a way back."""

    HTTP2 = "http2"
    AIOAPNS = "aioapns"


class FcmClient(StrEnum):
    """What speaks to FCM: our HTTP/2, or pyfcm's end point and payload over aiohttp's HTTP/1.1."""

    HTTP2 = "http2"
    AIOHTTP = "aiohttp"


class HandleDelivery(StrEnum):
    DIRECT = "direct"
    PUSH = "push"


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is taken from whom.

    Rates are per minute, counted by all processes together where there is a Redis; where there is none, or it is away, each
    process counts by itself and has its part.

    server: pushes of one server (a pass's quota takes its place). token: pushes to one device.
    normal_percent: how much of a server's limit, and of an FCM project's quota, pushes of normal priority may use; the rest
    is kept for the urgent.
    open_server, open_address, open_total: pushes where anybody is admitted, for one server, for one address
    (an IPv6 /64 is one), for all together. open_requests: requests of one address there, counted before their
    signature is checked.
    handles: handle requests of one address.
    bad_token_wait: seconds that a server waits after more than half of its last 100 tokens were bad.
    in_flight: pushes that one app's provider holds at any moment; others wait for their turn. body_bytes: of request bodies
    in memory at once, from arrival to answer; one server (where anybody is admitted, one address) may have a quarter
    of it.
    nonces: replay entries kept; a full store answers 503.
    known_servers, known_tokens, known_addresses: counters kept; the oldest is forgotten first.
    """

    server: Count = 6_000
    token: Count = 120
    normal_percent: Percent = 80
    open_server: Count = 300
    open_address: Count = 600
    open_total: Count = 6_000
    open_requests: Count = 600
    handles: Count = 60
    bad_token_wait: Count = 600
    in_flight: Count = 2_000
    body_bytes: Annotated[int, msgspec.Meta(ge=MAX_BYTES, le=1 << 40)] = 8 * MAX_BYTES
    nonces: Count = 200_000
    known_servers: Count = 20_000
    known_tokens: Count = 100_000
    known_addresses: Count = 20_000


@dataclass(frozen=True)
class ApnsApp:
    """One topic in one environment. `key` is the .p8's text, `roots` PEM certificates or None for the system's."""

    topic: str
    environment: Environment
    key_id: str
    team_id: str
    key: str = field(repr=False)
    host: str
    port: int
    roots: str | None = field(repr=False)
    client: ApnsClient = ApnsClient.HTTP2


@dataclass(frozen=True)
class FcmProject:
    """One Firebase project. `service_account` is the JSON key file's text with the token end point to use in it.

    quota: pushes a minute that Google takes for the project.
    """

    project: str
    service_account: str = field(repr=False)
    endpoint: str
    roots: str | None = field(repr=False)
    client: FcmClient = FcmClient.HTTP2
    quota: int = FCM_QUOTA


@dataclass(frozen=True)
class WebPushApp:
    """One name under which Web Push subscriptions are taken, with the VAPID key that they are made for (RFC 8292).

    key: P-256, as PEM or b64u of the 32-byte scalar. subject: a mailto: or https address of the operator's.
    """

    app: str
    key: str = field(repr=False)
    subject: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\x21-\x7e]{1,155}", self.app):
            raise ConfigError(
                "relay.webpush.app: must be a name of at most 155 characters without spaces, such as web.example.org"
            )
        if not is_subject(self.subject):
            raise ConfigError(
                "relay.webpush.subject: must be an address of yours, mailto:you@example.org or https://example.org"
            )
        try:
            VapidKey.from_text(self.key)
        except CryptoError as error:
            raise ConfigError(
                f"relay.webpush.key: {error}; make one with: hushpost keys new vapid (P-256 in PEM, or b64u of 32 bytes)"
            ) from None


@dataclass(frozen=True)
class RelayConfig:
    """A relay's configuration, checked: built by `relay.settings.relay_config`, or directly in memory.

    seal_epoch: the number of the epoch that seals new handles; 0 for the highest.
    issue_unconfigured: handles are issued for apps without credentials, whose pushes are then `rejected:
    not_configured`.
    webpush_connect: names of push services that lead to an address of the operator's choice; it may lie inside.
    webpush_roots: PEM certificates to trust for push services, or None for the system's.
    processes: how many processes of this relay there are; where they share nothing, each has its part of every limit.
    log_servers: servers stand in the log with their key ids, else under a keyed hash.
    redis_url: what processes of this relay share limits and replay refusal through; empty for none.
    """

    public_url: str
    identities: tuple[IdentityKey, ...]
    epochs: Mapping[int, EpochKey]
    seal_epoch: int = 0
    admission: Admission = Admission.ALLOWLIST
    allowlist: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    pass_keys: tuple[IdentityPublicKey, ...] = ()
    handle_days: int = 90
    handle_delivery: HandleDelivery = HandleDelivery.DIRECT
    apns: tuple[ApnsApp, ...] = ()
    fcm: tuple[FcmProject, ...] = ()
    webpush: tuple[WebPushApp, ...] = ()
    webpush_hosts: tuple[str, ...] = KNOWN_WEBPUSH_HOSTS
    webpush_connect: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    webpush_roots: str | None = field(default=None, repr=False)
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    limits: LimitSettings = field(default_factory=LimitSettings)
    issue_unconfigured: bool = False
    processes: int = 1
    log_servers: bool = False
    redis_url: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        _check_url(self.public_url)
        object.__setattr__(self, "public_url", self.public_url.rstrip("/"))
        if not self.identities:
            raise ConfigError("relay.key_file: holds no identity key; `hushpost keys` makes one")
        if not self.epochs:
            raise ConfigError("relay.key_file: holds no epoch key; `hushpost keys` makes one")
        if self.seal_epoch and self.seal_epoch not in self.epochs:
            raise ConfigError(
                f"relay.seal_epoch: the key file has no epoch {self.seal_epoch}; it has {', '.join(map(str, sorted(self.epochs)))}"
            )
        if self.admission is Admission.PASS and not self.pass_keys:
            raise ConfigError(
                "relay.pass_keys: admission is by pass, so name at least one key that signs passes"
            )
        check_redis_url(self.redis_url)
        _check_ids("relay.allowlist", self.allowlist)
        _check_ids("relay.denied", self.denied)
        _check_hosts(self.webpush_hosts)
        _check_apps(self)


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(
            "relay.public_url: must be an http or https address without query, such as https://relay.example"
        )


def check_redis_url(url: str) -> None:
    if not re.fullmatch(REDIS_URL, url) or not _has_a_port(url):
        raise ConfigError(f"redis.url: is not of the right form; write {REDIS_URLS}")


def _has_a_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _check_ids(name: str, ids: Iterable[str]) -> None:
    for keyid in ids:
        try:
            unb64u(keyid, 32)
        except CryptoError:
            raise ConfigError(f"{name}: {keyid!r} is not a key id (43 characters of base64url)") from None


def _check_hosts(hosts: Iterable[str]) -> None:
    for host in hosts:
        if not re.fullmatch(r"\*|(\*\.)?([A-Za-z0-9-]+\.)+[A-Za-z0-9-]+", host):
            raise ConfigError(
                f'relay.webpush_hosts: {host!r} is not a name, such as push.example.org, *.example.org or "*" for any'
            )


def _check_apps(config: RelayConfig) -> None:
    names = [("apns", app.topic, str(app.environment)) for app in config.apns]
    names += [("fcm", project.project, "production") for project in config.fcm]
    names += [("webpush", app.app, "production") for app in config.webpush]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"relay.{name[0]}: {name[1]} ({name[2]}) is configured twice; keep one")
