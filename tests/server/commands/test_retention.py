"""What a bucket does not keep goes, by age and by number; what somebody waits for stays, and the book holds."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog

from server.commands.due import prepare_tasks, run_due
from server.commands.marks import mark_read, mark_unread
from server.commands.messages import retract
from server.commands.retention import report_of
from server.domain.ids import new_id
from server.domain.message import DAY, Message
from server.domain.ports import Database, Transaction
from server.domain.tally import Tally
from server.domain.task import RETAIN_EVERY, Kind, Task
from server.store import idempotency, inbox, tallies, tasks
from server.store.buckets import close_bucket
from server.store.database import open_database
from server.store.idempotency import Record
from tests.harness.calendar import Calendar
from tests.server.conftest import House, Person

FAR = 10**15
_ASKED = (
    "INSERT INTO outgoing_requests (id, kind, message_id, host, payload, state, attempts, created_at, due_at)"
    " VALUES ($1, 'webhook', $2, 'example.com', '{}', $3, 0, 1, $4)"
)

Protect = Callable[[Calendar, Message], Awaitable[None]]


async def keep(calendar: Calendar, *, days: int | None = None, count: int | None = None) -> None:
    """Give Ann's bucket a rule."""
    sql = "UPDATE buckets SET retention_days = $2, retention_count = $3 WHERE id = $1"
    await calendar.db.write(lambda tx: tx.run(sql, calendar.bucket, days, count))


async def sweep(calendar: Calendar, db: Database | None = None) -> list[Task]:
    """Sweep the buckets as a scheduler does, in an hour of its own; return the tasks as they ran."""
    on = db or calendar.db
    await prepare_tasks(on, calendar.now)
    await on.write(lambda tx: tx.run("UPDATE tasks SET due_at = $1 WHERE kind = 'retain'", calendar.now))
    return await go_on(calendar, on)


async def go_on(calendar: Calendar, db: Database) -> list[Task]:
    """Run what is due; return the steps of sweeps."""
    done = []
    while task := await run_due(
        db, now=calendar.now, random=calendar.world.random, log=structlog.get_logger()
    ):
        done.append(task)
    return [task for task in done if task.kind is Kind.RETAIN]


async def read(calendar: Calendar, message: Message) -> None:
    """Have everybody read a message."""

    async def job(tx: Transaction) -> None:
        for user in (calendar.ben, calendar.cleo):
            await mark_read(
                tx, user.id, [message.id], but_device=None, now=calendar.now, random=calendar.world.random
            )

    await calendar.db.write(job)


async def done_with(calendar: Calendar, number: int = 1) -> list[Message]:
    """Send messages that are delivered and read, a second after the other."""
    sent = []
    for _ in range(number):
        calendar.world.clock.advance(1000)
        message = await calendar.send()
        await calendar.deliver()
        await read(calendar, message)
        await calendar.deliver()
        sent.append(message)
    return sent


async def left(calendar: Calendar) -> set[str]:
    return {row["id"] for row in await calendar.rows("messages")}


async def test_what_is_older_goes_with_all_that_is_its(calendar: Calendar) -> None:
    """To the millisecond; what is younger stays, and what is in buckets that keep everything."""
    [old] = await done_with(calendar)
    [young] = await done_with(calendar)
    calendar.world.clock.now = young.created_at + DAY
    await sweep(calendar)
    assert await left(calendar) == {old.id, young.id}
    await keep(calendar, days=1)
    await sweep(calendar)
    assert await left(calendar) == {young.id}
    for table in ("inbox_items", "deliveries", "claims"):
        assert await calendar.rows(table, message_id=old.id) == []
    assert len(await calendar.rows("inbox_items", message_id=young.id)) == 2
    assert len(await calendar.rows("deliveries", message_id=young.id)) == 5
    await calendar.check()


async def test_of_too_many_the_oldest_go(calendar: Calendar) -> None:
    """What is not sent yet, or was retracted, does not count."""
    messages = await done_with(calendar, 5)
    scheduled = await calendar.send(send_at=calendar.now + DAY)
    await retract_of(calendar, messages[4])
    await keep(calendar, count=2)
    await sweep(calendar)
    assert await left(calendar) == {messages[2].id, messages[3].id, messages[4].id, scheduled.id}
    await sweep(calendar)
    assert len(await left(calendar)) == 4
    await calendar.check()


async def test_too_old_or_too_many_is_enough(calendar: Calendar) -> None:
    messages = await done_with(calendar, 3)
    await keep(calendar, days=1, count=2)
    await sweep(calendar)
    assert await left(calendar) == {messages[1].id, messages[2].id}
    calendar.world.clock.now = messages[2].created_at + DAY
    await sweep(calendar)
    assert await left(calendar) == {messages[2].id}


async def test_one_that_was_scheduled_ages_from_its_sending_on(calendar: Calendar) -> None:
    message = await calendar.send(send_at=calendar.now + 5 * DAY)
    calendar.world.clock.advance(5 * DAY)
    await calendar.run()
    await calendar.deliver()
    await read(calendar, message)
    await keep(calendar, days=1)
    await sweep(calendar)
    assert await left(calendar) == {message.id}
    calendar.world.clock.advance(DAY + 1)
    await sweep(calendar)
    assert await left(calendar) == set()


async def retract_of(calendar: Calendar, message: Message) -> None:
    await retract(
        calendar.db,
        calendar.ann,
        message.id,
        clock=lambda: calendar.now,
        random=calendar.world.random,
        wake=lambda: None,
    )
    await calendar.run()
    await calendar.deliver()


def state(name: str) -> Protect:
    """Have a delivery in a state, and the book know of it."""

    async def protect(calendar: Calendar, message: Message) -> None:
        sql = "UPDATE deliveries SET state = $2 WHERE id IN (SELECT id FROM deliveries WHERE message_id = $1 AND channel = 'PUSH' LIMIT 1)"
        await calendar.db.write(lambda tx: tx.run(sql, message.id, name))

    return protect


def waits(kind: Kind) -> Protect:
    async def protect(calendar: Calendar, message: Message) -> None:
        now, random = calendar.now, calendar.world.random
        task = Task(new_id(now, random), kind, message.id, {}, FAR, 0, now)
        await calendar.db.write(lambda tx: tasks.add_task(tx, task))

    return protect


def asked(name: str) -> Protect:
    async def protect(calendar: Calendar, message: Message) -> None:
        await calendar.db.write(lambda tx: tx.run(_ASKED, "request", message.id, name, FAR))

    return protect


async def not_sent(calendar: Calendar, message: Message) -> None:
    sql = "UPDATE messages SET sent_at = NULL WHERE id = $1"
    await calendar.db.write(lambda tx: tx.run(sql, message.id))


async def named_by_a_key(calendar: Calendar, message: Message) -> None:
    record = Record(b"hash", b"print", message.id, FAR)
    await calendar.db.write(lambda tx: idempotency.add_record(tx, record, calendar.now))


async def unread(calendar: Calendar, message: Message) -> None:
    await calendar.db.write(
        lambda tx: mark_unread(tx, calendar.ben.id, [message.id], now=calendar.now),
    )


PROTECTED = {
    "not sent": not_sent,
    "queued": state("queued"),
    "leased": state("leased"),
    **{
        kind.value: waits(kind)
        for kind in (Kind.FANOUT, Kind.RETRACT, Kind.UPDATE, Kind.REMIND, Kind.POSTPONE)
    },
    "key": named_by_a_key,
    "request queued": asked("queued"),
    "request leased": asked("leased"),
    "unread": unread,
    "retracted": retract_of,
}


@pytest.mark.parametrize("protect", PROTECTED.values(), ids=PROTECTED.keys())
@pytest.mark.parametrize("rule", [{"days": 1}, {"count": 1}], ids=["days", "count"])
async def test_what_somebody_waits_for_stays(
    calendar: Calendar, protect: Protect, rule: dict[str, int]
) -> None:
    """Beside it goes one that nobody waits for."""
    waited_for, plain, newest = await done_with(calendar, 3)
    await protect(calendar, waited_for)
    calendar.world.clock.now = plain.created_at + DAY + 1
    await keep(calendar, **rule)
    await sweep(calendar)
    assert await left(calendar) == {waited_for.id, newest.id}
    assert len(await calendar.rows("inbox_items", message_id=waited_for.id)) == 2
    assert len(await calendar.rows("deliveries", message_id=waited_for.id)) == 5


@pytest.mark.parametrize(
    ("protect", "ended"),
    [
        (named_by_a_key, "UPDATE idempotency_keys SET expires_at = 1"),
        (asked("queued"), "UPDATE outgoing_requests SET state = 'done'"),
        (waits(Kind.UPDATE), "DELETE FROM tasks WHERE kind = 'update'"),
        (unread, "UPDATE messages SET expires_at = 1"),
        (unread, "UPDATE inbox_items SET deleted_at = 1 WHERE read_at IS NULL"),
        (retract_of, "UPDATE messages SET retracted_at = 1"),
    ],
)
async def test_when_nobody_waits_any_more_it_goes(calendar: Calendar, protect: Protect, ended: str) -> None:
    [message] = await done_with(calendar)
    await protect(calendar, message)
    await calendar.db.write(lambda tx: tx.run(ended))
    calendar.world.clock.advance(DAY + 1)
    await keep(calendar, days=1)
    await sweep(calendar)
    assert await left(calendar) == set()
    await calendar.check()


MANY = 3000


async def crowd(calendar: Calendar, number: int = MANY) -> None:
    """Fill the bucket with messages that were delivered to Ben and read."""
    now, random = calendar.now, calendar.world.random
    ids = [new_id(now - number + i, random) for i in range(number)]

    async def job(tx: Transaction) -> None:
        await tx.many(
            "INSERT INTO messages (id, tenant_id, bucket_id, delivery_type, content, notifications, created_at, sent_at,"
            " expires_at) VALUES ($1, $2, $3, 'NORMAL', '{}', 1, $4, $4, $5)",
            [(id_, calendar.ann.tenant_id, calendar.bucket, now, FAR) for id_ in ids],
        )
        await tx.many(
            "INSERT INTO inbox_items (id, message_id, user_id, bucket_id, created_at, read_at, changed_at)"
            " VALUES ($1, $1, $2, $3, $4, $4, $4)",
            [(id_, calendar.ben.id, calendar.bucket, now) for id_ in ids],
        )
        await tx.many(
            "INSERT INTO deliveries (id, message_id, user_id, channel, kind, frame_id, state, attempts, created_at, due_at,"
            " turn, expires_at, settled_at) VALUES ($1, $1, $2, 'IN_APP', 1, $1, 'accepted', 0, $3, $3, $3, $4, $3)",
            [(id_, calendar.ben.id, now, FAR) for id_ in ids],
        )
        await tallies.note(tx, Tally(created=number, accepted=number))

    await calendar.db.write(job)


async def test_three_thousand_go_in_several_transactions_and_are_reported(calendar: Calendar) -> None:
    """None of them is large, and the report is the sum of them all."""
    await crowd(calendar)
    await calendar.check()
    before = await calendar.db.read(tallies.audit)
    await keep(calendar, count=10)
    steps = await sweep(calendar)
    assert len(steps) >= MANY // 500
    reports = [report for step in steps if (report := report_of(step)) is not None]
    assert reports == [{"messages": MANY - 10, "deliveries": MANY - 10, "files": 0}]
    [bucket] = await calendar.rows("buckets", id=calendar.bucket)
    assert (bucket["swept"], bucket["swept_at"]) == (MANY - 10, calendar.now)
    assert len(await left(calendar)) == 10
    after = await calendar.db.read(tallies.audit)
    assert (after.book, after.holds) == (before.book, True)
    [task] = await calendar.rows("tasks", kind="retain")
    assert (task["due_at"], task["payload"]) == (calendar.now + RETAIN_EVERY, "{}")


async def test_a_sweep_that_finds_nothing_reports_nothing(calendar: Calendar) -> None:
    await done_with(calendar)
    await keep(calendar, days=1)
    steps = await sweep(calendar)
    assert [report_of(step) for step in steps] == [None] * len(steps)
    [bucket] = await calendar.rows("buckets", id=calendar.bucket)
    assert (bucket["swept"], bucket["swept_at"]) == (0, None)


async def test_a_message_to_very_many_goes_in_parts(
    calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.commands.retention._ROWS_AT_ONCE", 2)
    await done_with(calendar, 2)
    calendar.world.clock.advance(2 * DAY)
    await keep(calendar, days=1)
    steps = await sweep(calendar)
    assert report_of(steps[-1]) == {"messages": 2, "deliveries": 10, "files": 0}
    assert await left(calendar) == set()
    await calendar.check()


async def test_a_rule_that_changes_while_it_is_applied_counts_from_then_on(calendar: Calendar) -> None:
    await crowd(calendar)
    await keep(calendar, count=10)
    await prepare_tasks(calendar.db, calendar.now)
    random, log = calendar.world.random, structlog.get_logger()
    while await calendar.rows("tasks", kind="retain", payload="{}"):
        await run_due(calendar.db, now=calendar.now, random=random, log=log)
    assert len(await left(calendar)) == MANY - 500
    await keep(calendar, count=2000)
    await go_on(calendar, calendar.db)
    assert len(await left(calendar)) == 2000


async def test_two_schedulers_at_once_remove_each_message_once(calendar: Calendar, database_url: str) -> None:
    """On PostgreSQL they are on connections of their own."""
    await crowd(calendar)
    await keep(calendar, count=0)
    other = None if calendar.db.exclusive else await open_database(database_url)
    await asyncio.gather(sweep(calendar), sweep(calendar, other))
    await go_on(calendar, calendar.db)
    if other is not None:
        await other.close()
    assert await left(calendar) == set()
    [bucket] = await calendar.rows("buckets", id=calendar.bucket)
    assert bucket["swept"] == MANY
    await calendar.check()


async def test_one_that_is_marked_as_unread_in_the_same_moment_stays(
    calendar: Calendar, database_url: str
) -> None:
    if calendar.db.exclusive:
        pytest.skip("there is one writer at a time")
    [message] = await done_with(calendar)
    calendar.world.clock.advance(2 * DAY)
    await keep(calendar, days=1)
    other = await open_database(database_url)

    async def job(tx: Transaction) -> None:
        assert await inbox.mark_unread(tx, calendar.ben.id, [message.id], calendar.now)
        await sweep(calendar, other)

    await calendar.db.write(job)
    await other.close()
    assert (await calendar.item(calendar.ben, message))["read_at"] is None
    await sweep(calendar)
    assert await left(calendar) == {message.id}
    await calendar.check()


async def test_a_deleted_bucket_is_left_to_its_own_end(calendar: Calendar) -> None:
    """Devices that were away learn of it for weeks."""
    await done_with(calendar, 2)
    await keep(calendar, count=1)
    await calendar.db.write(lambda tx: close_bucket(tx, calendar.bucket))
    await sweep(calendar)
    assert len(await left(calendar)) == 2


async def test_a_phone_that_fetches_what_is_gone_gets_nothing_and_the_head(
    house: House, admin: Person
) -> None:
    """What is not named up to the head does not exist: the phone does not ask again."""
    phone, bucket = await house.phone(admin), await house.bucket(admin)
    lasting = await house.token(admin, "admin")
    for _ in range(2):
        await house.send(admin.api, bucket)
        house.clock.advance(1)
    await house.accept_pushes()
    await admin.api.post("/api/v1/notifications/read-all", {})
    await house.accept_pushes()
    await admin.api.patch(f"/api/v1/buckets/{bucket}", {"retention": {"count": 1}})
    house.clock.advance(2 * DAY)  # an idempotency key holds for a day
    await prepare_tasks(house.pieces.db, house.clock())
    while await run_due(house.pieces.db, now=house.clock(), random=house.random, log=house.pieces.log):
        pass
    fetched = await phone.api.get("/api/v1/device/messages?after=0")
    assert ([one["sequence"] for one in fetched["messages"]], fetched["head"]) == ([2], 2)
    assert fetched["retracted"] == []
    shown = (await lasting.get(f"/api/v1/buckets/{bucket}"))["retention"]
    assert shown == {"days": None, "count": 1, "lastSweptAt": shown["lastSweptAt"], "removed": 1}
    assert shown["lastSweptAt"] is not None
