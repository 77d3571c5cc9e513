"""The end of a user who was deleted. From that moment nobody finds them, and nothing is sent to them.

What is theirs alone goes at once, with the deliveries to their devices, which are in the book; their inbox, which may be long, a page at
a time by a task, and their buckets as any bucket that is deleted. What they have sent to others stays, and is nobody's; of what they had
and have sent no details describe them any more (`server.domain.subject`), for which the task keeps their names until it ends. It looks
once more after a while, for what came to them in the same moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from server.commands import emptying
from server.commands.emptying import LOOK_AGAIN
from server.domain.account import matching_key
from server.domain.audience import Person
from server.domain.ids import new_id
from server.domain.mention import without
from server.domain.ports import Random, Transaction
from server.domain.task import Kind, Task
from server.store import accounts, buckets, erasing, subjects, tasks, tenants

_ROWS_AT_ONCE = 250  # each may be a message with details to read


@dataclass(frozen=True)
class Erased:
    """How much was removed with a user: preferences are the channels and categories that they did not want."""

    devices: int
    inbox_items: int
    preferences: int


async def begin(tx: Transaction, user_id: str, *, now: int, random: Random) -> Erased:
    """Delete a user who is locked (`lock_for_end`), and leave what is much to a task; return how much that is altogether."""
    inbox_items = await erasing.count_items(tx, user_id)
    names = await _names_of(tx, user_id)
    await erasing.bury(tx, user_id, now)
    devices, preferences = await _clear(tx, user_id, now, random)
    payload = {"user": user_id, "names": names, "until": now + LOOK_AGAIN}
    await tasks.add_task(tx, Task(new_id(now, random), Kind.ERASE, None, payload, now, 0, now))
    return Erased(devices, inbox_items, preferences)


async def erase(tx: Transaction, task: Task, now: int, random: Random) -> Task | None:
    """Go on with the end of a user; return the task as it goes on, None where nothing can come any more."""
    user_id, until = task.payload["user"], task.payload["until"]
    await _clear(tx, user_id, now, random)
    received = await erasing.list_received(tx, user_id, _ROWS_AT_ONCE)
    if received:
        # Whoever takes messages back locks these before what they are about, and that before their items.
        await _forget(tx, task, received)
        await erasing.drop_items(tx, user_id, received)
        return task.at(now)
    sent = await erasing.disown_messages(tx, user_id, _ROWS_AT_ONCE)
    if sent:
        await _forget(tx, task, sent)
        return task.at(now)
    return task.at(min(until, now + LOOK_AGAIN)) if now < until else None


async def _names_of(tx: Transaction, user_id: str) -> list[str | None] | None:
    """Return the names by which others may have described a user; None where their tenant goes with all that describes them."""
    user = await accounts.load_user(tx, user_id)
    if user is None or await tenants.load_tenant(tx, user.tenant_id) is None:
        return None
    return [user.external_id, None if user.username is None else matching_key(user.username)]


async def _forget(tx: Transaction, task: Task, message_ids: Sequence[str]) -> None:
    """Have nothing be said any more of who was deleted in the details of messages, but under which name they were meant."""
    if task.payload.get("names") is None:
        return
    person = Person(task.payload["user"], *task.payload["names"])
    known = await subjects.lock_subjects(tx, message_ids)
    details = {id_: subject.details for id_, subject in known.items()}
    forgotten = {id_: without(one, person) for id_, one in details.items()}
    await subjects.write_all_details(tx, {id_: one for id_, one in forgotten.items() if one != details[id_]})


async def _clear(tx: Transaction, user_id: str, now: int, random: Random) -> tuple[int, int]:
    """Delete what is little; return how many devices and preferences these were."""
    for bucket_id in await erasing.lock_own_buckets(tx, user_id):
        await buckets.close_bucket(tx, bucket_id)
        await tasks.add_task(tx, emptying.plan(bucket_id, now, random))
    await erasing.drop_own(tx, user_id)
    return await erasing.drop_devices(tx, user_id), await erasing.drop_preferences(tx, user_id)
