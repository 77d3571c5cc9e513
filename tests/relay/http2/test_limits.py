"""How much is under way: the peer's limit of streams, ours over all connections, and when another is dialled."""

from dataclasses import replace

import pytest

from tests.relay.http2.conftest import Connect
from tests.relay.http2.peer import QUICK, STREAMS, Client, Peer, answer, settings


async def test_no_more_streams_are_open_than_the_peer_allows(connect: Connect, peer: Peer) -> None:
    client = connect(peer.port, connections=1)
    asked = [client.ask() for _ in range(6)]
    wire = await peer.greet({STREAMS: 2})
    for stream in (1, 3):
        assert (await wire.request()).stream == stream
    await wire.quiet()
    for stream in (5, 7, 9, 11):
        wire.send(answer(stream - 4))
        assert (await wire.request()).stream == stream
        await wire.quiet()
    wire.send(answer(9), answer(11))
    assert [await one.status() for one in asked] == [200] * 6


async def test_the_limit_of_streams_may_rise_fall_and_be_nothing(connect: Connect, peer: Peer) -> None:
    client = connect(peer.port, connections=1)
    asked = [client.ask() for _ in range(7)]
    wire = await peer.greet({STREAMS: 1})
    await wire.request()
    wire.send(settings({STREAMS: 3}))
    assert [(await wire.request()).stream for _ in range(2)] == [3, 5]
    wire.send(settings({STREAMS: 0}), answer(1), answer(3), answer(5))
    assert [await one.status() for one in asked[:3]] == [200] * 3
    await wire.until(4)  # our acknowledgement
    await wire.quiet()
    wire.send(settings({STREAMS: 1}))
    assert (await wire.request()).stream == 7
    wire.send(settings({STREAMS: 1_000}))
    assert [(await wire.request()).stream for _ in range(3)] == [9, 11, 13]
    wire.send(*map(answer, (7, 9, 11, 13)))
    assert [await one.status() for one in asked] == [200] * 7


async def test_a_peer_without_a_limit_gets_a_thousand_streams(connect: Connect, peer: Peer) -> None:
    client = connect(peer.port, connections=1)
    asked = [client.ask() for _ in range(1_100)]
    wire = await peer.greet()
    streams = [(await wire.request()).stream for _ in range(1_000)]
    await wire.quiet()
    wire.send(*map(answer, streams))
    wire.send(*[answer((await wire.request()).stream) for _ in range(100)])
    assert {await one.status() for one in asked} == {200}


async def test_all_connections_together_have_no_more_under_way_than_is_allowed(
    connect: Connect, peer: Peer
) -> None:
    client = connect(peer.port, in_flight=3)
    asked = [client.ask() for _ in range(8)]
    wire = await peer.greet({STREAMS: 2})
    other = await peer.greet({STREAMS: 2})
    assert [(await wire.request()).stream for _ in range(2)] == [1, 3]
    assert (await other.request()).stream == 1
    await wire.quiet()
    await other.quiet()
    assert client.pool.in_flight == 3
    assert client.pool.waiting == 5
    wire.send(answer(1), answer(3))
    for stream in (5, 7):
        await wire.request()
        wire.send(answer(stream))
    for stream in (9, 11):
        await wire.request()
        wire.send(answer(stream))
    assert (await wire.request()).stream == 13
    wire.send(answer(13))
    other.send(answer(1))
    assert [await one.status() for one in asked] == [200] * 8
    assert peer.accepted == 2


async def test_one_connection_is_enough_while_it_has_room(client: Client, peer: Peer) -> None:
    asked = [client.ask() for _ in range(10)]
    wire = await peer.greet({STREAMS: 10})
    seen = [await wire.request() for _ in asked]
    wire.send(*(answer(one.stream) for one in seen))
    assert [await one.status() for one in asked] == [200] * 10
    assert peer.accepted == client.watched.up == client.pool.connections == 1


@pytest.mark.parametrize("connections", [1, 3])
async def test_full_connections_are_joined_by_others_up_to_a_number(
    connect: Connect, peer: Peer, connections: int
) -> None:
    client = connect(peer.port, connections=connections)
    asked = [client.ask() for _ in range(5)]
    wires = []
    for _ in range(connections):
        wires.append(await peer.greet({STREAMS: 1}))
        assert (await wires[-1].request()).stream == 1
    assert client.pool.connections == connections
    assert client.pool.waiting == 5 - connections
    await client.ask(seconds=0.1).end()  # some ticks later
    assert peer.accepted == connections
    for wire in wires:
        wire.send(answer(1), settings({STREAMS: 100}))
    for number in range(5 - connections):
        seen = await wires[0].request()
        wires[0].send(answer(seen.stream))
        assert seen.stream == 3 + 2 * number
    assert [await one.status() for one in asked] == [200] * 5


async def test_what_waits_for_less_than_a_tick_is_no_reason_for_another_connection(
    connect: Connect, peer: Peer
) -> None:
    client = connect(peer.port, timing=replace(QUICK, tick=60))  # whose ticks come from here
    asked = [client.ask() for _ in range(3)]
    wire = await peer.greet({STREAMS: 2})
    await wire.request()
    await wire.request()
    client.pool._tick()
    wire.send(answer(1))
    await wire.request()  # now nothing waits
    asked.append(client.ask())
    client.pool._tick()
    assert client.pool._dialling is None
    client.pool._tick()
    other = await peer.greet()
    other.send(answer((await other.request()).stream))
    wire.send(answer(3), answer(5))
    assert [await one.status() for one in asked] == [200] * 4
