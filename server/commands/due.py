"""What is due: one task at a time, in one transaction with its rescheduling or its end.

The scheduler of any process runs it. A task that fails is tried again later and later, so that it is never in the way of the others,
and never dropped.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from server.commands import (
    changes,
    documents,
    emptying,
    erasing,
    planned,
    retention,
    spread,
    takeback,
    tenants,
    topics,
)
from server.commands.send import release
from server.domain.delivery import DAYS_KEPT, jitter_of
from server.domain.message import DAY
from server.domain.outgoing import DAYS_KEPT as REQUESTS_KEPT
from server.domain.ports import Database, DatabaseUnavailable, Random, Transaction
from server.domain.task import COMPACT_EVERY, PRUNE_EVERY, Kind, Task, recurring
from server.store import idempotency, leases, outgoing, pruning, tallies, tasks

_PRUNED_AT_ONCE = 1000


async def prepare_tasks(db: Database, now: int) -> bool:
    """Make sure that what comes round again is among the tasks, and say whether the clock was put back since it last came.

    The book is added up every few seconds wherever a scheduler runs: its next time is where the clock once stood, nearly. What
    waits for a later time, and was not planned for it, is due at once then.
    """

    async def job(tx: Transaction) -> bool:
        await tasks.ensure_tasks(tx, recurring(now))
        due_at = await tasks.next_due(tx, Kind.COMPACT)
        was_put_back = due_at is not None and due_at > now + 2 * COMPACT_EVERY
        if was_put_back:
            await tasks.advance(tx, now)
            await leases.advance(tx, now)
        return was_put_back

    return await db.write(job)


async def run_due(db: Database, *, now: int, random: Random, log: Any) -> Task | None:
    """Run the task that has been due the longest and return it as it was; None where there is none. `log` is structlog's."""
    taken: list[Task] = []

    async def job(tx: Transaction) -> Task | None:
        task = await tasks.take_due(tx, now)
        if task is None:
            return None
        taken.append(task)
        following = await _HANDLERS[task.kind](tx, task, now, random)
        if following is None:
            await tasks.finish_task(tx, task.id)
        else:
            await tasks.reschedule(tx, following)
        return task

    try:
        return await db.write(job)
    except DatabaseUnavailable:
        raise
    except Exception as error:
        if not taken:
            raise
        task = taken[-1]
        log.error(  # noqa: TRY400 - the exception's text may quote content
            "a task failed and is tried again", kind=task.kind.value, task=task.id, error=type(error).__name__
        )
        again = task.failed(now, jitter_of(random(4)))
        await db.write(lambda tx: tasks.postpone(tx, again))
        return task


async def put_back(db: Database, now: int) -> int:
    """Run what does not wait for a time of its own, after the clock was put back; return how many tasks that are."""
    return await db.write(lambda tx: tasks.advance(tx, now))


async def next_due(db: Database) -> int | None:
    """Return when the next task is due."""
    return await db.read(tasks.next_due)


async def _release(tx: Transaction, task: Task, now: int, random: Random) -> Task | None:
    await release(tx, task, now=now, random=random)
    return None


async def _go_on(tx: Transaction, task: Task, now: int, random: Random) -> Task | None:
    return await spread.go_on(tx, task, now=now, random=random)


async def _prune(tx: Transaction, task: Task, now: int, _random: Random) -> Task:
    """Delete what nobody can ask for any more, a little at a time."""
    deliveries = await pruning.prune(tx, now - DAYS_KEPT * DAY, _PRUNED_AT_ONCE)
    keys = await idempotency.drop_expired(tx, now, _PRUNED_AT_ONCE)
    asked = await outgoing.prune(tx, now - REQUESTS_KEPT * DAY, _PRUNED_AT_ONCE)
    whole = max(deliveries, keys, asked) < _PRUNED_AT_ONCE
    return task.at(now + PRUNE_EVERY if whole else now)


async def _compact(tx: Transaction, task: Task, now: int, _random: Random) -> Task:
    is_more = await tallies.compact(tx)
    return task.at(now if is_more else now + COMPACT_EVERY)


Handler = Callable[[Transaction, Task, int, Random], Awaitable[Task | None]]
_HANDLERS: Mapping[Kind, Handler] = {
    Kind.SEND: _release,
    Kind.FANOUT: _go_on,
    Kind.RETRACT: takeback.go_on,
    Kind.UPDATE: changes.tell,
    Kind.REMIND: planned.remind,
    Kind.POSTPONE: planned.come_back,
    Kind.FORGET: planned.forget,
    Kind.RETAIN: retention.retain,
    Kind.EMPTY: emptying.empty,
    Kind.DISBAND: topics.disband,
    Kind.DISCARD: documents.discard,
    Kind.ERASE: erasing.erase,
    Kind.CLOSE: tenants.close,
    Kind.PRUNE: _prune,
    Kind.COMPACT: _compact,
}
