"""The end of a bucket that was deleted. From that moment it has no members: nobody sees it or sends to it.

A task takes its messages back, a few at a time, as if each were retracted, so that they vanish from every device. What a device
could not be told it learns when it fetches, for as long as its deliveries are kept; then the rest goes, the deliveries through the
book (`server/store/pruning.py`). Until then the task looks again from time to time, for what somebody sent in the same moment.
"""

from server.commands.attachments import drop_unused
from server.commands.takeback import take_back
from server.domain.delivery import DAYS_KEPT, SECOND
from server.domain.ids import new_id
from server.domain.message import DAY
from server.domain.ports import Random, Transaction
from server.domain.task import Kind, Task
from server.store import buckets, emptying, pruning

LOOK_AGAIN = 3600 * SECOND
_TAKEN_BACK_AT_ONCE = 20  # messages
_DROPPED_AT_ONCE = 100  # messages
_ROWS_AT_ONCE = 1000


def plan(bucket_id: str, now: int, random: Random) -> Task:
    """Return the task for a bucket that is deleted now."""
    payload = {"bucket": bucket_id, "after": "", "until": now + LOOK_AGAIN}
    return Task(new_id(now, random), Kind.EMPTY, None, payload, now, 0, now)


async def empty(tx: Transaction, task: Task, now: int, random: Random) -> Task | None:
    """Go on with the end of a bucket; return the task as it goes on, None where the bucket is gone."""
    bucket_id, after, until = task.payload["bucket"], task.payload["after"], task.payload["until"]
    page = await emptying.list_standing(tx, bucket_id, after=after, limit=_TAKEN_BACK_AT_ONCE)
    for message_id in page:
        await take_back(tx, message_id, now=now, random=random)
    if page:
        return task.at(now, {"bucket": bucket_id, "after": page[-1], "until": now + DAYS_KEPT * DAY})
    if now < until:
        return task.at(min(until, now + LOOK_AGAIN), {"bucket": bucket_id, "after": "", "until": until})
    return await _drop(tx, task, bucket_id, now)


async def _drop(tx: Transaction, task: Task, bucket_id: str, now: int) -> Task | None:
    """Delete what is left, a little at a time, and at last the bucket."""
    page = await emptying.list_messages(tx, bucket_id, limit=_DROPPED_AT_ONCE)
    if not page:
        await buckets.delete_bucket(tx, bucket_id)
        return None
    dropped = await pruning.drop_of_messages(tx, page, _ROWS_AT_ONCE)
    if not dropped and not await emptying.drop_items(tx, page, _ROWS_AT_ONCE):
        await drop_unused(tx, page)  # the files themselves are swept
        await emptying.delete_messages(tx, page)
    return task.at(now)
