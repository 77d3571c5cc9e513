"""Peers that break the rules of a connection (RFC 9113): it ends with the right code, and every request with a fault."""

import pytest

from relay.http2 import Fault, Request
from relay.http2_frames import Broken
from relay.http2_session import Session
from tests.relay.http2.peer import (
    ACK,
    CONTINUATION,
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
    PRIORITY,
    PUSH,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAMS,
    WHOLE,
    WINDOW,
    WINDOW_UPDATE,
    Client,
    Peer,
    answer,
    frame,
    goaway,
    literal,
    number,
    rst_stream,
    settings,
    window_update,
)

PROTOCOL, FLOW, CLOSED, SIZE, COMPRESSION, CALM = 1, 3, 5, 6, 9, 0xB
FAULT = b"\x8e"  # :status 500

# Stream 1 has been answered, 3 is open, 5 is the next.
RUBBISH = {
    "text that is not HTTP/2": (b"HTTP/1.1 400 Bad Request\r\n\r\n", SIZE),
    "a frame larger than we take": (frame(DATA, 0, 3, b"x" * 16_385), SIZE),
    "DATA on stream 0": (frame(DATA, 0, 0, b"x"), PROTOCOL),
    "DATA on a stream that is to come": (frame(DATA, 0, 5, b"x"), PROTOCOL),
    "DATA on a stream of the peer's": (frame(DATA, 0, 2, b"x"), PROTOCOL),
    "DATA on a stream that it has ended": (frame(DATA, 0, 1, b"x"), CLOSED),
    "DATA with more padding than there is": (frame(DATA, PADDED, 3, b"\x05abcd"), PROTOCOL),
    "DATA without the length of its padding": (frame(DATA, PADDED, 3), SIZE),
    "HEADERS on stream 0": (frame(HEADERS, WHOLE, 0, OK), PROTOCOL),
    "HEADERS on a stream that is to come": (frame(HEADERS, WHOLE, 5, OK), PROTOCOL),
    "HEADERS on a stream of the peer's": (frame(HEADERS, WHOLE, 2, OK), PROTOCOL),
    "HEADERS on a stream that it has ended": (frame(HEADERS, WHOLE, 1, OK), CLOSED),
    "HEADERS with more padding than there is": (frame(HEADERS, WHOLE | PADDED, 3, b"\x09" + OK), PROTOCOL),
    "HEADERS too short for their priority": (frame(HEADERS, WHOLE | 0x20, 3, b"abc"), PROTOCOL),
    "a header block that cannot be decoded": (frame(HEADERS, WHOLE, 3, b"\x00\x7f"), COMPRESSION),
    "an index in a table that we do not allow": (frame(HEADERS, WHOLE, 3, b"\xbe"), COMPRESSION),
    "a table larger than we allow": (frame(HEADERS, WHOLE, 3, b"\x3f\xe1\x1f" + FAULT), COMPRESSION),
    "trailers that cannot be decoded": (
        frame(HEADERS, END_HEADERS, 3, OK) + frame(HEADERS, WHOLE, 3, b"\xff"),
        COMPRESSION,
    ),
    "CONTINUATION of nothing": (frame(CONTINUATION, END_HEADERS, 3, OK), PROTOCOL),
    "CONTINUATION of another stream": (
        frame(HEADERS, END_STREAM, 3, OK) + frame(CONTINUATION, END_HEADERS, 1),
        PROTOCOL,
    ),
    "a frame between HEADERS and CONTINUATION": (
        frame(HEADERS, END_STREAM, 3, OK) + frame(PING, 0, 0, bytes(8)),
        PROTOCOL,
    ),
    "an unknown frame between HEADERS and CONTINUATION": (
        frame(HEADERS, 0, 3, OK) + frame(0x77, 0, 0),
        PROTOCOL,
    ),
    "a whole answer between HEADERS and CONTINUATION": (
        frame(HEADERS, 0, 3, b"") + frame(HEADERS, WHOLE, 3, OK),
        PROTOCOL,
    ),
    "CONTINUATION for ever": (frame(HEADERS, 0, 3, OK) + frame(CONTINUATION, 0, 3) * 9, CALM),
    "a header block for ever": (
        frame(HEADERS, 0, 3, OK * 8_192) + frame(CONTINUATION, 0, 3, b"\x90"),
        CALM,
    ),
    "PRIORITY on stream 0": (frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL),
    "PRIORITY of the wrong length": (frame(PRIORITY, 0, 3, bytes(4)), SIZE),
    "RST_STREAM on stream 0": (rst_stream(0, 0), PROTOCOL),
    "RST_STREAM on a stream that is to come": (rst_stream(5, 0), PROTOCOL),
    "RST_STREAM of the wrong length": (frame(RST_STREAM, 0, 3, bytes(5)), SIZE),
    "SETTINGS on a stream": (frame(SETTINGS, 0, 3), PROTOCOL),
    "SETTINGS of the wrong length": (frame(SETTINGS, 0, 0, bytes(5)), SIZE),
    "an acknowledgement with settings": (frame(SETTINGS, ACK, 0, bytes(6)), SIZE),
    "a window that is too large": (settings({WINDOW: 2**31}), FLOW),
    "frames that are too small": (settings({FRAME: 16_383}), PROTOCOL),
    "frames that are too large": (settings({FRAME: 2**24}), PROTOCOL),
    "a server that allows push": (settings({PUSH: 1}), PROTOCOL),
    "a server that allows push twice": (settings({PUSH: 2}), PROTOCOL),
    "PUSH_PROMISE": (frame(PUSH_PROMISE, END_HEADERS, 3, number(2) + OK), PROTOCOL),
    "PING on a stream": (frame(PING, 0, 3, bytes(8)), PROTOCOL),
    "PING of the wrong length": (frame(PING, 0, 0, bytes(7)), SIZE),
    "GOAWAY on a stream": (frame(GOAWAY, 0, 3, bytes(8)), PROTOCOL),
    "GOAWAY of the wrong length": (frame(GOAWAY, 0, 0, bytes(7)), SIZE),
    "WINDOW_UPDATE of nothing": (window_update(0, 0), PROTOCOL),
    "WINDOW_UPDATE of the wrong length": (frame(WINDOW_UPDATE, 0, 0, bytes(3)), SIZE),
    "WINDOW_UPDATE on a stream that is to come": (window_update(5, 1), PROTOCOL),
    "more than a window can be": (window_update(0, LARGEST), FLOW),
    "PING without end": (frame(PING, 0, 0, bytes(8)) * 20_100, CALM),
    "SETTINGS without end": (settings({STREAMS: 100}) * 20_100, CALM),
    "acknowledgements without end": (frame(SETTINGS, ACK, 0) * 20_100, CALM),
    "large SETTINGS without end": (settings([(0x99, 1)] * 2_000) * 200, CALM),
    "empty DATA without end": (frame(HEADERS, END_HEADERS, 3, OK) + frame(DATA, 0, 3) * 20_100, CALM),
    "RST_STREAM without end": (rst_stream(1, 0) * 20_100, CALM),
    "PRIORITY without end": (frame(PRIORITY, 0, 3, bytes(5)) * 20_100, CALM),
    "WINDOW_UPDATE without end": (window_update(1, 1) * 20_100, CALM),
    "unknown frames without end": (frame(0x77, 0, 0, bytes(640)) * 2_000, CALM),
    "interim answers without end": (
        frame(HEADERS, END_HEADERS, 3, literal(b":status", b"103")) * 20_100,
        CALM,
    ),
}


@pytest.mark.parametrize(("rubbish", "code"), RUBBISH.values(), ids=RUBBISH.keys())
async def test_a_rule_that_is_broken_ends_the_connection(
    client: Client, peer: Peer, rubbish: bytes, code: int
) -> None:
    first, second = client.ask(), client.ask()
    wire = await peer.greet()
    await wire.request()
    await wire.request()
    wire.send(answer(1))
    assert await first.status() == 200
    wire.send(rubbish)
    assert await second.end() == Fault.PROTOCOL
    assert (await wire.until(GOAWAY)).payload == number(0) + number(code)
    await wire.ended()
    assert client.watched.faults == [Fault.PROTOCOL]


@pytest.mark.parametrize(
    "harmless",
    [
        pytest.param(frame(0x77, 0xFF, 3, b"x" * 16_384) + frame(0xFF, 0, 0), id="unknown types"),
        pytest.param(settings({0x99: 7, 0xFFFF: 2**32 - 1}), id="unknown settings"),
        pytest.param(frame(PING, 0xF0, 0, bytes(8)), id="unknown flags"),
        pytest.param(frame(PING, ACK, 0, b"unasked "), id="an answer to a PING that nobody sent"),
        pytest.param(frame(SETTINGS, ACK, 0), id="an acknowledgement that nobody waits for"),
        pytest.param(frame(PRIORITY, 0, 99, bytes(5)), id="a priority of a stream to come"),
        pytest.param(frame(PING, 0, 2**31, bytes(8)), id="the reserved bit"),
        pytest.param(rst_stream(1, 0) + window_update(1, 0), id="resets and windows of what has ended"),
        pytest.param(settings({PUSH: 0}), id="a server that does not push"),
        pytest.param(frame(DATA, PADDED, 3, b"\x02xx"), id="nothing but padding"),
    ],
)
async def test_what_is_only_strange_is_passed_over(client: Client, peer: Peer, harmless: bytes) -> None:
    first, second = client.ask(), client.ask()
    wire = await peer.greet()
    await wire.request()
    await wire.request()
    wire.send(answer(1), frame(HEADERS, END_HEADERS, 3, OK), harmless, frame(DATA, END_STREAM, 3, b"end"))
    assert await first.status() == 200
    assert (await second.response()).body == b"end"
    assert client.pool.connections == 1


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(frame(PING, 0, 0, bytes(8)), id="PING"),
        pytest.param(frame(SETTINGS, ACK, 0), id="an acknowledgement"),
        pytest.param(goaway(0), id="GOAWAY"),
        pytest.param(frame(0x77, 0, 0), id="an unknown frame"),
        pytest.param(b"220 mail.example ESMTP\r\n", id="another protocol"),
    ],
)
async def test_a_peer_must_begin_with_its_settings(client: Client, peer: Peer, first: bytes) -> None:
    asked = client.ask()
    wire = await peer.accept()
    await wire.preface()
    wire.send(first)
    assert await asked.end() == Fault.PROTOCOL
    await wire.until(GOAWAY)
    await wire.ended()


async def test_a_zero_window_update_of_a_stream_costs_that_request_alone(client: Client, peer: Peer) -> None:
    wrong, also_wrong, right = client.ask(body=b"x" * 100), client.ask(body=b"x" * 100), client.ask()
    wire = await peer.greet({WINDOW: 60})
    await wire.until(DATA)
    wire.send(window_update(1, 0), window_update(3, 1), window_update(3, LARGEST))
    assert await wrong.end() == Fault.PROTOCOL
    assert await also_wrong.end() == Fault.PROTOCOL
    resets = [await wire.until(RST_STREAM) for _ in range(2)]
    assert [(one.stream, one.payload) for one in resets] == [(1, number(1)), (3, number(3))]
    wire.send(answer(5))
    assert await right.status() == 200


def test_patience_comes_back_with_time_and_with_requests() -> None:
    session = Session(lambda _: None)
    session.receive(settings({}) + frame(PING, 0, 0, bytes(8)) * 19_990)
    for _ in range(3):
        session.tick(0.0)
        session.receive(frame(PING, 0, 0, bytes(8)) * 10)
    session.start(Request(b"/", (), (), b"", lambda _: None, 1.0))
    session.tick(0.0)
    session.receive(frame(PING, 0, 0, bytes(8)) * 20)
    with pytest.raises(Broken):
        session.receive(frame(PING, 0, 0, bytes(8)) * 20)


async def test_frames_may_come_in_pieces_of_any_size(client: Client, peer: Peer) -> None:
    asked = [client.ask(), client.ask()]
    wire = await peer.greet()
    await wire.request()
    await wire.request()
    said = (
        answer(1, OK + literal(b"a", b"b")) + frame(HEADERS, END_HEADERS, 3, OK) + frame(DATA, 1, 3, b"body")
    )
    for index in range(len(said)):
        wire.send(said[index : index + 1])
        wire.send()
        await wire.writer.drain()
    assert (await asked[0].response()).headers == ((b"a", b"b"),)
    assert (await asked[1].response()).body == b"body"
