"""Deadlines, PINGs, and connections that have died without a word."""

import asyncio
from dataclasses import replace

from relay.http2 import Fault, Request
from relay.http2_pool import Fifo
from tests.relay.http2.conftest import Connect
from tests.relay.http2.peer import (
    ACK,
    END_HEADERS,
    HEADERS,
    OK,
    PING,
    QUICK,
    RST_STREAM,
    STREAMS,
    Client,
    Frame,
    Peer,
    answer,
    frame,
    number,
    until,
)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_request_without_an_answer_ends_at_its_deadline_and_is_cancelled(
    client: Client, peer: Peer
) -> None:
    start = now()
    asked = client.ask(seconds=0.5)
    wire = await peer.greet()
    await wire.request()
    assert await asked.end() == Fault.TIMEOUT
    assert now() - start >= 0.2
    assert await wire.frame() == Frame(RST_STREAM, 0, 1, number(8))


async def test_an_answer_that_never_ends_ends_at_the_deadline(client: Client, peer: Peer) -> None:
    asked = client.ask(seconds=0.5)
    wire = await peer.greet()
    await wire.request()
    wire.send(frame(HEADERS, END_HEADERS, 1, OK))
    assert await asked.end() == Fault.TIMEOUT


async def test_deadlines_may_come_in_any_order(client: Client, peer: Peer) -> None:
    late, early, middle = client.ask(seconds=1.8), client.ask(seconds=1.0), client.ask(seconds=1.4)
    wire = await peer.greet()
    assert await early.end() == Fault.TIMEOUT
    assert (middle.results, late.results) == ([], [])
    assert await middle.end() == Fault.TIMEOUT
    assert late.results == []
    assert await late.end() == Fault.TIMEOUT
    assert [(await wire.until(RST_STREAM)).stream for _ in range(3)] == [3, 5, 1]


async def test_a_request_ends_at_its_deadline_while_it_waits_for_a_stream(
    connect: Connect, peer: Peer
) -> None:
    client = connect(peer.port, connections=1)
    client.ask()
    wire = await peer.greet({STREAMS: 1})
    await wire.request()
    waiting, patient = client.ask(seconds=0.1), client.ask()
    assert await waiting.end() == Fault.TIMEOUT
    await wire.quiet()  # it was never sent
    wire.send(answer(1))
    wire.send(answer((await wire.request()).stream))
    assert await patient.status() == 200


async def test_a_request_ends_at_its_deadline_while_a_dial_goes_on(client: Client, peer: Peer) -> None:
    asked = client.ask(seconds=0.1)
    await peer.accept()
    assert await asked.end() == Fault.TIMEOUT


async def test_a_request_whose_deadline_is_over_when_it_comes_is_never_sent(
    client: Client, peer: Peer
) -> None:
    over, good = client.ask(seconds=-1.0), client.ask(path=b"/good")
    wire = await peer.greet()
    assert (await wire.request()).path == b"/good"
    wire.send(answer(1))
    assert await good.status() == 200
    assert await over.end() == Fault.TIMEOUT


async def test_pings_are_answered(client: Client, peer: Peer) -> None:
    client.ask()
    wire = await peer.greet()
    await wire.request()
    wire.send(frame(PING, 0, 0, b"12345678"), frame(PING, ACK, 0, b"12345678"))
    assert await wire.frame() == Frame(PING, ACK, 0, b"12345678")
    await wire.quiet()


async def test_an_idle_connection_is_kept_by_pings(connect: Connect, peer: Peer) -> None:
    client = connect(peer.port, timing=replace(QUICK, keepalive=0.05, patience=5, doubt=5))
    client.ask()
    wire = await peer.greet()
    wire.send(answer((await wire.request()).stream))
    payloads = set()
    for _ in range(3):
        ping = await wire.frame()
        assert (ping.kind, ping.flags) == (PING, 0)
        payloads.add(ping.payload)
        wire.send(frame(PING, ACK, 0, ping.payload))
    assert len(payloads) == 3
    assert client.pool.connections == 1


async def test_silence_is_counted_only_while_an_answer_is_due(connect: Connect, peer: Peer) -> None:
    client = connect(peer.port, timing=replace(QUICK, silence=0.5))
    first = client.ask()
    wire = await peer.greet()
    wire.send(answer((await wire.request()).stream))
    await first.end()
    rested = now() + 0.6
    await until(lambda: now() > rested)
    client.ask()
    await wire.request()
    ticked = now() + 0.1
    await until(lambda: now() > ticked)
    await wire.quiet()  # no PING yet
    assert (await wire.frame()).kind == PING


async def test_an_idle_connection_that_answers_no_ping_is_left(connect: Connect, peer: Peer) -> None:
    client = connect(peer.port, timing=replace(QUICK, keepalive=0.05, patience=0.1))
    client.ask()
    wire = await peer.greet()
    wire.send(answer((await wire.request()).stream))
    await wire.ended()
    assert client.watched.faults == [Fault.CONNECTION_LOST]


async def test_a_silent_connection_gets_no_new_requests_and_is_left_in_the_end(
    connect: Connect, peer: Peer
) -> None:
    client = connect(peer.port, timing=replace(QUICK, silence=0.1, doubt=0.05, patience=0.5))
    lost = client.ask()
    dead = await peer.greet()
    await dead.request()
    assert (await dead.frame()).kind == PING
    await until(lambda: not client.pool._usable[0].has_room())
    saved = client.ask()
    alive = await peer.greet()
    alive.send(answer((await alive.request()).stream))
    assert await saved.status() == 200
    assert await lost.end() == Fault.CONNECTION_LOST
    await dead.ended()


async def test_when_one_connection_is_in_doubt_the_others_are_asked_too(connect: Connect, peer: Peer) -> None:
    client = connect(peer.port, connections=3, timing=replace(QUICK, silence=0.2, doubt=0.1, patience=5))
    asked = [client.ask() for _ in range(2)]
    wires = [await peer.greet({STREAMS: 1}), await peer.greet({STREAMS: 1})]
    for wire, one in zip(wires, asked, strict=True):
        wire.send(answer((await wire.request()).stream))
        assert await one.status() == 200
    client.ask(path=b"/lost")
    assert (await wires[0].request()).path == b"/lost"
    await wires[0].until(PING)
    assert (await wires[1].frame()).kind == PING  # though nothing is due from it
    await until(lambda: not any(connection.has_room() for connection in client.pool._usable))
    saved = client.ask()
    third = await peer.greet()
    third.send(answer((await third.request()).stream))
    assert await saved.status() == 200


async def test_a_connection_that_was_doubted_is_used_again_when_it_answers(
    connect: Connect, peer: Peer
) -> None:
    client = connect(peer.port, connections=1, timing=replace(QUICK, silence=0.1, doubt=0.05, patience=5))
    slow = client.ask()
    wire = await peer.greet()
    await wire.request()
    ping = await wire.until(PING)
    await until(lambda: not client.pool._usable[0].has_room())
    waiting = client.ask()
    wire.send(frame(PING, ACK, 0, ping.payload))
    wire.send(answer((await wire.request()).stream), answer(1))
    assert await waiting.status() == 200
    assert await slow.status() == 200


async def test_a_slow_peer_that_answers_pings_is_kept(connect: Connect, peer: Peer) -> None:
    client = connect(peer.port, timing=replace(QUICK, silence=0.05, doubt=0.1, patience=0.2))
    slow = client.ask()
    wire = await peer.greet()
    await wire.request()
    end = now() + 0.6
    while now() < end:
        wire.send(frame(PING, ACK, 0, (await wire.until(PING)).payload))
    wire.send(answer(1))
    assert await slow.status() == 200
    assert client.watched.faults == []


async def test_a_connection_that_answers_pings_and_nothing_else_is_replaced(
    connect: Connect, peer: Peer
) -> None:
    client = connect(peer.port, timing=replace(QUICK, silence=0.05, barren=0.2))
    first = client.ask()
    deaf = await peer.greet()
    deaf.send(answer((await deaf.request()).stream))
    assert await first.status() == 200
    late = client.ask(seconds=0.5)
    await deaf.request()
    while client.pool.connections:
        deaf.send(frame(PING, ACK, 0, (await deaf.until(PING)).payload))
    saved = client.ask()
    other = await peer.greet()
    other.send(answer((await other.request()).stream))
    assert await saved.status() == 200
    assert await late.end() == Fault.TIMEOUT
    assert client.watched.faults == [Fault.TIMEOUT]
    await deaf.ended()


async def test_a_connection_that_brings_one_answer_after_another_is_kept(
    connect: Connect, peer: Peer
) -> None:
    client = connect(peer.port, timing=replace(QUICK, barren=0.6))
    asked = [client.ask() for _ in range(8)]
    wire = await peer.greet()
    seen = [await wire.request() for _ in asked]
    for one, request in zip(asked, seen, strict=True):
        end = now() + 0.1
        await until(lambda: now() >= end)  # noqa: B023 - it is over within the round
        wire.send(answer(request.stream))
        assert await one.status() == 200
    assert client.pool.connections == 1


class Counted(Fifo):
    """A queue that counts how often it is asked for what is late: once a tick."""

    asked = 0

    def overdue(self, now: float) -> list[Request]:
        self.asked += 1
        return super().overdue(now)


async def test_requests_that_are_submitted_when_others_time_out_make_no_ticks(
    connect: Connect, peer: Peer
) -> None:
    queue = Counted()
    client = connect(peer.port, queue=queue)

    def again() -> None:
        if len(client.asked) < 20:
            client.ask(seconds=0.02).then = again

    again()
    await peer.greet()
    await until(lambda: len(client.asked) == 20)
    await client.asked[-1].end()
    before, end = queue.asked, now() + 0.5
    await until(lambda: now() >= end)
    assert queue.asked - before <= 50
