"""PostgreSQL: a pool of connections, one transaction for each job.

Writes run at READ COMMITTED with row locks where they matter; reads see one snapshot (REPEATABLE READ, read only). A job
that the database ends for a deadlock or a serialization failure runs again, a few times. Everything has a deadline, so
that a lost connection or a stuck lock is an error and not a silence.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import asyncpg

from server.domain.ports import (
    DatabaseError,
    DatabaseUnavailable,
    NotUnique,
    ReferenceMissing,
    Row,
    Transaction,
)

T = TypeVar("T")

SCHEMES = ("postgresql://", "postgres://")
CONNECTIONS = 10
_TRIES = 5
_CONNECT_SECONDS = 10
_CLOSE_SECONDS = 30
_COMMAND_SECONDS = 30
_SETTINGS = {
    "application_name": "hushpost",
    "statement_timeout": "25000",
    "lock_timeout": "10000",
    "idle_in_transaction_session_timeout": "30000",
}
_RUN_AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.InternalClientError,  # what the driver says of a connection that was ended between two statements
)
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
_EXPECTED_TYPE = re.compile(r"\(expected [^()]*\)")


class _RunAgain(Exception):
    pass


class PostgresTransaction:
    def __init__(self, connection: Any) -> None:  # asyncpg's pool hands out proxies that have no public type
        self._connection = connection
        self._fault: Exception | None = None

    async def all(self, sql: str, *args: object) -> Sequence[Row]:
        return cast("Sequence[Row]", await self._call(self._connection.fetch, sql, *args))

    async def one(self, sql: str, *args: object) -> Row | None:
        return cast("Row | None", await self._call(self._connection.fetchrow, sql, *args))

    async def run(self, sql: str, *args: object) -> int:
        status = await self._call(
            self._connection.execute, sql, *args
        )  # "INSERT 0 1", "UPDATE 3", "CREATE TABLE"
        count = status.rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0

    async def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        if rows:
            await self._call(self._connection.executemany, sql, rows)

    def check(self) -> None:
        """Refuse to commit after a failed statement: PostgreSQL would roll back and call it a commit."""
        if self._fault is not None:
            raise self._fault

    async def _call(self, call: Callable[..., Awaitable[Any]], *args: object) -> Any:
        self.check()
        try:
            return await call(*args)
        except _FAULTS as error:
            self._fault = translated(error)
        raise self._fault


def translated(error: Exception) -> Exception:
    """Return the error that both engines raise, without PostgreSQL's DETAIL, which quotes values."""
    if isinstance(error, _RUN_AGAIN):
        return _RunAgain()
    if isinstance(error, asyncpg.UniqueViolationError):
        return NotUnique(str(error.constraint_name))
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return ReferenceMissing(f"a row that this one refers to is not there ({error.constraint_name})")
    if isinstance(error, _AWAY):
        return DatabaseUnavailable(f"PostgreSQL: {type(error).__name__}")
    if isinstance(error, asyncpg.PostgresError):
        return DatabaseError(f"PostgreSQL: {getattr(error, 'message', None) or type(error).__name__}")
    expected = _EXPECTED_TYPE.search(str(error))  # asyncpg's own errors quote the argument
    return DatabaseError(
        f"PostgreSQL: {type(error).__name__} {expected.group() if expected else ''}".rstrip()
    )


class PostgresDatabase:
    exclusive = False

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._closed = False

    async def write(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        for attempt in range(_TRIES):
            try:
                async with self._transaction() as transaction:
                    value = await job(transaction)
                    transaction.check()
            except _RunAgain:
                await asyncio.sleep(0.01 * 2**attempt)
            else:
                return value
        raise DatabaseUnavailable("PostgreSQL: too many writers at the same rows")

    async def read(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        try:
            async with self._transaction(isolation="repeatable_read", readonly=True) as transaction:
                return await job(transaction)
        except _RunAgain:
            raise DatabaseUnavailable("PostgreSQL: the snapshot was lost") from None

    async def close(self) -> None:
        self._closed = True
        try:
            await asyncio.wait_for(self._pool.close(), _CLOSE_SECONDS)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def _transaction(self, **options: Any) -> AsyncIterator[PostgresTransaction]:
        if self._closed:
            raise DatabaseUnavailable("the database is closed")
        try:
            async with (
                self._pool.acquire(timeout=_CONNECT_SECONDS) as connection,
                connection.transaction(**options),
            ):
                yield PostgresTransaction(connection)
        except asyncpg.InterfaceError:
            raise DatabaseUnavailable("PostgreSQL: the connection is closed") from None
        except _FAULTS as error:
            # from BEGIN, COMMIT or the pool: what a statement raises is translated already
            raise translated(error) from None


async def open_postgres(url: str) -> PostgresDatabase:
    """Connect; the user, password, TLS and so on are part of the URL (`?sslmode=verify-full`)."""
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=CONNECTIONS,
            timeout=_CONNECT_SECONDS,
            command_timeout=_COMMAND_SECONDS,
            server_settings=_SETTINGS,
        )
    except _FAULTS as error:
        raise DatabaseUnavailable(f"PostgreSQL cannot be reached: {type(error).__name__}") from None
    return PostgresDatabase(pool)
