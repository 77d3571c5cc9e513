"""Changing a message: what it says, and when it is sent.

What is not sent yet just says something else then. Of what was sent the new text is in the row with the first commit, so what is still
queued is sealed with it; the devices that may have the old one are told by a task, a page at a time, each with the newest text there
is at the time of sealing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from server.commands import spread
from server.commands.outgoing import sent_at_last
from server.domain.account import User
from server.domain.bucket import Permission
from server.domain.delivery import Channel, Kind
from server.domain.errors import Conflict, Forbidden, Gone, NotFound
from server.domain.ids import new_id
from server.domain.message import Message
from server.domain.ports import Database, Random, Transaction
from server.domain.task import Kind as TaskKind
from server.domain.task import Task
from server.domain.times import show_time
from server.domain.turns import bulk_turn
from server.store import inbox, messages, notices, outbox, tasks
from server.store.buckets import find_bucket

PAGE = 500  # deliveries, and inbox items, that are looked at in one transaction


@dataclass(frozen=True)
class ChangeMessage:
    """What is to be changed: words of the content, None for what it is to lose, and when it is sent."""

    content: Mapping[str, Any] = field(repr=False)
    send_at: int | None  # None: as it was


async def change(
    db: Database,
    user: User,
    message_id: str,
    command: ChangeMessage,
    *,
    now: int,
    random: Random,
    wake: Callable[[], None],
) -> Message:
    """Change a message and return it as it is now; what changes nothing tells nobody.

    Its sender may, who still writes to its bucket, and the ADMINs there; NotFound where the caller may not even see it, else Forbidden. Gone where it
    was retracted, Conflict for another time of what was sent.
    """

    async def job(tx: Transaction) -> Message:
        message = await _find(tx, user, message_id)
        return await rewrite(tx, message, command, now=now, random=random)

    changed = await db.write(job)
    wake()
    return changed


async def rewrite(
    tx: Transaction, message: Message, command: ChangeMessage, *, now: int, random: Random
) -> Message:
    """Change a message that is locked (`lock`) and return it as it is now; Conflict for another time of what was sent."""
    if command.send_at is not None and message.sent_at is not None:
        raise Conflict("the message was sent already", code="already_sent")
    changed = _changed(message, command)
    if changed == message:
        return message
    changed = replace(changed, updated_at=now)
    await messages.write_content(tx, changed)
    if command.send_at is not None:
        await tasks.move_send(tx, message.id, await sent_at_last(tx, message, command.send_at))
    if message.sent_at is not None:
        await _tell(tx, changed, now, random)
    return changed


async def lock(tx: Transaction, message_id: str) -> None:
    """Have whoever changes or retracts a message, or does something for it, wait until the end of the transaction.

    Its tasks first, as a scheduler does.
    """
    await tasks.lock_tasks(tx, message_id)
    await messages.lock_message(tx, message_id)


async def tell(tx: Transaction, task: Task, now: int, random: Random) -> Task | None:
    """Tell the next devices what a message says now; return the task as it goes on, None where all know."""
    message = await messages.load_message(tx, task.message_id or "")
    if message is None or message.content is None:
        return None
    users, deliveries = task.payload["users"], task.payload["deliveries"]
    if users is not None:
        users = await inbox.touch(tx, message.id, after=users, limit=PAGE, now=now)
    if deliveries is not None:
        deliveries = await _tell_devices(
            tx, message, task.payload["frame"], deliveries, now=now, random=random
        )
    if users is None and deliveries is None:
        return None
    return task.at(now, {**task.payload, "users": users, "deliveries": deliveries})


async def _find(tx: Transaction, user: User, message_id: str) -> Message:
    """Return a message that a user may change, locked."""
    await lock(tx, message_id)
    message = await messages.find_message(tx, user.id, message_id)
    if message is None:
        raise NotFound("no such message", code="message_not_found")
    if not await _may_change(tx, user, message):
        raise Forbidden("only its sender, who writes to the bucket, or an ADMIN there may change a message")
    if message.content is None:
        raise Gone("the message was retracted", code="message_retracted")
    return message


async def _may_change(tx: Transaction, user: User, message: Message) -> bool:
    needed = Permission.WRITE if message.sender_id == user.id else Permission.ADMIN
    bucket = await find_bucket(tx, user.id, message.bucket_id)
    return bucket is not None and bucket.lets(needed)


def _changed(message: Message, command: ChangeMessage) -> Message:
    """Return a message with other words, or for another time; it stays news for as long as before."""
    words = {**(message.content or {}), **command.content}
    at, expires_at = message.scheduled_at, message.expires_at
    if command.send_at is not None:
        expires_at += command.send_at - (message.created_at if at is None else at)
        at = command.send_at
        words["createdAt"] = show_time(at)
    content = {name: value for name, value in words.items() if value is not None}
    return replace(message, content=content, scheduled_at=at, expires_at=expires_at)


async def _tell(tx: Transaction, message: Message, now: int, random: Random) -> None:
    """Leave it to a task to tell the devices; one that still tells of an earlier change is not needed any more.

    Only what was sealed before this is committed has the old text: so the devices are looked for after that.
    """
    await tasks.drop_kind(tx, message.id, TaskKind.UPDATE)
    payload = {"frame": new_id(now, random), "users": "", "deliveries": ""}
    await tasks.add_task(tx, Task(new_id(now, random), TaskKind.UPDATE, message.id, payload, now, 0, now))


async def _tell_devices(
    tx: Transaction, message: Message, frame_id: str, after: str, *, now: int, random: Random
) -> str | None:
    """Write to the next devices that may have a message, unless it is no news any more; return the place to go on after."""
    if message.expires_at <= now:
        return None
    places, last = await notices.list_holders(tx, message, frame_id, after=after, limit=PAGE)
    turn = bulk_turn(now) if after else now
    drafts = [
        replace(
            spread.draft_of(message, place, Channel.PUSH, turn=turn, now=now, random=random),
            activity=None,
            kind=Kind.UPDATE,
            frame_id=frame_id,
            quiet=spread.quiet_for(message, place, now),
        )
        for place in places
    ]
    await outbox.enqueue(tx, drafts, now)
    return last
