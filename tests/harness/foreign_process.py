"""`hushpost` as a stranger runs it: a command, a directory, an address. Nothing of the product is imported."""

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

HUSHPOST = Path(sys.executable).with_name("hushpost")
START_SECONDS = 30
LOOK_EVERY = 0.02  # seconds between two looks at another process

# What keeps a run short; none of it changes what is said on the wire.
QUICK = {
    "HUSHPOST_ACCOUNTS_ARGON2_MEMORY_KIB": "8192",
    "HUSHPOST_ACCOUNTS_ARGON2_TIME": "1",
    "HUSHPOST_ACCOUNTS_REGISTRATION": "open",
    "HUSHPOST_WORKER_SEAL_PROCESSES": "1",
}


@dataclass(frozen=True)
class Running:
    """A process that answers at `url`, in a directory of its own."""

    url: str
    directory: Path
    process: Process

    def said(self) -> str:
        """What it wrote to standard error."""
        return (self.directory / "log").read_text()


async def run(*arguments: str, directory: Path, env: Mapping[str, str]) -> Process:
    """Start `hushpost` in `directory`; its standard error is the file `log` there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUSHPOST_")}
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else runs meanwhile
    with (directory / "log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            HUSHPOST,
            *arguments,
            cwd=directory,
            env=kept | QUICK | dict(env),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=log,
        )


@asynccontextmanager
async def running(
    *arguments: str, directory: Path, port: int, env: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """Run it until the block ends; it answers at `port` once the block begins."""
    process = await run(*arguments, directory=directory, env=env or {})
    started = Running(f"http://127.0.0.1:{port}", directory, process)
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await _answers(started):  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(LOOK_EVERY)
        yield started
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(started: Running) -> bool:
    assert started.process.returncode is None, f"it ended at its start:\n{started.said()}"
    try:
        async with aiohttp.ClientSession() as session, session.get(started.url + "/healthz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Look at a process until it has come to something; fails after 10 s."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(LOOK_EVERY)
