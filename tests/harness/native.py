"""A server on a loopback socket, and a client that speaks the native API to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from server.domain.errors import Unavailable
from server.domain.relay import ADMITTED, AskHandle, RelayApp, RelayState

_LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __getitem__(self, name: str) -> Any:
        return self.json[name]

    @property
    def code(self) -> str:
        return str(self.json["code"])

    @property
    def faults(self) -> dict[str, str]:
        """The reasons in a problem document, by path."""
        return {fault["path"]: fault["reason"] for fault in self.json.get("errors", [])}


@dataclass(frozen=True)
class Native:
    """Calls one server; `token` is sent with every call."""

    session: aiohttp.ClientSession
    url: str
    token: str | None = None

    def with_token(self, token: str | None) -> "Native":
        return Native(self.session, self.url, token)

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send `body` as JSON, or `raw` as it is."""
        sent = dict(headers or {})
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(method, self.url + path, data=data, headers=sent) as response:
            return Reply(response.status, response.headers.copy(), await response.read())

    async def get(self, path: str) -> Reply:
        return await self.call("GET", path)

    async def post(self, path: str, body: object = None) -> Reply:
        return await self.call("POST", path, body)

    async def put(self, path: str, body: object = None) -> Reply:
        return await self.call("PUT", path, body)

    async def patch(self, path: str, body: object = None) -> Reply:
        return await self.call("PATCH", path, body)

    async def delete(self, path: str) -> Reply:
        return await self.call("DELETE", path)


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """Serve an application on a free port of loopback and yield its URL."""
    # A query may be longer than usual: beyond that the library answers by itself, and the application is not asked.
    runner = web.AppRunner(app, access_log=None, auto_decompress=False, max_line_size=_LONGEST_LINE)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


class Wakes:
    """A worker that delivers nothing and counts how often it was woken: here, nobody is to be reached."""

    def __init__(self) -> None:
        self.count = 0
        self.woken = asyncio.Event()
        self.fail = asyncio.Event()
        self.relay = RelayState("https://relay.example.org", ADMITTED)
        self.asked = 0
        self.handles: AskHandle | None = None

    async def ask_relay(self) -> RelayState:
        """What the relay says, without one."""
        self.asked += 1
        return self.relay

    async def ask_handle(self, app: RelayApp, token: str) -> str:
        """Ask the relay that a test has put behind this server, of which there is none by itself."""
        if self.handles is None:
            raise Unavailable("there is no relay", retry_after=1, code="relay_unavailable")
        return await self.handles(app, token)

    def wake(self) -> None:
        self.count += 1
        self.woken.set()

    async def run(self) -> None:
        await self.fail.wait()
        raise RuntimeError("told to fail")
