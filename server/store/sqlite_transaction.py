"""One transaction on SQLite, whose methods do their work at once, and the driving of a job to its end without an event loop."""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

from server.domain.ports import (
    DatabaseError,
    DatabaseUnavailable,
    NotUnique,
    ReferenceMissing,
    Row,
    Transaction,
)
from server.store.dialect import for_sqlite

T = TypeVar("T")

_UNIQUE = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})


class SqliteTransaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._fault: DatabaseError | None = None

    async def all(self, sql: str, *args: object) -> Sequence[Row]:
        return self._execute(sql, args).fetchall()

    async def one(self, sql: str, *args: object) -> Row | None:
        cursor = self._execute(sql, args)
        row = cast("Row | None", cursor.fetchone())
        cursor.close()  # an unfinished statement would keep the savepoint from being released
        return row

    async def run(self, sql: str, *args: object) -> int:
        count = self._execute(sql, args).rowcount
        if count >= 0:
            return count
        if not sql.startswith("WITH"):
            return 0
        return int(
            self._connection.execute("SELECT changes()").fetchone()[0]
        )  # the driver does not count these

    async def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        if rows:
            self._call(self._connection.executemany, sql, rows)

    def check(self) -> None:
        """Refuse to keep a transaction of which a statement failed, as PostgreSQL does."""
        if self._fault is not None:
            raise self._fault

    def _execute(self, sql: str, args: Sequence[object]) -> sqlite3.Cursor:
        return self._call(self._connection.execute, sql, args)

    def _call(self, call: Callable[[str, Any], sqlite3.Cursor], sql: str, args: object) -> sqlite3.Cursor:
        self.check()
        try:
            return call(for_sqlite(sql), args)
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            self._fault = translated(error)
        raise self._fault


def translated(error: Exception) -> DatabaseError:
    """Return the error that both engines raise; SQLite's texts name tables and columns, not values."""
    code = getattr(error, "sqlite_errorcode", None)
    if code in _UNIQUE:
        return NotUnique(str(error).rpartition(": ")[2])
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return ReferenceMissing("a row that this one refers to is not there")
    if isinstance(error, sqlite3.OperationalError) and code not in (None, sqlite3.SQLITE_ERROR):
        return DatabaseUnavailable(f"SQLite: {error}")
    return DatabaseError(f"SQLite: {error}")


def drive(job: Callable[[Transaction], Awaitable[T]], transaction: SqliteTransaction) -> T:
    """Run a job to its end without an event loop."""
    steps = job(transaction).__await__()
    try:
        next(steps)
    except StopIteration as done:
        transaction.check()
        return cast("T", done.value)
    with suppress(RuntimeError):
        cast("Any", steps).close()
    raise DatabaseError("a job awaited something other than its transaction; do that before or after it")
