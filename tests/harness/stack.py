"""A whole Hushpost of real processes on loopback, for the crash harness, the benchmark and the tests of whole journeys.

The providers and the phones live in this process, so that what they saw can be asked; server and relay are processes of their own,
started from a configuration file by the command that people type, and can be killed and started again.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from crypto.encoding import b64u
from crypto.keys import IdentityKey, read_keys
from simulator.keeper import OnEvent
from simulator.phone import Phone, ignore
from simulator.providers import WEB_APP, Providers
from simulator.webpush_rules import HOST
from tests.harness.conservation import Books, ask_books
from tests.harness.keyfiles import make_relay_keys, make_server_keys
from tests.harness.ports import free_port
from tests.harness.process import Process
from tests.harness.simulated import simulated

PLENTY = 1_000_000_000
PASSWORD = "correct horse battery staple"
VAPID = b64u(bytes.fromhex("7a" * 32))
EVERYTHING = "all"
"""The role of a server that is the only one: it answers requests and delivers."""


@dataclass
class Stack:
    """What is running. `session` talks to the server as a person would."""

    directory: Path
    providers: Providers
    servers: Sequence[Process]
    relay: Process
    session: aiohttp.ClientSession
    token: str = field(repr=False, default="")

    @property
    def server(self) -> Process:
        """The first one, by whose address phones and people know the server."""
        return self.servers[0]

    @property
    def database(self) -> Path:
        return self.directory / "server" / "hushpost.db"

    @property
    def key_id(self) -> str:
        """What a relay knows the server by."""
        return _key_id(self.directory)

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

    async def pair(
        self, *, platform: str, suite: int, name: str, keep: bool = True, on_event: OnEvent = ignore
    ) -> Phone:
        """Pair a phone; one that does not `keep` its state on disk is faster and dies with this process."""
        code = await self.call("POST", "/api/v1/devices/pairing-codes", {})
        return await Phone.pair(
            code["link"],
            control=self.providers.control_url,
            platform=platform,
            suite=suite,
            name=name,
            file=self.directory / f"{name}.phone" if keep else None,
            on_event=on_event,
        )

    async def send(self, **message: Any) -> str:
        """Send a message to the default bucket; its id."""
        sent = await self.call(
            "POST", "/api/v1/messages", {"bucketId": "default", "deliveryType": "NORMAL"} | message
        )
        return str(sent["id"])

    async def forget_phones(self) -> None:
        """Unpair all phones and forget what the providers saw: for tests that share a stack."""
        for device in (await self.call("GET", "/api/v1/devices"))["devices"]:
            await self.call("DELETE", f"/api/v1/devices/{device['id']}")
        self.providers.clear()

    async def books(self) -> Books:
        return await ask_books(self.session, self.server.url, self.token)

    async def check_books(self) -> None:
        """Conservation must hold whenever it is asked for, whatever is under way."""
        if self.server.alive and self.token:
            books = await self.books()
            assert books.balanced, f"conservation does not hold: {books}"


@asynccontextmanager
async def running(
    directory: Path,
    *,
    database_url: str = "",
    roles: Sequence[str] = (EVERYTHING,),
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Stack]:
    """Server, relay and providers, one account signed in; all ended at the end, conservation having been checked.

    `roles`: one server process for each, all on one database, the first of which must answer requests. `settings` are
    environment variables for server and relay.
    """
    directory.mkdir(parents=True, exist_ok=True)
    async with (
        simulated(directory / "providers") as providers,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        config, urls = _configure(directory, providers, database_url)
        relay = Process(
            "relay", ("relay",), config, urls["relay"], directory / "relay.log", settings=settings or {}
        )
        stack = Stack(
            directory, providers, _servers(config, urls["server"], roles, settings or {}), relay, session
        )
        try:
            await asyncio.gather(relay.start(session), stack.server.start(session))
            # The first one has made the tables by now.
            await asyncio.gather(*(server.start(session) for server in stack.servers[1:]))
            await stack.sign_up()
            yield stack
            await stack.check_books()
        finally:
            await asyncio.gather(*(server.stop() for server in stack.servers))
            await relay.stop()


@asynccontextmanager
async def joined(directory: Path, *, settings: Mapping[str, str] | None = None) -> AsyncIterator[Stack]:
    """The same with server and relay of one operator in one process: `hushpost up`."""
    directory.mkdir(parents=True, exist_ok=True)
    async with simulated(directory / "providers") as providers, aiohttp.ClientSession() as session:
        config, urls = _configure(directory, providers, "")
        up = Process("up", ("up",), config, urls["server"], directory / "up.log", settings=settings or {})
        stack = Stack(directory, providers, (up,), up, session)
        try:
            await up.start(session)
            await stack.sign_up()
            yield stack
            await stack.check_books()
        finally:
            await up.stop()


def _servers(
    config: Path, url: str, roles: Sequence[str], settings: Mapping[str, str]
) -> tuple[Process, ...]:
    if tuple(roles) == (EVERYTHING,):
        return (
            Process("server", ("server",), config, url, config.with_name("server.log"), settings=settings),
        )
    servers = []
    for index, role in enumerate(roles):
        name = f"{role}-{roles[: index + 1].count(role)}"
        own = f"127.0.0.1:{free_port()}"
        listens = {} if index == 0 else {"HUSHPOST_SERVER_LISTEN": own}
        servers.append(
            Process(
                name,
                ("server", "--role", role),
                config,
                url if index == 0 else f"http://{own}",
                config.with_name(f"{name}.log"),
                settings={**settings, **listens},
            )
        )
    return tuple(servers)


def _configure(directory: Path, providers: Providers, database_url: str) -> tuple[Path, dict[str, str]]:
    addresses = {name: f"127.0.0.1:{free_port()}" for name in ("server", "relay")}
    urls = {name: f"http://{address}" for name, address in addresses.items()}
    config = directory / "hushpost.toml"
    for make in (make_server_keys, make_relay_keys):
        make(directory / "server")
    allowed = (_key_id(directory),)
    config.write_text(_settings(directory, providers, addresses, database_url, allowed=allowed))
    return config, urls


def _key_id(directory: Path) -> str:
    keys = read_keys((directory / "server" / "keys" / "server.key").read_text())
    [identity] = [key for key in keys if isinstance(key, IdentityKey)]
    return identity.public.id


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

[limits]
credential = 0
address = 0

[relay]
public_url = "http://{addresses["relay"]}"
listen = "{addresses["relay"]}"
allowlist = {list(allowed)}
webpush_hosts = ["{HOST}"]
webpush_connect = ["{providers.webpush_connect}"]
webpush_ca_file = "{providers.ca_file}"

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

[[relay.webpush]]
app = "{WEB_APP}"
key = "{VAPID}"
subject = "mailto:operator@example.org"

[log]
format = "json"
"""
