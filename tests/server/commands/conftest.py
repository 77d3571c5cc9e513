"""What the tests of commands share: people and phones over time."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.domain.ports import Database
from tests.harness.calendar import Calendar
from tests.harness.model_world import World


@pytest.fixture
async def calendar(database: Database) -> AsyncIterator[Calendar]:
    with ThreadPoolExecutor(1) as pool:
        yield await Calendar.make(await World.make(database, 500, pool))
