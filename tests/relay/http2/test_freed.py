"""What is left of a connection that has ended: nothing, and not only when the garbage collector comes by, which is seldom."""

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from tests.relay.http2.peer import Client, Peer, answer, frame, goaway, until


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def served(client: Client, peer: Peer) -> Callable[[], object]:
    asked = client.ask()
    wire = await peer.greet()
    await wire.request()
    wire.send(answer(1))
    assert await asked.status() == 200
    [connection] = client.pool._usable
    return weakref.ref(connection)


async def test_a_connection_that_is_lost_is_freed(client: Client, peer: Peer) -> None:
    connection = await served(client, peer)
    peer._wires[-1].abort()
    await until(lambda: connection() is None)


async def test_a_connection_that_is_left_is_freed(client: Client, peer: Peer) -> None:
    connection = await served(client, peer)
    peer._wires[-1].send(goaway(1))
    await peer._wires[-1].ended()
    peer._wires[-1].abort()
    await until(lambda: connection() is None)


async def test_a_connection_that_breaks_a_rule_is_freed(client: Client, peer: Peer) -> None:
    connection = await served(client, peer)
    peer._wires[-1].send(frame(0, 0, 0, b"DATA on the connection"))
    await peer._wires[-1].ended()
    peer._wires[-1].abort()
    await until(lambda: connection() is None)
