"""What goes wrong around a server: worlds of an outbox, a real relay and simulated providers, and whole servers as processes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.domain.ports import Database, Random
from tests.harness.clock import SettableClock
from tests.server.worker.conftest import World, make_world


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
