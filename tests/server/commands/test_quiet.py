"""Who is left in peace: snoozed, or in a quiet time where they live, a message comes without a sound and says why."""

import json
from datetime import time
from typing import Any

import pytest

from server.commands.changes import ChangeMessage, change
from server.commands.planned import postpone
from server.commands.sealing import body_of
from server.domain.account import User
from server.domain.delivery import Quiet
from server.domain.message import DeliveryType, Message
from server.domain.quiet import Day, QuietTime, write_quiet_times
from server.store.timeline import list_tracks
from tests.harness.calendar import Calendar, reminding

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
NIGHT = QuietTime(frozenset(Day), time(22), time(7))
MINUTE = 60_000


async def leave_in_peace(
    calendar: Calendar, user: User, *quiet: QuietTime, zone: str | None = None, snoozed: int | None = None
) -> None:
    await calendar.db.write(
        lambda tx: tx.run(
            "UPDATE bucket_members SET quiet_times = $2, snoozed_until = $3 WHERE user_id = $1",
            user.id,
            write_quiet_times(quiet),
            snoozed,
        )
    )
    profile = json.dumps({} if zone is None else {"timezone": zone})
    await calendar.db.write(
        lambda tx: tx.run("UPDATE users SET profile = $2 WHERE id = $1", user.id, profile)
    )


async def reasons(calendar: Calendar) -> dict[str, Quiet | None]:
    """Deliver what waits, and return why each phone is quiet."""
    names = {id_: name for name, id_ in calendar.phones.items()}
    return {names[parcel.device_id]: parcel.quiet for parcel in await calendar.deliver()}


async def quiet_at(calendar: Calendar, instant: str, **more: Any) -> bool:
    """Send at an instant, and say whether Ben hears nothing of it."""
    calendar.set_clock(instant)
    await calendar.send(**more)
    found = await reasons(calendar)
    assert found["ben"] == found["ben's tablet"]
    assert found["cleo"] is None
    return found["ben"] is not None


async def test_a_snoozed_bucket_is_silent_for_who_snoozed_it_and_until_then(calendar: Calendar) -> None:
    await leave_in_peace(calendar, calendar.ben, snoozed=calendar.now + MINUTE)
    message = await calendar.send()
    parcels = {parcel.device_id: parcel for parcel in await calendar.deliver()}
    bens, cleos = (parcels[calendar.phones[name]] for name in ("ben", "cleo"))
    assert (bens.quiet, cleos.quiet) == (Quiet.SNOOZED, None)
    kinds = [json.loads(body_of(parcel, {}))["deliveryType"] for parcel in (bens, cleos)]
    assert kinds == ["SILENT", "NORMAL"]
    tracks = await calendar.db.read(
        lambda tx: list_tracks(tx, message.id, user_id=calendar.ben.id, state=None, after="", limit=9)
    )
    assert {track.quiet for track in tracks if track.device_id} == {Quiet.SNOOZED}
    calendar.world.clock.advance(MINUTE)
    await calendar.send()
    assert set((await reasons(calendar)).values()) == {None}


async def test_what_is_critical_is_heard(calendar: Calendar) -> None:
    await leave_in_peace(calendar, calendar.ben, NIGHT, snoozed=calendar.now + MINUTE)
    await calendar.send(delivery_type=DeliveryType.CRITICAL)
    assert set((await reasons(calendar)).values()) == {None}


@pytest.mark.parametrize(
    ("zone", "instant", "quiet"),
    [
        (BERLIN, "2027-01-15T21:59:59+01:00", False),
        (BERLIN, "2027-01-15T22:00:00+01:00", True),
        (BERLIN, "2027-01-16T00:00:00+01:00", True),
        (BERLIN, "2027-01-16T06:59:59+01:00", True),
        (BERLIN, "2027-01-16T07:00:00+01:00", False),
        (None, "2027-01-15T22:00:00+00:00", True),
        ("no such zone", "2027-01-15T22:00:00+00:00", True),
        (BERLIN, "2027-03-28T06:59:59+02:00", True),  # the night in which an hour is skipped
        (BERLIN, "2027-03-28T07:00:00+02:00", False),
        (BERLIN, "2027-10-31T06:59:59+01:00", True),  # the night in which one is repeated
        (BERLIN, "2027-10-31T07:00:00+01:00", False),
        (NEW_YORK, "2027-03-14T06:59:59-04:00", True),
        (NEW_YORK, "2027-03-14T07:00:00-04:00", False),
        (NEW_YORK, "2027-11-07T06:59:59-05:00", True),
        (NEW_YORK, "2027-11-07T07:00:00-05:00", False),
    ],
)
async def test_a_night_is_where_its_sleeper_lives(
    calendar: Calendar, zone: str | None, instant: str, *, quiet: bool
) -> None:
    await leave_in_peace(calendar, calendar.ben, NIGHT, zone=zone)
    assert await quiet_at(calendar, instant) == quiet


async def test_reminders_and_repeats_and_changes_keep_quiet_too(calendar: Calendar) -> None:
    """Each looks at its own moment: what was sent in the evening is reminded of at night."""
    await leave_in_peace(calendar, calendar.ben, NIGHT, zone=BERLIN)
    calendar.set_clock("2027-01-15T21:50:00+01:00")
    message = await calendar.send(options=reminding(20))
    assert set((await reasons(calendar)).values()) == {None}
    await calendar.wait(20)
    assert (await reasons(calendar))["ben"] is Quiet.QUIET_TIME
    await edit(calendar, message)
    await calendar.run()
    found = await reasons(calendar)
    assert (found["ben"], found["cleo"]) == (Quiet.QUIET_TIME, None)
    await calendar.db.write(
        lambda tx: postpone(
            tx, calendar.ben.id, message, 5, but_device=None, now=calendar.now, random=calendar.world.random
        )
    )
    await calendar.deliver()
    await calendar.wait(5)
    assert await reasons(calendar) == dict.fromkeys(("ben", "ben's tablet"), Quiet.QUIET_TIME)


async def edit(calendar: Calendar, message: Message) -> None:
    await change(
        calendar.db,
        calendar.ann,
        message.id,
        ChangeMessage({"title": "New"}, None),
        now=calendar.now,
        random=calendar.world.random,
        wake=lambda: None,
    )
