"""Relays on free ports, with and without simulated providers behind them."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from relay.config import ApnsApp, Environment, FcmProject
from simulator.authority import make_authority
from simulator.providers import Providers
from tests.harness.clock import SettableClock
from tests.harness.simulated import simulated
from tests.relay.peers import Peer
from tests.relay.running import PROJECT, TOPIC, Relay, config

StartRelay = Callable[..., Awaitable[Relay]]


@pytest.fixture
async def start_relay(clock: SettableClock) -> AsyncIterator[StartRelay]:
    """Start a relay with changes to its configuration; all are stopped at the end."""
    started: list[Relay] = []
    async with ClientSession() as session:

        async def start(*, mount: str = "", **changes: Any) -> Relay:
            relay = await Relay.start(config(**changes), clock=clock, session=session, mount=mount)
            started.append(relay)
            return relay

        yield start
        for relay in started:
            await relay.stop()


@pytest.fixture
async def relay(start_relay: StartRelay) -> Relay:
    return await start_relay()


@pytest.fixture
async def providers(tmp_path: Path, clock: SettableClock) -> AsyncIterator[Providers]:
    # google-auth signs its assertions by the real time, so everybody here goes by it.
    clock.now = int(time.time()) * 1000
    async with simulated(tmp_path / "providers", clock=lambda: clock() / 1000) as running:
        yield running


def apns_app(providers: Providers, **changes: Any) -> ApnsApp:
    host, _, port = providers.apns_address.rpartition(":")
    values: dict[str, Any] = {
        "topic": TOPIC,
        "environment": Environment.PRODUCTION,
        "key_id": providers.key_id,
        "team_id": providers.team_id,
        "key": Path(providers.apns_key_file).read_text(encoding="ascii"),
        "host": host,
        "port": int(port),
        "roots": providers.ca_file.read_text(encoding="ascii"),
    }
    return ApnsApp(**values | changes)


def fcm_project(providers: Providers, **changes: Any) -> FcmProject:
    values: dict[str, Any] = {
        "project": PROJECT,
        "service_account": Path(providers.service_account_file).read_text(encoding="utf-8"),
        "endpoint": providers.fcm_url,
        "roots": providers.ca_file.read_text(encoding="ascii"),
    }
    return FcmProject(**values | changes)


@pytest.fixture
async def connected(start_relay: StartRelay, providers: Providers) -> Relay:
    """A relay with credentials for the simulated APNs and FCM."""
    return await start_relay(apns=(apns_app(providers),), fcm=(fcm_project(providers),))


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    """A push service that is played, under the names that the simulated one has."""
    made = Peer(make_authority(tmp_path / "leaf.pem", now=datetime.now(UTC)))
    await made.start()
    yield made
    await made.stop()
