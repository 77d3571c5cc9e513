"""Every setting there is, with its type and default: one tree, from which all that must agree with it is derived.

The configuration file's keys, the environment variables' names, `config.example.toml`'s test and the suggestions for
misspelt names come from these structs (`server.cli.configfile`). Defaults make a server and a relay for one machine; nothing
here is read from a file or from the environment.

A constraint's `description` says what would be right: it is shown where a value is refused. A setting marked `SECRET`
is masked wherever settings are shown and may come from a file that `HUSHPOST_…_FILE` names.
"""

import ipaddress
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from crypto.encoding import unb64u
from crypto.errors import CryptoError
from crypto.keys import IdentityPublicKey
from relay.config import REDIS_URL, REDIS_URLS, ConfigError, Environment, check_redis_url
from relay.settings import RelaySettings
from server.domain.account import Registration
from server.domain.device import Platform
from server.domain.host import is_loopback
from server.domain.relay import RelayApp

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SECRET = {"secret": True}
_LAST_PORT = 65_535

Listen = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):[0-9]{1,5}$",
        description='HOST:PORT, such as "127.0.0.1:8080" or "[::1]:8080"',
    ),
]
Url = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        description='an address without user, query or fragment, such as "https://push.example.org"',
    ),
]
OptionalUrl = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$",
        description='an address such as "https://relay.example.org", or "" for none',
    ),
]
DATABASE_URLS = (
    '"sqlite:///path/to/file.db", "postgresql://user:password@host/name", or "" for a file in data_dir'
)
DatabaseUrl = Annotated[
    str,
    msgspec.Meta(pattern=r"^(sqlite:///.+|postgres(ql)?://.+)?$", description=DATABASE_URLS, extra=SECRET),
]
# A password with one of :/?#[]@ in it would be read as something else: as a host, or as what is left out.
_POSTGRES_URL = re.compile(
    r"postgres(?:ql)?://(?:[^\s:/?#@]*(?::[^\s:/?#@]*)?@)?(?P<hosts>[^\s/?#@]*)(?:/[^\s?#]*)?(?:\?[^\s#]*)?"
)
_ORIGIN_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
_HOST = re.compile(r"(?:[^:\[\]]*|\[[0-9A-Fa-f:.%]+\])(?::(?P<port>[0-9]{1,5}))?")


RelayPass = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)?$",
        description='what the relay\'s operator gave you (`hushpost relay pass issue` prints it), or "" for none',
        extra=SECRET,
    ),
]
RedisUrl = Annotated[str, msgspec.Meta(pattern=REDIS_URL, description=REDIS_URLS, extra=SECRET)]


AppName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[\x21-\x7e]{0,155}$",
        description='the app\'s bundle id or Firebase project as the relay has it, or "" for the only one that it has',
    ),
]


class TokenProvider(StrEnum):
    """Whose push tokens they are."""

    FCM = "fcm"
    APNS = "apns"


class ForwardedHeader(StrEnum):
    """Where the proxies in front say for whom they ask. What stands in the other one is anybody's word, and is passed over."""

    X_FORWARDED_FOR = "X-Forwarded-For"
    FORWARDED = "Forwarded"  # RFC 7239


class LogFormat(StrEnum):
    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The server.

    public_url: the address under which phones and clients reach it; it stands in pairing links and is signed.
    listen: where it listens; port 0 takes a free one. data_dir: what it keeps, the keys in `keys/` below it.
    key_file, secret_file: relative ones are in `<data_dir>/keys`.
    trusted_proxies: networks of proxies that are believed for whom they ask. forwarded_header: where they say it.
    cors_origins: origins whose pages may call it from a browser.
    relay_url: the relay that pushes for it, by its public address. relay_connect_url: where to connect to it instead,
    where the two are on one network. relay_keys: its public keys, as its `hushpost keys show` prints them; none
    means that the keys seen first are trusted from then on. relay_pass: what its operator gave to this server, where it
    wants one.
    """

    public_url: Url = "http://127.0.0.1:8080"
    listen: Listen = "127.0.0.1:8080"
    data_dir: str = "data"
    key_file: str = "server.key"
    secret_file: str = "server.secret"  # noqa: S105 - a file's name
    trusted_proxies: tuple[str, ...] = ()
    forwarded_header: ForwardedHeader = ForwardedHeader.X_FORWARDED_FOR
    cors_origins: tuple[str, ...] = ()
    relay_url: OptionalUrl = ""
    relay_connect_url: OptionalUrl = ""
    relay_keys: tuple[str, ...] = ()
    relay_pass: RelayPass = ""

    def __repr__(self) -> str:
        return f"ServerSettings(public_url={self.public_url!r})"


class DatabaseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where messages are kept. url: empty for `sqlite:///<data_dir>/hushpost.db`.

    connections: of each server process to PostgreSQL, at most, and one more for hints between processes.
    """

    url: DatabaseUrl = ""
    connections: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 10

    def __repr__(self) -> str:
        return "DatabaseSettings(url=…)"


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Redis or Valkey, through which processes share what may be lost. url: empty for none."""

    url: RedisUrl = ""

    def __repr__(self) -> str:
        return "RedisSettings(url=…)"


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """People. registration: who may make an account after the first one.

    argon2_…: what hashing a password costs (RFC 9106); hashes made with other values are renewed at sign-in.
    argon2_threads: how many are hashed at once, each with that memory. argon2_waiting: how many may wait for that.
    """

    registration: Registration = Registration.CLOSED
    argon2_memory_kib: Annotated[int, msgspec.Meta(ge=8_192, le=4_194_304)] = 65_536
    argon2_time: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    argon2_lanes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    argon2_threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    argon2_waiting: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 32


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests in ten seconds, 0 for any number.

    credential: with one access token, session or device. address: from one address, of those without a valid credential.
    """

    credential: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 5_000
    address: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 1_000


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The outbox. batch: pushes in one request to the relay. in_flight: requests at the same time.

    poll_seconds: how often it looks without being woken. seal_processes: processes that encrypt, 0 for one a core.
    """

    batch: Annotated[int, msgspec.Meta(ge=1, le=500)] = 500
    in_flight: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    poll_seconds: Annotated[float, msgspec.Meta(ge=0.05, le=60)] = 0.5
    seal_processes: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0


class AttachmentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files that people attach, which lie in `<data_dir>/attachments`.

    max_bytes: of one file. user_bytes: of all the files of one user.
    """

    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=1 << 30)] = 10 << 20
    user_bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 50)] = 1 << 30


class OutgoingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the server asks of others: webhooks, files, texts. allowed_networks: those inside that senders may have it ask."""

    allowed_networks: tuple[str, ...] = ()


class IosAppSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The app that iPhones are registered for. provider: whose tokens it sends. environment: APNs's, production at FCM."""

    provider: TokenProvider = TokenProvider.FCM
    app: AppName = ""
    environment: Environment = Environment.PRODUCTION


class FcmAppSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Firebase project whose tokens they send."""

    app: AppName = ""


class AppsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which app of the relay's a push token is of, where the server asks for the handle: by the device's platform."""

    ios: IosAppSettings = IosAppSettings()
    android: FcmAppSettings = FcmAppSettings()
    web: FcmAppSettings = FcmAppSettings()


class RelaySection(RelaySettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The relay (`relay.settings.RelaySettings`) and where it listens.

    key_file: a relative one is in `<data_dir>/keys`. issue_unconfigured: handles are issued for apps without
    credentials here, and pushes to them answered `not_configured`.
    """

    public_url: Url = "http://127.0.0.1:8081"
    listen: Listen = "127.0.0.1:8081"
    issue_unconfigured: bool = False


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The log, on standard error. format: `auto` is for people on a terminal and JSON elsewhere."""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.AUTO


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    accounts: AccountSettings = AccountSettings()
    limits: LimitSettings = LimitSettings()
    attachments: AttachmentSettings = AttachmentSettings()
    worker: WorkerSettings = WorkerSettings()
    outgoing: OutgoingSettings = OutgoingSettings()
    apps: AppsSettings = AppsSettings()
    relay: RelaySection = RelaySection()
    log: LogSettings = LogSettings()


def keys_dir(settings: Settings) -> Path:
    return Path(settings.server.data_dir) / "keys"


def attachments_dir(settings: Settings) -> Path:
    return Path(settings.server.data_dir) / "attachments"


def database_url(settings: Settings) -> str:
    """The database's URL, with the default in place of an empty one."""
    file = Path(settings.server.data_dir).absolute() / "hushpost.db"
    return settings.database.url or f"sqlite:///{file}"


def is_misread(url: str) -> bool:
    """Say whether PostgreSQL would take an address of its for another than was meant. It may name several hosts."""
    if not url.startswith("postgres"):
        return False
    found = _POSTGRES_URL.fullmatch(url)
    hosts = [_HOST.fullmatch(host) for host in found["hosts"].split(",")] if found else [None]
    return any(host is None or int(host["port"] or 0) > _LAST_PORT for host in hosts)


def listen_address(listen: str) -> tuple[str, int]:
    """The host (an IPv6 one without brackets) and port of a `Listen`."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def trusted_relay_keys(settings: ServerSettings) -> tuple[IdentityPublicKey, ...]:
    try:
        return tuple(IdentityPublicKey(unb64u(text, 32)) for text in settings.relay_keys)
    except CryptoError:
        raise ConfigError(
            "server.relay_keys: one is not a public key; copy each (43 characters) from the relay's `hushpost keys show`"
        ) from None


def push_apps(settings: AppsSettings) -> dict[Platform, RelayApp]:
    """The app that a platform's push tokens are of; an empty name is the only one that the relay has there."""
    ios = settings.ios
    return {
        Platform.IOS: RelayApp(ios.provider, ios.app, ios.environment),
        Platform.ANDROID: RelayApp(TokenProvider.FCM, settings.android.app, Environment.PRODUCTION),
        Platform.WEB: RelayApp(TokenProvider.FCM, settings.web.app, Environment.PRODUCTION),
    }


def trusted_networks(settings: ServerSettings) -> tuple[Network, ...]:
    return _networks("server.trusted_proxies", settings.trusted_proxies)


def allowed_networks(settings: OutgoingSettings) -> tuple[Network, ...]:
    return _networks("outgoing.allowed_networks", settings.allowed_networks)


def _networks(name: str, texts: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}; write a network such as 10.0.0.0/8") from None


def allowed_origins(settings: ServerSettings) -> tuple[str, ...]:
    """The origins whose pages may call the server, each as browsers write it; "*" is every origin."""
    for text in settings.cors_origins:
        if text != "*" and text != _origin(text):
            raise ConfigError(
                f"server.cors_origins: {text!r} is no origin; write it as a browser does, such as https://app.example.org:8443"
                ' (scheme, host in lowercase, no path, the port only where it is not the usual one), or "*" for every origin'
            )
    return settings.cors_origins


def page_origins(settings: ServerSettings) -> frozenset[str]:
    """The origins whose pages may open a WebSocket, of which browsers do not ask first: also the server's own."""
    own = _origin(settings.public_url)
    return frozenset((*allowed_origins(settings), *([own] if own else ())))


def _origin(text: str) -> str | None:
    """Return the origin of a URL."""
    try:
        parts = urlsplit(text)
        usual = {"http": 80, "https": 443}[parts.scheme]
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = "" if parts.port in (None, usual) else f":{parts.port}"
    except (KeyError, ValueError):
        return None
    return f"{parts.scheme}://{host}{port}" if _ORIGIN_HOST.fullmatch(host or "") else None


def is_listen_address(text: str) -> bool:
    """Whether a text that did not come from the settings would do as a `Listen`."""
    try:
        msgspec.convert(text, Listen)
    except msgspec.ValidationError:
        return False
    return listen_address(text)[1] <= _LAST_PORT


def is_for_this_machine(server: ServerSettings) -> bool:
    """Whether nobody elsewhere reaches this server: neither at its listener, nor through a proxy at its public URL."""
    hosts = (listen_address(server.listen)[0], urlsplit(server.public_url).hostname or "")
    return all(is_loopback(host) for host in hosts)


def faults(settings: Settings) -> Iterator[ConfigError]:
    """What is wrong with values that are each of the right type."""
    for read in (
        lambda: trusted_relay_keys(settings.server),
        lambda: trusted_networks(settings.server),
        lambda: allowed_origins(settings.server),
        lambda: allowed_networks(settings.outgoing),
    ):
        try:
            read()
        except ConfigError as error:
            yield error
    if is_misread(settings.database.url):
        yield ConfigError(
            f"database.url: is not of the right form; write {DATABASE_URLS}, and of a password"
            " percent-encode what is no letter or digit"
        )
    try:
        check_redis_url(settings.redis.url)
    except ConfigError as error:
        yield error
    for name, listen in (("server", settings.server.listen), ("relay", settings.relay.listen)):
        if not is_listen_address(listen):
            yield ConfigError(f"{name}.listen: the port is too large; a port is at most {_LAST_PORT}")
    ios = settings.apps.ios
    if (ios.provider, ios.environment) == (TokenProvider.FCM, Environment.SANDBOX):
        yield ConfigError('apps.ios.environment: FCM has no sandbox; write "production"')
    if urlsplit(settings.server.public_url).path.strip("/"):
        yield ConfigError(
            "server.public_url: has a path; give the server an address of its own, such as https://push.example.org"
        )
