"""What several processes do to one message at the same moment, step by step: on SQLite there is one writer, and no such moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.commands import planned, spread
from server.commands.send import release
from server.commands.takeback import take_back
from server.domain.message import DAY
from server.domain.ports import Database, Row, Transaction
from server.domain.task import Kind, Task
from server.store import tasks
from tests.harness.calendar import Calendar, reminding
from tests.harness.model_world import World


class Interrupted:
    """A transaction in which something else happens elsewhere, once, after the first question about inboxes or tasks."""

    def __init__(self, tx: Transaction, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._tx = tx
        self._meanwhile: Callable[[], Awaitable[None]] | None = meanwhile

    async def one(self, sql: str, *args: object) -> Row | None:
        row = await self._tx.one(sql, *args)
        if self._meanwhile is not None and ("FROM inbox_items" in sql or "FROM tasks" in sql):
            meanwhile, self._meanwhile = self._meanwhile, None
            await meanwhile()
        return row

    async def all(self, sql: str, *args: object) -> Sequence[Row]:
        return await self._tx.all(sql, *args)

    async def run(self, sql: str, *args: object) -> int:
        return await self._tx.run(sql, *args)

    async def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        await self._tx.many(sql, rows)


@pytest.fixture
async def calendar(database: Database) -> AsyncIterator[Calendar]:
    """A server that writes one place at a time."""
    if database.exclusive:
        pytest.skip("there is one writer")
    with ThreadPoolExecutor(1) as pool:
        yield await Calendar.make(await World.make(database, 1, pool))


async def waits_for_a_lock(database: Database) -> None:
    """Wait until somebody waits for what another transaction holds."""
    sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while await database.read(lambda tx: tx.one(sql)) is None:
        continue


async def test_what_is_retracted_while_it_begins_to_be_sent_is_in_no_inbox(calendar: Calendar) -> None:
    """The sending leaves a task for the rest, which the retraction could not know of when it began to wait."""
    message = await calendar.send(send_at=calendar.now + 1000)
    calendar.world.clock.advance(1000)
    now, random = calendar.now, calendar.world.random
    begun, committed, taken = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def sending(tx: Transaction) -> None:
        task = await tasks.take_due(tx, now)
        assert task is not None
        await release(tx, task, now=now, random=random)
        await tasks.finish_task(tx, task.id)
        begun.set()
        await committed.wait()

    async def retracting(tx: Transaction) -> None:
        await take_back(tx, message.id, now=now, random=random)
        taken.set()
        await going_on

    async with asyncio.TaskGroup() as group:
        group.create_task(calendar.db.write(sending))
        await begun.wait()
        going_on: asyncio.Future[list[Kind]] = asyncio.get_running_loop().create_future()
        retraction = group.create_task(calendar.db.write(retracting))
        await waits_for_a_lock(calendar.db)
        committed.set()
        await taken.wait()
        going_on.set_result(await calendar.run())
        await retraction
    await calendar.run()
    items = await calendar.rows("inbox_items")
    assert [item["user_id"] for item in items if item["deleted_at"] is None] == []
    assert await calendar.deliver() == []
    await calendar.check()


@pytest.mark.parametrize("kind", [Kind.FORGET, Kind.REMIND])
async def test_whoever_is_written_to_in_the_last_moment_counts(calendar: Calendar, kind: Kind) -> None:
    """Nobody has it to read, and nothing more is to be written: both were true, but not at the same time."""
    message = await calendar.send(options=reminding(5, ephemeral=True), ttl=DAY)
    await calendar.db.write(
        lambda tx: tx.run("UPDATE inbox_items SET deleted_at = $1, read_at = $1", calendar.now)
    )
    now, random = calendar.now, calendar.world.random

    async def rest(tx: Transaction) -> None:
        task = await tasks.take_due(tx, now)
        assert task is not None
        following: Task | None = task
        while following is not None:
            following = await spread.go_on(tx, following, now=now, random=random)
        await tasks.finish_task(tx, task.id)

    async def write_the_rest() -> None:
        await calendar.db.write(rest)

    handler = {Kind.FORGET: planned.forget, Kind.REMIND: planned.remind}[kind]
    waiting = Task("t", kind, message.id, {"left": 5, "page": 1}, now, 0, now)
    following = await calendar.db.write(
        lambda tx: handler(Interrupted(tx, write_the_rest), waiting, now, random)
    )
    assert following is not None
    assert (await calendar.item(calendar.cleo, message))["deleted_at"] is None
