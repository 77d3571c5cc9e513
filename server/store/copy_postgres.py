"""A PostgreSQL database to copy from or to: cursors and COPY on one connection, without the server's deadlines."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from server.domain.ports import DatabaseError, DatabaseUnavailable
from server.store.copy_ends import BATCH, Batches
from server.store.postgres import translated
from server.store.schema import metadata

_CONNECT_SECONDS = 10
_APPLICATION = "hushpost copy"
_SETTINGS = {
    "application_name": _APPLICATION,
    "statement_timeout": "0",  # a table may take minutes
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "10000",
}
_SERVERS = (  # all connections of Hushpost's have its name, those of a copy or backup this one
    "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()"
    f" AND application_name LIKE 'hushpost%' AND application_name <> '{_APPLICATION}'"
)
_ALL = ", ".join(table.name for table in metadata.sorted_tables)
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class PostgresEnd:
    def __init__(self, connection: Any) -> None:  # the driver has no types
        self._connection = connection

    async def revision(self) -> str | None:
        found = await self._connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
        if not found:
            return None
        value = await self._connection.fetchval("SELECT version_num FROM alembic_version")
        return None if value is None else str(value)

    async def count(self, table: str) -> int:
        return int(await self._connection.fetchval(f"SELECT COUNT(*) FROM {table}"))

    async def batches(self, table: str, columns: Sequence[str]) -> Batches:
        cursor = await self._connection.cursor(f"SELECT {', '.join(columns)} FROM {table}")
        while records := await cursor.fetch(BATCH):
            yield [tuple(record) for record in records]

    async def write(self, table: str, columns: Sequence[str], batches: Batches) -> None:
        async def records() -> AsyncIterator[tuple[object, ...]]:
            async for batch in batches:
                for row in batch:
                    yield row

        try:
            await self._connection.copy_records_to_table(table, records=records(), columns=columns)
        except _FAULTS as error:
            raise DatabaseError(f"{table}: {translated(error)}") from None
        except (TypeError, ValueError, OverflowError) as error:  # SQLite takes any value in any column
            raise DatabaseError(
                f"{table}: a value is of another type than its column ({type(error).__name__})"
            ) from None

    async def run(self, sql: str) -> None:
        await self._connection.execute(sql)

    async def holds(self, table: str, condition: str) -> bool:
        return bool(
            await self._connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {condition})")
        )

    async def finish(self) -> None:
        await self._connection.execute("ANALYZE")  # so that the first queries are planned for what is there


@asynccontextmanager
async def postgres_source(url: str, *, unused: bool) -> AsyncIterator[PostgresEnd]:
    """Open one snapshot. `unused`: no server may be connected, and nobody can write until the end."""
    async with _connected(url) as connection:
        if unused:
            await _refuse_servers(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=not unused):
            end = PostgresEnd(connection)
            if unused:  # before the first query, which is what takes the snapshot
                await _lock(connection, "SHARE")
            yield end


@asynccontextmanager
async def postgres_target(url: str) -> AsyncIterator[PostgresEnd]:
    """Open a database that has its tables, to which nobody else can write; committed at the end, or left as it was."""
    async with _connected(url) as connection, connection.transaction():
        await _refuse_servers(connection)
        await _lock(connection, "SHARE ROW EXCLUSIVE")
        yield PostgresEnd(connection)


async def _refuse_servers(connection: Any) -> None:
    if await connection.fetchval(_SERVERS):
        raise DatabaseUnavailable(
            "the database is in use by a server; stop every server and worker, then run this again"
        )


async def _lock(connection: Any, mode: str) -> None:
    try:
        await connection.execute(f"LOCK TABLE {_ALL} IN {mode} MODE")
    except asyncpg.LockNotAvailableError:
        raise DatabaseUnavailable(
            "somebody is writing to the database; stop every server and worker, then run this again"
        ) from None
    except asyncpg.UndefinedTableError:
        raise DatabaseError("the database has not all tables; run: hushpost db migrate") from None


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Any]:
    try:
        connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS, server_settings=_SETTINGS)
    except _FAULTS as error:
        raise DatabaseUnavailable(f"PostgreSQL cannot be reached: {type(error).__name__}") from None
    try:
        yield connection
    except _FAULTS as error:
        raise translated(error) from None
    finally:
        await connection.close()
