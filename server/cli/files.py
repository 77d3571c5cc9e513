"""From a command's options to settings and keys: which file is read, where the keys are, what is made where it is missing."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from crypto.keys import EpochKey, IdentityKey
from relay.config import ConfigError, RelayConfig
from relay.settings import relay_config
from server.cli.configfile import Loaded, load
from server.cli.keyfiles import (
    MAKE_RELAY,
    Key,
    ServerSecret,
    read_identity,
    read_private,
    read_secret,
    write_new,
)
from server.config import RelaySection, Settings, keys_dir

FIRST_EPOCH = 1


@dataclass(frozen=True)
class ServerKeys:
    identity: IdentityKey
    secret: bytes = field(repr=False)


def load_settings(config: str | None) -> Loaded:
    return load(None if config is None else Path(config), os.environ)


def settings_of(config: str | None, data: str | None) -> Settings:
    """The settings with what `--data` says, for whoever ran `hushpost up` with it."""
    settings = load_settings(config).settings
    if data is None:
        return settings
    return replace(settings, server=replace(settings.server, data_dir=data))


def server_key_path(settings: Settings) -> Path:
    return keys_dir(settings) / settings.server.key_file  # an absolute one stays as it is


def server_secret_path(settings: Settings) -> Path:
    return keys_dir(settings) / settings.server.secret_file


def relay_key_path(settings: Settings) -> Path:
    return keys_dir(settings) / settings.relay.key_file


def pass_key_path(settings: Settings) -> Path:
    return keys_dir(settings) / "relay.pass"


def vapid_key_paths(settings: Settings) -> list[Path]:
    """The VAPID keys that the settings name, as the relay finds them."""
    return [Path(entry.key_file) for entry in settings.relay.webpush if entry.key_file is not None]


def read_server_keys(settings: Settings) -> ServerKeys:
    return ServerKeys(read_identity(server_key_path(settings)), read_secret(server_secret_path(settings)).raw)


def read_relay_config(settings: Settings, section: RelaySection) -> RelayConfig:
    """The relay's configuration from a section, which may differ from that in the settings."""
    return relay_config(
        section,
        read_text=relay_reader(settings, section),
        issue_unconfigured=section.issue_unconfigured,
        redis_url=settings.redis.url,
    )


def relay_reader(settings: Settings, section: RelaySection) -> Callable[[str], str]:
    """Return what reads a file that a relay's settings name; that of its keys must be private."""
    keys = relay_key_path(settings)

    def read_text(path: str) -> str:
        if path == section.key_file:
            return read_private(keys, hint=MAKE_RELAY)
        return _read_text(path)

    return read_text


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"{path}: a file of the relay's apps, cannot be read ({reason})") from None


def make_server_keys(settings: Settings) -> list[Path]:
    """Make what the server lacks; the paths of what was made."""
    return _make(server_key_path(settings), IdentityKey.generate(secrets.token_bytes)) + _make(
        server_secret_path(settings), ServerSecret.generate(secrets.token_bytes)
    )


def make_relay_keys(settings: Settings) -> list[Path]:
    return _make(
        relay_key_path(settings),
        IdentityKey.generate(secrets.token_bytes),
        EpochKey.generate(FIRST_EPOCH, secrets.token_bytes),
    )


def _make(path: Path, *keys: Key) -> list[Path]:
    if path.exists():
        return []
    write_new(path, keys)
    return [path]
