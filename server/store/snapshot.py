"""A database as one SQLite file, whatever its engine: what a backup holds, and how it becomes a database again.

It is taken from one snapshot while servers run. On SQLite the pages are copied by the online backup API; the reading
connection stays inside one transaction meanwhile, because a writer would otherwise make the copy start again after each
commit, for ever on a busy server. In WAL mode neither waits for the other. From PostgreSQL the rows are copied (`copy`).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from server.domain.ports import DatabaseError
from server.store.copy import Report, copy, require_empty, require_newest, rows_of, source, target
from server.store.copy_ends import BATCH
from server.store.copy_sums import Summing, TableSum
from server.store.migrations import migrate
from server.store.sqlite import connect
from server.store.sqlite_file import SCHEME as SQLITE
from server.store.sqlite_file import sqlite_path
from server.store.sqlite_transaction import translated

Pages = Callable[[int, int], None]
"""Told how many pages are copied, and of how many."""
Rows = Callable[[int], Report]
"""Told how many rows there are, returns what is told of each batch."""

_PAGES = 1024  # in one step: what is between two reports
_MOST_FAULTS = 10
_HIGHER = f"UPDATE devices SET head = head + {2**32}"  # PROTOCOL.md, section 2, "Gaps"
_RELEASED = (
    "UPDATE deliveries SET state = 'queued', lease = NULL WHERE state = 'leased'"  # by a server long gone
)


@dataclass(frozen=True)
class Contents:
    """What a snapshot holds. `revision` is None where it is no database of ours."""

    revision: str | None
    tables: dict[str, TableSum]


def take_pages(url: str, file: Path, pages: Pages) -> None:
    """Write a SQLite database into a new file, which nothing beside it belongs to afterwards."""
    database = sqlite_path(url)
    if not database.is_file():
        raise DatabaseError(f"{database}: there is no such database")
    with _opened(database) as origin, closing(sqlite3.connect(file)) as copied:
        origin.execute("BEGIN")
        origin.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()  # the snapshot begins here
        origin.backup(
            copied,
            pages=_PAGES,
            progress=lambda _, remaining, total: pages(total - remaining, total),
            sleep=0,
        )
    _make_whole(file)


async def take_rows(url: str, file: Path, rows: Rows) -> None:
    """Write a database on any engine, at this program's revision, into a new file as `take_pages` does."""
    async with source(url, unused=False) as origin:
        await require_newest(origin)
        counted = await rows_of(origin)
        await asyncio.to_thread(migrate, f"{SQLITE}{file}")
        async with target(f"{SQLITE}{file}") as copied:
            await copy(origin, copied, rows(2 * sum(counted.values())))
    _make_whole(file)


def _make_whole(file: Path) -> None:
    """Take in what lies in the log beside the file."""
    with _opened(file, read_only=False) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def count_rows(file: Path) -> int:
    with _opened(file) as connection:
        return sum(_count(connection, table) for table in _tables(connection))


def examine(file: Path, report: Report) -> Contents:
    """Read everything that a snapshot holds, of whatever revision it is."""
    with _opened(file) as connection:
        tables = {}
        for table in _tables(connection):
            read = Summing()
            for batch in _batches(connection, table):
                read.add(batch)
                report("reading", table, len(batch))
            tables[table] = read.result
        return Contents(_revision(connection), tables)


def faults(file: Path) -> list[str]:
    """Say what SQLite finds wrong with a file, and which rows refer to nothing; empty where it is whole."""
    try:
        with _opened(file) as connection:
            found = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_MOST_FAULTS})")]
            orphans = {str(row[0]) for row in connection.execute("PRAGMA foreign_key_check")}
    except DatabaseError as error:
        return [str(error)]
    referring = [f"rows of {table} refer to rows that are not there" for table in sorted(orphans)]
    return [fault for fault in found if fault != "ok"] + referring


def attachment_ids(file: Path) -> list[str]:
    """Return the ids of the files that a copy's rows know of; none where its tables are older than those."""
    with _opened(file) as connection:
        if "attachments" not in _tables(connection):
            return []
        return [str(row[0]) for row in connection.execute("SELECT id FROM attachments ORDER BY id")]


async def require_free(url: str) -> None:
    """Refuse a database that a server has open, or that holds anything."""
    async with target(url) as opened:
        await require_empty(opened)


async def restore(file: Path, url: str, rows: Rows) -> None:
    """Write a snapshot at this program's revision into a migrated, empty database: all of it, or nothing.

    In the same transaction the devices' numbers jump, so that a phone which has seen later ones notices, and what a worker
    had under a lease when the snapshot was taken is queued again.
    """
    async with source(f"{SQLITE}{file}", unused=False) as snapshot, target(url) as database:
        counted = await rows_of(snapshot)
        await copy(snapshot, database, rows(2 * sum(counted.values())))
        await database.run(_HIGHER)
        await database.run(_RELEASED)


@contextmanager
def _opened(file: Path, *, read_only: bool = True) -> Iterator[sqlite3.Connection]:
    try:
        with closing(connect(file, read_only=read_only)) as connection:
            connection.row_factory = None
            yield connection
    except sqlite3.Error as error:
        raise translated(error) from None


def _tables(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        " AND name <> 'alembic_version' ORDER BY name"
    )
    return [str(row[0]) for row in rows.fetchall()]


def _count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT COUNT(*) FROM {_quoted(table)}").fetchone()[0])


def _batches(connection: sqlite3.Connection, table: str) -> Iterator[list[tuple[object, ...]]]:
    described = connection.execute(f"PRAGMA table_info({_quoted(table)})").fetchall()
    columns = ", ".join(_quoted(name) for name in sorted(str(column[1]) for column in described))
    cursor = connection.execute(f"SELECT {columns} FROM {_quoted(table)}")
    while batch := cursor.fetchmany(BATCH):
        yield batch


def _revision(connection: sqlite3.Connection) -> str | None:
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:  # there is no such table
        return None
    return None if row is None else str(row[0])


def _quoted(name: str) -> str:
    """Names come from a file that somebody may have tampered with."""
    return '"' + name.replace('"', '""') + '"'
