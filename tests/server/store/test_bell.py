"""The hint between processes: it arrives soon, never waits, and comes back by itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import asyncpg
import pytest
import structlog
from structlog.testing import LogCapture

from server.store.bell import Bell

_OURS = "application_name = 'hushpost bell' AND datname = current_database()"
Open = Callable[..., Awaitable[Bell]]


@pytest.fixture
def log() -> LogCapture:
    return LogCapture()


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def open_bell(postgres_url: str, log: LogCapture) -> AsyncIterator[Open]:
    tasks: list[asyncio.Task[None]] = []

    async def start(heard: Callable[[], None] | None = None, url: str = postgres_url) -> Bell:
        bell = Bell(url, heard, structlog.wrap_logger(structlog.PrintLogger(), processors=[log]))
        tasks.append(asyncio.create_task(bell.run()))
        return bell

    yield start
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Ear:
    """Counts rings."""

    def __init__(self) -> None:
        self.count = 0
        self._heard = asyncio.Event()

    def hear(self) -> None:
        self.count += 1
        self._heard.set()

    async def next(self) -> None:
        async with asyncio.timeout(10):
            await self._heard.wait()
        self._heard.clear()


async def test_who_listens_hears_who_rings(open_bell: Open) -> None:
    ear = Ear()
    await open_bell(ear.hear)
    await ear.next()  # one at the start: what was rung before was not heard
    (await open_bell()).ring()
    await ear.next()


async def test_a_thousand_rings_at_once_are_few(open_bell: Open) -> None:
    ear = Ear()
    await open_bell(ear.hear)
    await ear.next()
    bell = await open_bell()
    for _ in range(1000):
        bell.ring()
    await ear.next()
    (await open_bell()).ring()  # a second ringer's, sent after all that the first has sent
    await ear.next()
    assert ear.count == 3


async def test_a_connection_that_was_cut_is_made_again_and_what_was_missed_is_one_ring(
    open_bell: Open, other: asyncpg.Connection, log: LogCapture
) -> None:
    ear = Ear()
    await open_bell(ear.hear)
    await ear.next()
    assert await other.fetchval(
        f"SELECT bool_and(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {_OURS}"  # noqa: S608
    )
    await ear.next()
    (await open_bell()).ring()
    await ear.next()
    assert [(line["log_level"], line["event"]) for line in log.entries] == [
        ("warning", "no hints between processes, they poll"),
        ("info", "hints between processes work again"),
    ]


async def test_without_a_database_ringing_costs_nothing_and_the_log_says_it_once(
    open_bell: Open, log: LogCapture
) -> None:
    attempts: asyncio.Queue[None] = asyncio.Queue()

    def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        attempts.put_nowait(None)

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        bell = await open_bell(
            url=f"postgresql://nobody@127.0.0.1:{server.sockets[0].getsockname()[1]}/nothing"
        )
        for _ in range(4):
            bell.ring()
            async with asyncio.timeout(10):
                await attempts.get()
    assert [line["event"] for line in log.entries] == ["no hints between processes, they poll"]


async def test_what_is_rung_before_the_connection_is_there_is_sent_when_it_is(
    open_bell: Open, other: asyncpg.Connection
) -> None:
    ear = Ear()
    await other.add_listener("hushpost_work", lambda *_: ear.hear())
    (await open_bell()).ring()
    await ear.next()
