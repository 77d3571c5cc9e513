"""Clients and peers on loopback with real TLS, on asyncio's loop and on uvloop."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import uvloop

from simulator.authority import Authority, make_authority
from tests.relay.http2.peer import Client, Peer

Connect = Callable[..., Client]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority") / "leaf.pem", now=datetime.now(UTC))


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.certificate)
    context.set_alpn_protocols(["h2"])
    return context


@pytest.fixture
async def peer(authority: Authority) -> AsyncIterator[Peer]:
    one = Peer()
    await one.start(authority.context("h2"))
    yield one
    await one.stop()


@pytest.fixture
async def connect(trusting: ssl.SSLContext) -> AsyncIterator[Connect]:
    """Make clients of a port; at the end every request of theirs must have ended exactly once."""
    clients: list[Client] = []

    def make(port: int, **changes: Any) -> Client:
        clients.append(Client(port, changes.pop("context", trusting), **changes))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
def client(connect: Connect, peer: Peer) -> Client:
    return connect(peer.port)
