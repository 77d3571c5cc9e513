"""One batch whose sealing takes longer than its lease."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from server.commands.sealing import Sealer
from server.domain.delivery import LEASE
from server.store import leases
from server.worker.dispatch import Dispatcher, Lease
from server.worker.metrics import OutboxMetrics
from server.worker.pace import Pace
from tests.harness.files import NO_FILES
from tests.relay.running import SERVER_KEY
from tests.server.worker.conftest import SECRET, World


class Stalling(Executor):
    """Has something happen before it does what it is given."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._meanwhile = meanwhile
        self._tasks: list[asyncio.Task[None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        async def work() -> None:
            await self._meanwhile()
            future.set_result(fn(*args, **kwargs))

        self._tasks.append(asyncio.get_running_loop().create_task(work()))
        return future


def stalled(world: World, meanwhile: Callable[[], Awaitable[None]]) -> Dispatcher:
    return Dispatcher(
        world.db,
        world.gateway,
        Sealer(
            SERVER_KEY,
            Stalling(meanwhile),
            world.clock,
            world.seeded.random,
            NO_FILES,
            structlog.get_logger(),
        ),
        world.texts,
        collapse_key=SECRET,
        pace=Pace(),
        metrics=OutboxMetrics(CollectorRegistry()),
        log=structlog.wrap_logger(structlog.PrintLogger(), processors=[world.log]),
    )


async def leased(world: World, lease: str) -> Lease:
    now = world.clock()
    await world.db.write(lambda tx: leases.claim(tx, lease, now=now, until=now + LEASE, limit=9))
    return Lease(lease, now + LEASE)


async def test_a_lease_that_ended_is_extended_while_nobody_has_taken_what_it_holds(world: World) -> None:
    await world.seeded.message([await world.phone()], title="slow")

    async def meanwhile() -> None:
        world.clock.advance(LEASE + 1)

    await stalled(world, meanwhile).deliver(await leased(world, "slow"))
    assert await world.seeded.states() == ["accepted"]


async def test_what_another_worker_has_taken_meanwhile_is_left_to_it(world: World) -> None:
    """Else a machine that is too busy to seal in time would send everything twice, and so be busier still."""
    phone = await world.phone()
    await world.seeded.message([phone], title="slow")

    async def meanwhile() -> None:
        world.clock.advance(LEASE + 1)
        await world.db.write(lambda tx: leases.recover(tx, world.clock()))
        await leased(world, "other")

    await stalled(world, meanwhile).deliver(await leased(world, "slow"))
    assert world.gateway.batches == []
    assert await world.seeded.states() == ["leased"]
    assert [entry["log_level"] for entry in world.log.entries] == ["warning"]
