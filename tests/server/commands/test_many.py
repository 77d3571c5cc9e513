"""Ten thousand recipients: a reminder, a change and a retraction go out page by page, to each device once."""

from collections import Counter

from server.commands.changes import ChangeMessage, change
from server.commands.messages import retract
from server.domain.ids import new_id
from server.domain.ports import Transaction
from server.domain.task import Kind
from tests.harness.calendar import Calendar, reminding

MANY = 10_000
PAGES = MANY // 500


async def crowd(calendar: Calendar) -> None:
    """Fill the bucket with readers who have a phone each."""
    now, random = calendar.now, calendar.world.random
    people = [(new_id(now, random), new_id(now, random), random(32)) for _ in range(MANY - 3)]

    async def job(tx: Transaction) -> None:
        await tx.many(
            "INSERT INTO users (id, tenant_id, role, profile, created_at) VALUES ($1, $2, 'user', '{}', 1)",
            [(user, calendar.ann.tenant_id) for user, _, _ in people],
        )
        await tx.many(
            "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at) VALUES ($1, $2, '[\"READ\"]', 1)",
            [(calendar.bucket, user) for user, _, _ in people],
        )
        await tx.many(
            "INSERT INTO devices (id, user_id, name, platform, handle, token_hash, head, created_at)"
            " VALUES ($1, $2, 'phone', 'ios', 'h', $3, 0, 1)",
            [(device, user, token) for user, device, token in people],
        )

    await calendar.db.write(job)


async def write_all(calendar: Calendar) -> list[Kind]:
    """Do what is due until nothing is, a page of a fan-out after the other, as a worker lets it."""
    done: list[Kind] = []
    while True:
        more = await calendar.run()
        done += more
        waiting = [row for row in await calendar.rows("tasks") if row["kind"] == "fanout"]
        if not waiting:
            return done
        await accept(calendar)
        calendar.world.clock.advance(50)


async def accept(calendar: Calendar) -> None:
    """Have the providers take all that waits, at once: how is not what is tested."""

    async def job(tx: Transaction) -> None:
        taken = await tx.run(
            "UPDATE deliveries SET state = 'accepted', attempts = 1, settled_at = $1 WHERE state = 'queued'",
            calendar.now,
        )
        await tx.run(
            "INSERT INTO delivery_tallies (book, created, waiting, accepted, gone, expired, failed, cancelled, suppressed)"
            " VALUES ('live', 0, $1, $2, 0, 0, 0, 0, 0)",
            -taken,
            taken,
        )

    await calendar.db.write(job)


async def test_a_message_to_ten_thousand_is_reminded_of_changed_and_retracted(calendar: Calendar) -> None:
    await crowd(calendar)
    message = await calendar.send(options=reminding(60))
    done = await write_all(calendar)
    assert done.count(Kind.FANOUT) >= PAGES - 1
    await accept(calendar)
    half = "UPDATE inbox_items SET read_at = 1 WHERE id IN (SELECT id FROM inbox_items ORDER BY user_id LIMIT $1)"
    await calendar.db.write(lambda tx: tx.run(half, MANY // 2 - 1))

    calendar.world.clock.now = message.created_at + 3_600_000
    done = await write_all(calendar)
    assert done[0] is Kind.REMIND
    assert done.count(Kind.FANOUT) >= PAGES // 2 - 1
    await accept(calendar)
    rows = await calendar.rows("deliveries", channel="PUSH")
    reminders = [row for row in rows if row["frame_id"] != message.id]
    unread = {row["user_id"] for row in await calendar.rows("inbox_items", read_at=None)}
    assert {row["user_id"] for row in reminders} == unread
    assert len({row["frame_id"] for row in reminders}) == 1
    assert len(reminders) == MANY // 2

    calendar.world.clock.advance(1000)
    command = ChangeMessage({"title": "New"}, None)
    random, now = calendar.world.random, calendar.now
    await change(calendar.db, calendar.ann, message.id, command, now=now, random=random, wake=lambda: None)
    assert (await calendar.run()).count(Kind.UPDATE) > 2 * PAGES  # an inbox and a phone each
    per_device = Counter(row["device_id"] for row in await calendar.rows("deliveries", kind=4))
    assert set(per_device.values()) == {1}
    assert len(per_device) == MANY
    assert {row["changed_at"] for row in await calendar.rows("inbox_items")} == {now}

    await retract(calendar.db, calendar.ann, message.id, clock=lambda: now, random=random, wake=lambda: None)
    first = len(await calendar.rows("deliveries", kind=2))
    assert 0 < first <= 500
    assert set(await calendar.run()) == {Kind.RETRACT}
    assert {row["device_id"] for row in await calendar.rows("deliveries", kind=2)} == set(per_device)
    assert {row["state"] for row in await calendar.rows("deliveries", kind=4)} == {"cancelled"}
    await calendar.check()
