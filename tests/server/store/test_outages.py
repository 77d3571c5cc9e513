"""PostgreSQL that falls silent, restarts or is overrun: an error in time, nothing half, and then on by itself."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import pytest

from server.domain.ports import DatabaseUnavailable, Transaction
from server.store.postgres import PostgresDatabase, open_postgres
from tests.harness.wire import Wire, wired

PATIENCE = 0.5
CONNECTIONS = 2


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody with a connection of their own, and an empty table."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)")
    yield connection
    await connection.execute("DROP TABLE notes")
    await connection.close()


@pytest.fixture
async def wire_and_db(
    postgres_url: str,
    other: asyncpg.Connection,  # noqa: ARG001 - its table is there first and goes last
) -> AsyncIterator[tuple[Wire, PostgresDatabase]]:
    async with wired(postgres_url) as (wire, url):
        db = await open_postgres(url, connections=CONNECTIONS, patience=PATIENCE)
        yield wire, db
        wire.release()
        await db.close()


async def look(tx: Transaction) -> int:
    row = await tx.one("SELECT 1 AS one")
    return int(row["one"]) if row else 0


async def note(tx: Transaction, number: int) -> None:
    await tx.run("INSERT INTO notes VALUES ($1)", number)


async def test_a_silent_database_is_unavailable_in_time_and_used_again_when_it_speaks(
    wire_and_db: tuple[Wire, PostgresDatabase],
) -> None:
    wire, db = wire_and_db
    loop = asyncio.get_running_loop()
    wire.hold()
    began = loop.time()
    jobs = [db.write(look) for _ in range(5)] + [db.read(look) for _ in range(5)]
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {DatabaseUnavailable}
    assert loop.time() - began < 4 * PATIENCE
    wire.release()
    assert await asyncio.gather(*(db.read(look) for _ in range(10))) == [1] * 10


async def test_a_commit_that_is_not_answered_is_unavailable_whatever_became_of_it(
    wire_and_db: tuple[Wire, PostgresDatabase], other: asyncpg.Connection
) -> None:
    wire, db = wire_and_db

    async def job(tx: Transaction) -> None:
        await note(tx, 1)
        wire.hold_answers()

    with pytest.raises(DatabaseUnavailable):
        await db.write(job)
    assert await other.fetchval("SELECT COUNT(*) FROM notes") == 1  # kept all the same
    wire.release()
    assert await db.read(look) == 1


async def test_a_commit_that_never_arrived_leaves_nothing(
    wire_and_db: tuple[Wire, PostgresDatabase], other: asyncpg.Connection
) -> None:
    wire, db = wire_and_db

    async def job(tx: Transaction) -> None:
        await note(tx, 1)
        wire.hold()

    with pytest.raises(DatabaseUnavailable):
        await db.write(job)
    wire.cut()
    wire.release()
    await db.write(lambda tx: note(tx, 1))  # the lock on that row went with the connection
    assert await other.fetchval("SELECT COUNT(*) FROM notes") == 1


async def test_who_gives_up_waiting_leaves_the_others_their_connections(
    wire_and_db: tuple[Wire, PostgresDatabase],
) -> None:
    wire, db = wire_and_db
    wire.hold()
    jobs = [asyncio.create_task(db.write(look)) for _ in range(3 * CONNECTIONS)]
    await asyncio.sleep(0)  # they are waiting for an answer, or for a connection
    for job in jobs:
        job.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*jobs, return_exceptions=True)
    )
    wire.release()
    assert await asyncio.gather(*(db.write(look) for _ in range(3 * CONNECTIONS))) == [1] * 3 * CONNECTIONS


async def test_ending_all_its_connections_costs_the_jobs_under_way_and_no_later_one(
    wire_and_db: tuple[Wire, PostgresDatabase], other: asyncpg.Connection
) -> None:
    _wire, db = wire_and_db
    for _ in range(5):
        await asyncio.gather(*(db.read(look) for _ in range(CONNECTIONS)))
        assert await other.fetchval(
            "SELECT COUNT(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
            " WHERE application_name = 'hushpost' AND datname = current_database()"
        )
        ends = await asyncio.gather(*(db.write(look) for _ in range(5)), return_exceptions=True)
        assert {type(end) for end in ends} <= {int, DatabaseUnavailable}
        assert await asyncio.gather(*(db.write(look) for _ in range(5))) == [1] * 5


async def test_there_are_never_more_connections_than_set(
    wire_and_db: tuple[Wire, PostgresDatabase],
) -> None:
    _wire, db = wire_and_db

    async def backend(tx: Transaction) -> int:
        row = await tx.one("SELECT pg_backend_pid() AS pid")
        return int(row["pid"]) if row else 0

    pids = await asyncio.gather(*(db.write(backend) for _ in range(20)))
    assert len(set(pids)) <= CONNECTIONS


async def test_closing_lets_those_end_who_wait_and_refuses_later_ones(
    wire_and_db: tuple[Wire, PostgresDatabase], other: asyncpg.Connection
) -> None:
    _wire, db = wire_and_db
    jobs = [asyncio.create_task(db.write(partial(note, number=n))) for n in range(5 * CONNECTIONS)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(db.close())
    await asyncio.gather(*jobs)
    await closing
    assert await other.fetchval("SELECT COUNT(*) FROM notes") == 5 * CONNECTIONS
    with pytest.raises(DatabaseUnavailable, match="closed"):
        await db.write(look)


async def test_closing_does_not_wait_for_a_silent_database_for_ever(
    wire_and_db: tuple[Wire, PostgresDatabase],
) -> None:
    wire, db = wire_and_db
    wire.hold()
    jobs = [asyncio.create_task(db.write(look)) for _ in range(5)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await db.close()
    ends = await asyncio.gather(*jobs, return_exceptions=True)
    assert {type(end) for end in ends} == {DatabaseUnavailable}


async def test_what_a_commit_refuses_says_so(
    wire_and_db: tuple[Wire, PostgresDatabase],
) -> None:
    """A constraint that is looked at only then is no outage."""
    _wire, db = wire_and_db

    async def job(tx: Transaction) -> None:
        await note(tx, 1)
        await note(tx, 1)

    with pytest.raises(Exception, match="notes_pkey") as raised:
        await db.write(job)
    assert not isinstance(raised.value, DatabaseUnavailable)
    await db.write(lambda tx: note(tx, 1))
