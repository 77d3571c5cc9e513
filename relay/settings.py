"""What a configuration file says about the relay, and how that becomes a `RelayConfig`.

Plain values only: `RelaySettings` can be decoded from any file format by msgspec, which names the faulty
field. Nothing here opens a file: `relay_config` is given the reader, so that one place decides about file
modes and variables.
"""

import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

import msgspec

from crypto.encoding import unb64u
from crypto.errors import CryptoError
from crypto.keys import EpochKey, IdentityKey, IdentityPublicKey, read_keys
from relay.config import (
    FCM_QUOTA,
    KNOWN_WEBPUSH_HOSTS,
    Admission,
    ApnsApp,
    ApnsClient,
    ConfigError,
    Count,
    Environment,
    FcmClient,
    FcmProject,
    HandleDelivery,
    LimitSettings,
    RelayConfig,
    WebPushApp,
)

APNS_HOSTS = {"production": "api.push.apple.com", "sandbox": "api.sandbox.push.apple.com"}
FCM_ENDPOINT = "https://fcm.googleapis.com"

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class ApnsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One app at APNs. topic: its bundle id. key_file: the .p8 (ES256 private key, PEM); key: its text instead.

    key_id, team_id: ten characters each. environments: which of production and sandbox this key serves.
    host, port: where APNs is (Apple's by default, by environment). ca_file: PEM roots to trust instead of the
    system's. client: what speaks to it, "http2" or "aioapns".
    """

    topic: str
    key_id: str
    team_id: str
    key_file: str | None = None
    key: str | None = None
    environments: tuple[Environment, ...] = (Environment.PRODUCTION,)
    host: str | None = None
    port: Port = 443
    ca_file: str | None = None
    client: ApnsClient = ApnsClient.HTTP2

    def __repr__(self) -> str:
        return f"ApnsSettings(topic={self.topic!r})"


class FcmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Firebase project. service_account_file: Google's JSON key file; service_account: its text instead.

    project: the project id, where it differs from the key's. endpoint: scheme and host of FCM. token_uri:
    Google's token end point, where it differs from the key's. ca_file: PEM roots to trust for both, instead
    of the system's. client: what speaks to it, "http2" or "aiohttp". quota: pushes a minute that Google takes for the
    project.
    """

    service_account_file: str | None = None
    service_account: str | None = None
    project: str | None = None
    endpoint: str = FCM_ENDPOINT
    token_uri: str | None = None
    ca_file: str | None = None
    client: FcmClient = FcmClient.HTTP2
    quota: Count = FCM_QUOTA

    def __repr__(self) -> str:
        return f"FcmSettings(project={self.project!r})"


class WebPushSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One name under which Web Push subscriptions are taken, and its VAPID key.

    key_file: what `hushpost keys new vapid` makes (PEM, or b64u of the 32-byte scalar); key: its text instead.
    subject: a mailto: or https address at which push services reach the operator.
    """

    app: str
    subject: str
    key_file: str | None = None
    key: str | None = None

    def __repr__(self) -> str:
        return f"WebPushSettings(app={self.app!r})"


class RelaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The relay's part of a configuration file.

    public_url: the address under which servers and apps reach it, as they write it; signatures are bound to
    it.
    key_file: a key file with one or more identity keys (the first signs answers; all sign the directory) and
    one or more epoch keys (the highest number seals new handles; one taken out revokes its handles).
    seal_epoch: the number of another epoch that seals new handles, until all machines have the highest; 0 for the highest.
    admission: who may push. allowlist, denied: key ids. pass_keys: b64u of the raw Ed25519 keys that sign
    passes.
    handle_days: how long a handle is valid. handle_delivery: "direct" answers with the handle, "push" sends
    it to the token.
    webpush: names under which Web Push subscriptions are taken. webpush_hosts: services that may be
    subscribed to ("*.example" for all below a name, "*" for all). webpush_connect: "name=address:port" for services that
    are reached elsewhere than their name says, and may lie inside. webpush_ca_file: PEM roots to trust for push services
    instead of the system's.
    trusted_proxies: networks whose X-Forwarded-For is believed.
    processes: of this relay on all machines together, by which limits are divided while they share nothing; 0 for those of
    this machine. log_servers: name servers in the log by their key ids.
    """

    public_url: str
    key_file: str = "relay.keys"
    seal_epoch: Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)] = 0
    admission: Admission = Admission.ALLOWLIST
    allowlist: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    pass_keys: tuple[str, ...] = ()
    handle_days: Annotated[int, msgspec.Meta(ge=1, le=365)] = 90
    handle_delivery: HandleDelivery = HandleDelivery.DIRECT
    webpush_hosts: tuple[str, ...] = KNOWN_WEBPUSH_HOSTS
    webpush_connect: tuple[str, ...] = ()
    webpush_ca_file: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    processes: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    log_servers: bool = False
    limits: LimitSettings = LimitSettings()
    apns: tuple[ApnsSettings, ...] = ()
    fcm: tuple[FcmSettings, ...] = ()
    webpush: tuple[WebPushSettings, ...] = ()


def relay_config(
    settings: RelaySettings,
    *,
    read_text: Callable[[str], str],
    issue_unconfigured: bool,
    redis_url: str,
    workers: int = 1,
) -> RelayConfig:
    """The configuration that these settings and the files they name amount to; `read_text` reads one by its path.

    workers: processes of this relay on this machine.
    """
    keys = _keys(read_text(settings.key_file))
    return RelayConfig(
        public_url=settings.public_url,
        identities=tuple(key for key in keys if isinstance(key, IdentityKey)),
        epochs=epochs_by_number(key for key in keys if isinstance(key, EpochKey)),
        seal_epoch=settings.seal_epoch,
        admission=settings.admission,
        allowlist=frozenset(settings.allowlist),
        denied=frozenset(settings.denied),
        pass_keys=tuple(_pass_key(text) for text in settings.pass_keys),
        handle_days=settings.handle_days,
        handle_delivery=settings.handle_delivery,
        apns=tuple(app for entry in settings.apns for app in _apns_apps(entry, read_text)),
        fcm=tuple(_fcm_project(entry, read_text) for entry in settings.fcm),
        webpush=tuple(_webpush_app(entry, read_text) for entry in settings.webpush),
        webpush_hosts=settings.webpush_hosts,
        webpush_connect=dict(_connect(text) for text in settings.webpush_connect),
        webpush_roots=None if settings.webpush_ca_file is None else read_text(settings.webpush_ca_file),
        trusted_proxies=tuple(_network(text) for text in settings.trusted_proxies),
        limits=settings.limits,
        issue_unconfigured=issue_unconfigured,
        processes=max(settings.processes, workers),
        log_servers=settings.log_servers,
        redis_url=redis_url,
    )


def epochs_by_number(keys: Iterable[EpochKey]) -> Mapping[int, EpochKey]:
    found: dict[int, EpochKey] = {}
    for key in keys:
        if found.setdefault(key.number, key) is not key:
            raise ConfigError(
                f"relay.key_file: two epoch keys have the number {key.number}; number each once"
            )
    return MappingProxyType(found)


def _keys(text: str) -> Sequence[Any]:
    try:
        return read_keys(text)
    except CryptoError as error:
        raise ConfigError(f"relay.key_file: {error}") from None


def _pass_key(text: str) -> IdentityPublicKey:
    try:
        return IdentityPublicKey(unb64u(text, 32))
    except CryptoError:
        raise ConfigError(
            "relay.pass_keys: each must be a raw Ed25519 public key, b64u of 32 bytes"
        ) from None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(f"relay.trusted_proxies: {error}; write a network such as 10.0.0.0/8") from None


def _apns_apps(entry: ApnsSettings, read_text: Callable[[str], str]) -> list[ApnsApp]:
    key = _one_of("relay.apns.key", entry.key, entry.key_file, read_text)
    roots = None if entry.ca_file is None else read_text(entry.ca_file)
    return [
        ApnsApp(
            topic=entry.topic,
            environment=environment,
            key_id=entry.key_id,
            team_id=entry.team_id,
            key=key,
            host=entry.host or APNS_HOSTS[environment],
            port=entry.port,
            roots=roots,
            client=entry.client,
        )
        for environment in entry.environments
    ]


def _fcm_project(entry: FcmSettings, read_text: Callable[[str], str]) -> FcmProject:
    text = _one_of("relay.fcm.service_account", entry.service_account, entry.service_account_file, read_text)
    try:
        account = json.loads(text)
        project = entry.project or account["project_id"]
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            "relay.fcm.service_account: not a service account's JSON key with a project_id; download it from Google"
        ) from None
    if entry.token_uri is not None:
        text = json.dumps({**account, "token_uri": entry.token_uri})
    roots = None if entry.ca_file is None else read_text(entry.ca_file)
    return FcmProject(project, text, entry.endpoint.rstrip("/"), roots, entry.client, entry.quota)


def _webpush_app(entry: WebPushSettings, read_text: Callable[[str], str]) -> WebPushApp:
    key = _one_of("relay.webpush.key", entry.key, entry.key_file, read_text)
    return WebPushApp(entry.app, key, entry.subject)


def _connect(text: str) -> tuple[str, tuple[str, int]]:
    name, _, address = text.partition("=")
    host, _, port = address.rpartition(":")
    if not name or not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ConfigError(
            f"relay.webpush_connect: {text!r} is not of the form name=address:port, such as push.example=10.0.0.7:8443"
        )
    return name.lower(), (host.strip("[]"), int(port))


def _one_of(name: str, text: str | None, path: str | None, read_text: Callable[[str], str]) -> str:
    if (text is None) == (path is None):
        raise ConfigError(f"{name}: give either {name} or {name}_file")
    return text if text is not None else read_text(path or "")
