"""What every room's tests are given: databases, a clock that stands still, and randomness that repeats."""

import os
import random as pseudo
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from server.domain.ports import Database, Random
from server.store.database import open_database
from server.store.migrations import migrate
from tests.harness import databases
from tests.harness.clock import SettableClock

# No test fails for taking long: how fast the machine is, is not what is tested.
settings.register_profile("hushpost", deadline=None)
settings.load_profile("hushpost")

# The processes that tests start keep their compiled modules: without them each start takes seconds longer.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_report_header() -> str:
    return databases.report()


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(1_800_000_000_000)


@pytest.fixture
def random() -> Random:
    return pseudo.Random(8439).randbytes  # noqa: S311 - it must repeat


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "hushpost.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    return databases.copy_sqlite(sqlite_template, tmp_path)


@pytest.fixture(scope="session")
def postgres_session_url() -> Iterator[str]:
    with databases.postgres_database() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_session_url: str) -> str:
    databases.empty_postgres(postgres_session_url)
    return postgres_session_url


@pytest.fixture(params=databases.engines())
def database_url(request: pytest.FixtureRequest) -> str:
    """Each test that uses it runs on every engine there is, on empty tables."""
    url = request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param])
    return str(url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url)
    yield opened
    await opened.close()
