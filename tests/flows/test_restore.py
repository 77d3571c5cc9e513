"""A server is lost and restored from a backup that was taken while it ran: what its phones see of that."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulator.phone import Phone
from tests.harness import databases
from tests.harness.process import HUSHPOST, environment
from tests.harness.stack import Stack, running


@contextmanager
def database_on(engine: str) -> Iterator[str]:
    """The URL of a database that has no tables; empty for the file in the data directory."""
    if engine == "sqlite":
        yield ""
    else:
        with databases.postgres_database(migrated=False) as url:
            yield url


@pytest.fixture(params=databases.engines())
def urls(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The database that is lost, and the empty one that takes its place."""
    with database_on(request.param) as lost, database_on(request.param) as new:
        yield lost, new


@pytest.fixture
async def stack(tmp_path: Path, urls: tuple[str, str]) -> AsyncIterator[Stack]:
    async with running(tmp_path, database_url=urls[0]) as stack:
        yield stack


@pytest.fixture
async def phones(stack: Stack) -> AsyncIterator[tuple[Phone, Phone]]:
    ios = await stack.pair(platform="ios", suite=2, name="ios")
    android = await stack.pair(platform="android", suite=1, name="android")
    yield ios, android
    await ios.close()
    await android.close()


async def hushpost(stack: Stack, *arguments: str) -> None:
    command = await asyncio.create_subprocess_exec(
        HUSHPOST, *arguments, "--config", stack.server.config, env=environment({})
    )
    assert await command.wait() == 0, arguments


async def test_phones_of_a_restored_server_show_everything_once_and_miss_nothing_that_it_has(
    stack: Stack, phones: tuple[Phone, Phone], urls: tuple[str, str]
) -> None:
    ios, android = phones
    backup = str(stack.directory / "backup.tar")
    await stack.send(title="1", body="before")
    for phone in phones:
        await phone.shows("before")

    stack.providers.behave(android.pairing.push_token, drop=2)
    stack.providers.behave(ios.pairing.push_token, drop=1)
    await stack.send(title="2", body="dropped on the way")
    await stack.providers.until(lambda recorded: pushes(recorded) == 4)
    await settled(stack)
    await hushpost(stack, "backup", "--out", backup)
    await stack.send(title="3", body="after the backup")
    await ios.shows("after the backup")
    await stack.providers.until(lambda recorded: pushes(recorded) == 6)

    await stack.server.kill()
    lose(stack, *urls)
    await hushpost(stack, "restore", backup)
    await stack.server.start(stack.session)
    await stack.send(title="4", body="restored")

    for phone in phones:
        await phone.shows("restored")
        await phone.shows("dropped on the way")
        await phone.refresh()
    assert sorted(one.text for one in ios.inbox.log) == [
        *("after the backup", "before", "dropped on the way", "restored")
    ]
    assert sorted(one.text for one in android.inbox.log) == ["before", "dropped on the way", "restored"]
    assert all(phone.inbox.numbering.head > 2**32 for phone in phones)


def pushes(recorded: object) -> int:
    assert isinstance(recorded, list)
    return sum(one.provider in {"apns", "fcm"} for one in recorded)


async def settled(stack: Stack) -> None:
    """Wait until the server knows what became of everything, so that the backup does."""
    async with asyncio.timeout(10):
        while (await stack.books()).waiting:  # noqa: ASYNC110 - another process tells nobody
            await asyncio.sleep(0.02)


def lose(stack: Stack, old: str, new: str) -> None:
    """Take the data directory away, and the database if it is elsewhere."""
    (stack.directory / "server").rename(stack.directory / "lost")
    config = stack.server.config
    config.write_text(config.read_text().replace(f'url = "{old}"', f'url = "{new}"'))
