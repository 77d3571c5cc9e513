"""The tree of settings, described: their names, types and secrets, and what to say where one is written wrongly.

`relay.limits.server` is `HUSHPOST_RELAY_LIMITS_SERVER`; the first app of `[[relay.apns]]` has
`HUSHPOST_RELAY_APNS_0_TOPIC`. All of it follows from the structs of `server.config`.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
from msgspec.inspect import (
    BoolType,
    CollectionType,
    EnumType,
    FloatType,
    IntType,
    Metadata,
    StructType,
    UnionType,
    type_info,
)

from server.config import Settings

PREFIX = "HUSHPOST_"
CONFIG = "HUSHPOST_CONFIG"
CLIENT = ("HUSHPOST_URL", "HUSHPOST_TOKEN")  # what the commands that call a server read
OF_TESTS = "HUSHPOST_TEST_"  # what the tests read, from whose environment programs are started

KeyPath: TypeAlias = tuple[str | int, ...]
Struct: TypeAlias = type[msgspec.Struct]


@dataclass(frozen=True)
class Setting:
    """A leaf of the tree. In `path`, a list of tables has the number of the table: 0 where any is meant."""

    path: KeyPath
    type: Any
    default: Any
    secret: bool

    @property
    def key(self) -> str:
        return dotted(self.path)

    @property
    def variable(self) -> str:
        return PREFIX + "_".join(map(str, self.path)).upper()


def dotted(path: KeyPath) -> str:
    return re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, path)))


def all_settings(kind: Struct = Settings, path: KeyPath = ()) -> Iterator[Setting]:
    """Every setting there is; a list of tables is given by its first."""
    names = {entry.name for entry in msgspec.structs.fields(kind)}
    for entry in msgspec.structs.fields(kind):
        here = (*path, entry.name)
        if (table := table_of(entry.type)) is not None:
            yield from all_settings(table, here)
        elif (table := tables_of(entry.type)) is not None:
            yield from all_settings(table, (*here, 0))
        else:
            secret = f"{entry.name}_file" in names or _is_secret(entry.type)
            yield Setting(here, entry.type, entry.default, secret)


def find(kind: Struct, words: str) -> KeyPath | None:
    """The leaf that the rest of a variable's name stands for."""
    for entry in msgspec.structs.fields(kind):
        name = entry.name.upper()
        table, tables = table_of(entry.type), tables_of(entry.type)
        if words == name and table is None and tables is None:
            return (entry.name,)
        rest = words.removeprefix(f"{name}_")
        if rest == words:
            continue
        if table is not None and (inner := find(table, rest)) is not None:
            return (entry.name, *inner)
        number = re.match(r"([0-9]{1,3})_", rest)
        if tables is not None and number and (inner := find(tables, rest[number.end() :])) is not None:
            return (entry.name, int(number[1]), *inner)
    return None


def general(path: KeyPath) -> KeyPath:
    return tuple(0 if isinstance(step, int) else step for step in path)


def reason(text: str) -> str:
    """Why msgspec refuses a value, in the words of somebody who writes one; its text never holds the value itself."""
    text, _, where = text.partition(" - at ")
    text = re.sub(r"^Expected `(\w+).*`, got `(\w+)`", r"is of the wrong type (\2)", text)
    text = re.sub(r"^Expected `str` matching regex .*", "is not of the right form", text)
    text = re.sub(r"^Expected `\w+` ([<>]=) (.*)", r"must be \1 \2", text)
    text = re.sub(r"^Invalid enum value.*", "is none of the words it can be", text)
    item = re.search(r"\[(\d+)\]", where)
    return f"item {item[1]} {text}" if item else text


def wanted(kind: Any) -> str:
    """What would be right, as a noun phrase."""
    info = type_info(kind)
    if isinstance(info, Metadata) and info.extra_json_schema and "description" in info.extra_json_schema:
        return str(info.extra_json_schema["description"])
    match plain(kind):
        case EnumType(cls=words):
            return "one of " + ", ".join(f'"{word.value}"' for word in words)
        case (IntType(ge=low, le=high) | FloatType(ge=low, le=high)) as number:
            return f"a {'whole ' if isinstance(number, IntType) else ''}number from {low} to {high}"
        case BoolType():
            return "true or false"
        case CollectionType():
            return 'a list of words: ["one", "two"] in the file, one,two in the environment'
        case _:
            return "a text in quotes"


def plain(kind: Any) -> Any:
    """The type itself: without its constraints' wrapper, and without the `None` beside it."""
    info = type_info(kind)
    while isinstance(info, Metadata):
        info = info.type
    if isinstance(info, UnionType):
        return info.types[0]
    return info


def table_of(kind: Any) -> Struct | None:
    info = plain(kind)
    return info.cls if isinstance(info, StructType) else None


def tables_of(kind: Any) -> Struct | None:
    item = getattr(plain(kind), "item_type", None)
    return item.cls if isinstance(item, StructType) else None


def _is_secret(kind: Any) -> bool:
    info = type_info(kind)
    return isinstance(info, Metadata) and bool((info.extra or {}).get("secret"))


def suggest_key(path: KeyPath, siblings: list[str]) -> str:
    near = difflib.get_close_matches(str(path[-1]), siblings, n=1)
    if near:
        return f"did you mean {dotted((*path[:-1], near[0]))}?"
    near = [s.key for s in all_settings() if s.path[-1] == path[-1]] or difflib.get_close_matches(
        dotted(path), [setting.key for setting in all_settings()], n=1
    )
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(siblings)}"


def suggest_variable(name: str) -> str:
    number = re.search(r"_([0-9]+)_", name)
    known = [s.variable if not number else s.variable.replace("_0_", number[0]) for s in all_settings()]
    near = difflib.get_close_matches(name, [*known, *CLIENT, CONFIG], n=1)
    return f"did you mean {near[0]}?" if near else "config.example.toml lists all settings"
