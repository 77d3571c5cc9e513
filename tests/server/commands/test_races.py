"""What several processes do to one message at the same moment, step by step: on SQLite there is one writer, and no such moment."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import pytest

from server.commands import erasing, outgoing, planned, spread
from server.commands.send import release
from server.commands.takeback import take_back
from server.domain.delivery import Channel, Event, Settlement
from server.domain.file import ReceivedFile
from server.domain.ids import new_id
from server.domain.message import DAY, Attachment, MediaType
from server.domain.outgoing import Attempt, Reason
from server.domain.ports import Database, Row, Transaction
from server.domain.task import Kind, Task
from server.store import leases, subscribers, tasks
from server.store.leases import Times
from tests.harness.calendar import Calendar, reminding
from tests.harness.model_world import World

T = TypeVar("T")


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


@pytest.mark.parametrize("saved", [True, False], ids=["a copy", "a failure"])
async def test_a_file_that_comes_while_its_message_is_taken_back_holds_nothing_that_this_needs(
    calendar: Calendar, *, saved: bool
) -> None:
    """Whoever has a message's tasks has the message next: one order for all, or two would wait for each other."""
    picture = Attachment(MediaType.IMAGE, None, "https://example.com/a.png", None, save=True)
    message = await calendar.send(attachments=(picture,))
    now, random = calendar.now, calendar.world.random
    lease, [request] = await outgoing.claim(
        calendar.db, now=now, random=random, places=1, busy={}, per_host=1
    )
    begun = asyncio.Event()

    async def file_comes() -> None:
        await begun.wait()
        if saved:
            file = ReceivedFile(new_id(now, random), "a.png", "image/png", 3, bytes(32))
            await outgoing.finish_saved(calendar.db, lease, request, file, per_user=1000, now=now)
        else:
            attempt = Attempt(Reason.STATUS_4XX, 404)
            await outgoing.finish(calendar.db, lease, request, attempt, now=now, jitter=0)

    async def retracting(tx: Transaction) -> None:
        async def meanwhile() -> None:
            begun.set()
            await waits_for_a_lock(calendar.db)
            await tx.all("SELECT id FROM messages WHERE id = $1 FOR UPDATE NOWAIT", message.id)

        await take_back(Interrupted(tx, meanwhile), message.id, now=now, random=random)

    async with asyncio.TaskGroup() as group:
        coming = group.create_task(file_comes())
        await calendar.db.write(retracting)
        await coming
    assert await calendar.rows("outgoing_requests") == []
    assert await calendar.rows("attachments") == []


@dataclass
class Paused:
    """A transaction that waits after its first statement of a kind until it may go on."""

    tx: Transaction
    after: str
    reached: asyncio.Event
    go_on: asyncio.Event

    async def one(self, sql: str, *args: object) -> Row | None:
        return await self._then(sql, await self.tx.one(sql, *args))

    async def all(self, sql: str, *args: object) -> Sequence[Row]:
        return await self._then(sql, await self.tx.all(sql, *args))

    async def run(self, sql: str, *args: object) -> int:
        return await self._then(sql, await self.tx.run(sql, *args))

    async def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        await self.tx.many(sql, rows)
        await self._then(sql, None)

    async def _then(self, sql: str, answer: T) -> T:
        if self.after in sql and not self.reached.is_set():
            self.reached.set()
            await self.go_on.wait()
        return answer


Job = Callable[[Transaction], Awaitable[object]]


async def tries(database: Database, first: Job, *, after: str, second: Job) -> tuple[int, int]:
    """Do one thing until after a statement, then another until it waits, then both to their ends; return how often each was tried."""
    reached, go_on = asyncio.Event(), asyncio.Event()
    tried = [0, 0]

    async def job(tx: Transaction) -> None:
        tried[0] += 1
        await first(Paused(tx, after, reached, go_on))

    async def other(tx: Transaction) -> None:
        tried[1] += 1
        await second(tx)

    async with asyncio.TaskGroup() as group:
        group.create_task(database.write(job))
        await reached.wait()
        group.create_task(database.write(other))
        await waits_for_a_lock(database)
        go_on.set()
    return tried[0], tried[1]


def deleting(calendar: Calendar) -> Job:
    """Have Ben deleted."""

    async def job(tx: Transaction) -> None:
        user = await subscribers.lock_for_end(tx, calendar.ben.id)
        assert user is not None
        await erasing.begin(tx, user.id, now=calendar.now, random=calendar.world.random)

    return job


async def test_who_is_deleted_while_a_page_is_written_to_them_waits_for_it(calendar: Calendar) -> None:
    """Whoever writes to devices has their users first, as whoever deletes them: neither is sent away to try again."""
    await calendar.send(channels=(Channel.PUSH,))
    task = (await calendar.rows("tasks", kind="fanout"))[0]
    now, random = calendar.now, calendar.world.random

    async def page(tx: Transaction) -> None:
        payload = json.loads(task["payload"])
        fanout = Task(task["id"], Kind.FANOUT, task["message_id"], payload, now, 0, now)
        await spread.go_on(tx, fanout, now=now, random=random)

    assert await tries(calendar.db, page, after="UPDATE devices", second=deleting(calendar)) == (1, 1)
    await calendar.run()
    await calendar.check()


async def test_who_is_deleted_while_a_message_is_taken_from_them_waits_for_it(calendar: Calendar) -> None:
    """What was tried before is taken back: the delivery is changed, and the phone told."""
    message = await calendar.send(channels=(Channel.PUSH,))
    await calendar.deliver()
    await calendar.db.write(lambda tx: tx.run("UPDATE deliveries SET state = 'queued', attempts = 1"))
    await calendar.db.write(
        lambda tx: tx.run("UPDATE delivery_tallies SET waiting = waiting + accepted, accepted = 0")
    )
    now, random = calendar.now, calendar.world.random

    async def retracting(tx: Transaction) -> None:
        await take_back(tx, message.id, now=now, random=random)

    after = "UPDATE deliveries SET state = 'cancelled'"
    assert await tries(calendar.db, retracting, after=after, second=deleting(calendar)) == (1, 1)
    await calendar.run()
    await calendar.check()


async def test_who_is_deleted_while_a_worker_writes_what_became_of_their_pushes_waits_for_it(
    calendar: Calendar,
) -> None:
    """Ben's phones are gone through one after the other, and so are their deliveries, whatever their ids."""
    for _ in range(3):
        await calendar.send(channels=(Channel.PUSH,))
    await calendar.run()
    await calendar.lease()
    second = max(calendar.phones["ben"], calendar.phones["ben's tablet"])
    lower = "UPDATE deliveries SET id = '0' || id WHERE device_id = $1"
    await calendar.db.write(lambda tx: tx.run(lower, second))
    rows = await calendar.rows("deliveries", state="leased")
    now, lease = calendar.now, str(rows[0]["lease"])
    ended = [Settlement(row["id"], row["device_id"], Event.ACCEPT, None, now) for row in rows]

    async def settling(tx: Transaction) -> None:
        await leases.settle(tx, lease, ended, now, Times(now, now))

    deleted = deleting(calendar)
    assert await tries(
        calendar.db, deleted, after="state = 'leased' ORDER BY id FOR UPDATE", second=settling
    ) == (1, 1)
    await calendar.run()
    await calendar.check()
