"""The end of a user who was deleted. From that moment nobody finds them, and nothing is sent to them.

What is theirs alone goes at once, with the deliveries to their devices, which are in the book; their inbox, which may be long, a page at
a time by a task, and their buckets as any bucket that is deleted. What they have sent to others stays, and is nobody's. The task looks
once more after a while, for what came to them in the same moment.
"""

from dataclasses import dataclass

from server.commands import emptying
from server.commands.emptying import LOOK_AGAIN
from server.domain.ids import new_id
from server.domain.ports import Random, Transaction
from server.domain.task import Kind, Task
from server.store import buckets, erasing, tasks

_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Erased:
    """How much was removed with a user: preferences are the channels and categories that they did not want."""

    devices: int
    inbox_items: int
    preferences: int


async def begin(tx: Transaction, user_id: str, *, now: int, random: Random) -> Erased:
    """Delete a user who is locked (`lock_for_end`), and leave what is much to a task; return how much that is altogether."""
    inbox_items = await erasing.count_items(tx, user_id)
    await erasing.bury(tx, user_id, now)
    devices, preferences = await _clear(tx, user_id, now, random)
    payload = {"user": user_id, "until": now + LOOK_AGAIN}
    await tasks.add_task(tx, Task(new_id(now, random), Kind.ERASE, None, payload, now, 0, now))
    return Erased(devices, inbox_items, preferences)


async def erase(tx: Transaction, task: Task, now: int, random: Random) -> Task | None:
    """Go on with the end of a user; return the task as it goes on, None where nothing can come any more."""
    user_id, until = task.payload["user"], task.payload["until"]
    await _clear(tx, user_id, now, random)
    if await erasing.drop_items(tx, user_id, _ROWS_AT_ONCE):
        return task.at(now)  # whoever takes messages back locks these before their items
    if await erasing.disown_messages(tx, user_id, _ROWS_AT_ONCE):
        return task.at(now)
    return task.at(min(until, now + LOOK_AGAIN)) if now < until else None


async def _clear(tx: Transaction, user_id: str, now: int, random: Random) -> tuple[int, int]:
    """Delete what is little; return how many devices and preferences these were."""
    for bucket_id in await erasing.lock_own_buckets(tx, user_id):
        await buckets.close_bucket(tx, bucket_id)
        await tasks.add_task(tx, emptying.plan(bucket_id, now, random))
    await erasing.drop_own(tx, user_id)
    return await erasing.drop_devices(tx, user_id), await erasing.drop_preferences(tx, user_id)
