"""A look at a database from outside, whether or not a server has it open: nothing is written, no lock is taken."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from server.domain.ports import DatabaseError, DatabaseUnavailable, Transaction
from server.domain.tally import Audit
from server.store.database import unknown_scheme
from server.store.migrations import newest
from server.store.postgres import SCHEMES as POSTGRES
from server.store.postgres import PostgresTransaction
from server.store.postgres import translated as translated_by_postgres
from server.store.relays import find_relay_keys
from server.store.sqlite import connect
from server.store.sqlite_file import SCHEME as SQLITE
from server.store.sqlite_file import sqlite_path
from server.store.sqlite_transaction import SqliteTransaction, drive, translated
from server.store.tallies import audit

_MOST_FAULTS = 5
_CONNECT_SECONDS = 10
_SETTINGS = {"application_name": "hushpost doctor", "lock_timeout": "10000"}
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


@dataclass(frozen=True)
class Rows:
    """What the tables say. `relay_keys` is the JWKS of the relay, where its keys were trusted when first seen."""

    audit: Audit
    relay_keys: str | None


@dataclass(frozen=True)
class CheckUp:
    """`engine` with its version; `faults` in its own words; `rows` only where the tables are this program's."""

    engine: str
    revision: str | None
    faults: list[str]
    rows: Rows | None


async def check_up(url: str, relay_url: str) -> CheckUp:
    """Look at a database; DatabaseError where it is not there or cannot be read."""
    if url.startswith(SQLITE):
        return _check_sqlite(sqlite_path(url), relay_url)
    if url.startswith(POSTGRES):
        return await _check_postgres(url, relay_url)
    raise DatabaseError(unknown_scheme(url))


def _look(relay_url: str) -> Callable[[Transaction], Awaitable[Rows]]:
    async def job(tx: Transaction) -> Rows:
        keys = await find_relay_keys(tx, relay_url)
        try:
            return Rows(await audit(tx), keys)
        except ValueError:
            raise DatabaseError("deliveries has rows in states that there are not") from None

    return job


def _check_sqlite(path: Path, relay_url: str) -> CheckUp:
    if not path.is_file():
        raise DatabaseError(f"{path}: there is no such database")
    try:
        with closing(connect(path, read_only=True)) as connection:
            connection.execute("BEGIN")
            found = connection.execute(f"PRAGMA quick_check({_MOST_FAULTS})").fetchall()
            faults = [str(row[0]) for row in found if row[0] != "ok"]
            revision = _sqlite_revision(connection)
            current = revision == newest() and not faults
            rows = drive(_look(relay_url), SqliteTransaction(connection)) if current else None
    except sqlite3.Error as error:
        raise translated(error) from None
    return CheckUp(f"SQLite {sqlite3.sqlite_version}", revision, faults, rows)


def _sqlite_revision(connection: sqlite3.Connection) -> str | None:
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:  # there is no such table
        return None
    return None if row is None else str(row[0])


async def _check_postgres(url: str, relay_url: str) -> CheckUp:
    try:
        connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS, server_settings=_SETTINGS)
    except _FAULTS as error:
        raise DatabaseUnavailable(f"PostgreSQL cannot be reached: {type(error).__name__}") from None
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            known = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
            revision = await connection.fetchval("SELECT version_num FROM alembic_version") if known else None
            version = await connection.fetchval("SHOW server_version")
            durable = await connection.fetchval("SHOW synchronous_commit")
            rows = await _look(relay_url)(PostgresTransaction(connection)) if revision == newest() else None
    except _FAULTS as error:
        raise translated_by_postgres(error) from None
    finally:
        await connection.close()
    faults = ["synchronous_commit is off: what was accepted is lost when the machine fails"]
    return CheckUp(f"PostgreSQL {version}", revision, faults if durable == "off" else [], rows)
