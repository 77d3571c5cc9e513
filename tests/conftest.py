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


# Begun first, the longest before the others: what is begun last is waited for alone. Nothing depends on the order.
_LONG = (
    "server/cli/test_backup.py",
    "server/api/test_schemathesis.py",
    "server/cli/test_relay_processes.py",
    "flows/test_web_push.py",
    "server/cli/test_workers.py",
    "flows/test_demo.py",
    "server/cli/test_database.py",
    "reliability/test_soak.py",
    "interop/test_webpush_libraries.py",
    "server/cli/test_doctor.py",
    "reliability/test_paused_database.py",
    "flows/test_foreign_relay.py",
    "server/live/test_hub.py",
    "flows/test_doctor.py",
    "reliability/test_relay_restarts.py",
    "relay/http2/test_time.py",
    "server/commands/test_many.py",
    "server/commands/test_state_machine.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Python 3.12 took `?1` for a name at first, and warned of it (python/cpython#117995); it was and is a number."""
    config.addinivalue_line(
        "filterwarnings", r"ignore:Binding \d+ \('\?\d+'\) is a named parameter:DeprecationWarning"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {Path(__file__).parent / name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


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
