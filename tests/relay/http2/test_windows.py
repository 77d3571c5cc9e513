"""Flow control: what we may send, what we owe the peer for what it sent, and a peer that reads slowly."""

import asyncio
from dataclasses import replace

import pytest

from relay.http2 import Fault, Request
from relay.http2_session import Session
from tests.relay.http2.conftest import Connect
from tests.relay.http2.peer import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME,
    GOAWAY,
    HEADERS,
    LARGEST,
    OK,
    PADDED,
    PING,
    QUICK,
    RST_STREAM,
    SETTINGS,
    WINDOW,
    Client,
    Frame,
    Peer,
    Wire,
    answer,
    frame,
    number,
    settings,
    until,
    window_update,
)


async def data(wire: Wire) -> tuple[int, int, int]:
    """The next DATA frame: its stream, its length, whether it ends the stream."""
    one = await wire.until(DATA)
    return one.stream, len(one.payload), one.flags & END_STREAM


async def test_a_body_waits_for_the_window_of_its_stream(client: Client, peer: Peer) -> None:
    asked = client.ask(body=b"x" * 100)
    wire = await peer.greet({WINDOW: 60})
    assert await data(wire) == (1, 60, 0)
    wire.send(window_update(1, 30))
    assert await data(wire) == (1, 30, 0)
    wire.send(window_update(1, 1_000))
    assert await data(wire) == (1, 10, END_STREAM)
    wire.send(answer(1))
    assert await asked.status() == 200


async def test_a_stream_without_a_window_is_begun_all_the_same(client: Client, peer: Peer) -> None:
    client.ask()
    wire = await peer.greet({WINDOW: 0})
    assert (await wire.frame()).kind == HEADERS
    await wire.quiet()
    wire.send(window_update(1, 2))
    assert await data(wire) == (1, 2, END_STREAM)


async def test_a_window_that_settings_made_negative_is_filled_up_first(client: Client, peer: Peer) -> None:
    client.ask(body=b"x" * 100)
    wire = await peer.greet({WINDOW: 60})
    assert await data(wire) == (1, 60, 0)
    wire.send(settings({WINDOW: 20}))  # its window is -40 now
    assert await wire.frame() == (SETTINGS, ACK, 0, b"")
    wire.send(window_update(1, 40))
    await wire.quiet()
    wire.send(window_update(1, 1))
    assert await data(wire) == (1, 1, 0)
    wire.send(settings({WINDOW: 1_000}))
    assert await data(wire) == (1, 39, END_STREAM)


async def test_bodies_wait_for_the_window_of_the_connection_in_their_order(
    client: Client, peer: Peer
) -> None:
    for _ in range(3):
        client.ask(body=b"x" * 40_000)
    wire = await peer.greet({WINDOW: LARGEST})
    assert [await data(wire) for _ in range(3)] == [(1, 16_384, 0), (1, 16_384, 0), (1, 7_232, END_STREAM)]
    assert [await data(wire) for _ in range(2)] == [(3, 16_384, 0), (3, 9_151, 0)]
    await wire.quiet()  # the third has not even begun: it could go out over another connection
    wire.send(window_update(0, 20_000))
    assert [await data(wire) for _ in range(2)] == [(3, 14_465, END_STREAM), (5, 5_535, 0)]
    wire.send(window_update(0, 100_000))
    assert [await data(wire) for _ in range(3)] == [(5, 16_384, 0), (5, 16_384, 0), (5, 1_697, END_STREAM)]


async def test_a_stream_whose_window_is_closed_holds_up_no_other(client: Client, peer: Peer) -> None:
    client.ask(body=b"x" * 100)
    wire = await peer.greet({WINDOW: 60})
    assert await data(wire) == (1, 60, 0)
    client.ask(body=b"y" * 60)
    assert await data(wire) == (3, 60, END_STREAM)


async def test_a_request_that_waits_for_a_window_ends_with_its_deadline(client: Client, peer: Peer) -> None:
    asked = client.ask(body=b"x" * 100, seconds=0.5)
    wire = await peer.greet({WINDOW: 60})
    assert await asked.end() == Fault.TIMEOUT
    assert await wire.until(RST_STREAM) == Frame(RST_STREAM, 0, 1, number(8))
    wire.send(window_update(1, 1_000), settings({WINDOW: 1_000}))
    assert {(await wire.frame()).kind for _ in range(2)} == {PING, SETTINGS}  # and no DATA after the reset
    await wire.quiet()


async def test_the_window_of_the_connection_is_given_back(client: Client, peer: Peer) -> None:
    """Bodies of refused requests never stall a connection, however many there are."""
    wire = None
    for round_ in range(40):
        asked = [client.ask() for _ in range(10)]
        wire = wire or await peer.greet()
        seen = [await wire.request() for _ in asked]
        for one in seen:
            wire.send(
                frame(HEADERS, END_HEADERS, one.stream, b"\x8c"),
                frame(DATA, END_STREAM, one.stream, b"x" * 4_000),
            )
        assert [await one.status() for one in asked] == [400] * 10, round_
    assert wire is not None
    await wire.quiet()
    sent = 40 * 10 * 4_000
    assert sent - 1_048_576 // 2 < wire.given <= sent


async def test_padding_counts_in_the_window_too(client: Client, peer: Peer) -> None:
    asked = client.ask()
    wire = await peer.greet()
    await wire.request()
    wire.send(frame(HEADERS, END_HEADERS, 1, OK))
    for _ in range(31):
        wire.send(frame(DATA, PADDED, 1, b"\xff" + b"x" + bytes(255)))
    wire.send(frame(DATA, PADDED | END_STREAM, 1, b"\x00y"))
    assert (await asked.response()).body == b"x" * 31 + b"y"
    # 31 * 257 bytes were 31 of body: one frame more would have been half of the window.
    late = client.ask()
    await wire.request()
    wire.send(frame(HEADERS, END_HEADERS, 3, OK), *[frame(DATA, PADDED, 3, b"\xff" + b"x" + bytes(255))] * 32)
    assert (await late.response()).body == b"x" * 32
    assert await wire.until(RST_STREAM) == Frame(RST_STREAM, 0, 3, number(8))


async def test_a_body_without_an_end_is_cut_short(client: Client, peer: Peer) -> None:
    asked = client.ask()
    wire = await peer.greet()
    await wire.request()
    wire.send(frame(HEADERS, END_HEADERS, 1, b"\x8d"), frame(DATA, 0, 1, b"x" * 16_000))
    response = await asked.response()
    assert (response.status, response.body) == (404, b"x" * 4_096)
    assert await wire.until(RST_STREAM) == Frame(RST_STREAM, 0, 1, number(8))
    wire.send(frame(DATA, 0, 1, b"x" * 384))  # it was under way: no error
    await wire.until(PING)
    await wire.quiet()


async def test_data_beyond_the_window_of_its_stream_costs_that_request(client: Client, peer: Peer) -> None:
    wrong, right = client.ask(), client.ask()
    wire = await peer.greet()
    await wire.request()
    await wire.request()
    wire.send(
        frame(HEADERS, END_HEADERS, 1, OK), frame(DATA, 0, 1, b"x" * 8_000), frame(DATA, 0, 1, b"x" * 16_000)
    )
    wire.send(answer(3))
    assert await wrong.end() == Fault.PROTOCOL
    assert await right.status() == 200


async def test_data_beyond_the_window_of_the_connection_ends_it(client: Client, peer: Peer) -> None:
    asked = client.ask(seconds=0.5)
    wire = await peer.greet()
    await wire.request()
    assert await asked.end() == Fault.TIMEOUT
    await wire.until(RST_STREAM)
    # A client that was told all this in one turn has had no chance to give anything back.
    connection = client.pool._usable[0]
    connection.data_received(frame(DATA, 0, 1, b"x" * 16_384) * 65)
    assert (await wire.until(GOAWAY)).payload == number(0) + number(3)


async def test_a_peer_that_does_not_read_gets_no_more_requests(connect: Connect, peer: Peer) -> None:
    timing = replace(QUICK, doubt=60, patience=60)  # this peer answers no PING
    client = connect(peer.port, in_flight=100_000, connections=1, timing=timing)
    first = client.ask()
    wire = await peer.greet({WINDOW: LARGEST})
    wire.send(window_update(0, LARGEST - 65_535), answer((await wire.request()).stream))
    await first.end()
    asked = [client.ask(body=b"x" * 16_000) for _ in range(2_000)]
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    connection = client.pool._usable[0]
    begun = -1
    async with asyncio.timeout(20):
        while begun != client.pool.in_flight or not connection._paused:
            begun = client.pool.in_flight  # for a while the kernel's buffers grow
            await client.ask(seconds=0.2).end()
    assert connection._transport is not None
    assert connection._transport.get_write_buffer_size() < 1_000_000
    assert client.pool.waiting > 1_000
    wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in asked:
        wire.send(answer((await wire.request()).stream))
    assert {await one.status() for one in asked} == {200}


async def test_a_peer_that_does_not_read_and_is_owed_too_much_is_left(
    connect: Connect, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.http2_connection._LARGEST_BACKLOG", 100_000)
    timing = replace(QUICK, silence=60, doubt=60, patience=60)
    client = connect(peer.port, in_flight=100_000, connections=1, timing=timing)
    first = client.ask()
    wire = await peer.greet({WINDOW: LARGEST})
    wire.send(window_update(0, LARGEST - 65_535), answer((await wire.request()).stream))
    await first.end()
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    asked = [client.ask(body=b"x" * 16_000) for _ in range(800)]
    await until(lambda: client.watched.faults)
    assert client.watched.faults == [Fault.CONNECTION_LOST]
    assert Fault.CONNECTION_LOST in {result for one in asked for result in one.results}


def begun(window: int, count: int, body: bytes) -> Session:
    """A session with requests whose bodies wait for the windows of their streams."""
    session = Session(lambda _: None)
    session.receive(settings({WINDOW: window}) + window_update(0, 10_000_000))
    for _ in range(count):
        session.start(Request(b"/", (), (), body, lambda _: None, 0.0))
    session.take_out(held=False)
    return session


def test_bodies_that_a_window_lets_go_at_once_are_written_in_portions() -> None:
    session = begun(0, 100, b"x" * 5_000)
    session.receive(settings({WINDOW: 65_535}))
    portions = []
    while portion := session.take_out(held=False):
        portions.append(len(portion))
    assert max(portions) < 65_536 + 5_100
    assert sum(portions) == 100 * (9 + 5_000) + len(frame(SETTINGS, ACK, 0))


def test_one_long_body_is_written_in_portions_too() -> None:
    session = begun(0, 1, b"x" * 500_000)
    session.receive(settings({WINDOW: LARGEST, FRAME: 2**24 - 1}))
    portions = []
    while portion := session.take_out(held=False):
        portions.append(len(portion))
    assert max(portions) < 65_536 + 100
    assert len(portions) == 8


def test_no_body_goes_on_while_the_peer_does_not_read() -> None:
    session = begun(10, 3, b"x" * 100)
    session.receive(settings({WINDOW: 65_535}))
    assert session.take_out(held=True) == frame(SETTINGS, ACK, 0)
    assert len(session.take_out(held=False)) == 3 * (9 + 90)


def test_padding_is_given_back_with_what_it_pads() -> None:
    session = begun(65_535, 100, b"")
    padded = frame(DATA, PADDED, 0, b"\xff" + b"x" + bytes(255))
    for stream in range(1, 201, 2):
        session.receive(frame(HEADERS, END_HEADERS, stream, OK))
        session.receive((padded[:5] + number(stream) + padded[9:]) * 31)
    assert window_update(0, 100 * 31 * 257) in session.take_out(held=False)
