"""A scheduler for a world, and messages that it sends at their time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry

from server.domain.ids import new_id
from server.domain.ports import Transaction
from server.domain.task import Kind, Task
from server.store import tasks
from server.worker.metrics import SchedulerMetrics
from server.worker.scheduler import Scheduler
from tests.server.worker.conftest import World

WEEK = 7 * 86_400_000


@asynccontextmanager
async def scheduling(world: World) -> AsyncIterator[None]:
    scheduler = Scheduler(
        world.db,
        deliver=world.outbox.wake,
        poll_seconds=0.01,
        metrics=SchedulerMetrics(CollectorRegistry()),
        clock=world.clock,
        random=world.seeded.random,
        log=structlog.wrap_logger(structlog.PrintLogger(), processors=[world.log]),
    )
    task = asyncio.create_task(scheduler.run())
    yield
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def plan(world: World, at: int, *, member: bool = True) -> str:
    """Plan a message to a bucket, which the world's one user, who sends it, also reads, or not; its id."""
    seeded, now = world.seeded, world.clock()
    await seeded.message([], ttl=WEEK, title="planned")

    async def job(tx: Transaction) -> str:
        if member:
            await tx.run('UPDATE bucket_members SET permissions = \'["READ", "WRITE"]\'')
        [row] = await tx.all("SELECT id FROM messages")
        task = Task(new_id(now, seeded.random), Kind.SEND, row["id"], {"only": None, "page": 500}, at, 0, now)
        await tasks.add_task(tx, task)
        return str(row["id"])

    return await world.db.write(job)


async def times_sent(world: World, message: str) -> int:
    rows = await world.db.read(lambda tx: tx.all("SELECT id FROM inbox_items WHERE message_id = $1", message))
    return len(rows)


async def look(world: World) -> None:
    """Let the scheduler see what time it is and do what is due."""
    for _ in range(2):
        await world.db.settle_down(after=world.db.asked)
