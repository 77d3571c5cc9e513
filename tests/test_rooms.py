"""The rooms and the one direction in which they may look (ARCHITECTURE.md): the imports of every file, held to the table."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP = ("crypto", "relay", "server", "simulator")

# A room is a package or a module; the longest name that a module lies in is its room. What a room may import of ours: rooms.
ROOMS: dict[str, set[str]] = {
    "crypto": set(),
    "relay": {"crypto"},
    "server.domain": set(),
    "server.store": {"server.domain"},
    "server.commands": {"server.domain", "server.store", "crypto"},
    "server.api": {"server.domain", "server.commands", "server.live"},
    "server.dialects": {"server.api", "server.domain", "server.commands", "server.live"},
    "server.live": {"server.domain", "server.commands", "relay.shared"},
    "server.worker": {
        "server.domain",
        "server.store",
        "server.commands",
        "crypto",
        "relay.guard",
        "relay.wire",
    },
    "server.config": {"server.domain", "relay.config", "relay.settings", "crypto"},
    "server.app": {"server", "relay.app", "relay.config", "relay.shared", "crypto"},
    "server.cli": {
        "server",
        "relay.app",
        "relay.config",
        "relay.conformance",
        "relay.guard",
        "relay.passes",
        "relay.settings",
        "relay.shared",
        "crypto",
    },
    "simulator": {"crypto", "relay.wire"},
}

# What a library is for: nobody else may use it.
LIBRARIES: dict[str, set[str]] = {
    "aioapns": {"relay"},
    "aiohappyeyeballs": {"relay"},
    "aiohttp": {
        "relay",
        "server.api",
        "server.dialects",
        "server.worker",
        "server.app",
        "server.cli",
        "simulator",
    },
    "aiosmtplib": {"server.worker"},
    "alembic": {"server.store"},
    "apprise": {"server.worker"},
    "argon2": {"server.commands", "server.app"},
    "asyncpg": {"server.store"},
    "h2": {"relay", "simulator"},
    "hpack": {"relay"},
    "pyfcm": {"relay"},
    "redis": {"relay"},
    "rich": {"server.cli", "simulator"},
    "sqlalchemy": {"server.store"},
    "sqlite3": {"server.store"},
    "typer": {"server.cli", "simulator"},
}
NOT_IN_CRYPTO = {"asyncio", "socket", "time", "os", "pathlib", "io", "secrets", "random", "datetime"}


@dataclass(frozen=True)
class Import:
    """`of` is imported by the module `by`, in the file and line `place`."""

    by: str
    of: str
    place: str


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, module: str, place: str) -> Iterator[Import]:
    """Every import, wherever in the file it stands, and each name of `from x import y` as x.y: it may be a module."""
    package = module.split(".") if place.endswith("__init__.py") else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(module, name.name, f"{place}:{node.lineno}") for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*origin, *(node.module or "").split(".")]).strip(".")
            yield from (
                Import(module, f"{start}.{name.name}", f"{place}:{node.lineno}") for name in node.names
            )


def room(module: str) -> str:
    return max(
        (name for name in ROOMS if within(module, name)), key=len, default=module.split(".", maxsplit=1)[0]
    )


def within(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")


def is_allowed(one: Import) -> bool:
    """Say whether the tables have this arrow."""
    here, package = room(one.by), one.of.split(".")[0]
    if package in TOP:
        return within(one.of, here) or any(within(one.of, there) for there in ROOMS.get(here, set()))
    if here == "crypto" and package in NOT_IN_CRYPTO:
        return False
    return package not in LIBRARIES or here in LIBRARIES[package]


def all_imports() -> Iterator[Import]:
    for top in TOP:
        for file in sorted((ROOT / top).rglob("*.py")):
            place = str(file.relative_to(ROOT))
            yield from imports(file.read_text("utf-8"), module_name(file), place)


def test_every_import_is_an_arrow_of_the_table() -> None:
    found = list(all_imports())
    assert len(found) > 500
    assert [f"{one.place}: {room(one.by)} -> {one.of}" for one in found if not is_allowed(one)] == []


def test_every_file_lies_in_a_room() -> None:
    files = [module_name(file) for top in TOP for file in (ROOT / top).rglob("*.py")]
    assert [name for name in files if name != "server" and room(name) not in ROOMS] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("relay.forward", "import server.domain.errors"),
        ("relay.forward", "from server.store import accounts"),
        ("crypto.frame", "import asyncio"),
        ("crypto.frame", "from relay import wire"),
        ("server.domain.delivery", "from server.store.outbox import claim"),
        ("server.domain.delivery", "from ..store import outbox"),
        ("server.store.outbox", "def f():\n    from server.commands import send"),
        ("server.api.messages", "from server.store.messages import find"),
        ("server.api.messages", "import sqlite3"),
        ("server.worker.outbox", "from relay.forward import Forwarder"),
        ("simulator.phone", "from server.commands import send"),
        ("simulator.phone", "import relay"),
        ("server.commands.send", "from server.app import build_server"),
    ],
)
def test_an_arrow_that_the_table_does_not_have_is_caught(module: str, source: str) -> None:
    assert [is_allowed(one) for one in imports(source, module, "a.py")] == [False]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("server.worker.outbox", "from relay.wire import Push"),
        ("server.worker.outbox", "from relay import wire"),
        ("server.worker.outgoing", "from relay.guard import is_open"),
        ("server.api.messages", "from .reading import Fields"),
        ("server.cli.processes", "from relay.app import build_relay"),
        ("crypto.frame", "from crypto.errors import Malformed"),
    ],
)
def test_an_arrow_that_the_table_has_passes(module: str, source: str) -> None:
    assert [is_allowed(one) for one in imports(source, module, "a.py")] == [True]
