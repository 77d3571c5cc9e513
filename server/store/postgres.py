"""PostgreSQL: a pool of connections, one transaction for each job.

Writes run at READ COMMITTED with row locks where they matter; reads see one snapshot (REPEATABLE READ, read only). A job
that the database ends for a deadlock or a serialization failure runs again, a few times. A job has one deadline, from the
wait for a connection to the answer to its COMMIT, so that a lost connection or a stuck lock is an error and not a silence. A
connection of which anything is in doubt is thrown away at once, without a word to the other end: it may not be listening.

What becomes of a job whose COMMIT is not answered, nobody knows: that is `DatabaseUnavailable` too, and who tries
again must be able to.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
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
PATIENCE = 12.0  # seconds that a job may take
_TRIES = 5
_CONNECT_SECONDS = 10
_CLOSE_SECONDS = 5
_SETTINGS = {  # the times: what the database does by itself to a job that was given up, in milliseconds: its locks go with it
    "application_name": "hushpost",
    "statement_timeout": "11000",
    "lock_timeout": "8000",
    "idle_in_transaction_session_timeout": "15000",
    "jit": "off",  # compiling a page's statement takes ten times as long as running it
}
_BEGIN_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED"
_BEGIN_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
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
            self._fault = _cut() if _is_closed(self._connection) else translated(error)
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


def _cut() -> DatabaseUnavailable:
    return DatabaseUnavailable("PostgreSQL: the connection is closed")


class PostgresDatabase:
    exclusive = False
    credentials_version = None

    def __init__(self, pool: Any, *, patience: float) -> None:
        self._pool = pool
        self._patience = patience
        self._jobs = 0
        self._closed = False
        self._drained = asyncio.Event()

    async def write(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self._in_time():
            for attempt in range(_TRIES):
                try:
                    return await self._run(job, _BEGIN_WRITE)
                except _RunAgain:
                    await asyncio.sleep(0.01 * 2**attempt)
        raise DatabaseUnavailable("PostgreSQL: too many writers at the same rows")

    async def read(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self._in_time():
            try:
                return await self._run(job, _BEGIN_READ)
            except _RunAgain:
                raise DatabaseUnavailable("PostgreSQL: the snapshot was lost") from None

    async def close(self) -> None:
        """Refuse new jobs, let those end that were asked for (each has its deadline), then let go."""
        self._closed = True
        if self._jobs:
            await self._drained.wait()
        with suppress(*_FAULTS):
            await asyncio.wait_for(
                self._pool.close(), _CLOSE_SECONDS
            )  # ends them by force where that takes longer

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        if self._closed:
            raise DatabaseUnavailable("the database is closed")
        self._jobs += 1
        deadline = asyncio.timeout(self._patience)
        try:
            async with deadline:
                yield
        except TimeoutError:
            if not deadline.expired():
                raise
            raise DatabaseUnavailable("PostgreSQL: no answer in time") from None
        finally:
            self._jobs -= 1
            if self._closed and not self._jobs:
                self._drained.set()

    async def _run(self, job: Callable[[Transaction], Awaitable[T]], begin: str) -> T:
        connection = await self._acquire()
        ended = False  # in a way that leaves nothing in doubt
        # A driver that is told to stop in the middle of many rows waits for an answer to what it has not sent.
        late = asyncio.get_running_loop().call_later(self._patience, connection.terminate)
        try:
            await _say(connection, begin)
            transaction = PostgresTransaction(connection)
            try:
                value = await job(transaction)
                transaction.check()
            except Exception:
                with suppress(DatabaseError):  # what the job failed with matters more
                    await _say(connection, "ROLLBACK")
                    ended = True
                raise
            await _say(connection, "COMMIT")
            ended = True
            return value
        finally:
            late.cancel()
            if not ended and not _is_closed(connection):
                connection.terminate()
            await self._pool.release(connection)

    async def _acquire(self) -> Any:
        try:
            return await self._pool.acquire()
        except asyncpg.InterfaceError:
            raise _cut() from None
        except _FAULTS as error:
            raise translated(error) from None


def _is_closed(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True  # its end was noticed, and the pool has taken it back already


async def _say(connection: Any, sql: str) -> None:
    try:
        await connection.execute(sql)
    except asyncpg.InterfaceError:
        raise _cut() from None
    except _FAULTS as error:
        raise translated(error) from None


async def _as_it_is(_connection: Any) -> None:
    """Leave a connection as the job before left it: no job changes anything about a session."""


async def open_postgres(
    url: str, *, connections: int = CONNECTIONS, patience: float = PATIENCE
) -> PostgresDatabase:
    """Connect; the user, password, TLS and so on are part of the URL (`?sslmode=verify-full`)."""
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=connections,
            timeout=_CONNECT_SECONDS,
            reset=_as_it_is,  # by default each release costs a round trip
            server_settings=_SETTINGS,
        )
    except _FAULTS as error:
        raise DatabaseUnavailable(f"PostgreSQL cannot be reached: {type(error).__name__}") from None
    return PostgresDatabase(pool, patience=patience)
