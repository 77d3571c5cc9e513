"""A database that says nothing for ten seconds: whoever asked is answered, and what was accepted is shown once.

Both engines at the same time, since most of it is waiting.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

from tests.harness.databases import engines, postgres_database
from tests.harness.stack import Stack, running
from tests.harness.wire import wired
from tests.reliability.asking import Answer, accepted, ask, paired, send_many, wait_until_ready

PAUSE = 10.0
ANSWERED_WITHIN = 15.0
SLOW = 3.0  # seconds that the provider takes for what is under way when the pause begins
SETTINGS = {"HUSHPOST_WORKER_SEAL_PROCESSES": "1"}
Pausing = Callable[[], Coroutine[Any, Any, None]]


async def test_ten_seconds_of_silence_lose_nothing_and_show_nothing_twice(tmp_path: Path) -> None:
    paused = [sqlite_held_by_another(tmp_path / "sqlite")]
    if "postgresql" in engines():
        paused.append(postgres_out_of_reach(tmp_path / "postgresql"))
    async with asyncio.TaskGroup() as both:
        for one in paused:
            both.create_task(lives_through(one))


@asynccontextmanager
async def sqlite_held_by_another(directory: Path) -> AsyncIterator[tuple[Stack, Pausing]]:
    async with running(directory, settings=SETTINGS) as stack:
        with closing(sqlite3.connect(stack.database, isolation_level=None)) as other:

            async def pause() -> None:
                other.execute("BEGIN IMMEDIATE")
                await asyncio.sleep(PAUSE)
                other.execute("ROLLBACK")

            yield stack, pause


@asynccontextmanager
async def postgres_out_of_reach(directory: Path) -> AsyncIterator[tuple[Stack, Pausing]]:
    async with AsyncExitStack() as resources:
        database = resources.enter_context(postgres_database())
        wire, url = await resources.enter_async_context(wired(database))

        async def pause() -> None:
            wire.hold()
            await asyncio.sleep(PAUSE)
            wire.release()

        yield (
            await resources.enter_async_context(running(directory, database_url=url, settings=SETTINGS)),
            pause,
        )


async def lives_through(opened: AbstractAsyncContextManager[tuple[Stack, Pausing]]) -> None:
    async with opened as (stack, pause), paired(stack) as phone:
        kept = accepted(await send_many(stack, "before", 10))
        stack.providers.script("apns", kind="delay", delay=SLOW, times=5)
        kept += accepted(await send_many(stack, "under way", 5))
        await phone.until(lambda inbox: len(inbox.log) == 15)
        answers = await ask_during(stack, pause)
        kept += accepted(answers)
        assert {answer.status for answer in answers} <= {201, 503}
        assert max(answer.seconds for answer in answers) < ANSWERED_WITHIN
        await wait_until_ready(stack)
        kept += accepted(await send_many(stack, "after", 5))
        await phone.until(lambda inbox: set(kept) <= {one.text for one in inbox.log})
        await nothing_waits(stack)
        assert max(Counter(one.text for one in phone.inbox.log).values()) == 1
        sent = Counter(one.header("apns-id") for one in stack.providers.recorded)
        assert max(sent.values()) == 1, "what had been sent was sent again"


async def ask_during(stack: Stack, pause: Pausing) -> list[Answer]:
    """Send while the database is silent, at its beginning, in the middle and towards its end."""
    pausing = asyncio.create_task(pause())
    await asyncio.sleep(0)
    sending = []
    for moment in range(3):
        sending.append(asyncio.create_task(send_many(stack, f"moment {moment}", 5)))
        await asyncio.sleep(PAUSE / 10)
        ready = await ask(stack, "GET", "/readyz")
        assert (ready.status, ready.json["detail"]) == (503, "not working: database")
    await pausing
    return [answer for answers in await asyncio.gather(*sending) for answer in answers]


async def nothing_waits(stack: Stack) -> None:
    async with asyncio.timeout(10):
        while (books := await stack.books()).waiting:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.1)
    assert books.balanced
    assert not books.given_up
