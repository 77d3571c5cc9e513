"""SQLite: one writer that commits for many at once, and a few readers with a snapshot each.

One thread owns the writing connection. It takes all the jobs that wait, runs them inside one BEGIN IMMEDIATE … COMMIT,
and answers all of them after that commit: durability (`synchronous=FULL`) costs one fsync for the group. A job that
raises is rolled back alone: most of those have written nothing yet, and where one has, the group is rolled back and the
others of it run again, each under a savepoint. (A savepoint for each job from the start would cost a tenth of its work.) When
the commit itself fails (the disk is full), none of the group was written and each of its jobs is told so; the next
group starts afresh.

A job is a coroutine that the thread drives itself. It never waits for anything, because the transaction's methods do
their work at once; one that suspends would wait for another thread while it holds the file, and is refused.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from server.domain.ports import DatabaseError, DatabaseUnavailable, Transaction
from server.store.sqlite_file import SqliteFile
from server.store.sqlite_transaction import SqliteTransaction, drive, translated

T = TypeVar("T")

GROUP_JOBS = 512
GROUP_SECONDS = 0.05  # a group stops growing here, so that the first of it does not wait for the last
READERS = 3
_STATEMENTS = 512
_CREDENTIALS = ("users", "sessions", "access_tokens")
_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA cache_size = -16384",  # KiB
    "PRAGMA temp_store = MEMORY",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA wal_autocheckpoint = 4000",  # pages: what many commits wrote is copied to the file once
    "PRAGMA secure_delete = FAST",  # what was retracted is overwritten where that costs no extra writing
)


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[Transaction], Awaitable[Any]]
    answer: asyncio.Future[Any]
    value: Any = field(default=None, repr=False)
    error: BaseException | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        try:
            self.value = drive(self.work, SqliteTransaction(connection))
        except BaseException as error:  # noqa: BLE001 - whoever awaits the job is told, whatever it was
            self.error = error

    def resolve(self) -> None:
        if self.answer.done():  # its caller went away
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self.value)


class _Thread(ABC):
    """A thread with a connection of its own that takes jobs from a queue until it gets None."""

    def __init__(
        self,
        name: str,
        connection: sqlite3.Connection,
        jobs: queue.SimpleQueue[_Job | None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._connection = connection
        self._jobs = jobs
        self._loop = loop
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._answer(self._take(job))

    @abstractmethod
    def _take(self, first: _Job) -> list[_Job]:
        """Run a job, and others that wait if need be; return those to answer."""

    def _answer(self, jobs: list[_Job]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is waiting any more
            self._loop.call_soon_threadsafe(_resolve, jobs)


class _Reader(_Thread):
    def _take(self, first: _Job) -> list[_Job]:
        try:
            self._connection.execute("BEGIN")
            first.run(self._connection)
        except sqlite3.Error as error:
            first.error = translated(error)
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")
        return [first]


class _Writer(_Thread):
    """`credentials_version` is as `server.domain.ports.Database` has it."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        jobs: queue.SimpleQueue[_Job | None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.credentials_version = 0
        self._credentials_changed = False
        self._watch(connection)
        super().__init__("sqlite-writer", connection, jobs, loop)

    def _watch(self, connection: sqlite3.Connection) -> None:
        """Let SQLite itself say when credentials change, whatever statement or cascade does it."""

        def note() -> None:
            self._credentials_changed = True

        connection.create_function("credentials_changed", 0, note)
        for table, change in product(_CREDENTIALS, ("UPDATE", "DELETE")):
            connection.execute(
                f"CREATE TEMP TRIGGER {change}_{table} AFTER {change} ON main.{table}"
                " BEGIN SELECT credentials_changed(); END"
            )

    def _take(self, first: _Job) -> list[_Job]:
        group: list[_Job] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._fill(group, first)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if not group:  # another program holds the file: nobody waits for it twice as long
                group = [first, *iter(self._next, None)]
            self._abandon(group, translated(error))
        if self._credentials_changed:
            self._credentials_changed = False
            self.credentials_version += 1
        return group

    def _fill(self, group: list[_Job], first: _Job) -> None:
        end = time.monotonic() + GROUP_SECONDS
        alone = False
        job: _Job | None = first
        while job is not None:
            group.append(job)
            if alone:
                self._run_alone(job)
            elif not self._run_with_others(job):
                alone = True
                self._run_again(group)
            if len(group) == GROUP_JOBS or time.monotonic() > end:
                return
            job = self._next()

    def _next(self) -> _Job | None:
        try:
            job = self._jobs.get_nowait()
        except queue.Empty:
            return None
        if job is None:
            self._jobs.put(None)  # the end: nothing is put after it, and the thread's own loop looks for it
        return job

    def _run_with_others(self, job: _Job) -> bool:
        """Say whether the group can go on: the job did its work, or failed before it wrote and left the transaction as it was."""
        if job.answer.cancelled():
            return True
        before = self._connection.total_changes
        job.run(self._connection)
        if job.error is None:
            return True
        return self._connection.in_transaction and self._connection.total_changes == before

    def _run_again(self, group: list[_Job]) -> None:
        # Where SQLite has rolled back everything by itself (full, I/O error) this raises, and the group fails.
        self._connection.execute("ROLLBACK")
        self._connection.execute("BEGIN IMMEDIATE")
        for job in group:
            if job.error is None:
                self._run_alone(job)

    def _run_alone(self, job: _Job) -> None:
        if job.answer.cancelled():
            return
        self._connection.execute("SAVEPOINT job")
        job.run(self._connection)
        if job.error is not None:
            self._connection.execute("ROLLBACK TO job")  # as above
        self._connection.execute("RELEASE job")

    def _abandon(self, group: list[_Job], cause: DatabaseError) -> None:
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")
        for job in group:
            job.error = job.error or DatabaseUnavailable(f"nothing was written: {cause}")


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        job.resolve()


class SqliteDatabase:
    exclusive = True

    def __init__(self, file: SqliteFile, loop: asyncio.AbstractEventLoop) -> None:
        self._file = file
        self._loop = loop
        self._closed = False
        self._writes: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # The writer's connection comes first: it makes the WAL, which the read-only connections need.
        self._writer = _Writer(connect(file.path), self._writes, loop)
        self._readers = [
            _Reader(f"sqlite-reader-{i}", connect(file.path, read_only=True), self._reads, loop)
            for i in range(READERS)
        ]

    @property
    def credentials_version(self) -> int:
        return self._writer.credentials_version

    async def write(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._ask(self._writes, job)

    async def read(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._ask(self._reads, job)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._writes.put(None)
        for _ in self._readers:
            self._reads.put(None)
        await asyncio.to_thread(self._join)

    async def _ask(
        self, jobs: queue.SimpleQueue[_Job | None], work: Callable[[Transaction], Awaitable[T]]
    ) -> T:
        if self._closed:
            raise DatabaseUnavailable("the database is closed")
        answer: asyncio.Future[T] = self._loop.create_future()
        jobs.put(_Job(work, answer))
        return await answer

    def _join(self) -> None:
        for reader in self._readers:
            reader.join()
        self._writer.join()
        self._file.release()


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a connection with the settings that every one of ours has, in autocommit: we write BEGIN ourselves."""
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,  # made here, used by its thread alone
        cached_statements=_STATEMENTS,
    )
    connection.row_factory = sqlite3.Row
    try:
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()  # not a database, or locked: nobody else would close it
        raise
    return connection
