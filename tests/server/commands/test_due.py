"""What is due: each task once, whoever runs it; one that fails is in nobody's way and is not dropped."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import structlog
from structlog.testing import LogCapture

from server.commands.due import next_due, prepare_tasks, put_back, run_due
from server.domain.ids import new_id
from server.domain.ports import Database, Random, Transaction
from server.domain.tally import Tally
from server.domain.task import COMPACT_EVERY, PRUNE_EVERY, RETAIN_EVERY, Kind, Task
from server.store import tallies, tasks
from server.store.database import open_database
from tests.harness.clock import SettableClock
from tests.harness.rows import Seeded

T = TypeVar("T")

BROKEN: dict[str, object] = {"only": None}  # a payload that lacks what the task needs


class Between:
    """A database that lets somebody else in before the second write."""

    exclusive = False
    credentials_version = None

    def __init__(self, behind: Database, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._behind = behind
        self._meanwhile = meanwhile
        self._writes = 0
        self.read = behind.read
        self.close = behind.close

    async def write(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        self._writes += 1
        if self._writes == 2:
            await self._meanwhile()
        return await self._behind.write(job)


@pytest.fixture
async def seeded(database: Database, clock: SettableClock, random: Random) -> Seeded:
    return await Seeded.make(database, clock, random)


@pytest.fixture
def log() -> LogCapture:
    return LogCapture()


async def run(seeded: Seeded, log: LogCapture, db: Database | None = None) -> Task | None:
    logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[log])
    return await run_due(db or seeded.db, now=seeded.clock(), random=seeded.random, log=logger)


async def plan(seeded: Seeded, due_at: int, payload: dict[str, object] | None = None) -> str:
    """Write a message that is to be sent at a time, to a bucket without members, and return its id."""
    now, random = seeded.clock(), seeded.random
    [delivery] = await seeded.message([await seeded.device()], title="x")
    message = delivery.message_id or ""
    task = Task(new_id(now, random), Kind.SEND, message, payload or {"only": None, "page": 5}, due_at, 0, now)
    await seeded.db.write(lambda tx: tasks.add_task(tx, task))
    return message


async def stored(db: Database) -> dict[str, tuple[int, int]]:
    """Return when each task is due, and how often it failed, by its message or kind."""
    rows = await db.read(lambda tx: tx.all("SELECT * FROM tasks"))
    return {row["message_id"] or row["kind"]: (row["due_at"], row["attempts"]) for row in rows}


async def test_tasks_run_in_the_order_of_their_times_and_not_before(
    seeded: Seeded, clock: SettableClock, log: LogCapture
) -> None:
    now = clock()
    late, early, future = [await plan(seeded, now + offset) for offset in (-1, -5, 1)]
    done = [await run(seeded, log) for _ in range(3)]
    assert [task and task.message_id for task in done] == [early, late, None]
    assert await stored(seeded.db) == {future: (now + 1, 0)}
    assert await next_due(seeded.db) == now + 1
    clock.advance(1)
    assert await run(seeded, log) is not None
    assert await next_due(seeded.db) is None


async def test_a_task_that_fails_is_put_off_longer_each_time_and_blocks_nobody(
    seeded: Seeded, clock: SettableClock, log: LogCapture
) -> None:
    broken = await plan(seeded, clock() - 10, BROKEN)
    good = await plan(seeded, clock())
    first = await run(seeded, log)
    assert first is not None
    assert first.message_id == broken
    second = await run(seeded, log)
    assert second is not None
    assert second.message_id == good
    waits = []
    for attempt in range(1, 14):
        due_at, attempts = (await stored(seeded.db))[broken]
        assert attempts == attempt
        waits.append(due_at - clock())
        clock.now = due_at
        assert await run(seeded, log) is not None
    assert 1000 <= waits[0] <= 2000
    assert 450_000 <= waits[-1] <= 900_000
    assert {entry["error"] for entry in log.entries} == {"KeyError"}


async def test_a_task_of_a_kind_that_is_unknown_here_waits_for_who_knows_it_and_blocks_nobody(
    seeded: Seeded, clock: SettableClock, log: LogCapture
) -> None:
    """A newer version has written it, which ran before, or runs beside this one."""
    await seeded.db.write(
        lambda tx: tx.run(
            "INSERT INTO tasks (id, kind, payload, due_at, attempts, created_at) VALUES ('n', 'newer', '{}', 1, 0, 1)"
        )
    )
    good = await plan(seeded, clock())
    assert await next_due(seeded.db) == clock()
    done = [await run(seeded, log) for _ in range(2)]
    assert [task and task.message_id for task in done] == [good, None]
    assert await next_due(seeded.db) is None
    assert await stored(seeded.db) == {"newer": (1, 0)}


async def test_a_task_that_was_mended_runs_and_forgets_its_failures(
    seeded: Seeded, clock: SettableClock, log: LogCapture
) -> None:
    """As after an update of the server: nothing was dropped."""
    broken = await plan(seeded, clock(), BROKEN)
    await run(seeded, log)
    whole = json.dumps({"only": None, "page": 5})
    await seeded.db.write(lambda tx: tx.run("UPDATE tasks SET payload = $1", whole))
    clock.now, _ = (await stored(seeded.db))[broken]
    assert await run(seeded, log) is not None
    assert await stored(seeded.db) == {}


async def test_a_failure_does_not_undo_what_another_scheduler_did_meanwhile(
    seeded: Seeded, clock: SettableClock, log: LogCapture
) -> None:
    """It had the task's row no more when it wrote down the failure: the other one's cursor stays."""
    await plan(seeded, clock(), BROKEN)

    async def other() -> None:
        sql = "UPDATE tasks SET payload = $1, due_at = due_at + 1, attempts = 0"
        await seeded.db.write(lambda tx: tx.run(sql, '{"moved":1}'))

    await run(seeded, log, Between(seeded.db, other))
    [row] = await seeded.db.read(lambda tx: tx.all("SELECT payload, attempts FROM tasks"))
    assert row["payload"] == '{"moved":1}'


async def test_what_comes_round_again_is_there_once(
    seeded: Seeded, clock: SettableClock, log: LogCapture
) -> None:
    """Whoever prepares the database, and however often; one that is there keeps its time."""
    await asyncio.gather(*(prepare_tasks(seeded.db, clock()) for _ in range(5)))
    for _ in range(3):
        assert await run(seeded, log) is not None
    assert await run(seeded, log) is None
    clock.advance(1)
    await prepare_tasks(seeded.db, clock())
    now = clock() - 1
    expected = {
        Kind.PRUNE: (now + PRUNE_EVERY, 0),
        Kind.COMPACT: (now + COMPACT_EVERY, 0),
        Kind.RETAIN: (now + RETAIN_EVERY, 0),
    }
    assert await stored(seeded.db) == expected


async def test_the_book_is_added_up_until_all_of_it_is(
    seeded: Seeded, clock: SettableClock, log: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some rows in one transaction, and at once the next ones; other tasks that are due come in between."""
    monkeypatch.setattr(tallies, "_AT_ONCE", 3)
    await prepare_tasks(seeded.db, clock())
    await seeded.db.write(lambda tx: tx.run("DELETE FROM delivery_tallies"))
    for _ in range(6):
        await seeded.db.write(lambda tx: tallies.note(tx, Tally(created=1, accepted=1)))
    clock.advance(COMPACT_EVERY)
    ran = [task.kind for task in [await run(seeded, log) for _ in range(6)] if task is not None]
    assert ran.count(Kind.COMPACT) == 3  # six become four, two, one
    assert await run(seeded, log) is None
    assert (await stored(seeded.db))[Kind.COMPACT] == (clock() + COMPACT_EVERY, 0)


async def test_a_clock_that_is_put_back_makes_due_what_has_no_time_of_its_own(
    seeded: Seeded, clock: SettableClock, log: LogCapture
) -> None:
    planned = await plan(seeded, clock() + 60_000)
    await prepare_tasks(seeded.db, clock())
    while await run(seeded, log):
        pass
    clock.advance(-3_600_000)
    assert await put_back(seeded.db, clock()) == 3
    due = await stored(seeded.db)
    assert {due[kind][0] for kind in (Kind.PRUNE, Kind.COMPACT, Kind.RETAIN)} == {clock()}
    assert due[planned][0] == clock() + 3_660_000


async def test_many_schedulers_on_one_database_run_each_task_once(
    seeded: Seeded, database_url: str, clock: SettableClock, log: LogCapture
) -> None:
    """On PostgreSQL they are on connections of their own, as in other processes."""
    planned = {await plan(seeded, clock()) for _ in range(30)}
    others = [] if seeded.db.exclusive else [await open_database(database_url) for _ in range(3)]
    done: list[str | None] = []

    async def schedule(db: Database) -> None:
        while task := await run(seeded, log, db):
            done.append(task.message_id)

    await asyncio.gather(*(schedule(db) for db in [seeded.db, *others]))
    for db in others:
        await db.close()
    assert sorted(done, key=str) == sorted(planned)
    assert await stored(seeded.db) == {}
    assert log.entries == []
