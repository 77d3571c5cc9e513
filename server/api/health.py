"""Whether the server runs, whether it can work, and its metrics."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, TypedDict

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from server.api.answers import Refused, problem, show
from server.api.bodies import note
from server.api.describe import describes
from server.api.metrics import Scrape
from server.commands.health import database_works, look_at_queue
from server.domain.account import Caller
from server.domain.ports import Clock, Database

_METRICS = "text/plain"
_PATIENCE = 2.0  # seconds that a database may take to answer before this server counts as not ready
_GOOD_FOR = 1.0  # seconds


class Pulse:
    """Whether the database works. Asking it costs a write, so its answer is good for a moment, and for all who wait for it."""

    def __init__(self, db: Database, monotonic: Callable[[], float]) -> None:
        self._db = db
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._asked_at: float | None = None
        self._works = False

    async def works(self) -> bool:
        now = self._monotonic()
        async with self._asking:  # anybody may ask, and most of all while the database is slow
            if self._asked_at is None or now - self._asked_at >= _GOOD_FOR:
                self._works = await self._ask()
                self._asked_at = self._monotonic()
        return self._works

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await database_works(self._db)
        except TimeoutError:
            return False


class HealthView(TypedDict):
    """That all is well."""

    status: Annotated[str, note("`ok` or `ready`; anything else is answered with another status.")]


@dataclass(frozen=True)
class Health:
    db: Database
    pulse: Pulse
    clock: Clock
    counted: Collector
    working: Callable[[], Mapping[str, bool]]  # of each worker of this process, whether it runs

    @describes("Say whether the process runs", gives=HealthView)
    async def alive(self, _request: web.Request) -> web.Response:
        return show(HealthView(status="ok"))

    @describes(
        "Say whether the server can work",
        detail="Whether the database can be written and the workers run.",
        gives=HealthView,
        errors=("not_ready",),
    )
    async def ready(self, _request: web.Request) -> web.Response:
        faults = [name for name, works in (await self._parts()).items() if not works]
        if faults:
            detail = f"not working: {', '.join(faults)}"
            return problem(
                Refused(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", detail, headers={"Retry-After": "2"})
            )
        return show(HealthView(status="ready"))

    @describes("Get the server's figures", detail="In the text format of Prometheus.", produces=_METRICS)
    async def metrics(self, _request: web.Request, _caller: Caller) -> web.Response:
        writable = await self.pulse.works()
        queue = await look_at_queue(self.db, self.clock())
        body = await asyncio.to_thread(generate_latest, Scrape(self.counted, queue, writable=writable))
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _parts(self) -> dict[str, bool]:
        return {"database": await self.pulse.works(), **self.working()}
