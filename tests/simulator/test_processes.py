"""The simulator's processes, as another language's tests would use them: over JSON lines, files and sockets."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from simulator.providers import Providers
from tests.simulator.clients import Time
from tests.simulator.http2 import Client
from tests.simulator.peer import Peer

Start = Callable[..., Any]


class Running:
    def __init__(self, process: Process) -> None:
        self.process = process

    async def event(self, name: str) -> dict[str, Any]:
        """Read lines until one tells of `name`."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            event: dict[str, Any] = json.loads(line)
            if event["event"] == name:
                return event
        raise AssertionError(f"ended without {name}")

    async def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    running: list[Running] = []

    async def make(*arguments: str) -> Running:
        command = (sys.executable, "-m", "simulator", *arguments)
        running.append(Running(await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)))
        return running[-1]

    yield make
    for one in running:
        await one.end(signal.SIGKILL)


class Now(Time):
    """A process has the real time, so its peer must too."""

    def __init__(self) -> None:
        import time  # noqa: PLC0415 - `time` is a fixture's name here

        self.now = time.time()


@pytest.fixture
def time() -> Time:
    return Now()


async def test_providers_tell_where_they_are_and_end_when_told(start: Start, tmp_path: Path) -> None:
    running = await start("providers", "--data", str(tmp_path / "data"))
    ready = await running.event("ready")
    client = await Client.connect(ready["apns"], Path(ready["caFile"]))
    await client.close()
    account = json.loads(await asyncio.to_thread(Path(ready["serviceAccountFile"]).read_text))
    assert account["token_uri"] == ready["token"]
    assert await running.end() == 0


async def test_a_phone_pairs_shows_and_goes_on_after_being_killed(
    start: Start, peer: Peer, providers: Providers, tmp_path: Path
) -> None:
    state = str(tmp_path / "phone.json")
    arguments = ("phone", "--name", "ada", "--control", providers.control_url, "--state", state)
    phone = await start(*arguments, "--platform", "ios", "--suite", "2", "--link", peer.link)
    assert (await phone.event("paired"))["name"] == "ada"
    await peer.push(peer.make("Backup finished ✓"))
    assert (await phone.event("shown"))["text"] == "Backup finished ✓"
    await phone.end(signal.SIGKILL)
    await peer.push(peer.make("meanwhile"))
    phone = await start(*arguments)
    assert (await phone.event("shown"))["text"] == "meanwhile"
    peer.make("lost on its way")
    phone.process.send_signal(signal.SIGUSR1)
    assert (await phone.event("shown"))["text"] == "lost on its way"
    assert await phone.end() == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["phone", "--control", "http://127.0.0.1:1"], "link: --link is needed"),
        (["phone", "--control", "http://127.0.0.1:1", "--link", "https://x"], "link: not a pairing link"),
        (["providers", "--data", "nowhere", "--apns", "here"], "'here' is not HOST:PORT"),
    ],
)
async def test_wrong_use_is_explained(start: Start, arguments: list[str], says: str) -> None:
    running = await start(*arguments)
    _, stderr = await running.process.communicate()
    assert says in stderr.decode()
    assert running.process.returncode == 2
