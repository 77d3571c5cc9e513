"""What leaves: the bytes of a request, header blocks in the peer's table, CONTINUATION, and the order of things."""

import asyncio

import pytest

from relay.http2 import Fault
from tests.relay.http2.conftest import Connect
from tests.relay.http2.peer import (
    AUTHORITY,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME,
    HEADERS,
    LIST,
    OK,
    REPEATING,
    STREAMS,
    TABLE,
    Client,
    Frame,
    Peer,
    answer,
    settings,
)


async def test_no_request_leaves_before_the_settings_of_the_peer(client: Client, peer: Peer) -> None:
    asked = client.ask()
    wire = await peer.accept()
    await wire.preface()
    tick = asyncio.get_running_loop().time()
    await client.ask(seconds=0.1).end()  # so much time has passed
    assert asyncio.get_running_loop().time() > tick
    assert client.pool.in_flight == 0
    wire.send(settings({STREAMS: 1}))
    assert (await wire.request()).stream == 1
    wire.send(answer(1))
    assert await asked.status() == 200


async def test_a_request_is_one_headers_frame_and_one_data_frame(client: Client, peer: Peer) -> None:
    client.ask(repeating=(AUTHORITY,), varying=((b"content-type", b"a/b"), (b"x-id", b"1")), body=b"hello")
    wire = await peer.greet()
    block = (
        b"\x83\x87"  # :method POST, :scheme https
        b"\x14\x0c/3/device/ab"  # :path, never indexed
        b"\x41\x0cpush.example"  # :authority, into the table
        b"\x0f\x10\x03a/b"  # content-type by its index, without indexing
        b"\x00\x04x-id\x011"  # a name of its own, without indexing
    )
    assert await wire.frame() == Frame(HEADERS, END_HEADERS, 1, block)
    assert await wire.frame() == Frame(DATA, END_STREAM, 1, b"hello")


async def test_what_repeats_costs_a_byte_each_from_the_second_request_on(client: Client, peer: Peer) -> None:
    for _ in range(3):
        client.ask()
    wire = await peer.greet()
    first, second, third = [await wire.until(HEADERS) for _ in range(3)]
    assert second.payload == third.payload == b"\x83\x87\x14\x0c/3/device/ab\xc0\xbf\xbe"
    assert [frame.stream for frame in (first, second, third)] == [1, 3, 5]
    assert [wire.fields(frame.payload)[3:] for frame in (first, second, third)] == [[*REPEATING]] * 3


async def test_what_repeats_is_known_by_what_it_says_too(client: Client, peer: Peer) -> None:
    client.ask()
    client.ask(repeating=(*REPEATING,))
    client.ask(repeating=(AUTHORITY, (b"topic", b"org.other")))
    wire = await peer.greet()
    assert [(await wire.request()).fields[3:] for _ in range(3)] == [
        [*REPEATING],
        [*REPEATING],
        [AUTHORITY, (b"topic", b"org.other")],
    ]


async def test_a_request_without_a_body_ends_with_its_headers(client: Client, peer: Peer) -> None:
    client.ask(body=b"")
    wire = await peer.greet()
    assert (await wire.frame()).flags == END_HEADERS | END_STREAM
    await wire.quiet()


async def test_headers_longer_than_a_frame_go_on_in_continuations(client: Client, peer: Peer) -> None:
    path = b"/" + b"p" * 40_000
    client.ask(path=path, body=b"x")
    wire = await peer.greet()
    frames = [await wire.frame() for _ in range(4)]
    assert [(one.kind, one.flags, len(one.payload)) for one in frames[:2]] == [
        (HEADERS, 0, 16_384),
        (CONTINUATION, 0, 16_384),
    ]
    assert [(one.kind, one.flags) for one in frames[2:]] == [(CONTINUATION, END_HEADERS), (DATA, END_STREAM)]
    assert dict(wire.fields(b"".join(one.payload for one in frames[:3])))[b":path"] == path


async def test_a_continued_request_without_a_body_ends_in_its_first_frame(client: Client, peer: Peer) -> None:
    client.ask(path=b"/" + b"p" * 17_000, body=b"")
    wire = await peer.greet()
    assert [((await wire.frame()).flags) for _ in range(2)] == [END_STREAM, END_HEADERS]


async def test_larger_frames_are_used_when_the_peer_takes_them(client: Client, peer: Peer) -> None:
    body = b"x" * 40_000
    client.ask(path=b"/" + b"p" * 20_000, body=body)
    wire = await peer.greet({FRAME: 65_536})
    assert (await wire.frame()).flags == END_HEADERS
    assert await wire.frame() == (DATA, END_STREAM, 1, body)


async def test_bodies_longer_than_a_frame_are_cut(client: Client, peer: Peer) -> None:
    client.ask(body=b"x" * 40_000)
    wire = await peer.greet()
    await wire.until(HEADERS)
    frames = [await wire.frame() for _ in range(3)]
    assert [(len(one.payload), one.flags) for one in frames] == [
        (16_384, 0),
        (16_384, 0),
        (7_232, END_STREAM),
    ]


@pytest.mark.parametrize("size", [0, 50, 100, 4_096, 100_000])
async def test_the_table_is_never_larger_than_the_peer_wants(client: Client, peer: Peer, size: int) -> None:
    groups = [(AUTHORITY, (b"topic", b"%d" % number), (b"long", b"x" * 50 * number)) for number in range(40)]
    asked = [client.ask(repeating=groups[number % 40]) for number in range(120)]
    wire = await peer.accept()
    wire.decoder.max_allowed_table_size = size
    await wire.hello({TABLE: size})
    seen = [await wire.request() for _ in asked]
    assert [one.fields[3:] for one in seen] == [list(groups[number % 40]) for number in range(120)]
    assert wire.decoder.header_table_size <= min(size, 4_096)


async def test_a_table_that_changes_under_way_stays_the_same_on_both_sides(
    client: Client, peer: Peer
) -> None:
    wire = None
    for number, size in enumerate([4_096, 0, 4_096, 64, 200, 4_096]):
        asked = client.ask()
        if wire is None:
            wire = await peer.greet()
        seen = await wire.request()
        assert seen.fields[3:] == [*REPEATING], number
        # Two changes at once: only the smallest and the last matter (RFC 7541, section 4.2).
        wire.decoder.max_allowed_table_size = size
        wire.send(settings([(TABLE, 10), (TABLE, size)]), answer(seen.stream))
        await asked.end()


async def test_a_header_list_that_the_peer_would_refuse_is_not_sent(client: Client, peer: Peer) -> None:
    long = client.ask(path=b"/" + b"p" * 1_000)
    fits = client.ask()
    wire = await peer.greet({LIST: 1_000})
    assert await long.end() == Fault.PROTOCOL
    seen = await wire.request()
    assert (seen.stream, seen.fields[3:]) == (1, [*REPEATING])
    wire.send(answer(1, OK))
    assert await fits.status() == 200


async def test_a_header_list_may_be_just_as_long_as_the_peer_allows(connect: Connect, peer: Peer) -> None:
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", b"/3/device/ab"),
        *REPEATING,
        (b"a", b"b"),
    ]
    size = sum(len(name) + len(value) + 32 for name, value in fields)
    for limit, outcome in ((size, 200), (size - 1, Fault.PROTOCOL)):
        client = connect(peer.port)
        asked = client.ask(varying=((b"a", b"b"),))
        wire = await peer.greet({LIST: limit})
        if outcome == 200:
            wire.send(answer((await wire.request()).stream))
            assert await asked.status() == 200
        else:
            assert await asked.end() == outcome


async def test_what_is_asked_for_in_one_turn_leaves_in_one_record(client: Client, peer: Peer) -> None:
    await_first = client.ask()
    wire = await peer.greet()
    wire.send(answer((await wire.request()).stream))
    await await_first.end()
    for _ in range(50):
        client.ask()
    seen = [await wire.request() for _ in range(50)]
    assert [one.stream for one in seen] == list(range(3, 103, 2))
