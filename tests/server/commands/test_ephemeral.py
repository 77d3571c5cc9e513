"""Ephemeral messages: gone for who has read them, and for everybody once all have, or after a day."""

import pytest

from server.commands.marks import delete_items
from server.commands.messages import get_message
from server.commands.planned import postpone
from server.domain.delivery import SECOND
from server.domain.errors import Gone
from server.domain.message import DAY, Message
from server.domain.task import Kind
from tests.harness.calendar import EPHEMERAL, Calendar, reminding

MESSAGE, RETRACT = 1, 2


async def is_there(calendar: Calendar, message: Message) -> bool:
    try:
        await get_message(calendar.db, calendar.ann, message.id)
    except Gone:
        [row] = await calendar.rows("messages", id=message.id)
        assert (row["content"], row["retracted_at"]) == (None, calendar.now)
        return False
    return True


async def test_who_has_read_it_has_it_no_more(calendar: Calendar) -> None:
    """Nor has their other phone; the others still have it."""
    message = await calendar.send(options=EPHEMERAL, ttl=DAY)
    await calendar.deliver()
    await calendar.read_on("ben", message.id)
    item = await calendar.item(calendar.ben, message)
    assert (item["read_at"], item["deleted_at"]) == (calendar.now, calendar.now)
    assert calendar.names(await calendar.deliver()) == [("ben's tablet", RETRACT)]
    calendar.world.clock.advance(SECOND)
    assert await calendar.run() == [Kind.FORGET]  # it looks, and waits on
    assert await is_there(calendar, message)
    assert (await calendar.item(calendar.cleo, message))["deleted_at"] is None


async def test_when_all_have_read_or_deleted_it_nothing_is_left(calendar: Calendar) -> None:
    message = await calendar.send(options=EPHEMERAL, ttl=DAY)
    await calendar.deliver()
    await calendar.read_on("ben's tablet", message.id)
    await calendar.db.write(
        lambda tx: delete_items(
            tx,
            calendar.cleo.id,
            [message.id],
            but_device=None,
            now=calendar.now,
            random=calendar.world.random,
        )
    )
    await calendar.deliver()
    calendar.world.clock.advance(SECOND)
    assert await calendar.run() == [Kind.FORGET]
    assert not await is_there(calendar, message)
    told = {name for name, kind in calendar.names(await calendar.deliver()) if kind == RETRACT}
    assert told == {"ben", "ben's tablet", "cleo"}
    assert await calendar.rows("tasks") == []
    await calendar.check()


async def test_after_a_day_it_is_gone_read_or_not(calendar: Calendar) -> None:
    message = await calendar.send(options=reminding(12 * 60, ephemeral=True), ttl=DAY)
    calendar.world.clock.advance(DAY - 1)
    assert await calendar.run() == [Kind.REMIND]
    assert len(await calendar.deliver()) == 6
    calendar.world.clock.advance(1)
    assert Kind.FORGET in await calendar.run()
    assert not await is_there(calendar, message)
    assert {kind for _, kind in calendar.names(await calendar.deliver())} == {RETRACT}
    assert await calendar.rows("tasks") == []


@pytest.mark.parametrize(
    ("sent", "gone"),
    [
        ("2027-03-27T23:30:00+01:00", "2027-03-29T00:30:00+02:00"),  # the day in between has 23 hours
        ("2027-10-30T23:30:00+02:00", "2027-10-31T22:30:00+01:00"),  # 25 hours
        ("2027-03-13T23:59:59-05:00", "2027-03-15T00:59:59-04:00"),
        ("2027-11-06T23:59:59-04:00", "2027-11-07T22:59:59-05:00"),
        ("2027-12-31T23:59:59+01:00", "2028-01-01T23:59:59+01:00"),
    ],
)
async def test_a_day_is_24_hours_whatever_the_clock_on_the_wall_does(
    calendar: Calendar, sent: str, gone: str
) -> None:
    calendar.set_clock(sent)
    message = await calendar.send(options=EPHEMERAL, ttl=DAY)
    calendar.set_clock(gone)
    calendar.world.clock.advance(-1)
    assert await calendar.run() == []
    calendar.world.clock.advance(1)
    assert await calendar.run() == [Kind.FORGET]
    assert not await is_there(calendar, message)


async def test_a_server_that_was_away_forgets_when_it_comes_back(calendar: Calendar) -> None:
    message = await calendar.send(options=reminding(60, ephemeral=True), ttl=DAY)
    await calendar.deliver()
    calendar.world.clock.advance(3 * DAY)
    done = await calendar.run()
    assert sorted(done) == [Kind.FORGET, Kind.REMIND]
    assert not await is_there(calendar, message)
    assert {kind for _, kind in calendar.names(await calendar.deliver())} == {RETRACT}


async def test_who_has_postponed_it_still_has_it(calendar: Calendar) -> None:
    message = await calendar.send(options=EPHEMERAL, ttl=DAY)
    await calendar.deliver()
    await calendar.db.write(
        lambda tx: postpone(
            tx,
            calendar.ben.id,
            message,
            60,
            but_device=None,
            now=calendar.now,
            random=calendar.world.random,
        )
    )
    await calendar.read_on("cleo", message.id)
    await calendar.deliver()
    await calendar.wait(59)
    assert await is_there(calendar, message)
    assert await calendar.wait(1) == [Kind.POSTPONE]
    [again, _] = await calendar.deliver()
    await calendar.read_on("ben", again.frame_id)
    await calendar.wait(1)
    assert not await is_there(calendar, message)


async def test_a_scheduled_one_lives_from_its_sending_on(calendar: Calendar) -> None:
    message = await calendar.send(options=EPHEMERAL, ttl=DAY, send_at=calendar.now + DAY)
    calendar.world.clock.advance(DAY)
    assert await calendar.run() == [Kind.SEND]
    calendar.world.clock.advance(DAY - 1)
    assert await calendar.run() == []
    assert await is_there(calendar, message)
    calendar.world.clock.advance(1)
    assert await calendar.run() == [Kind.FORGET]
    assert not await is_there(calendar, message)
