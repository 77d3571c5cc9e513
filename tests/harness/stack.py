"""A whole Hushpost of real processes on loopback, for the crash harness, the benchmark and the tests of whole journeys.

The providers and the phones live in this process, so that what they saw can be asked; server and relay are processes of their own,
started from a configuration file by the command that people type, and can be killed and started again.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from crypto.keys import IdentityKey, read_keys
from simulator.phone import Phone
from simulator.providers import Providers

HUSHPOST = Path(sys.executable).with_name("hushpost")
PLENTY = 1_000_000_000
START_SECONDS = 30
PASSWORD = "correct horse battery staple"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without Hushpost's own variables, and with compiled modules kept between starts."""
    unwanted = ("HUSHPOST_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return kept | dict(extra)


@dataclass
class Process:
    """One `hushpost` command; its log is a file in the stack's directory."""

    name: str
    config: Path
    url: str
    log: Path
    _running: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._running is not None, f"{self.name} is not running"
        return self._running.pid

    async def start(self, session: aiohttp.ClientSession) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self._running = await asyncio.create_subprocess_exec(
                HUSHPOST, self.name, "--config", self.config, stdout=log, stderr=log, env=environment({})
            )
        async with asyncio.timeout(START_SECONDS):
            while not await self._answers(session):
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """End it as a power cut would: nothing in it gets to say goodbye."""
        if self._running is not None and self._running.returncode is None:
            self._running.kill()
            await self._running.wait()

    async def stop(self) -> None:
        if self._running is not None and self._running.returncode is None:
            self._running.terminate()
            await self._running.wait()

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        assert self._running is not None
        if self._running.returncode is not None:
            raise RuntimeError(f"{self.name} ended at its start:\n{self.log.read_text()[-2000:]}")
        try:
            async with session.get(f"{self.url}/healthz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


@dataclass
class Stack:
    """What is running. `session` talks to the server as a person would."""

    directory: Path
    providers: Providers
    server: Process
    relay: Process
    session: aiohttp.ClientSession
    token: str = field(repr=False, default="")

    @property
    def database(self) -> Path:
        return self.directory / "server" / "hushpost.db"

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the native API as the stack's account; an answer that is a refusal raises `RuntimeError`."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        url = self.server.url + path
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {text}")
            return await answer.json() if text else None

    async def sign_up(self) -> None:
        """Make the one account, and a token that outlives the sign-in."""
        account = {"email": "ada@example.org", "username": "ada", "password": PASSWORD}
        await self.call("POST", "/api/v1/auth/register", account)
        signed_in = await self.call("POST", "/api/v1/auth/login", account)
        self.token = signed_in["accessToken"]
        made = await self.call("POST", "/api/v1/access-tokens", {"name": "harness", "scopes": ["admin"]})
        self.token = made["token"]

    async def pair(self, *, platform: str, suite: int, name: str, keep: bool = True) -> Phone:
        """Pair a phone; one that does not `keep` its state on disk is faster and dies with this process."""
        code = await self.call("POST", "/api/v1/devices/pairing-codes", {})
        return await Phone.pair(
            code["link"],
            control=self.providers.control_url,
            platform=platform,
            suite=suite,
            name=name,
            file=self.directory / f"{name}.phone" if keep else None,
        )

    async def send(self, **message: Any) -> str:
        """Send a message to the default bucket; its id."""
        sent = await self.call(
            "POST", "/api/v1/messages", {"bucketId": "default", "deliveryType": "NORMAL"} | message
        )
        return str(sent["id"])


@asynccontextmanager
async def running(directory: Path, *, database_url: str = "") -> AsyncIterator[Stack]:
    """Server, relay and providers, one account signed in; all ended at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    async with (
        Providers(directory / "providers") as providers,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        config, urls = await _configure(directory, providers, database_url)
        server = Process("server", config, urls["server"], directory / "server.log")
        relay = Process("relay", config, urls["relay"], directory / "relay.log")
        stack = Stack(directory, providers, server, relay, session)
        try:
            await relay.start(session)
            await server.start(session)
            await stack.sign_up()
            yield stack
        finally:
            await server.stop()
            await relay.stop()


async def _configure(directory: Path, providers: Providers, database_url: str) -> tuple[Path, dict[str, str]]:
    addresses = {name: f"127.0.0.1:{free_port()}" for name in ("server", "relay")}
    urls = {name: f"http://{address}" for name, address in addresses.items()}
    config = directory / "hushpost.toml"
    config.write_text(_settings(directory, providers, addresses, database_url, allowed=()))
    for kind in ("server", "relay"):
        making = await asyncio.create_subprocess_exec(
            HUSHPOST,
            "keys",
            "new",
            kind,
            "--config",
            config,
            env=environment({}),
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert await making.wait() == 0, f"hushpost keys new {kind} failed"
    keys = read_keys((directory / "server" / "keys" / "server.key").read_text())
    allowed = tuple(key.public.id for key in keys if isinstance(key, IdentityKey))
    config.write_text(_settings(directory, providers, addresses, database_url, allowed=allowed))
    return config, urls


def _settings(
    directory: Path,
    providers: Providers,
    addresses: Mapping[str, str],
    database_url: str,
    *,
    allowed: tuple[str, ...],
) -> str:
    apns_host, _, apns_port = providers.apns_address.rpartition(":")
    return f"""
[server]
public_url = "http://{addresses["server"]}"
listen = "{addresses["server"]}"
data_dir = "{directory / "server"}"
relay_url = "http://{addresses["relay"]}"

[database]
url = "{database_url}"

[accounts]
argon2_memory_kib = 8192
argon2_time = 1

[relay]
public_url = "http://{addresses["relay"]}"
listen = "{addresses["relay"]}"
allowlist = {list(allowed)}

[relay.limits]
server = {PLENTY}
token = {PLENTY}
handles = {PLENTY}

[[relay.apns]]
topic = "{providers.app}"
key_id = "{providers.key_id}"
team_id = "{providers.team_id}"
key_file = "{providers.apns_key_file}"
environments = ["production"]
host = "{apns_host}"
port = {apns_port}
ca_file = "{providers.ca_file}"

[[relay.fcm]]
service_account_file = "{providers.service_account_file}"
endpoint = "{providers.fcm_url}"
ca_file = "{providers.ca_file}"

[log]
format = "json"
"""
