"""Several processes that deliver from one database: each delivery once, and what one of them held is not lost with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from server.domain.delivery import LEASE
from server.domain.ports import Random
from server.store import leases
from server.store.database import open_database
from server.worker.outbox import Outbox
from tests.harness.clock import SettableClock
from tests.harness.gateways import Takes
from tests.reliability.conftest import another_outbox, let_pass
from tests.reliability.writing import assert_in_order, settled, write
from tests.server.worker.conftest import World, make_world


@pytest.fixture
async def shared(
    postgres_url: str, clock: SettableClock, random: Random, tmp_path: Path
) -> AsyncIterator[World]:
    db = await open_database(postgres_url)
    async with make_world(db, clock, random, tmp_path, stop_seconds=5) as made:
        yield made
    await db.close()


async def test_three_workers_send_everything_once_and_in_order(shared: World) -> None:
    phones = [await shared.phone() for _ in range(30)]
    rows = await write(shared, phones, 40)
    shared.gateway.behind = relay = Takes()
    async with AsyncExitStack() as running:
        for _ in range(3):
            outbox = await running.enter_async_context(another_outbox(shared))
            await running.enter_async_context(working(outbox))
        await settled(shared, state="accepted", number=len(rows))
    assert_in_order(relay, rows)


async def test_what_a_killed_worker_held_is_with_another_after_thirty_seconds(shared: World) -> None:
    phones = [await shared.phone() for _ in range(3)]
    rows = await shared.seeded.message(phones, title="held by the dead")
    now = shared.clock()
    assert (
        await shared.db.write(lambda tx: leases.claim(tx, "dead", now=now, until=now + LEASE, limit=9)) == 3
    )
    shared.gateway.behind = relay = Takes()
    async with shared.running():
        await let_pass(shared, LEASE - 1)
        assert relay.pushes == []
        await let_pass(shared, 1)
        await let_pass(shared, 1_000)
        await settled(shared, state="accepted", number=3)
    assert sorted(relay.pushes) == sorted(row.id for row in rows)


async def test_what_a_stopped_worker_held_is_with_another_at_once(shared: World) -> None:
    phone = await shared.phone()
    [row] = await shared.seeded.message([phone], title="handed over")
    shared.gateway.behind = stuck = Takes()
    stuck.open.clear()
    async with another_outbox(shared, stop_seconds=0) as outbox, working(outbox):
        await stuck.until_asked(1)
    shared.gateway.behind = relay = Takes()
    async with shared.running():
        await settled(shared, state="accepted", number=1)
    assert relay.pushes == [row.id]


@asynccontextmanager
async def working(outbox: Outbox) -> AsyncIterator[None]:
    task = asyncio.create_task(outbox.run())
    yield
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
