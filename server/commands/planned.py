"""What a message does after it was sent, by tasks that wait for their times: reminders, coming back, being forgotten.

Each looks at what is there when its time has come: who has read what, what was retracted. One that is late, after a night without
a server, is done once, not as often as it was missed.
"""

from collections.abc import Mapping

from server.commands import spread
from server.commands.takeback import take_back
from server.domain.delivery import SECOND
from server.domain.errors import Conflict, NotFound
from server.domain.ids import new_id
from server.domain.message import MINUTE, DeliveryType, Message
from server.domain.ports import Random, Transaction
from server.domain.task import Kind, Task
from server.store import inbox, messages, notices, tasks
from server.store.audience import Place, unread

# A reminder that could not be delivered is not worth having once there are others. It is news for some minutes at least: a phone's
# clock may be as far ahead, and what has expired by it is not shown.
_LEAST_NEWS = 10 * MINUTE
_MOST_DEVICES = 500  # of one user


async def plan_ahead(tx: Transaction, message: Message, *, page: int, now: int, random: Random) -> None:
    """Plan what is to be done with a message that is sent now; `page` is how many devices are reminded at once."""
    options = message.options
    if options.remind_every is not None and message.delivery_type is not DeliveryType.NO_PUSH:
        payload = {"left": options.max_reminders, "page": page}
        due_at = now + options.remind_every * MINUTE
        await _plan(tx, Kind.REMIND, message, payload, due_at, now=now, random=random)
    if options.ephemeral:
        await _plan(tx, Kind.FORGET, message, {}, message.expires_at, now=now, random=random)


async def remind(tx: Transaction, task: Task, now: int, random: Random) -> Task | None:
    """Remind those who have not read a message, and return the task for the next time, None where there is none."""
    message = await _living(tx, task, now)
    if message is None or message.options.remind_every is None:
        return None
    # In this order: whoever was the last to be written to is in the inboxes by the time that is asked.
    if not await tasks.is_spreading(tx, message.id) and not await inbox.is_pending(tx, message.id):
        return None
    every = message.options.remind_every * MINUTE
    expires_at = min(message.expires_at, now + max(every, _LEAST_NEWS))
    await spread.remind(tx, message, expires_at=expires_at, page=task.payload["page"], now=now, random=random)
    left, next_at = task.payload["left"] - 1, task.due_at + every
    if left == 0:
        return None
    return task.at(next_at if next_at > now else now + every, {**task.payload, "left": left})


async def postpone(
    tx: Transaction,
    user_id: str,
    message: Message,
    minutes: int,
    *,
    but_device: str | None,
    now: int,
    random: Random,
) -> int:
    """Send a message to a user again after some minutes, and return when that will be; until then it counts as read.

    NotFound where it is not in their inbox; Conflict where it ends before that time.
    """
    until = now + minutes * MINUTE
    if until >= message.expires_at:
        raise Conflict("the message ends before that time", code="message_ends_before")
    fresh = await inbox.mark_read(tx, user_id, [message.id], now)
    if not await inbox.postpone(tx, user_id, message.id, until, now):
        raise NotFound("no such message", code="message_not_found")
    await notices.tell_read(tx, user_id, fresh, but=but_device, now=now, random=random)
    await _plan(tx, Kind.POSTPONE, message, {"user": user_id, "until": until}, until, now=now, random=random)
    return until


async def come_back(tx: Transaction, task: Task, now: int, random: Random) -> None:
    """Send a message that was postponed again, unless its user has done something else with it since.

    One that has ended by now, since this is late, is unread again in the inbox, and rings nowhere.
    """
    message, user_id = await _kept(tx, task), task.payload["user"]
    if message is None or not await inbox.bring_back(tx, user_id, message.id, task.payload["until"], now):
        return
    if message.delivery_type is DeliveryType.NO_PUSH or message.expires_at <= now:
        return
    places = await unread(tx, message, after=Place(user_id, ""), last=user_id, limit=_MOST_DEVICES)
    frame_id, expires_at = new_id(now, random), message.expires_at
    await spread.write_again(
        tx, message, places, frame_id, expires_at=expires_at, turn=now, now=now, random=random
    )


async def forget(tx: Transaction, task: Task, now: int, random: Random) -> Task | None:
    """End an ephemeral message at its time, or once nobody has it in their inbox; return the task where that is still to come."""
    message = await messages.load_message(tx, task.message_id or "")
    if message is None:
        return None
    if now < message.expires_at:
        spreading = await tasks.is_spreading(tx, message.id)  # first, as in `remind`
        if await inbox.is_kept(tx, message.id):
            return task.at(message.expires_at)
        if spreading:
            return task.at(now + SECOND)
    await take_back(tx, message.id, now=now, random=random)
    return None


async def _living(tx: Transaction, task: Task, now: int) -> Message | None:
    """Return a task's message, None where it was retracted or is no news any more."""
    message = await _kept(tx, task)
    return None if message is None or message.expires_at <= now else message


async def _kept(tx: Transaction, task: Task) -> Message | None:
    """Return a task's message, None where it was retracted."""
    message = await messages.load_message(tx, task.message_id or "")
    return None if message is None or message.content is None else message


async def _plan(
    tx: Transaction,
    kind: Kind,
    message: Message,
    payload: Mapping[str, object],
    due_at: int,
    *,
    now: int,
    random: Random,
) -> None:
    await tasks.add_task(tx, Task(new_id(now, random), kind, message.id, payload, due_at, 0, now))
