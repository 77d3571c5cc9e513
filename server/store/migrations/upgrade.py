"""Runs the revisions that a database lacks, with Alembic.

Everything happens in one transaction under a lock (the file's on SQLite, an advisory one on PostgreSQL), so two processes
that start at once do the work once, and one that dies half-way leaves the old tables. A database from a newer program
is refused, not guessed at.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from server.domain.ports import DatabaseError, DatabaseUnavailable
from server.store.migrations import CONNECT_SECONDS
from server.store.sqlite import connect
from server.store.sqlite_file import SqliteFile, sqlite_path

_LOCK = 0x68757368706F7374  # "hushpost": the advisory lock's number
# What is empty stays as it is: PostgreSQL plans for some rows in a table that it has never looked at, and for none in one that it has.
_FILLED = (
    "SELECT c.oid::regclass::text AS name FROM pg_class c"
    " WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND pg_relation_size(c.oid) > 0"
)


def alembic_config(connection: Connection | None = None) -> Config:
    """Return what alembic.ini would hold."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(connection: Connection) -> bool:
    """Run what is missing, in the connection's transaction, and say whether there were tables that it has changed."""
    config = alembic_config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    present = MigrationContext.configure(connection).get_current_heads()
    if not known.issuperset(present):
        raise DatabaseError(
            "the database is newer than this program: start the version that wrote it, or a newer one"
        )
    command.upgrade(config, "head")
    return bool(present) and present != MigrationContext.configure(connection).get_current_heads()


def upgrade_sqlite(url: str) -> None:
    with SqliteFile(sqlite_path(url)) as file:
        engine = create_engine("sqlite://", creator=lambda: _sqlite(file.path), poolclass=NullPool)
        event.listen(engine, "begin", _begin_sqlite)
        try:
            with engine.begin() as connection:
                upgrade(connection)
        except DBAPIError as error:
            raise DatabaseError(f"{file.path} cannot be migrated: {error.orig}") from None
        except sqlite3.Error as error:
            raise DatabaseError(f"{file.path} cannot be opened: {error}") from None


def _sqlite(path: Path) -> sqlite3.Connection:
    """Connect without foreign keys: batch migrations replace tables, and dropping the old one would cascade."""
    connection = connect(path)
    connection.execute("PRAGMA foreign_keys = OFF")
    return connection


def _begin_sqlite(connection: Connection) -> None:
    """Begin for real: the driver is in autocommit and would run each statement alone."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


async def upgrade_postgres(url: str) -> None:
    async def creator() -> Any:  # the URL is read by asyncpg, as it is when the server opens it
        return await asyncpg.connect(url, timeout=CONNECT_SECONDS)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            changed = await connection.run_sync(upgrade)
        if changed:
            await _vacuum(await creator())
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailable(f"PostgreSQL cannot be reached: {type(error).__name__}") from None
    except DBAPIError as error:
        raise DatabaseError(f"PostgreSQL cannot be migrated: {error.orig}") from None
    finally:
        await engine.dispose()


async def _vacuum(connection: asyncpg.Connection) -> None:
    """Let PostgreSQL learn what was written, which it does by itself only once as much again has changed.

    Until it is told that all can see the rows of a table that was written anew, what counts in an index looks at each of its rows.
    No transaction can hold a VACUUM, and nothing waits for it but this process, which can do without.
    """
    try:
        with suppress(asyncpg.PostgresError):
            filled = await connection.fetch(_FILLED)
            await connection.execute(f"VACUUM (ANALYZE) {', '.join(row['name'] for row in filled)}")
    finally:
        await connection.close()
