"""A tenant's own server that is asked for texts: on a real socket, it verifies who asks, and does what a test tells it to."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from standardwebhooks import Webhook

from server.commands.resolving import PURPOSE, Endpoints
from server.commands.vault import vault_of
from server.commands.webhooks import show_key
from server.domain.ports import Clock, Database, Random
from server.worker.metrics import ResolverMetrics
from server.worker.resolver import TextResolver
from server.worker.web import Web
from tests.harness.native import listening

KEY = bytes(range(7, 39))
SECRET = show_key(KEY)


def texts(headline: str, body: str | None = None, **more: Any) -> dict[str, Any]:
    """Return what is said of one notification."""
    return {"displayHeadlineMessageTemplate": headline, "displayBodyMessage": body, **more}


@dataclass
class Says:
    """What one request is answered in place of the texts: a status, headers, a body, or nothing ever."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    hangs: bool = False


@dataclass
class TextServer:
    """`texts` are what it knows, by notification; `says` what it answers in their place, one request after the other.

    `hangs`: it answers nobody. `drips`: it sends a byte now and then. `held` holds requests back until it is set.
    """

    url: str = ""
    texts: dict[str, Any] = field(default_factory=dict)
    says: list[Says] = field(default_factory=list)
    hangs: bool = False
    drips: bool = False
    held: asyncio.Event | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)  # the bodies that were signed rightly
    refused: list[str] = field(default_factory=list)  # why others were not
    ids: list[str] = field(default_factory=list)  # of the requests
    under_way: int = 0
    most_under_way: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    _end: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def names(self) -> list[str]:
        """Which notifications were asked for, in order."""
        return [name for body in self.asked for name in body["notificationIds"]]

    async def was_asked(self, times: int) -> None:
        """Wait until it was asked so often."""
        async with asyncio.timeout(60):
            while len(self.asked) < times:
                self.news.clear()
                await self.news.wait()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            body = Webhook(SECRET).verify(raw, dict(request.headers))
        except Exception as error:  # noqa: BLE001 - whatever the library finds wrong
            self.refused.append(f"{type(error).__name__}: {error}")
            return web.Response(status=401)
        self.asked.append(body)
        self.ids.append(request.headers["webhook-id"])
        self.news.set()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._answer(request, body)
        finally:
            self.under_way -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        said = self.says.pop(0) if self.says else Says()
        if self.held is not None:
            await self.held.wait()
        if self.hangs or said.hangs:
            await self._end.wait()
        if self.drips:
            return await self._drip(request)
        known = {name: self.texts[name] for name in body["notificationIds"] if name in self.texts}
        answer = json.dumps(known).encode() if said.body is None else said.body
        return web.Response(status=said.status, headers=said.headers, body=answer)

    async def _drip(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not self._end.is_set():
            await response.write(b" ")
            await asyncio.sleep(0.02)  # it is what it does
        return response

    def end(self) -> None:
        """Let go of whoever still waits."""
        self._end.set()
        if self.held is not None:
            self.held.set()


def endpoints_on(db: Database, random: Random) -> Endpoints:
    """Return what says to `resolver_on` where to ask."""
    return Endpoints(db, vault_of(bytes(32), PURPOSE, random))


def resolver_on(
    db: Database, web: Web | None = None, *, clock: Clock, random: Random, log: Any = None, **more: Any
) -> TextResolver:
    """Return who asks for texts, by a test's clock; without a `web` nobody may have said where."""
    return TextResolver(
        db,
        web or Web((), clock=clock),
        vault_of(bytes(32), PURPOSE, random),
        clock=clock,
        monotonic=lambda: clock() / 1000,
        random=random,
        metrics=ResolverMetrics(CollectorRegistry()),
        log=log or structlog.get_logger(),
        **more,
    )


@asynccontextmanager
async def text_server() -> AsyncIterator[TextServer]:
    """Serve texts on a port of loopback."""
    server = TextServer()
    app = web.Application()
    app.router.add_post("/{path:.*}", server.handle)
    async with listening(app) as url:
        server.url = f"{url}/texts"
        yield server
        server.end()
