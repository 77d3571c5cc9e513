"""The scheduler's loop: what is due is done at its time, by a clock that tests set, and whatever the database does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import LogCapture

from server.domain.ids import new_id
from server.domain.ports import Database, DatabaseUnavailable, Random, Transaction
from server.domain.task import COMPACT_EVERY, RETAIN_EVERY, Kind, Task
from server.store import tasks
from server.worker.metrics import SchedulerMetrics
from server.worker.scheduler import Scheduler
from tests.harness.announced import Announced
from tests.harness.clock import SettableClock
from tests.harness.native import Wakes
from tests.harness.rows import Seeded

_EVERY = {Kind.COMPACT: COMPACT_EVERY, Kind.RETAIN: RETAIN_EVERY}


@dataclass
class Office:
    """A scheduler, and what it was given."""

    scheduler: Scheduler
    seeded: Seeded
    db: Announced
    clock: SettableClock
    outbox: Wakes
    log: LogCapture
    registry: CollectorRegistry

    async def plan(self, due_at: int) -> str:
        """Write a message that is to be sent at a time, as another process does: nobody is woken."""
        now, random = self.clock(), self.seeded.random
        [delivery] = await self.seeded.message([await self.seeded.device()], title="x")
        message = delivery.message_id or ""
        task = Task(new_id(now, random), Kind.SEND, message, {"only": None, "page": 5}, due_at, 0, now)
        await self.seeded.db.write(lambda tx: tasks.add_task(tx, task))
        return message

    async def planned(self) -> set[str]:
        """Return the messages that are still to be sent."""
        rows = await self.seeded.db.read(
            lambda tx: tx.all("SELECT message_id FROM tasks WHERE kind = 'send'")
        )
        return {row["message_id"] for row in rows}

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        await self.db.until(condition)

    async def sent(self) -> bool:
        return await self.planned() == set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.scheduler.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled()


@pytest.fixture
def poll_seconds() -> float:
    return 0.05


@pytest.fixture
async def office(database: Database, clock: SettableClock, random: Random, poll_seconds: float) -> Office:
    db, outbox, log, registry = Announced(database), Wakes(), LogCapture(), CollectorRegistry()
    scheduler = Scheduler(
        db,
        deliver=outbox.wake,
        poll_seconds=poll_seconds,
        metrics=SchedulerMetrics(registry),
        clock=clock,
        random=random,
        log=structlog.wrap_logger(structlog.PrintLogger(), processors=[log]),
    )
    return Office(scheduler, await Seeded.make(database, clock, random), db, clock, outbox, log, registry)


async def test_what_another_process_has_planned_is_done_at_its_time(office: Office) -> None:
    """Within one look after it, and not before; the outbox is told."""
    early, late = await office.plan(office.clock() + 1000), await office.plan(office.clock() + 2000)
    async with office.running():
        await office.until(lambda: has_run(office, Kind.COMPACT))
        assert await office.planned() == {early, late}
        office.clock.advance(1000)
        began = asyncio.get_running_loop().time()
        await office.until(lambda: are_left(office, {late}))
        assert asyncio.get_running_loop().time() - began < 1
        office.clock.advance(1000)
        await office.until(office.sent)
    assert office.outbox.count == 2
    assert office.log.entries == []


@pytest.mark.parametrize("poll_seconds", [60.0])
async def test_who_wakes_it_need_not_wait_for_its_next_look(office: Office) -> None:
    async with office.running():
        await office.until(lambda: has_run(office, Kind.COMPACT))
        await office.plan(office.clock())
        office.scheduler.wake()
        await office.until(office.sent)


@pytest.mark.parametrize("poll_seconds", [60.0])
async def test_it_sleeps_no_longer_than_until_the_next_task(office: Office) -> None:
    """By its clock: what is due in 20 ms is looked for in 20 ms."""
    await office.plan(office.clock() + 20)
    async with office.running():
        await office.until(lambda: has_run(office, Kind.COMPACT))
        office.clock.advance(20)
        await office.until(office.sent)


async def test_it_survives_a_database_that_is_away(office: Office) -> None:
    """And goes on with what was due."""
    await office.plan(office.clock())
    office.db.fail_once = DatabaseUnavailable("away")
    async with office.running():
        await office.until(office.sent)
    assert [entry["event"] for entry in office.log.entries] == ["the scheduler cannot use the database"]


async def test_what_comes_round_comes_round(office: Office) -> None:
    async with office.running():
        for _ in range(3):
            await office.until(lambda: has_run(office, Kind.COMPACT))
            office.clock.advance(COMPACT_EVERY)


async def test_a_clock_that_is_put_back_does_not_hold_up_what_comes_round(office: Office) -> None:
    """What is planned for a time keeps it."""
    planned = await office.plan(office.clock() + 1000)
    async with office.running():
        await office.until(lambda: has_run(office, Kind.COMPACT))
        office.clock.advance(-3_600_000)
        await office.until(lambda: has_run(office, Kind.COMPACT))
        assert await office.planned() == {planned}
        office.clock.advance(3_601_000)
        await office.until(office.sent)
    assert [entry["log_level"] for entry in office.log.entries] == ["warning"]


async def test_what_buckets_do_not_keep_is_told_once(office: Office) -> None:
    """In one line with numbers, after the last of it, and counted; a sweep that finds nothing says nothing."""

    async def one_too_many(tx: Transaction) -> None:
        await tx.run("UPDATE buckets SET retention_count = 1")
        await tx.run("UPDATE deliveries SET state = 'accepted', settled_at = 1")

    for _ in range(3):
        await office.seeded.message([await office.seeded.device()], title="x")
    await office.db.write(one_too_many)
    async with office.running():
        await office.until(lambda: has_run(office, Kind.RETAIN))
        office.clock.advance(RETAIN_EVERY)
        await office.until(lambda: has_run(office, Kind.RETAIN))
    [entry] = office.log.entries
    assert entry == {
        "event": "messages deleted that their buckets do not keep",
        "log_level": "info",
        "messages": 2,
        "deliveries": 2,
        "files": 0,
    }
    assert office.registry.get_sample_value("hushpost_retention_removed_total") == 2


async def test_a_task_that_fails_stops_nothing(office: Office) -> None:
    broken = await office.plan(office.clock() - 1)
    await office.db.write(lambda tx: tx.run("UPDATE tasks SET payload = '{}'"))
    await office.plan(office.clock())
    async with office.running():
        await office.until(lambda: are_left(office, {broken}))
    assert [entry["error"] for entry in office.log.entries] == ["KeyError"]


async def has_run(office: Office, kind: Kind) -> bool:
    """Say whether a task that comes round has run at this time of the clock."""
    sql = "SELECT due_at FROM tasks WHERE kind = $1"
    row = await office.seeded.db.read(lambda tx: tx.one(sql, kind.value))
    return row is not None and row["due_at"] == office.clock() + _EVERY[kind]


async def are_left(office: Office, messages: set[str]) -> bool:
    return await office.planned() == messages


async def test_what_another_process_has_under_way_is_not_asked_for_all_the_time(office: Office) -> None:
    """The rest of a large message is always due, and mostly in the hands of another."""
    if office.db.exclusive:
        pytest.skip("there is no other process")
    await office.plan(office.clock() - 1)

    async def hold(tx: Transaction) -> float:
        assert await tasks.take_due(tx, office.clock()) is not None
        while not (wait := await office.scheduler._look()):
            pass
        return wait

    assert await office.db.write(hold) >= 0.1
