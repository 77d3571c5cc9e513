"""An outbox between a database and a real relay with simulated providers behind it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

import msgspec
import pytest
import structlog
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry
from structlog.testing import LogCapture

from crypto.encoding import unb64u
from crypto.envelope import open_envelope
from crypto.frame import Frame
from crypto.keys import DeviceKey, Suite
from relay.wire import Outcome, Push
from server.commands.sealing import Sealer
from server.domain.ports import Database, Random
from server.worker.dispatch import Dispatcher
from server.worker.gateway import PushGateway
from server.worker.metrics import OutboxMetrics
from server.worker.outbox import Outbox, OutboxSettings
from server.worker.pace import Pace
from server.worker.relay_client import RelayClient
from server.worker.relay_keys import RelayKeys
from server.worker.relay_limits import RelayLimits
from server.worker.resolver import TextResolver
from server.worker.web import Web
from simulator.exchange import Recorded
from simulator.providers import Providers
from tests.harness.announced import Announced
from tests.harness.clock import SettableClock
from tests.harness.files import NO_FILES
from tests.harness.resolving import resolver_on
from tests.harness.rows import Seeded
from tests.harness.simulated import simulated
from tests.relay.conftest import apns_app, fcm_project
from tests.relay.running import RELAY_KEY, SERVER_KEY, Relay, config

SECRET = bytes(range(32))
TRY_SECONDS = 3.0  # in which a tenant's server may say texts


class Watched:
    """A gateway that tells when it was asked, and may be told what to answer in place of the one behind it."""

    def __init__(self, behind: PushGateway) -> None:
        self.behind = behind
        self.batches: list[list[Push]] = []
        self.before_answer: Callable[[], Awaitable[None]] | None = None  # once

    async def push(self, pushes: Any) -> list[Outcome]:
        self.batches.append(list(pushes))
        outcomes = await self.behind.push(pushes)
        before, self.before_answer = self.before_answer, None
        if before is not None:
            await before()
        return outcomes


class Log(LogCapture):
    """Captures what is logged, and tells."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()

    def __call__(self, logger: Any, method: str, event: Any) -> NoReturn:
        self.written.set()
        super().__call__(logger, method, event)
        raise AssertionError


@dataclass
class World:
    seeded: Seeded
    relay: Relay
    providers: Providers
    gateway: Watched
    outbox: Outbox
    registry: CollectorRegistry
    log: Log
    clock: SettableClock
    db: Announced
    texts: TextResolver
    keys: dict[str, DeviceKey] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    async def phone(
        self, *, suite: Suite = Suite.X25519, provider: str = "apns", keyless: bool = False
    ) -> str:
        token = self.providers.token(provider)
        handle = self.relay.handle(
            token, **({} if provider == "apns" else {"provider": "fcm", "app": self.providers.project})
        )
        key = DeviceKey.generate(suite, self.seeded.random)
        id_ = await self.seeded.device(key=None if keyless else key, handle=handle)
        self.keys[id_], self.tokens[id_] = key, token
        return id_

    def new_handle(self, device_id: str) -> str:
        self.tokens[device_id] = self.providers.token("apns")
        return self.relay.handle(self.tokens[device_id], issued_at=self.clock() + 1)

    def pushed(self, device_id: str) -> list[Recorded]:
        return [one for one in self.providers.recorded if one.token == self.tokens[device_id]]

    def frames(self, device_id: str) -> list[Frame]:
        """Open what the provider was given for a device."""
        opened = []
        for recorded in self.pushed(device_id):
            payload = msgspec.json.decode(recorded.payload)
            text = payload["hp"] if "hp" in payload else payload["message"]["data"]["hp"]
            opened.append(
                open_envelope(
                    unb64u(text),
                    keys=[self.keys[device_id]],
                    device_id=UUID(device_id),
                    server=SERVER_KEY.public,
                )
            )
        return opened

    async def run_until(self, *states: str) -> None:
        """Run the outbox until the deliveries are in these states, in the order in which they were written."""
        async with self.running():
            await self.until(*states)

    async def until(self, *states: str) -> None:
        async def reached() -> bool:
            return await self.seeded.states() == list(states)

        await self.db.until(reached)

    async def until_row(self, delivery_id: str, **values: Any) -> None:
        async def reached() -> bool:
            row = await self.seeded.row(delivery_id)
            return all(row[name] == value for name, value in values.items())

        await self.db.until(reached)

    async def until_logged(self, event: str) -> None:
        async with asyncio.timeout(60):
            while not any(entry["event"] == event for entry in self.log.entries):
                await self.log.written.wait()
                self.log.written.clear()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the outbox, and stop it as the server does."""
        task = asyncio.create_task(self.outbox.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled()

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def world(
    database: Database, clock: SettableClock, random: Random, tmp_path: Path
) -> AsyncIterator[World]:
    async with make_world(database, clock, random, tmp_path, stop_seconds=5) as made:
        yield made


@pytest.fixture
async def hasty(
    database: Database, clock: SettableClock, random: Random, tmp_path: Path
) -> AsyncIterator[World]:
    """A world whose outbox waits for nothing when it stops."""
    async with make_world(database, clock, random, tmp_path, stop_seconds=0) as made:
        yield made


@asynccontextmanager
async def make_world(
    database: Database, clock: SettableClock, random: Random, tmp_path: Path, *, stop_seconds: float
) -> AsyncIterator[World]:
    clock.now = int(time.time()) * 1000  # google-auth and TLS know only the real time
    log = Log()
    logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[log])
    registry = CollectorRegistry()
    db = Announced(database)
    async with (
        simulated(tmp_path / "providers", clock=lambda: clock() / 1000) as providers,
        ClientSession() as session,
    ):
        settings = config(apns=(apns_app(providers),), fcm=(fcm_project(providers),))
        relay = await Relay.start(settings, clock=clock, session=session)
        pool = ThreadPoolExecutor(2)
        keys = RelayKeys(
            settings.public_url,
            reach=relay.url,
            given=[RELAY_KEY.public],
            db=db,
            session=session,
            clock=clock,
            log=logger,
        )
        client = RelayClient(
            settings.public_url,
            reach=relay.url,
            identity=SERVER_KEY,
            keys=keys,
            session=session,
            clock=clock,
            random=random,
            limits=RelayLimits(registry, clock, logger),
            log=logger,
        )
        gateway = Watched(client)
        sealer = Sealer(SERVER_KEY, pool, clock, random, NO_FILES, structlog.get_logger())
        web = Web([ip_network("127.0.0.1/32")], clock=clock)
        texts = resolver_on(db, web, clock=clock, random=random, log=logger, try_seconds=TRY_SECONDS)
        metrics, pace = OutboxMetrics(registry), Pace()
        outbox = Outbox(
            db,
            Dispatcher(
                db, gateway, sealer, texts, collapse_key=SECRET, pace=pace, metrics=metrics, log=logger
            ),
            pace=pace,
            settings=OutboxSettings(batch=500, in_flight=2, poll_seconds=0.02, stop_seconds=stop_seconds),
            clock=clock,
            random=random,
            log=logger,
        )
        seeded = await Seeded.make(db, clock, random)
        yield World(seeded, relay, providers, gateway, outbox, registry, log, clock, db, texts)
        await texts.close()
        await web.close()
        pool.shutdown()
        await relay.stop()
