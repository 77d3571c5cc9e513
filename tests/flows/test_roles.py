"""One process that answers and one that delivers, on one PostgreSQL: a message need not wait for the next look."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from simulator.phone import Phone
from tests.harness import databases
from tests.harness.stack import Stack, running

SECONDS = 20  # that a phone is waited for; the worker looks by itself only every 60

pytestmark = [
    pytest.mark.skipif("postgresql" not in databases.engines(), reason="no PostgreSQL"),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    with databases.postgres_database() as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> AsyncIterator[Stack]:
    seldom = {"HUSHPOST_WORKER_POLL_SECONDS": "60", "HUSHPOST_WORKER_SEAL_PROCESSES": "1"}
    folder = tmp_path_factory.mktemp("stack")
    async with running(folder, database_url=database_url, roles=("api", "worker"), settings=seldom) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="module")
async def stack(shared: Stack) -> AsyncIterator[Stack]:
    yield shared
    await shared.forget_phones()


@pytest_asyncio.fixture(loop_scope="module")
async def phone(stack: Stack) -> AsyncIterator[Phone]:
    phone = await stack.pair(platform="android", suite=1, name="android", keep=False)
    yield phone
    await phone.close()


async def test_a_message_reaches_the_worker_long_before_it_looks(stack: Stack, phone: Phone) -> None:
    for number in range(3):
        await stack.send(title="hello", body=f"hello {number}")
        async with asyncio.timeout(SECONDS):
            await phone.shows(f"hello {number}")


async def test_the_hint_is_back_soon_after_its_connections_were_cut(
    stack: Stack, phone: Phone, database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    cut = await connection.fetchval(
        "SELECT COUNT(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
        " WHERE application_name = 'hushpost bell' AND datname = current_database()"
    )
    assert cut == len(stack.servers)
    await connection.close()
    await stack.send(title="hello", body="hello again")
    async with asyncio.timeout(SECONDS):
        await phone.shows("hello again")


async def test_a_worker_answers_nobody_but_its_operator(stack: Stack) -> None:
    worker = stack.servers[1].url
    bearer = {"Authorization": f"Bearer {stack.token}"}
    statuses = {}
    for path in ("/healthz", "/readyz", "/metrics", "/api/v1/messages"):
        async with aiohttp.ClientSession() as session, session.get(worker + path, headers=bearer) as answer:
            statuses[path] = answer.status
    assert statuses == {"/healthz": 200, "/readyz": 200, "/metrics": 200, "/api/v1/messages": 404}
