"""What a relay is run with: its settings and the text of every file that they name, read at one moment.

One process reads for all, and again on SIGHUP; the others are told. So all have the same, a file that is bad reaches none, and
one that is started again later comes up with what the others have, whatever lies on the disk by then.
"""

import asyncio
from dataclasses import fields
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from relay.config import ConfigError, RelayConfig
from relay.settings import relay_config
from server.cli.configfile import ConfigFaults
from server.cli.files import load_settings, relay_reader
from server.cli.keyfiles import KeyFileError
from server.config import Settings

RELOADED: Final = ("allowlist", "denied", "pass_keys", "seal_epoch")
"""The settings that a relay which runs takes over (`relay.app.RELOAD`), beside the epoch keys."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """workers: processes of this relay on this machine. files: by the path that the settings name them by."""

    settings: Settings
    workers: int
    files: dict[str, str]

    def __repr__(self) -> str:
        return "Given(…)"


class RelayOrders(msgspec.Struct, frozen=True, kw_only=True):
    """What one of several processes is told at its start; later it is told what is `Given` anew.

    number: which of the processes it is, from 1. socket: the descriptor to listen on, bound to `host`.
    """

    given: Given
    number: int
    socket: int
    host: str


def read_given(config: str | None, workers: int) -> Given:
    """Read everything from the disk. What cannot be used is refused as `config_of` does, or by the readers."""
    settings = load_settings(config).settings
    read_text = relay_reader(settings, settings.relay)
    files: dict[str, str] = {}

    def noted(path: str) -> str:
        files[path] = read_text(path)
        return files[path]

    _config(settings, workers, noted)
    return Given(settings=settings, workers=workers, files=files)


def config_of(given: Given) -> RelayConfig:
    return _config(given.settings, given.workers, given.files.__getitem__)


def _config(settings: Settings, workers: int, read_text: Any) -> RelayConfig:
    section = settings.relay
    return relay_config(
        section,
        read_text=read_text,
        issue_unconfigured=section.issue_unconfigured,
        redis_url=settings.redis.url,
        workers=workers,
    )


def merged(old: Given, new: Given) -> Given:
    """What a running relay takes over of what is new: the rest wants a restart of all."""
    section = old.settings.relay
    taken = {name: getattr(new.settings.relay, name) for name in RELOADED}
    before, now = config_of(old), config_of(new)
    keys = [key.text for key in before.identities] + [key.text for key in now.epochs.values()]
    files = {**old.files, section.key_file: "\n".join(keys)}
    return replace(old, settings=replace(old.settings, relay=replace(section, **taken)), files=files)


class Reloader:
    """Reads anew what `given` was read from. `log` is a structlog logger."""

    def __init__(self, config: str | None, given: Given, log: Any) -> None:
        self.given = given
        self._config = config
        self._log = log

    async def reload(self) -> Given | None:
        """What is in force from now on; None where nothing can be, and the old stays. Either is in the log, in counts."""
        try:
            new = await asyncio.to_thread(read_given, self._config, self.given.workers)
            given = merged(
                self.given, new
            )  # which may not go together: no pass key, and passes are still wanted
            before, now, wanted = config_of(self.given), config_of(given), config_of(new)
        except (ConfigError, ConfigFaults, KeyFileError) as error:
            self._stay("; ".join(map(str, error.faults)) if isinstance(error, ConfigFaults) else str(error))
            return None
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a file, a relay that runs goes on
            self._stay(f"{type(error).__name__} while it was read")
            return None
        self.given = given
        self._log.info("the configuration was read anew", **_changes(before, now), **_left(now, wanted))
        return given

    def _stay(self, reason: str) -> None:
        self._log.error("not reloaded: the old configuration stays in force", reason=reason)


def _changes(old: RelayConfig, new: RelayConfig) -> dict[str, str]:
    """What was taken over, counted: who is on a list is nobody's business, and a key never."""
    shown = {}
    for name in ("allowlist", "denied", "pass_keys", "epochs"):
        before, now = set(getattr(old, name)), set(getattr(new, name))
        if before != now:
            shown[name] = f"{len(now)} (+{len(now - before)} -{len(before - now)})"
    if old.epochs != new.epochs and "epochs" not in shown:
        shown["epochs"] = "another key under the same number"
    if old.seal_epoch != new.seal_epoch:
        shown["seal_epoch"] = str(new.seal_epoch)
    return shown or {"changed": "nothing"}


def _left(now: RelayConfig, wanted: RelayConfig) -> dict[str, list[str]]:
    """Which settings have changed without effect."""
    names = [entry.name for entry in fields(now) if getattr(now, entry.name) != getattr(wanted, entry.name)]
    return {"restart_for": names} if names else {}
