"""Reads the settings: defaults, then a TOML file, then environment variables; every fault at once.

The names of the variables follow from the tree: `relay.limits.server` is `HUSHPOST_RELAY_LIMITS_SERVER`, the first app of
`[[relay.apns]]` has `HUSHPOST_RELAY_APNS_0_TOPIC`. A list of words is written with commas. What is marked secret can also
be read from the file that the variable with `_FILE` behind its name names. A key or variable that does not exist is a
fault, since it is a misspelt one: nothing is configured by accident to be what it was not meant to be.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec.inspect import CollectionType

from relay.config import ConfigError
from server.cli.settings_tree import (
    CLIENT,
    CONFIG,
    OF_TESTS,
    PREFIX,
    KeyPath,
    Struct,
    all_settings,
    dotted,
    find,
    general,
    plain,
    reason,
    suggest_key,
    suggest_variable,
    table_of,
    tables_of,
    wanted,
)
from server.config import Settings, faults


@dataclass(frozen=True)
class Fault:
    """`place` is where the value was written: a key of the file or a variable. Never holds a value that is secret."""

    place: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}; {self.fix}"


class ConfigFaults(Exception):
    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


@dataclass(frozen=True)
class Loaded:
    """Settings, and for each leaf that is not a default the place where it was written."""

    settings: Settings
    places: Mapping[KeyPath, str]


@dataclass
class _Written:
    """Values as they were written, by leaf, with their places; and the faults found on the way."""

    values: dict[KeyPath, Any] = field(default_factory=dict, repr=False)
    places: dict[KeyPath, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def put(self, path: KeyPath, value: Any, place: str) -> None:
        self.values[path] = value
        self.places[path] = place

    def fault(self, place: str, reason: str, fix: str) -> None:
        self.faults.append(Fault(place, reason, fix))


def load(file: Path | None, environ: Mapping[str, str]) -> Loaded:
    """Read everything; `ConfigFaults` names all that is wrong. `file` is read if given, else the one `HUSHPOST_CONFIG` names."""
    written = _Written()
    if file is None and environ.get(CONFIG):
        file = Path(environ[CONFIG])
    if file is not None:
        _take_table(Settings, _parse(file), (), written)
    _take_environment(environ, written)
    settings = _build(Settings, (), written)
    if written.faults:
        raise ConfigFaults(written.faults)
    if unfit := [_fault(error) for error in faults(settings)]:
        raise ConfigFaults(unfit)
    return Loaded(settings, written.places)


def _fault(error: ConfigError) -> Fault:
    """A fault from its text: the setting, the reason, what would be right."""
    place, _, rest = str(error).partition(": ")
    reason, _, fix = rest.partition("; ")
    return Fault(place, reason, fix)


def _parse(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigFaults(
            [Fault(str(file), f"cannot be read ({error.strerror})", "check its path and mode")]
        ) from None
    except ValueError as error:
        raise ConfigFaults([Fault(str(file), f"is not TOML: {error}", "correct that line")]) from None


def _take_table(kind: Struct, table: dict[str, Any], path: KeyPath, written: _Written) -> None:
    fields = {entry.name: entry.type for entry in msgspec.structs.fields(kind)}
    for name, value in table.items():
        here = (*path, name)
        if name not in fields:
            written.fault(dotted(here), "there is no such setting", suggest_key(here, list(fields)))
        elif (inner := table_of(fields[name])) is not None:
            _take_one(inner, value, here, written)
        elif (inner := tables_of(fields[name])) is not None:
            for number, item in enumerate(value if isinstance(value, list) else [value]):
                _take_one(inner, item, (*here, number), written)
        else:
            written.put(here, value, dotted(here))


def _take_one(kind: Struct, value: Any, path: KeyPath, written: _Written) -> None:
    if isinstance(value, dict):
        _take_table(kind, value, path, written)
    else:
        heading = f"[[{'.'.join(map(str, path[:-1]))}]]" if isinstance(path[-1], int) else f"[{dotted(path)}]"
        written.fault(dotted(path), "is a table of settings", f"write {heading} and the settings below it")


def _take_environment(environ: Mapping[str, str], written: _Written) -> None:
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name.startswith(OF_TESTS) or name in (CONFIG, *CLIENT):
            continue
        words = name.removeprefix(PREFIX)
        if (path := find(Settings, words)) is not None:
            written.put(path, environ[name], name)
        elif (secret := _secret_in_file(words)) is not None:
            _take_file(name, environ[name], secret, written)
        else:
            written.fault(name, "there is no such setting", suggest_variable(name))


def _take_file(name: str, file: str, path: KeyPath, written: _Written) -> None:
    try:
        written.put(path, Path(file).read_text("utf-8").strip(), name)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        written.fault(name, f"the file {file} cannot be read ({reason})", "check its path and mode")


def _secret_in_file(words: str) -> KeyPath | None:
    """The secret setting whose file a variable's name stands for."""
    path = find(Settings, words.removesuffix("_FILE")) if words.endswith("_FILE") else None
    if path is None:
        return None
    is_secret = any(setting.secret and setting.path == general(path) for setting in all_settings())
    return path if is_secret else None


def _build(kind: Struct, path: KeyPath, written: _Written) -> Any:
    """The struct at a path. Where a fault is found, it is noted, and what comes back is not to be used."""
    values: dict[str, Any] = {}
    for entry in msgspec.structs.fields(kind):
        here = (*path, entry.name)
        if (table := table_of(entry.type)) is not None:
            values[entry.name] = _build(table, here, written)
        elif (table := tables_of(entry.type)) is not None:
            values[entry.name] = tuple(
                _build(table, (*here, n), written) for n in range(_count(here, written))
            )
        elif here in written.values:
            values[entry.name] = _convert(here, entry.type, written)
        elif entry.required:
            written.fault(dotted(here), "is missing", f"write {wanted(entry.type)}")
            values[entry.name] = None
    return kind(**values)


def _count(path: KeyPath, written: _Written) -> int:
    numbers = {
        step
        for leaf in written.values
        if leaf[: len(path)] == path and isinstance(step := leaf[len(path)], int)
    }
    return max(numbers, default=-1) + 1


def _convert(path: KeyPath, kind: Any, written: _Written) -> Any:
    value, place = written.values[path], written.places[path]
    from_environment = place.startswith(PREFIX)
    if from_environment and isinstance(plain(kind), CollectionType):
        value = [word.strip() for word in value.split(",") if word.strip()]
    try:
        return msgspec.convert(value, kind, strict=not from_environment)
    except msgspec.ValidationError as error:
        written.fault(place, reason(str(error)), f"write {wanted(kind)}")
        return None
