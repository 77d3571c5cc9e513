"""What only the SQLite engine does: group commit, its file, and its one process."""

import asyncio
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.domain.ports import DatabaseError, DatabaseUnavailable, Transaction
from server.store.database import open_database
from server.store.dialect import for_sqlite
from server.store.migrations import migrate
from server.store.sqlite import SqliteDatabase
from server.store.sqlite_file import SqliteFile

Job = Callable[[Transaction], Awaitable[None]]

_WRITER = """
import asyncio, sys
from server.store.database import open_database

async def client(database, k):
    n = 0
    while True:
        name = f"{k}-{n}"
        await database.write(lambda tx: tx.run(
            "INSERT INTO tenants (id, name, created_at) VALUES ($1, $1, 1)", name))
        print(name, flush=True)
        n += 1

async def main():
    database = await open_database(sys.argv[1])
    await asyncio.gather(*(client(database, k) for k in range(8)))

asyncio.run(main())
"""


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[SqliteDatabase]:
    opened = await open_database(sqlite_url)
    assert isinstance(opened, SqliteDatabase)
    yield opened
    await opened.close()


async def names(tx: Transaction) -> list[str]:
    return [row["name"] for row in await tx.all("SELECT name FROM tenants ORDER BY name")]


def adding(name: str) -> Job:
    async def job(tx: Transaction) -> None:
        await tx.run("INSERT INTO tenants (id, name, created_at) VALUES ($1, $1, 1)", name)

    return job


def failing(name: str) -> Job:
    async def job(tx: Transaction) -> None:
        await adding(name)(tx)
        raise ValueError(name)

    return job


def test_parameters_and_row_locks_are_translated() -> None:
    assert for_sqlite("SELECT $1, $12 FROM t ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED") == (
        "SELECT ?1, ?12 FROM t ORDER BY id LIMIT ?2"
    )
    assert for_sqlite("WITH a AS (SELECT 1 FOR NO KEY UPDATE) SELECT 2") == "WITH a AS (SELECT 1) SELECT 2"


async def test_a_job_that_waits_for_something_else_is_refused(database: SqliteDatabase) -> None:
    never = asyncio.get_running_loop().create_future()

    async def job(tx: Transaction) -> None:
        await adding("lost")(tx)
        await never

    with pytest.raises(DatabaseError, match="awaited something other than its transaction"):
        await database.write(job)
    assert await database.read(names) == []


async def test_jobs_that_wait_share_one_commit_and_fail_alone(database: SqliteDatabase) -> None:
    statements: list[str] = []
    database._writer._connection.set_trace_callback(statements.append)
    running, go_on = threading.Event(), threading.Event()

    async def hold(tx: Transaction) -> None:
        await adding("first")(tx)
        running.set()
        go_on.wait(10)

    first = asyncio.ensure_future(database.write(hold))
    await asyncio.to_thread(running.wait, 10)
    jobs = [failing(f"{i:03}") if i % 2 else adding(f"{i:03}") for i in range(100)]
    others = [asyncio.ensure_future(database.write(job)) for job in jobs]
    await asyncio.wait(others, timeout=0)
    go_on.set()
    await asyncio.wait([first, *others])
    assert [type(task.exception()) for task in others] == [type(None), ValueError] * 50
    assert await database.read(names) == [f"{i:03}" for i in range(0, 100, 2)] + ["first"]
    assert statements.count("COMMIT") <= 2  # the group's time may have run out while it was held


async def test_a_job_that_fails_after_it_wrote_has_the_others_run_again(database: SqliteDatabase) -> None:
    """Each of them once as far as anybody can see; later jobs of the group are not run twice."""
    runs: list[str] = []

    def counted(name: str, job: Job) -> Job:
        async def run(tx: Transaction) -> None:
            runs.append(name)
            await job(tx)

        return run

    async def refused(tx: Transaction) -> None:
        await names(tx)
        raise LookupError

    held = threading.Event()
    first = asyncio.ensure_future(database.write(waiting_for(held)))
    jobs = {"a": adding("a"), "refused": refused, "b": adding("b"), "failing": failing("c"), "d": adding("d")}
    tasks = [asyncio.ensure_future(database.write(counted(name, job))) for name, job in jobs.items()]
    await asyncio.wait(tasks, timeout=0)
    held.set()
    await asyncio.wait([first, *tasks])
    assert [type(task.exception()) for task in tasks] == [
        type(None),
        LookupError,
        type(None),
        ValueError,
        type(None),
    ]
    assert await database.read(names) == ["a", "b", "d"]
    assert runs == ["a", "refused", "b", "failing", "a", "b", "d"]


def waiting_for(event: threading.Event) -> Job:
    async def job(_tx: Transaction) -> None:
        event.wait(10)

    return job


async def test_a_full_disk_fails_what_was_asked_and_nothing_later(database: SqliteDatabase) -> None:
    await database.write(adding("before"))
    with small_files(sqlite_files(database)):
        results = await asyncio.gather(
            *(database.write(adding(f"full-{i}" + "x" * 100_000)) for i in range(5)), return_exceptions=True
        )
    assert all(isinstance(result, DatabaseUnavailable) for result in results), results
    assert await database.read(names) == ["before"]
    await database.write(adding("after"))
    assert await database.read(names) == ["after", "before"]


async def test_what_shares_a_commit_with_a_full_disk_fails_as_a_whole(database: SqliteDatabase) -> None:
    """SQLite ends the transaction by itself then: what came after would be stored statement by statement."""

    async def fill(tx: Transaction) -> None:
        pages = await tx.one("PRAGMA page_count")
        assert pages is not None
        await tx.all(f"PRAGMA max_page_count = {pages['page_count'] + 5}")
        await adding("full" + "x" * 500_000)(tx)

    held = threading.Event()
    first = asyncio.ensure_future(database.write(waiting_for(held)))
    jobs = (adding("a"), fill, adding("b"), failing("c"))
    tasks = [asyncio.ensure_future(database.write(job)) for job in jobs]
    await asyncio.wait(tasks, timeout=0)
    held.set()
    results = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert any(isinstance(result, DatabaseUnavailable) for result in results), results
    kept = {name for name, result in zip("abc", (results[1], *results[3:]), strict=True) if result is None}
    assert set(await database.read(names)) == kept
    await database.write(adding("after"))


def sqlite_files(database: SqliteDatabase) -> int:
    path = database._file.path
    return max(path.stat().st_size, path.with_name(path.name + "-wal").stat().st_size)


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: to SQLite, a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_killed_writer_loses_nothing_that_was_answered(sqlite_url: str) -> None:
    answered = set()
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, sqlite_url], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            answered.add(line.strip())
            if len(answered) == 300:
                writer.kill()

    async def present() -> set[str]:
        database = await open_database(sqlite_url)
        try:
            return set(await database.read(names))
        finally:
            await database.close()

    assert len(answered) >= 300
    assert {name for name in answered if "-" in name} - asyncio.run(present()) == set()


async def test_a_second_opener_is_told_that_the_file_is_taken(
    database: SqliteDatabase, sqlite_url: str
) -> None:
    with pytest.raises(DatabaseUnavailable, match="in use by another process"):
        await open_database(sqlite_url)
    await database.close()
    again = await open_database(sqlite_url)
    await again.close()


def test_a_file_that_another_process_holds_is_not_migrated(tmp_path: Path) -> None:
    with (
        SqliteFile(tmp_path / "new.db"),
        pytest.raises(DatabaseUnavailable, match="in use by another process"),
    ):
        migrate(f"sqlite:///{tmp_path}/new.db")


async def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/hushpost.db"
    await asyncio.to_thread(migrate, url)
    database = await open_database(url)
    await database.write(adding("a"))
    folder = tmp_path / "new"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert set(files) == {"hushpost.db", "hushpost.db-wal", "hushpost.db-shm", "hushpost.db.lock"}
    assert set(files.values()) == {0o600}
    await database.close()


async def test_a_file_that_is_no_database_is_an_error_and_stays_free(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database, " * 1000)
    for _ in range(2):
        with pytest.raises(DatabaseError, match="cannot be opened"):
            await open_database(f"sqlite:///{tmp_path}/x.db")


async def test_an_unknown_url_is_refused_without_showing_it() -> None:
    with pytest.raises(DatabaseError, match=r"begins with sqlite:/// or postgresql://") as refused:
        await open_database("mysql://user:canary@host/db")
    assert "canary" not in str(refused.value)


async def test_durability_is_what_it_says(database: SqliteDatabase) -> None:
    async def pragmas(tx: Transaction) -> list[object]:
        rows = [await tx.one(f"PRAGMA {name}") for name in ("synchronous", "foreign_keys", "journal_mode")]
        return [next(iter(dict(row).values())) for row in rows if row is not None]

    assert await database.write(pragmas) == [2, 1, "wal"]


async def test_a_read_sees_one_snapshot_while_others_write(database: SqliteDatabase) -> None:
    seen, go_on = threading.Event(), threading.Event()

    async def twice(tx: Transaction) -> tuple[list[str], list[str]]:
        first = await names(tx)
        seen.set()
        go_on.wait(10)
        return first, await names(tx)

    reading = asyncio.ensure_future(database.read(twice))
    await asyncio.to_thread(seen.wait, 10)
    await database.write(adding("meanwhile"))
    go_on.set()
    assert await reading == ([], [])
    assert await database.read(names) == ["meanwhile"]
