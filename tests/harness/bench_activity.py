"""A page of a tenant's activity over HTTP, by every filter: of a million entries and of ten thousand, on both engines.

Each length has a server and a database of its own. They are asked in turns, so that what else the machine does is in both figures.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

import asyncpg

from server.domain.times import show_time
from server.store.database import open_database
from tests.harness.bench_figures import say
from tests.harness.databases import engines, postgres_database
from tests.harness.seeding_activity import BETWEEN, Past
from tests.harness.stack import Stack, running

SIZES = (10_000, 1_000_000)
READERS = 100
TIMES = 200
WARM_UP = 20
RPC = "/api/v1/notifications/manage/get-notification-activity"


@dataclass(frozen=True)
class History:
    """A server with the activity of its one tenant, which ended at `end`."""

    stack: Stack
    rows: int
    end: int
    times: dict[str, list[float]] = field(default_factory=dict)

    async def ask(self, name: str, method: str, path: str, body: object) -> None:
        start = time.perf_counter()
        await self.stack.call(method, path, body)
        self.times.setdefault(name, []).append((time.perf_counter() - start) * 1000)

    def figure(self, name: str) -> float:
        return median(self.times[name][WARM_UP:])


async def activity(directory: Path) -> None:
    async with AsyncExitStack() as opened:
        histories = []
        for rows in SIZES:
            stack = await opened.enter_async_context(running(directory / f"sqlite-{rows}"))
            histories.append(await _filled(stack, f"sqlite:///{stack.database}", rows))
        await _compare("SQLite", histories)
    if "postgresql" not in engines():
        say("PostgreSQL", "not measured: none is reachable")
        return
    async with AsyncExitStack() as opened:
        histories = []
        for rows in SIZES:
            url = opened.enter_context(postgres_database())
            at = directory / f"postgresql-{rows}"
            stack = await opened.enter_async_context(running(at, database_url=url))
            histories.append(await _filled(stack, url, rows))
            await _settle(url)
        await _compare("PostgreSQL", histories)


async def _filled(stack: Stack, url: str, rows: int) -> History:
    """Write what its server would have written by now; meanwhile it is stopped."""
    async with _stopped(stack):
        database = await open_database(url)
        try:
            tenant = await database.read(
                lambda tx: tx.one("SELECT id FROM tenants WHERE name = $1", "default")
            )
            past = Past(database, tenant["id"] if tenant else "", time.time_ns() // 1_000_000, READERS)
            await past.grow(rows)
        finally:
            await database.close()
    return History(stack, past.rows, past.now)


@asynccontextmanager
async def _stopped(stack: Stack) -> AsyncIterator[None]:
    await stack.server.stop()
    yield
    await stack.server.start(stack.session)


async def _settle(url: str) -> None:
    """What the database does of itself, sooner or later."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def _compare(engine: str, histories: list[History]) -> None:
    small, large = histories
    for name in _asked(small):
        for _ in range(WARM_UP + TIMES):
            for history in histories:
                await history.ask(name, *_asked(history)[name])
        ratio = large.figure(name) / small.figure(name)
        say(
            f"activity, {engine}, {name}",
            f"{small.figure(name):>7.1f} ms of {small.rows:,}, {large.figure(name):.1f} of {large.rows:,}: {ratio:.2f} times",
        )


def _asked(history: History) -> Mapping[str, tuple[str, str, object]]:
    """Return every filter, and all of them together: what is asked for by it. Times are such that half lies between them."""
    half = history.rows / READERS / 1.8 * BETWEEN / 2  # a message has 1.8 entries for each reader
    times = {
        "startTime": show_time(int(history.end - 1.5 * half)),
        "endTime": show_time(int(history.end - half / 2)),
    }
    push, product = {"channels": ["PUSH"]}, {"categories": ["PRODUCT"]}
    bodies: Mapping[str, Mapping[str, object]] = {
        "unfiltered": {},
        "one channel": push,
        "two channels": {"channels": ["PUSH", "IN_APP"]},
        "one category": product,
        "between two times": times,
        "all filters": {**push, **product, **times},
        "the tenth page": {"page": 10},
    }
    natively = (
        f"/api/v1/activity?{urlencode({'cursor': f'{history.end}.00000000-0000-4000-8000-000000000000'})}"
    )
    return {
        **{name: ("POST", RPC, body) for name, body in bodies.items()},
        "natively, by a cursor": ("GET", natively, None),
    }
