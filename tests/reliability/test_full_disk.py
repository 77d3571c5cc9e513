"""A disk that is full: what cannot be kept is refused, what was accepted is delivered, and it goes on when there is room."""

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from simulator.phone import Phone
from tests.harness.stack import Stack, running
from tests.reliability.asking import Answer, accepted, ask, figures, send_many, wait_until_ready

KIB = 1024


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path, settings={"HUSHPOST_WORKER_SEAL_PROCESSES": "1"}) as stack:
        yield stack


@pytest.fixture
async def phone(stack: Stack) -> AsyncIterator[Phone]:
    phone = await stack.pair(platform="ios", suite=1, name="ios", keep=False)
    yield phone
    await phone.close()


async def test_a_disk_that_fills_refuses_loses_nothing_and_needs_no_restart(
    stack: Stack, phone: Phone
) -> None:
    kept = accepted(await send_many(stack, "before", 20))
    assert len(kept) == 20
    with full_disk(stack):
        refused = await send_many(stack, "meanwhile", 60)
        kept += accepted(refused)
        assert {answer.status for answer in refused} <= {201, 503}
        await check_what_is_said(stack, [answer for answer in refused if answer.status == 503])
    await wait_until_ready(stack)
    assert await figures(stack, "hushpost_database_writable") == 1
    kept += accepted(await send_many(stack, "after", 20))
    assert len(kept) >= 40
    await shows_each_once(phone, kept)
    assert '"cause"' in stack.server.log.read_text()

    await refuses_to_start_on_a_full_disk(stack)
    check_file(stack)
    await stack.server.start(stack.session)
    kept += accepted(await send_many(stack, "started again", 5))
    await shows_each_once(phone, kept)
    await stack.server.stop()
    check_file(stack)


async def check_what_is_said(stack: Stack, refused: Sequence[Answer]) -> None:
    """Senders, whoever looks after the server, and its metrics learn the same."""
    assert refused[0].headers["Content-Type"] == "application/problem+json"
    assert refused[0].headers["Retry-After"] == "2"
    assert refused[0].json["code"] == "unavailable"
    assert "full" in refused[0].json["detail"]
    ready = await no_longer_ready(stack)
    assert (ready.status, ready.json["detail"]) == (503, "not working: database")
    assert (await ask(stack, "GET", "/healthz")).status == 200
    labels = {"route": "/api/v1/messages", "status": "503"}
    assert await figures(stack, "hushpost_http_requests_total", **labels) == len(refused)
    assert await figures(stack, "hushpost_database_writable") == 0
    assert (await stack.books()).balanced


async def no_longer_ready(stack: Stack) -> Answer:
    """Return the first answer that says so: one from just before is good for a moment."""
    async with asyncio.timeout(10):
        while (ready := await ask(stack, "GET", "/readyz")).status == 200:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.05)
    return ready


async def refuses_to_start_on_a_full_disk(stack: Stack) -> None:
    await stack.server.stop()
    stack.server.log = stack.directory / "second.log"
    with full_for_what_is_started(), pytest.raises(RuntimeError, match=r"hushpost\.db cannot be"):
        await stack.server.start(stack.session)


async def shows_each_once(phone: Phone, texts: Sequence[str]) -> None:
    await phone.until(lambda inbox: set(texts) <= {one.text for one in inbox.log})
    shown = [one.text for one in phone.inbox.log]
    assert sorted(shown) == sorted(set(shown))


def check_file(stack: Stack) -> None:
    with closing(sqlite3.connect(stack.database)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@contextmanager
def full_disk(stack: Stack) -> Iterator[None]:
    """Let no file of the server grow, as a full disk does."""
    sizes = [path.stat().st_size for path in stack.database.parent.glob(f"{stack.database.name}*")]
    before = resource.prlimit(stack.server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(stack.server.pid, resource.RLIMIT_FSIZE, (max(sizes), before[1]))
    try:
        yield
    finally:
        resource.prlimit(stack.server.pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def full_for_what_is_started() -> Iterator[None]:
    """Let nothing that is started meanwhile write more than a little."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * KIB, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
