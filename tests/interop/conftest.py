"""The simulated providers, once for all tests of what others' libraries do with them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from simulator.providers import Providers


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Providers]:
    async with Providers(tmp_path_factory.mktemp("providers")) as providers:
        yield providers


@pytest.fixture
def providers(running: Providers) -> Providers:
    running.clear()
    return running
