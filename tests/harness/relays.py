"""Relays as processes of their own, with simulated providers, and a server that does not give up."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from relay.wire import Outcome, encode_pushes
from simulator.providers import Providers
from tests.harness.clock import SettableClock
from tests.harness.crew import Crew, crew
from tests.harness.ports import free_port
from tests.harness.simulated import simulated
from tests.relay.running import EPOCH, PUBLIC_URL, RELAY_KEY, SERVER_KEY, Relay, config, push

ADMITTED = [SERVER_KEY.public.id]


class RealClock(SettableClock):
    def __call__(self) -> int:
        return time.time_ns() // 1_000_000


@dataclass
class Site:
    """Where one relay's configuration lies; several may be started from it, each at an address of its own."""

    folder: Path
    providers: Providers

    @property
    def file(self) -> Path:
        return self.folder / "relay.toml"

    def write_keys(self, *texts: str) -> None:
        keys = self.folder / "data" / "keys" / "relay.keys"
        keys.parent.mkdir(parents=True, exist_ok=True)
        keys.touch(mode=0o600)
        keys.write_text("".join(f"{text}\n" for text in texts))

    def write(self, allowlist: Sequence[str] = ADMITTED, more: str = "") -> None:
        host, _, port = self.providers.apns_address.rpartition(":")
        self.file.write_text(f"""
[server]
data_dir = "data"
[log]
format = "json"
[relay]
public_url = "{PUBLIC_URL}"
allowlist = {list(allowlist)}
{more}
[relay.limits]
server = 1000000
token = 1000000
[[relay.apns]]
topic = "{self.providers.app}"
key_id = "{self.providers.key_id}"
team_id = "{self.providers.team_id}"
key_file = "{self.providers.apns_key_file}"
host = "{host}"
port = {port}
ca_file = "{self.providers.ca_file}"
""")

    @asynccontextmanager
    async def relay(self, workers: int) -> AsyncIterator[Crew]:
        """A relay of so many processes, once it serves."""
        address = f"127.0.0.1:{free_port()}"
        settings = {"HUSHPOST_RELAY_LISTEN": address, "TMPDIR": str(self.folder)}
        command = ("relay", "--workers", str(workers), "--config", str(self.file))
        async with crew(self.folder, *command, settings=settings) as running:
            await running.says("listening")
            began = int(time.time())
            while int(time.time()) == began:  # noqa: ASYNC110 - until then it refuses what may be from before it started
                await asyncio.sleep(0.01)
            running.url = f"http://{address}"
            yield running


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    async with simulated(folder / "providers") as providers:
        made = Site(folder, providers)
        made.write_keys(RELAY_KEY.text, EPOCH.text)
        made.write()
        yield made


def caller(url: str, session: aiohttp.ClientSession) -> Relay:
    """What signs requests to a relay process and verifies what it answers."""
    return Relay(config(), RealClock(0), secrets.token_bytes, session, web.Application(), url)


@dataclass
class Load:
    """Sends pushes over kept connections, each until it is settled, to whichever of `urls` answers; counts what happened."""

    urls: Sequence[str]
    providers: Providers
    batch: int = 5
    clients: int = 8
    accepted: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        stop = asyncio.Event()
        tasks = [asyncio.create_task(self._client(number, stop)) for number in range(self.clients)]
        try:
            yield self
        finally:
            stop.set()
            async with asyncio.timeout(30):
                await asyncio.gather(*tasks)

    async def more(self, number: int) -> None:
        """Wait until so many more were accepted."""
        goal = len(self.accepted) + number
        async with asyncio.timeout(30):
            while len(self.accepted) < goal:  # noqa: ASYNC110 - eight clients are at work
                await asyncio.sleep(0.005)

    async def _client(self, number: int, stop: asyncio.Event) -> None:
        async with aiohttp.ClientSession() as session:
            ids = self._ids(number)
            turn = number
            while not stop.is_set():
                token = self.providers.token("apns")
                handle = caller("", session).handle(token)
                pushes = [push(handle, id=next(ids)) for _ in range(self.batch)]
                while pushes:
                    turn += 1
                    relay = caller(self.urls[turn % len(self.urls)], session)
                    outcomes = await self._send(relay, pushes)
                    self.accepted |= {
                        one.id: token for one in outcomes if one.id and one.status == "accepted"
                    }
                    pushes = [one for one in pushes if one.id not in self.accepted]

    @staticmethod
    def _ids(client: int) -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield f"00000000-0000-4000-8{client:03x}-{number:012x}"

    async def _send(self, relay: Relay, pushes: Sequence[Any]) -> Sequence[Outcome]:
        try:
            answer = await relay.post(encode_pushes(pushes))
        except (aiohttp.ClientError, ConnectionError) as error:
            self.broken.append(type(error).__name__)
            await asyncio.sleep(0.01)
            return ()
        relay.verify(answer)
        if answer.status != 200:
            self.refused.append(answer.code)
            await asyncio.sleep(0.05)
            return ()
        return answer.outcomes
