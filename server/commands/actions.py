"""What people do with a message by its buttons: on a device, in an app, or in a browser, with the same effect.

Actions that the device runs are refused here. A webhook is not called by the request: it is queued in its transaction, and its
receiver is told who pressed what, never what the message says.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from server.commands import marks, outgoing, planned
from server.commands.buckets import check_member, snooze_bucket
from server.domain.account import Caller, CallingDevice
from server.domain.errors import Conflict, Fault, Gone, NotFound
from server.domain.inbox import InboxItem
from server.domain.message import ActionType
from server.domain.outgoing import Kind, Progress, State
from server.domain.ports import Database, NotUnique, Random, Transaction
from server.domain.times import show_time
from server.store import inbox_pages
from server.store import outgoing as store

TAP = "tap"  # in the place of an index: what a tap on the message itself does
EVENT = "notification.action"  # the type of a webhook's payload


@dataclass(frozen=True)
class Acting:
    """What acting needs."""

    db: Database
    random: Random
    wake: Callable[[], None]


@dataclass(frozen=True)
class Person:
    """Who presses: a user, on a device or not."""

    user_id: str
    device_id: str | None

    @classmethod
    def of(cls, caller: Caller | CallingDevice) -> "Person":
        if isinstance(caller, CallingDevice):
            return cls(caller.user_id, caller.id)
        return cls(caller.user.id, None)


@dataclass(frozen=True)
class Done:
    """`until` of a snooze or a postponement, in milliseconds; `request` of a webhook."""

    type: ActionType
    until: int | None = None
    request: Progress | None = None


@dataclass(frozen=True)
class _Press:
    """One press, in its transaction."""

    tx: Transaction
    person: Person
    item: InboxItem
    now: int
    random: Random
    action: Mapping[str, Any] = field(default_factory=dict, repr=False)
    which: str = ""
    key: bytes | None = None

    @property
    def minutes(self) -> int:
        return int(self.action["value"])


async def run_action(
    to: Acting, person: Person, reference: str, which: str, key: str | None, *, now: int
) -> Done:
    """Run the action that stands at an index, or `tap`, of a message that a user has.

    `reference` is the id of the item, of the message, or of a frame that the device was sent. NotFound; Gone where it was deleted or
    retracted; Conflict for an action of the device's, or for a key that was used for another press.
    """

    async def job(tx: Transaction) -> Done:
        item = await _find(tx, person, reference)
        action = _action(item, which)
        kind = ActionType(action["type"])
        press = _Press(tx, person, item, now, to.random, action, which, _key_hash(person, key))
        return await _RUN[kind](press)

    return await _run(to, job)


async def snooze(to: Acting, person: Person, reference: str, minutes: int, *, now: int) -> Done:
    """Have a user hear nothing of a message's bucket for some minutes; NotFound, Gone."""

    async def job(tx: Transaction) -> Done:
        return await _snooze(_Press(tx, person, await _find(tx, person, reference), now, to.random), minutes)

    return await _run(to, job)


async def postpone(to: Acting, person: Person, reference: str, minutes: int, *, now: int) -> Done:
    """Send a message to a user again after some minutes; NotFound, Gone, Conflict where it ends before."""

    async def job(tx: Transaction) -> Done:
        return await _postpone(
            _Press(tx, person, await _find(tx, person, reference), now, to.random), minutes
        )

    return await _run(to, job)


async def list_actions(db: Database, person: Person, reference: str) -> list[Progress]:
    """Return how far the webhooks are that a user called from a message, the newest first; NotFound, Gone."""

    async def job(tx: Transaction) -> list[Progress]:
        item = await _find(tx, person, reference, lock=False)
        return await store.of_item(tx, person.user_id, item.message.id)

    return await db.read(job)


async def _run(to: Acting, job: Callable[[Transaction], Awaitable[Done]]) -> Done:
    try:
        done = await to.db.write(job)
    except NotUnique:
        raise _key_reused() from None
    to.wake()
    return done


async def _find(tx: Transaction, person: Person, reference: str, *, lock: bool = True) -> InboxItem:
    """Return the item that is meant; two presses on one message follow each other."""
    item = await inbox_pages.find_meant(tx, person.user_id, reference, device_id=person.device_id, lock=lock)
    if item is None:
        raise NotFound("no such notification", code="notification_not_found")
    if item.deleted_at is not None or item.message.content is None:
        raise Gone("it was deleted, or its message was retracted", code="notification_gone")
    return item


def _action(item: InboxItem, which: str) -> Mapping[str, Any]:
    content = item.message.content or {}
    actions = content.get("actions", ())
    action = content.get("tapAction") if which == TAP else None
    if which != TAP and int(which) < len(actions):
        action = actions[int(which)]
    if action is None:
        raise NotFound("the message has no such action", code="action_not_found")
    found: Mapping[str, Any] = action
    return found


async def _mark_read(press: _Press) -> Done:
    await marks.mark_read(
        press.tx,
        press.person.user_id,
        [press.item.message.id],
        but_device=press.person.device_id,
        now=press.now,
        random=press.random,
    )
    return Done(ActionType.MARK_AS_READ)


async def _delete(press: _Press) -> Done:
    await marks.delete_items(
        press.tx,
        press.person.user_id,
        [press.item.message.id],
        but_device=press.person.device_id,
        now=press.now,
        random=press.random,
    )
    return Done(ActionType.DELETE)


async def _snooze(press: _Press, minutes: int) -> Done:
    bucket_id = press.item.message.bucket_id
    until = await snooze_bucket(press.tx, press.person.user_id, bucket_id, minutes, press.now)
    return Done(ActionType.SNOOZE, until=until)


async def _postpone(press: _Press, minutes: int) -> Done:
    until = await planned.postpone(
        press.tx,
        press.person.user_id,
        press.item.message,
        minutes,
        but_device=press.person.device_id,
        now=press.now,
        random=press.random,
    )
    return Done(ActionType.POSTPONE, until=until)


async def _call(press: _Press) -> Done:
    """Queue a webhook, unless this press was queued before: by its key, or as one that is not over yet.

    It is signed with the bucket's key, which speaks for members alone; NotFound for others.
    """
    await check_member(press.tx, press.person.user_id, press.item.message.bucket_id)
    earlier = await _earlier(press)
    if earlier is not None:
        return Done(ActionType.WEBHOOK, request=earlier)
    payload = {"action": press.which, "body": _payload(press)}
    request = await outgoing.call_webhook(
        press.tx,
        press.item.message,
        press.person.user_id,
        press.action["value"],
        payload,
        key=press.key,
        now=press.now,
        random=press.random,
    )
    queued = Progress(request.id, payload, State.QUEUED, None, None, 0, press.now, press.now, None)
    return Done(ActionType.WEBHOOK, request=queued)


async def _earlier(press: _Press) -> Progress | None:
    message_id = press.item.message.id
    if press.key is None:
        made = await store.of_item(press.tx, press.person.user_id, message_id)
        same = (one for one in made if one.payload["action"] == press.which and not one.state.is_over)
        return next(same, None)
    found = await store.find_by_key(press.tx, press.key)
    if found is None:
        return None
    of, progress = found
    if (of, progress.payload["action"]) != (message_id, press.which):
        raise _key_reused()
    return progress


def _payload(press: _Press) -> str:
    """Return what the receiver is told: ids, and which button. The same bytes at every attempt, since they are signed."""
    which = press.which if press.which == TAP else int(press.which)
    told = {
        "type": EVENT,
        "timestamp": show_time(press.now),
        "data": {
            "messageId": press.item.message.id,
            "notificationId": press.item.id,
            "bucketId": press.item.message.bucket_id,
            "userId": press.person.user_id,
            "action": {"index": which, "type": ActionType.WEBHOOK, "title": press.action.get("title")},
        },
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


async def _refuse(_press: _Press) -> Done:
    raise Conflict("this action is run on the device", code="action_is_device")


def _key_hash(person: Person, key: str | None) -> bytes | None:
    """Return what is kept of a key: it may be anything, and is one user's."""
    return None if key is None else sha256(f"{Kind.WEBHOOK}\0{person.user_id}\0{key}".encode()).digest()


def _key_reused() -> Conflict:
    fault = Fault("Idempotency-Key", "was used for another action", "use a new key for each press")
    return Conflict(
        "this idempotency key belongs to another request", code="idempotency_key_reused", faults=[fault]
    )


_RUN: Mapping[ActionType, Callable[[_Press], Awaitable[Done]]] = {
    ActionType.WEBHOOK: _call,
    ActionType.MARK_AS_READ: _mark_read,
    ActionType.DELETE: _delete,
    ActionType.SNOOZE: lambda press: _snooze(press, press.minutes),
    ActionType.POSTPONE: lambda press: _postpone(press, press.minutes),
    **{kind: _refuse for kind in ActionType if kind.is_device},
}
