"""A SQLite file to copy from or to. Nothing else runs in the process that copies, so each call may block."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, nullcontext
from pathlib import Path

from server.domain.ports import DatabaseError
from server.store.copy_ends import BATCH, Batches
from server.store.sqlite import connect
from server.store.sqlite_file import SqliteFile
from server.store.sqlite_transaction import translated


class SqliteEnd:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def revision(self) -> str | None:
        try:
            row = self._connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:  # there is no such table
            return None
        return None if row is None else str(row[0])

    async def count(self, table: str) -> int:
        return int(self._connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])

    async def batches(self, table: str, columns: Sequence[str]) -> Batches:
        cursor = self._connection.execute(f"SELECT {', '.join(columns)} FROM {table}")
        while batch := cursor.fetchmany(BATCH):
            yield batch

    async def write(self, table: str, columns: Sequence[str], batches: Batches) -> None:
        holes = ", ".join("?" * len(columns))
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({holes})"
        try:
            async for batch in batches:
                self._connection.executemany(insert, batch)
        except (sqlite3.Error, OverflowError) as error:
            raise DatabaseError(f"{table}: {translated(error)}") from None

    async def run(self, sql: str) -> None:
        self._connection.execute(sql)

    async def holds(self, table: str, condition: str) -> bool:
        found = self._connection.execute(f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1")
        return found.fetchone() is not None

    async def finish(self) -> None:
        pass


@asynccontextmanager
async def sqlite_source(path: Path, *, unused: bool) -> AsyncIterator[SqliteEnd]:
    """Open a file that is there. `unused`: no other process may be using it, until the end."""
    if not path.is_file():  # noqa: ASYNC240 - as everything here
        raise DatabaseError(f"{path}: there is no such database")
    with SqliteFile(path) if unused else nullcontext():
        try:
            with closing(connect(path, read_only=True)) as connection:
                connection.row_factory = None
                connection.execute("BEGIN")
                yield SqliteEnd(connection)
        except sqlite3.Error as error:
            raise translated(error) from None


@asynccontextmanager
async def sqlite_target(path: Path) -> AsyncIterator[SqliteEnd]:
    """Open a file that has its tables, for this process alone; committed at the end, or left as it was."""
    with SqliteFile(path):
        try:
            with closing(connect(path)) as connection:  # closing it without COMMIT rolls back
                connection.row_factory = None
                connection.execute("BEGIN IMMEDIATE")
                yield SqliteEnd(connection)
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise translated(error) from None
