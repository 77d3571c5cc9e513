"""Connections that are left, streams that are reset, and what is sent a second time: only what was certainly not processed."""

import asyncio

import pytest

from relay.http2 import Fault
from tests.relay.http2.conftest import Connect
from tests.relay.http2.peer import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    LARGEST,
    OK,
    PING,
    STREAMS,
    WINDOW,
    Client,
    Peer,
    answer,
    frame,
    goaway,
    literal,
    number,
    rst_stream,
    settings,
    until,
)

REFUSED = 7


async def test_what_lies_beyond_the_last_stream_of_a_goaway_is_sent_again(client: Client, peer: Peer) -> None:
    asked = [client.ask(path=b"/%d" % index) for index in range(4)]
    first = await peer.greet()
    for _ in asked:
        await first.request()
    first.send(goaway(3))
    second = await peer.greet()
    assert [(await second.request()).path for _ in range(2)] == [b"/2", b"/3"]
    second.send(answer(1), answer(3))
    first.send(answer(1), answer(3))
    assert [await one.status() for one in asked] == [200] * 4
    await first.ended()  # once its last answer has come
    await second.quiet()


async def test_a_draining_connection_takes_no_new_request(client: Client, peer: Peer) -> None:
    slow = client.ask()
    first = await peer.greet()
    await first.request()
    first.send(goaway(LARGEST))  # the notice of a shutdown: everything so far will be answered
    await until(lambda: client.pool.connections == 0)
    second_asked = client.ask()
    second = await peer.greet()
    second.send(answer((await second.request()).stream))
    assert await second_asked.status() == 200
    await first.quiet()
    first.send(answer(1))
    assert await slow.status() == 200
    await first.ended()


async def test_the_last_stream_may_shrink_with_each_goaway(client: Client, peer: Peer) -> None:
    asked = [client.ask(path=b"/%d" % index) for index in range(4)]
    first = await peer.greet()
    for _ in asked:
        await first.request()
    first.send(goaway(LARGEST), goaway(5), goaway(1))
    second = await peer.greet()
    assert sorted([(await second.request()).path for _ in range(3)]) == [b"/1", b"/2", b"/3"]
    second.send(answer(1), answer(3), answer(5))
    first.send(answer(1))
    assert [await one.status() for one in asked] == [200] * 4


async def test_a_goaway_whose_last_stream_grows_brings_nothing_back(client: Client, peer: Peer) -> None:
    asked = client.ask()
    first = await peer.greet()
    await first.request()
    first.send(goaway(0), goaway(LARGEST), answer(1))  # what it gave up it may not answer any more
    second = await peer.greet()
    second.send(answer((await second.request()).stream, literal(b":status", b"201")))
    assert await asked.status() == 201


async def test_an_answer_to_what_a_goaway_gave_up_disturbs_nobody(client: Client, peer: Peer) -> None:
    processed, given_up = client.ask(path=b"/1"), client.ask(path=b"/2")
    first = await peer.greet()
    await first.request()
    await first.request()
    first.send(goaway(1), answer(3), answer(1))
    second = await peer.greet()
    second.send(answer((await second.request()).stream, literal(b":status", b"201")))
    assert await processed.status() == 200
    assert await given_up.status() == 201


async def test_what_has_been_answered_in_part_is_not_sent_again_after_a_goaway(
    client: Client, peer: Peer
) -> None:
    answered, silent = client.ask(path=b"/answered"), client.ask(path=b"/silent")
    first = await peer.greet()
    await first.request()
    await first.request()
    first.send(frame(HEADERS, END_HEADERS, 1, OK), goaway(0))
    second = await peer.greet()
    assert (await second.request()).path == b"/silent"
    second.send(answer(1))
    assert await silent.status() == 200
    first.send(frame(DATA, END_STREAM, 1, b"whole"))
    assert (await answered.response()).body == b"whole"
    await second.quiet()


async def test_a_goaway_before_a_close_tells_what_was_processed(client: Client, peer: Peer) -> None:
    processed, refused = client.ask(path=b"/1"), client.ask(path=b"/2")
    first = await peer.greet()
    await first.request()
    await first.request()
    first.send(goaway(1, code=2))
    first.writer.close()
    second = await peer.greet()
    assert (await second.request()).path == b"/2"
    second.send(answer(1))
    assert await refused.status() == 200
    assert await processed.end() == Fault.CONNECTION_LOST


async def test_a_lost_connection_loses_what_was_written_and_nothing_else(client: Client, peer: Peer) -> None:
    written = [client.ask() for _ in range(3)]
    first = await peer.greet({STREAMS: 3})
    queued = [client.ask(path=b"/queued") for _ in range(3)]
    for _ in written:
        await first.request()
    first.abort()
    assert [await one.end() for one in written] == [Fault.CONNECTION_LOST] * 3
    second = await peer.greet()
    for _ in queued:
        seen = await second.request()
        assert seen.path == b"/queued"
        second.send(answer(seen.stream))
    assert [await one.status() for one in queued] == [200] * 3


async def test_a_body_that_was_cut_off_is_not_sent_again(client: Client, peer: Peer) -> None:
    asked = client.ask(body=b"x" * 100)
    wire = await peer.greet({WINDOW: 60})
    await wire.until(DATA)
    wire.abort()
    assert await asked.end() == Fault.CONNECTION_LOST


async def test_what_a_goaway_gives_up_may_have_been_sent_in_part(client: Client, peer: Peer) -> None:
    asked = client.ask(body=b"x" * 100)
    first = await peer.greet({WINDOW: 60})
    await first.until(DATA)
    first.send(goaway(0))
    second = await peer.greet()
    assert (await second.request()).body == b"x" * 100
    second.send(answer(1))
    assert await asked.status() == 200


async def test_a_refused_stream_is_sent_again_on_the_same_connection(client: Client, peer: Peer) -> None:
    asked = client.ask()
    wire = await peer.greet()
    await wire.request()
    wire.send(rst_stream(1, REFUSED))
    assert (await wire.request()).stream == 3
    wire.send(answer(3))
    assert await asked.status() == 200
    assert peer.accepted == 1


async def test_what_is_refused_again_and_again_is_given_up(client: Client, peer: Peer) -> None:
    asked = client.ask()
    wire = await peer.greet()
    for stream in (1, 3, 5):
        assert (await wire.request()).stream == stream
        wire.send(rst_stream(stream, REFUSED))
    assert await asked.end() == Fault.GOAWAY
    await wire.quiet()


async def test_what_is_sent_away_again_and_again_is_given_up(client: Client, peer: Peer) -> None:
    asked = client.ask()
    for _ in range(3):
        wire = await peer.greet()
        await wire.request()
        wire.send(goaway(0))
    assert await asked.end() == Fault.GOAWAY
    assert peer.accepted == 3


async def test_what_was_refused_ends_with_its_deadline_as_not_processed(client: Client, peer: Peer) -> None:
    asked = client.ask(seconds=0.5)
    wire = await peer.greet()
    await wire.request()
    wire.send(settings({STREAMS: 0}), rst_stream(1, REFUSED))
    assert await asked.end() == Fault.GOAWAY


@pytest.mark.parametrize("code", [0, 1, 2, 8, 0xFFFF])
async def test_a_reset_for_another_reason_is_a_fault(client: Client, peer: Peer, code: int) -> None:
    asked, other = client.ask(), client.ask()
    wire = await peer.greet()
    await wire.request()
    await wire.request()
    wire.send(rst_stream(1, code), answer(3))
    assert await asked.end() == Fault.STREAM_RESET
    assert await other.status() == 200


async def test_a_stream_that_is_refused_after_its_answer_began_is_not_sent_again(
    client: Client, peer: Peer
) -> None:
    asked = client.ask()
    wire = await peer.greet()
    await wire.request()
    wire.send(frame(HEADERS, END_HEADERS, 1, OK), rst_stream(1, REFUSED))
    assert await asked.end() == Fault.STREAM_RESET


async def test_late_frames_of_a_cancelled_stream_are_passed_over(client: Client, peer: Peer) -> None:
    slow = client.ask(seconds=0.5)
    wire = await peer.greet()
    await wire.request()
    assert await slow.end() == Fault.TIMEOUT
    wire.send(frame(HEADERS, END_HEADERS, 1, OK), frame(DATA, 0, 1, b"late"), answer(1, b"\x00\x01a\x01b"))
    other = client.ask()
    wire.send(answer((await wire.request()).stream))
    assert await other.status() == 200


async def test_a_cancelled_stream_counts_until_the_peer_knows_of_it(connect: Connect, peer: Peer) -> None:
    client = connect(peer.port, connections=1)
    slow = client.ask(seconds=0.5)
    wire = await peer.greet({STREAMS: 1})
    await wire.request()
    waiting = client.ask()
    assert await slow.end() == Fault.TIMEOUT
    ping = await wire.until(PING)
    await wire.quiet()  # nothing is begun yet
    wire.send(frame(PING, 1, 0, ping.payload))
    wire.send(answer((await wire.request()).stream))
    assert await waiting.status() == 200
    assert peer.accepted == 1


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(rst_stream(1, 8), id="RST_STREAM"),
        pytest.param(answer(1), id="HEADERS"),
        pytest.param(frame(HEADERS, END_HEADERS, 1, OK) + frame(DATA, 1, 1, b"late"), id="DATA"),
    ],
)
async def test_a_cancelled_stream_that_the_peer_ends_makes_room_at_once(
    connect: Connect, peer: Peer, end: bytes
) -> None:
    client = connect(peer.port, connections=1)
    slow = client.ask(seconds=0.5)
    wire = await peer.greet({STREAMS: 1})
    await wire.request()
    waiting = client.ask()
    assert await slow.end() == Fault.TIMEOUT
    wire.send(end)
    wire.send(answer((await wire.request()).stream))
    assert await waiting.status() == 200


async def test_a_connection_whose_numbers_have_run_out_is_left(client: Client, peer: Peer) -> None:
    first = client.ask()
    wire = await peer.greet()
    wire.send(answer((await wire.request()).stream))
    await first.end()
    client.pool._usable[0]._streams.next = LARGEST - 2
    last = [client.ask() for _ in range(3)]
    assert [(await wire.request()).stream for _ in range(2)] == [LARGEST - 2, LARGEST]
    second = await peer.greet()
    second.send(answer((await second.request()).stream))
    assert await last[2].status() == 200
    wire.send(answer(LARGEST - 2), answer(LARGEST))
    assert [await one.status() for one in last] == [200] * 3
    await wire.ended()


async def test_a_peer_that_sends_every_connection_away_does_not_collect_them(
    connect: Connect, peer: Peer
) -> None:
    client = connect(peer.port, connections=1)
    held, wires = [], []
    for _ in range(2):
        held.append(client.ask())
        wires.append(await peer.greet())
        await wires[-1].request()
        wires[-1].send(goaway(LARGEST))
        await until(lambda: client.pool.connections == 0)
    waiting = client.ask()
    await client.ask(seconds=0.3).end()  # many ticks later
    assert peer.accepted == 2
    wires[0].send(answer(1))
    third = await peer.greet()
    third.send(answer((await third.request()).stream))
    wires[1].send(answer(1))
    assert [await one.status() for one in (*held, waiting)] == [200] * 3


async def test_a_connection_that_is_sent_away_as_it_begins_is_never_used(client: Client, peer: Peer) -> None:
    asked = client.ask()
    wire = await peer.accept()
    await wire.preface()
    wire.send(settings({}) + goaway(0))
    assert await asked.end() == Fault.GOAWAY
    assert client.watched.up == client.pool.connections == 0
    await wire.ended()


async def test_closing_says_goodbye_and_ends_everything(connect: Connect, peer: Peer) -> None:
    client = connect(peer.port)
    asked = [client.ask() for _ in range(3)]
    wire = await peer.greet({STREAMS: 2})
    await wire.request()
    await client.pool.close()
    assert [await one.end() for one in asked] == [Fault.CLOSED] * 3
    assert (await wire.until(GOAWAY)).payload == number(0) + number(0)
    assert await client.ask().end() == Fault.CLOSED


async def test_closing_does_not_wait_for_a_dial(connect: Connect, peer: Peer) -> None:
    client = connect(peer.port)
    asked = client.ask()
    wire = await peer.accept()  # which never says a word
    await client.pool.close()
    assert await asked.end() == Fault.CLOSED
    await wire.ended()


async def test_a_request_that_is_submitted_when_another_ends_is_sent(client: Client, peer: Peer) -> None:
    """`done` may submit the next one, whatever the end was."""
    asked = client.ask()
    chained = asyncio.get_running_loop().create_future()
    asked.then = lambda: chained.set_result(client.ask())
    wire = await peer.greet()
    await wire.request()
    wire.abort()
    assert await asked.end() == Fault.CONNECTION_LOST
    again = await peer.greet()
    again.send(answer((await again.request()).stream))
    assert await (await chained).status() == 200
