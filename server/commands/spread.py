"""A message's way to its recipients' inboxes and devices: a page in the transaction that makes it, the rest by tasks.

It goes out once to its audience, and again, as a reminder, to the devices of those who have not read it.

Most messages fit into one page and are whole with the first commit. Of a larger one the scheduler writes page after page, each in a
transaction of its own that also moves the cursor, so nothing is written twice or left out, memory stays flat, and the database
is never held for long. It pauses while what it wrote before still waits for its turn: the queue holds no more of one
message than keeps the worker busy, and others get in between.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from server.domain.audience import Recipients, recipients_of
from server.domain.delivery import Activity, Channel, Delivery, Draft, Kind, Quiet, State, Suppressed
from server.domain.ids import new_id, new_push_id
from server.domain.message import Category, DeliveryType, Message, SendMessage
from server.domain.ports import Random, Transaction
from server.domain.quiet import mute, read_quiet_times
from server.domain.task import Kind as TaskKind
from server.domain.task import Task
from server.domain.turns import bulk_turn, critical_turn
from server.store import messages, outbox, tasks
from server.store.audience import START, Place, Reach, count_readers, reached, unread
from server.store.buckets import ensure_readers

PAGE = 500  # users and devices: what a server writes at once
AHEAD = 4  # pages of one message that wait at the same time
HELD = 5_000  # milliseconds: the longest that a page is held back, since an inbox should not wait for a relay
_LOOK_AGAIN = 50  # milliseconds


@dataclass(frozen=True, slots=True)
class Audience:
    """The first page of whom a message reaches, and how many users that are altogether."""

    reach: Reach
    first: Sequence[Place]
    users: int
    page: int  # how many places a page has, this one and those to come


async def find_audience(tx: Transaction, reach: Reach, page: int) -> Audience:
    """Look at whom a message would reach."""
    first = await reached(tx, reach, after=START, limit=page)
    whole = len(first) < page
    users = len({place.user_id for place in first}) if whole else await count_readers(tx, reach)
    return Audience(reach, first, users, page)


def reach_of(what: Message | SendMessage, bucket_id: str, recipients: Recipients) -> Reach:
    """Return to whom a message goes. What is of the system comes whatever anybody wants."""
    category = None if what.category is Category.SYSTEM else what.category.value
    return Reach(bucket_id, recipients, what.channels, category)


async def begin(
    tx: Transaction, message: Message, audience: Audience, *, turn: int, now: int, random: Random
) -> Sequence[Delivery]:
    """Write the first page, and a task for the rest where there is one; return the deliveries that were written."""
    turn = _turn(message, turn, turn)
    written = await _write(tx, message, audience.reach, audience.first, START, turn, now=now, random=random)
    if len(audience.first) == audience.page:
        rest = {**audience.reach.recipients.payload(), "page": audience.page}
        await _leave(tx, message, rest, audience.first[-1], written, now=now, random=random)
    return written


async def remind(
    tx: Transaction, message: Message, *, expires_at: int, page: int, now: int, random: Random
) -> None:
    """Write the first page of a reminder, which is news until a time, and a task for the rest where there is one."""
    frame_id = new_id(now, random)
    first = await unread(tx, message, after=START, limit=page)
    written = await write_again(
        tx, message, first, frame_id, expires_at=expires_at, turn=now, now=now, random=random
    )
    if len(first) == page:
        rest = {"reminder": frame_id, "expires": expires_at, "page": page}
        await _leave(tx, message, rest, first[-1], written, now=now, random=random)


async def write_again(
    tx: Transaction,
    message: Message,
    places: Sequence[Place],
    frame_id: str,
    *,
    expires_at: int,
    turn: int,
    now: int,
    random: Random,
) -> Sequence[Delivery]:
    """Write a message to devices once more, under an id of its own."""
    drafts = [
        replace(
            draft_of(message, place, Channel.PUSH, turn=_turn(message, turn, now), now=now, random=random),
            activity=None,
            frame_id=frame_id,
            expires_at=expires_at,
            quiet=quiet_for(message, place, now),
        )
        for place in places
    ]
    return await outbox.enqueue(tx, drafts, now)


async def go_on(tx: Transaction, task: Task, *, now: int, random: Random) -> Task | None:
    """Write the next page of a message, if its turn has come; return the task as it goes on, None where all is written."""
    message = await messages.load_message(tx, task.message_id or "")
    if message is None or message.content is None:
        return None
    gates: list[str] = task.payload["gates"]
    if (
        len(gates) == AHEAD
        and 0 <= now - task.payload["since"] < HELD
        and await outbox.is_untried(tx, gates[0])
    ):
        return task.at(now + _LOOK_AGAIN)
    page, written = await _next_page(tx, message, task.payload, now=now, random=random)
    if len(page) < task.payload["page"]:
        return None
    return task.at(now, {**task.payload, **_cursor(page[-1], _gate(gates, written), now)})


async def _next_page(
    tx: Transaction, message: Message, payload: Mapping[str, Any], *, now: int, random: Random
) -> tuple[Sequence[Place], Sequence[Delivery]]:
    """Write the page that follows: of a reminder, or of a message that goes out for the first time."""
    limit, after, turn = payload["page"], Place(*payload["after"]), bulk_turn(now)
    if "reminder" in payload:
        page = await unread(tx, message, after=after, limit=limit)
        frame_id, expires_at = payload["reminder"], payload["expires"]
        return page, await write_again(
            tx, message, page, frame_id, expires_at=expires_at, turn=turn, now=now, random=random
        )
    reach = reach_of(message, message.bucket_id, recipients_of(payload))
    page = await reached(tx, reach, after=after, limit=limit)
    turn = _turn(message, turn, now)
    return page, await _write(tx, message, reach, page, after, turn, now=now, random=random)


async def _leave(
    tx: Transaction,
    message: Message,
    rest: Mapping[str, Any],
    last: Place,
    written: Sequence[Delivery],
    *,
    now: int,
    random: Random,
) -> None:
    """Leave what follows the first page to a task."""
    payload = {**rest, **_cursor(last, _gate([], written), now)}
    await tasks.add_task(tx, Task(new_id(now, random), TaskKind.FANOUT, message.id, payload, now, 0, now))


async def _write(
    tx: Transaction,
    message: Message,
    reach: Reach,
    page: Sequence[Place],
    after: Place,
    turn: int,
    *,
    now: int,
    random: Random,
) -> list[Delivery]:
    """Write a page's inbox items and deliveries; of who was on the page before only further devices are left."""
    fresh = {place.user_id: place for place in page if place.user_id != after.user_id}
    if reach.recipients.everyone is not None:
        await ensure_readers(tx, reach.bucket_id, list(fresh), now)
    drafts = [
        draft_of(message, place, channel, turn=turn, now=now, random=random)
        for place in fresh.values()
        for channel in message.channels
        if channel is not Channel.PUSH or Channel.PUSH in place.opted_out or not place.device_id
    ]
    items = [(new_id(now, random), one.user_id) for one in drafts if one.state is State.ACCEPTED]
    await messages.add_inbox_items(tx, message, items, now)
    for place in page:
        if place.device_id and Channel.PUSH not in place.opted_out:
            draft = draft_of(message, place, Channel.PUSH, turn=turn, now=now, random=random)
            quiet = quiet_for(message, place, now)
            drafts.append(draft if quiet is None else replace(draft, quiet=quiet))
    return await outbox.enqueue(tx, drafts, now)


def draft_of(
    message: Message, place: Place, channel: Channel, *, turn: int, now: int, random: Random
) -> Draft:
    """Return the delivery of a message to a user on a channel, on PUSH to one device; where it is not to go out it says why."""
    suppressed = _suppressed(place, channel)
    return Draft(
        id=new_push_id(random),
        message_id=message.id,
        user_id=place.user_id,
        device_id=place.device_id if channel is Channel.PUSH and suppressed is None else None,
        channel=channel,
        kind=Kind.MESSAGE,
        frame_id=message.id,
        body=None,
        suppressed=suppressed,
        due_at=now,
        turn=turn,
        expires_at=message.expires_at,
        activity=Activity(message.tenant_id, message.category.value),
    )


def _suppressed(place: Place, channel: Channel) -> Suppressed | None:
    if channel in place.opted_out:
        return Suppressed.OPTED_OUT
    if channel is Channel.IN_APP or (channel is Channel.PUSH and place.device_id):
        return None
    return Suppressed.NO_CHANNEL


def quiet_for(message: Message, place: Place, now: int) -> Quiet | None:
    """Return why a user hears nothing of a message; what is critical they hear."""
    if place.snoozed_until is None and place.quiet_times is None:  # most
        return None
    if message.delivery_type is DeliveryType.CRITICAL:
        return None
    zone = json.loads(place.profile or "{}").get("timezone")
    return mute(now, place.snoozed_until, read_quiet_times(place.quiet_times), zone)


def _turn(message: Message, turn: int, now: int) -> int:
    return critical_turn(now) if message.delivery_type is DeliveryType.CRITICAL else turn


def _cursor(after: Place, gates: Sequence[str], since: int) -> Mapping[str, Any]:
    return {"after": [after.user_id, after.device_id], "gates": gates, "since": since}


def _gate(gates: Sequence[str], written: Sequence[Delivery]) -> Sequence[str]:
    """Add a page's last delivery to a device to the last ones of the pages before, the oldest of which is waited for."""
    pushes = [delivery.id for delivery in written if delivery.device_id is not None]
    return [*gates, *pushes[-1:]][-AHEAD:]
