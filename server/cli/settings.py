"""`hushpost config`: what the settings are, and whether they would be accepted."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

import msgspec
import typer

from server.cli.configfile import Loaded
from server.cli.files import load_settings, read_relay_config, relay_key_path
from server.cli.settings_tree import KeyPath, all_settings, dotted, general, table_of, tables_of
from server.cli.terminal import ConfigOption, JsonOption, result, result_json
from server.config import Settings

commands = typer.Typer(no_args_is_help=True, help="Check and show the settings.")


@commands.command()
def check(config: ConfigOption = None) -> None:
    """Read the settings as `server` and `relay` would, and name everything that is wrong with them."""
    loaded = load_settings(config)
    if relay_key_path(
        loaded.settings
    ).exists():  # without its keys, the rest of a relay's settings cannot be judged
        read_relay_config(loaded.settings, loaded.settings.relay)
    result(f"the settings are in order; {len(loaded.places)} are set, the others have their defaults")


@commands.command()
def show(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show every setting's value, secrets masked, and where it was set."""
    loaded = load_settings(config)
    rows = [
        {
            "setting": dotted(path),
            "value": "***" if secret and value else value,
            "from": _source(loaded, path),
        }
        for path, value, secret in effective(loaded.settings)
    ]
    if as_json:
        result_json(rows)
        return
    for row in rows:
        result(f"{row['setting']} = {_toml(row['value'])}  # {row['from']}")


def _source(loaded: Loaded, path: KeyPath) -> str:
    place = loaded.places.get(path, "default")
    return "file" if place == dotted(path) else place


def effective(settings: Settings) -> Iterator[tuple[KeyPath, Any, bool]]:
    """Every leaf with its value, and whether that is secret."""
    secrets = {setting.path for setting in all_settings() if setting.secret}
    for path, value in _leaves(settings, ()):
        yield path, value, general(path) in secrets


def _leaves(struct: msgspec.Struct, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for entry in msgspec.structs.fields(struct):
        value, here = getattr(struct, entry.name), (*path, entry.name)
        if table_of(entry.type) is not None:
            yield from _leaves(value, here)
        elif tables_of(entry.type) is not None:
            for number, item in enumerate(value):
                yield from _leaves(item, (*here, number))
        else:
            yield here, _plain_value(value)


def _plain_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain_value(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def _toml(value: Any) -> str:
    return "(not set)" if value is None else msgspec.json.encode(value).decode()
