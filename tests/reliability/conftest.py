"""What goes wrong around a server: worlds of an outbox, a real relay and simulated providers, and whole servers as processes."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry

from server.commands.sealing import Sealer
from server.domain.ports import Database, Random
from server.worker.dispatch import Dispatcher
from server.worker.metrics import OutboxMetrics
from server.worker.outbox import Outbox, OutboxSettings
from server.worker.pace import Pace
from tests.harness.clock import SettableClock
from tests.harness.databases import engines
from tests.harness.files import NO_FILES
from tests.relay.running import SERVER_KEY
from tests.server.worker.conftest import World, make_world

collect_ignore = [] if "postgresql" in engines() else ["test_several_workers.py"]


@pytest.fixture
async def world(
    database: Database, clock: SettableClock, random: Random, tmp_path: Path
) -> AsyncIterator[World]:
    async with make_world(database, clock, random, tmp_path, stop_seconds=5) as made:
        yield made


async def let_pass(world: World, milliseconds: int) -> None:
    """Let time pass for a running outbox, and let it do whatever is to be done then."""
    before = world.db.asked
    world.clock.advance(milliseconds)
    world.outbox.wake()
    await world.db.settle_down(after=before)
    while batches := [task for task in asyncio.all_tasks() if task.get_name() == "outbox-batch"]:
        await asyncio.wait(batches)
        await world.db.settle_down(after=before)


@asynccontextmanager
async def another_outbox(world: World, *, stop_seconds: float = 5) -> AsyncIterator[Outbox]:
    """An outbox of another process: it shares the database and what is behind `world.gateway`, and nothing else."""
    pool = ThreadPoolExecutor(1)
    sealer = Sealer(SERVER_KEY, pool, world.clock, world.seeded.random, NO_FILES, structlog.get_logger())
    pace, log = Pace(), structlog.wrap_logger(structlog.PrintLogger(), processors=[world.log])
    dispatcher = Dispatcher(
        world.db,
        world.gateway,
        sealer,
        world.texts,
        collapse_key=bytes(32),
        pace=pace,
        metrics=OutboxMetrics(CollectorRegistry()),
        log=log,
    )
    yield Outbox(
        world.db,
        dispatcher,
        pace=pace,
        settings=OutboxSettings(batch=100, in_flight=2, poll_seconds=0.02, stop_seconds=stop_seconds),
        clock=world.clock,
        random=world.seeded.random,
        log=log,
    )
    pool.shutdown()
