"""Databases to test on: SQLite always, PostgreSQL where one is reachable.

It is looked for at HUSHPOST_TEST_POSTGRES (a URL of a user who may create databases), else on this machine. Where CI is
set it must be there.
"""

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from server.store.migrations import migrate
from server.store.schema import metadata

_LOCAL = "postgresql://postgres@127.0.0.1:5432/postgres"
_TABLES = [table.name for table in reversed(metadata.sorted_tables)]
# What is small is deleted in a hundredth of a second and truncated in a whole one; what is large is deleted in half a minute, since
# each row is looked for in tables that refer to it.
_EMPTY = f"""
DO $$ BEGIN
    IF (SELECT SUM(pg_relation_size(relid)) FROM pg_stat_user_tables) > 4 * 1024 * 1024 THEN
        TRUNCATE {", ".join(_TABLES)};
    ELSE
        {"; ".join(f"DELETE FROM {name}" for name in _TABLES)};
    END IF;
END $$
"""  # noqa: S608 - our names


def engines() -> list[str]:
    return ["sqlite", "postgresql"] if os.environ.get("CI") or postgres_is_reachable() else ["sqlite"]


def report() -> str:
    """Say what the tests run on: a missing PostgreSQL must not go unnoticed."""
    found = (
        "" if "postgresql" in engines() else f" (no PostgreSQL at {urlsplit(_server()).netloc}: half a test)"
    )
    return f"databases: {', '.join(engines())}{found}"


@cache
def postgres_is_reachable() -> bool:
    async def attempt() -> bool:
        with suppress(OSError, TimeoutError, asyncpg.PostgresError):
            await (await asyncpg.connect(_server(), timeout=5)).close()
            return True
        return False

    return bool(_alone(attempt))


def copy_sqlite(template: Path, folder: Path) -> str:
    """Return the URL of a fresh database with all tables."""
    shutil.copy(template, folder / "hushpost.db")
    return f"sqlite:///{folder / 'hushpost.db'}"


@contextmanager
def postgres_database(*, migrated: bool = True) -> Iterator[str]:
    """Make a database and drop it at the end."""
    name = f"hushpost_test_{secrets.token_hex(6)}"
    _alone(lambda: _run(_server(), f"CREATE DATABASE {name}"))
    url = urlunsplit(urlsplit(_server())._replace(path=f"/{name}"))
    try:
        if migrated:
            in_thread(lambda: migrate(url))
        yield url
    finally:
        _alone(lambda: _run(_server(), f"DROP DATABASE {name} WITH (FORCE)"))


def empty_postgres(url: str) -> None:
    _alone(lambda: _run(url, _EMPTY))


def in_thread(call: Callable[[], Any]) -> Any:
    """Run what has an event loop of its own beside the tests' loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()


def _server() -> str:
    return os.environ.get("HUSHPOST_TEST_POSTGRES", _LOCAL)


def _alone(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return in_thread(lambda: asyncio.run(work()))


async def _run(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
