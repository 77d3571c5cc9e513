"""Reminders, and what comes back: to whom, when, how often, and when no more. The clock is 2027-01-15T08:00:00Z."""

import json

import pytest

from server.commands.due import put_back
from server.commands.marks import delete_items, mark_unread
from server.commands.messages import retract
from server.commands.planned import postpone
from server.domain.errors import Conflict, NotFound
from server.domain.message import DAY, DeliveryType, Message
from server.domain.ports import Transaction
from server.domain.task import Kind
from server.store.members import remove_member
from tests.harness.calendar import EPHEMERAL, Calendar, reminding

ALL = ["ben", "ben's tablet", "cleo"]
MESSAGE, RETRACT, READ = 1, 2, 3


async def put_off(calendar: Calendar, message: Message, minutes: int, but: str | None = None) -> int:
    """Have Ben postpone a message, on a phone where one is named."""
    device = None if but is None else calendar.phones[but]
    return await calendar.db.write(
        lambda tx: postpone(
            tx,
            calendar.ben.id,
            message,
            minutes,
            but_device=device,
            now=calendar.now,
            random=calendar.world.random,
        )
    )


async def take_back(calendar: Calendar, message: Message) -> None:
    await retract(
        calendar.db,
        calendar.ann,
        message.id,
        clock=lambda: calendar.now,
        random=calendar.world.random,
        wake=lambda: None,
    )


async def test_who_has_not_read_it_is_reminded_until_they_have(calendar: Calendar) -> None:
    """Each reminder is a frame of its own, about the message, and reading that reads the message."""
    message = await calendar.send(options=reminding(5))
    assert calendar.names(await calendar.deliver()) == [(name, MESSAGE) for name in ALL]
    assert await calendar.wait(4) == []
    assert await calendar.wait(1) == [Kind.REMIND]
    first = await calendar.deliver()
    assert calendar.names(first) == [(name, MESSAGE) for name in ALL]
    assert {parcel.of for parcel in first} == {message.id}
    assert len({parcel.frame_id for parcel in first} | {message.id}) == 2

    await calendar.read_on("ben", first[0].frame_id)
    assert (await calendar.item(calendar.ben, message))["read_at"] == calendar.now
    [notice] = await calendar.deliver()
    assert calendar.names([notice]) == [("ben's tablet", READ)]
    assert sorted(json.loads(notice.body or "")["ids"]) == sorted([message.id, first[0].frame_id])

    await calendar.wait(5)
    second = await calendar.deliver()
    assert calendar.names(second) == [("cleo", MESSAGE)]
    assert second[0].frame_id != first[0].frame_id
    await calendar.read_on("cleo", message.id)
    assert await calendar.wait(5) == [Kind.REMIND]  # it finds nobody, and is the last
    assert await calendar.wait(30) == []
    assert await calendar.deliver() == []
    await calendar.check()


async def test_there_are_no_more_reminders_than_were_asked_for(calendar: Calendar) -> None:
    await calendar.send(options=reminding(1, most=3))
    assert await calendar.wait(10) == [Kind.REMIND] * 3
    assert len(await calendar.deliver()) == 3 * 4


async def test_reminders_end_with_the_message(calendar: Calendar) -> None:
    await calendar.send(options=reminding(60, most=100), ttl=150 * 60_000)
    assert await calendar.wait(300) == [Kind.REMIND] * 3  # the third finds that it is over
    pushes = await calendar.rows("deliveries", channel="PUSH")
    assert len([row for row in pushes if row["frame_id"] != row["message_id"]]) == 2 * len(ALL)


async def test_a_reminder_that_could_not_be_delivered_gives_way_to_the_next(calendar: Calendar) -> None:
    """A phone that was out of reach for hours rings once or twice, not a hundred times."""
    await calendar.send(options=reminding(30))
    await calendar.wait(150)
    parcels = await calendar.lease()
    alive = [parcel for parcel in parcels if parcel.expires_at > calendar.now]
    per_phone = {name: sum(p.device_id == id_ for p in alive) for name, id_ in calendar.phones.items()}
    assert set(per_phone.values()) == {2}  # the message, and the newest reminder


async def test_nobody_is_reminded_of_what_was_retracted(calendar: Calendar) -> None:
    message = await calendar.send(options=reminding(5))
    await calendar.deliver()
    await calendar.wait(5)
    assert await calendar.lease() != []
    await take_back(calendar, message)
    assert await calendar.wait(60) == []
    retracted = await calendar.deliver()
    assert calendar.names(retracted) == []  # what a worker holds goes first
    assert await calendar.rows("tasks") == []
    await calendar.check()


async def test_what_somebody_deleted_they_are_not_reminded_of(calendar: Calendar) -> None:
    message = await calendar.send(options=reminding(5))
    await calendar.deliver()

    async def delete(tx: Transaction) -> bool:
        return await delete_items(
            tx,
            calendar.ben.id,
            [message.id],
            but_device=calendar.phones["ben"],
            now=calendar.now,
            random=calendar.world.random,
        )

    assert await calendar.db.write(delete)
    assert not await calendar.db.write(delete)
    assert calendar.names(await calendar.deliver()) == [("ben's tablet", RETRACT)]
    await calendar.wait(5)
    assert calendar.names(await calendar.deliver()) == [("cleo", MESSAGE)]


async def test_who_has_left_the_bucket_is_not_reminded(calendar: Calendar) -> None:
    await calendar.send(options=reminding(5))
    await calendar.deliver()
    await calendar.db.write(lambda tx: remove_member(tx, calendar.bucket, calendar.ben.id))
    assert await calendar.wait(5) == [Kind.REMIND]
    assert calendar.names(await calendar.deliver()) == [("cleo", MESSAGE)]


async def test_a_server_that_was_away_reminds_once_and_goes_on_from_there(calendar: Calendar) -> None:
    await calendar.send(options=reminding(10))
    await calendar.deliver()
    calendar.world.clock.advance(12 * 3_600_000)
    assert await calendar.run() == [Kind.REMIND]
    assert len(await calendar.deliver()) == 3
    assert await calendar.wait(9) == []
    assert await calendar.wait(1) == [Kind.REMIND]


async def test_reminders_keep_their_time_when_the_clock_is_put_back(calendar: Calendar) -> None:
    await calendar.send(options=reminding(10))
    calendar.world.clock.advance(-3_600_000)
    await put_back(calendar.db, calendar.now)
    assert await calendar.wait(69) == []
    assert await calendar.wait(1) == [Kind.REMIND]


async def test_for_the_inbox_only_there_is_nothing_to_remind_with(calendar: Calendar) -> None:
    await calendar.send(options=reminding(1), delivery_type=DeliveryType.NO_PUSH)
    assert await calendar.rows("tasks") == []


async def test_a_scheduled_message_reminds_from_its_sending_on(calendar: Calendar) -> None:
    await calendar.send(options=reminding(10), send_at=calendar.now + 5 * 60_000)
    assert await calendar.wait(14) == [Kind.SEND]
    assert await calendar.wait(1) == [Kind.REMIND]


async def test_what_is_postponed_is_read_everywhere_and_comes_back_unread(calendar: Calendar) -> None:
    """To all of the user's phones, one paired meanwhile too, and to nobody else."""
    message = await calendar.send(options=reminding(20))
    await calendar.deliver()
    until = await put_off(calendar, message, 30, but="ben")
    item = await calendar.item(calendar.ben, message)
    assert (item["read_at"], item["postponed_until"]) == (calendar.now, until)
    assert calendar.names(await calendar.deliver()) == [("ben's tablet", READ)]
    calendar.phones["new"], _ = await calendar.world.pair(calendar.ben, web=False)

    assert await calendar.wait(29) == [Kind.REMIND]
    assert calendar.names(await calendar.deliver()) == [("cleo", MESSAGE)]
    assert await calendar.wait(1) == [Kind.POSTPONE]
    item = await calendar.item(calendar.ben, message)
    assert (item["read_at"], item["postponed_until"], item["changed_at"]) == (None, None, calendar.now)
    again = await calendar.deliver()
    assert calendar.names(again) == [("ben", 1), ("ben's tablet", 1), ("new", 1)]
    assert {parcel.of for parcel in again} == {message.id}
    await calendar.check()


async def test_postponing_again_counts_from_the_last_time(calendar: Calendar) -> None:
    message = await calendar.send()
    await put_off(calendar, message, 10)
    await calendar.wait(5)
    await put_off(calendar, message, 10)
    await calendar.deliver()
    assert await calendar.wait(5) == [Kind.POSTPONE]  # the first, which means nothing any more
    assert (await calendar.item(calendar.ben, message))["read_at"] is not None
    assert await calendar.wait(5) == [Kind.POSTPONE]
    assert (await calendar.item(calendar.ben, message))["read_at"] is None
    assert len(await calendar.deliver()) == 2


@pytest.mark.parametrize("how", ["retracted", "deleted", "unread", "unpaired"])
async def test_what_was_done_with_since_does_not_come_back(calendar: Calendar, how: str) -> None:
    message = await calendar.send()
    await calendar.deliver()
    await put_off(calendar, message, 10)
    ids, user = [message.id], calendar.ben.id
    random = calendar.world.random
    if how == "retracted":
        await take_back(calendar, message)
    elif how == "deleted":
        await calendar.db.write(
            lambda tx: delete_items(tx, user, ids, but_device=None, now=calendar.now, random=random)
        )
    elif how == "unread":
        await calendar.db.write(lambda tx: mark_unread(tx, user, ids, now=calendar.now))
    else:
        await calendar.db.write(lambda tx: tx.run("DELETE FROM devices WHERE user_id = $1", user))
    await calendar.deliver()
    await calendar.wait(10)
    assert await calendar.deliver() == []


async def test_what_ends_before_that_cannot_be_postponed(calendar: Calendar) -> None:
    message = await calendar.send(options=EPHEMERAL, ttl=DAY)
    with pytest.raises(Conflict, match="ends before"):
        await put_off(calendar, message, 24 * 60)
    assert await put_off(calendar, message, 24 * 60 - 1) == message.expires_at - 60_000


async def test_what_comes_back_after_its_end_is_unread_and_rings_nowhere(calendar: Calendar) -> None:
    """A server that was down at the one time and at the other: nobody has read it, so it is not lost as if they had."""
    message = await calendar.send(ttl=DAY)
    await calendar.deliver()
    await put_off(calendar, message, 60)
    await calendar.deliver()
    calendar.world.clock.advance(2 * DAY)
    assert await calendar.run() == [Kind.POSTPONE]
    item = await calendar.item(calendar.ben, message)
    assert (item["read_at"], item["postponed_until"], item["changed_at"]) == (None, None, calendar.now)
    assert await calendar.deliver() == []


async def test_what_is_not_in_the_inbox_cannot_be_postponed(calendar: Calendar) -> None:
    message = await calendar.send(user_ids=(calendar.cleo.id,))
    with pytest.raises(NotFound):
        await put_off(calendar, message, 5)
    assert await calendar.rows("tasks") == []
