"""Whether the server runs, whether it can work, and its metrics."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from server.api.answers import problem, show
from server.api.metrics import Scrape
from server.commands.health import database_answers, look_at_queue
from server.domain.account import Caller
from server.domain.ports import Clock, Database

_PATIENCE = 2.0  # seconds that a database may take to answer before this server counts as not ready


@dataclass(frozen=True)
class Health:
    db: Database
    clock: Clock
    counted: Collector
    working: Callable[[], Mapping[str, bool]]  # of each worker of this process, whether it runs

    async def alive(self, _request: web.Request) -> web.Response:
        return show({"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        faults = [name for name, works in (await self._parts()).items() if not works]
        if faults:
            detail = f"not working: {', '.join(faults)}"
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", detail, headers={"Retry-After": "2"})
        return show({"status": "ready"})

    async def metrics(self, _request: web.Request, _caller: Caller) -> web.Response:
        queue = await look_at_queue(self.db, self.clock())
        body = await asyncio.to_thread(generate_latest, Scrape(self.counted, queue))
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _parts(self) -> dict[str, bool]:
        try:
            async with asyncio.timeout(_PATIENCE):
                answers = await database_answers(self.db)
        except TimeoutError:
            answers = False
        return {"database": answers, **self.working()}
