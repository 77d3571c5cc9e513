"""The reader of frames under what no peer should send: nothing escapes, nothing hangs, every request ends exactly once.

In `./dev check` the examples are few and always the same. For a long search with new ones each time:

    HUSHPOST_TEST_EXAMPLES=100000 .venv/bin/python -m pytest tests/relay/http2/test_fuzz.py
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.http2 import Fault, Request, Response
from relay.http2_connection import TIMING, Connection
from tests.relay.http2 import peer as said
from tests.relay.http2.peer import OK, frame, literal, number

_EXAMPLES = int(os.environ.get("HUSHPOST_TEST_EXAMPLES", "0"))
FUZZ = settings(
    max_examples=_EXAMPLES or 300,
    derandomize=not _EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
REQUESTS = 6

STREAM = st.integers(0, 2 * REQUESTS + 3) | st.just(1)
NUMBER = st.sampled_from([0, 1, 2, 7, 8, 60, 16_384, 65_535, 2**31 - 1, 2**31, 2**32 - 1])
BLOCK = st.sampled_from(
    [
        OK,
        OK + literal(b"apns-id", b"A"),
        b"\x8e",
        b"\x20\x8d" + literal(b"retry-after", b"1"),
        literal(b":status", b"103"),
        literal(b"trailer", b"1"),
        literal(b":status", b"20"),
        b"\xbe",
        b"",
    ]
) | st.binary(max_size=40)
SETTING = st.tuples(st.integers(0, 8), NUMBER)
VALID_SETTING = st.sampled_from(
    [(1, 0), (1, 4096), (3, 0), (3, 2), (3, 100), (4, 0), (4, 10), (4, 65_535), (6, 200)]
)


def some(kind: int, payload: Any, flags: Any = None, stream: Any = STREAM) -> Any:
    return st.builds(frame, st.just(kind), st.integers(0, 255) if flags is None else flags, stream, payload)


ON_NONE = st.just(0)
FRAMES = st.one_of(
    some(said.HEADERS, BLOCK, st.sampled_from([0, 1, 4, 5, 5, 5, 13, 45])),
    some(said.DATA, st.binary(max_size=50), st.sampled_from([0, 1, 1, 8, 9])),
    some(said.CONTINUATION, BLOCK, st.sampled_from([0, 4])),
    some(said.RST_STREAM, NUMBER.map(number), st.just(0)),
    some(said.WINDOW_UPDATE, NUMBER.map(number), st.just(0)),
    some(
        said.PING,
        st.just(bytes(7) + b"\x01") | st.binary(min_size=8, max_size=8),
        st.sampled_from([0, 1]),
        ON_NONE,
    ),
    some(
        said.GOAWAY,
        st.tuples(NUMBER, NUMBER).map(lambda two: number(two[0]) + number(two[1])),
        st.just(0),
        ON_NONE,
    ),
    st.lists(VALID_SETTING, max_size=3).map(said.settings),
    st.lists(SETTING, max_size=3).map(said.settings),
    st.just(frame(said.SETTINGS, said.ACK, 0)),
    some(0x77, st.binary(max_size=20)),
    st.builds(
        frame,
        st.integers(0, 255),
        st.integers(0, 255),
        NUMBER.map(lambda one: one % 2**32),
        st.binary(max_size=30),
    ),
)


@st.composite
def transcripts(draw: st.DrawFn) -> bytes:
    """SETTINGS and frames, most of them in order, sometimes with a few bytes changed."""
    start = said.settings(draw(st.sampled_from([{}, {3: 3}, {4: 5}, {1: 0}, {6: 300}])))
    whole = bytearray(start + b"".join(draw(st.lists(FRAMES, max_size=25))))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        at = draw(st.integers(0, len(whole)))
        whole[at : at + draw(st.sampled_from([0, 1, 5]))] = draw(st.binary(max_size=3))
    return bytes(whole)


class Wire(asyncio.Transport):
    """A transport that remembers what was written, and a TLS object that has chosen HTTP/2."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "ssl_object" else default

    def selected_alpn_protocol(self) -> str:
        return "h2"

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        del high, low

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written after the end"
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close


class Played:
    """A connection whose transport is played, and all that becomes of its requests."""

    def __init__(self) -> None:
        self.given_back: list[Request] = []
        self.results: dict[int, list[Response | Fault]] = {}
        self.lefts: list[Fault] = []
        self.closes = 0
        self.sent = 0
        self.wire = Wire()
        self.connection = Connection(self, TIMING)
        self.connection.connection_made(self.wire)

    def freed(self) -> None:
        """Begin what may be begun, as the pool does."""
        while self.sent < REQUESTS and self.connection.has_room():
            self.start()
        self.connection.flush()

    def start(self) -> None:
        index, self.sent = self.sent, self.sent + 1
        self.results[index] = []
        body = b"x" * (7 * index)
        deadline = asyncio.get_running_loop().time() + 5 + index
        done = self.results[index].append
        request = Request(b"/%d" % index, said.REPEATING, (), body, done, deadline)
        self.connection.start(request)

    def again(self, requests: list[Request]) -> None:
        self.given_back += requests

    def left(self, connection: Connection, fault: Fault) -> None:
        del connection
        self.lefts.append(fault)

    def closed(self, connection: Connection) -> None:
        del connection
        self.closes += 1

    def check(self) -> None:
        """Each request is under way, or has ended once, or was given back once."""
        opened = list(self.connection._streams.open.values())
        for index, results in self.results.items():
            path = b"/%d" % index
            back = sum(request.path == path for request in self.given_back)
            assert sum(request.path == path for request in opened) + back + len(results) == 1
        streams = self.connection._streams
        assert streams.open.keys() >= {*streams.answers, *streams.outflow._waiting}
        assert len(self.lefts) <= 1
        assert len(self.connection._session._rest) <= 16_384 + 9

    def finish(self) -> None:
        self.connection.connection_lost(None)
        assert not self.connection._streams.open
        assert not self.connection.has_room()
        assert (len(self.lefts), self.closes) == (1, 1)
        self.check()


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Run a function within a loop, where nothing else happens."""

    async def within(call: Callable[[], Any]) -> Any:
        failed: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
        result = call()
        assert failed == []
        return result

    with asyncio.Runner() as runner:
        yield lambda call: runner.run(within(call))


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = 0
    for cut in cuts:
        yield data[at : at + cut]
        at += cut
    yield data[at:]


def outcome(played: Played) -> list[Any]:
    """Say what became of each request, in words that can be compared."""
    ended = [
        [(one.status, one.headers, one.body) if isinstance(one, Response) else one for one in results]
        for results in played.results.values()
    ]
    return [ended, [request.path for request in played.given_back], played.lefts]


CUTS = st.lists(st.integers(1, 30), max_size=30)


@FUZZ
@given(data=st.binary(max_size=300), cuts=CUTS)
def test_any_bytes(run: Any, data: bytes, cuts: list[int]) -> None:
    def play() -> None:
        played = Played()
        for piece in pieces(data, cuts):
            played.connection.data_received(piece)
        played.finish()

    run(play)


@FUZZ
@given(data=transcripts(), cuts=CUTS)
def test_the_same_bytes_mean_the_same_in_pieces_and_in_one(run: Any, data: bytes, cuts: list[int]) -> None:
    """As long as nothing is asked for in between, which would depend on when."""

    def play(cuts: list[int]) -> list[Any]:
        played = Played()
        played.connection.data_received(said.settings({}))
        played.freed = lambda: None  # type: ignore[method-assign]
        for piece in pieces(data, cuts):
            played.connection.data_received(piece)
            played.check()
        result = outcome(played)
        played.finish()
        return result

    assert run(lambda: play([])) == run(lambda: play(cuts))


STEPS = st.lists(
    st.one_of(
        CUTS.map(lambda cuts: ("cut", cuts)),
        st.sampled_from([("pause", 0), ("resume", 0), ("close", 0)]),
        st.floats(0, 12).map(lambda seconds: ("tick", seconds)),
    ),
    max_size=12,
)


def step(played: Played, kind: str, value: Any, chunks: Iterator[bytes]) -> None:
    connection = played.connection
    match kind:
        case "cut":
            for piece in pieces(next(chunks, b""), value):
                connection.data_received(piece)
        case "pause":
            connection.pause_writing()
        case "resume":
            connection.resume_writing()
        case "tick":
            connection.tick(asyncio.get_running_loop().time() + value)
        case "close":
            if not played.wire.closed:
                connection.close()
    played.check()


@FUZZ
@given(data=transcripts(), steps=STEPS)
def test_anything_at_any_time(run: Any, data: bytes, steps: list[tuple[str, Any]]) -> None:
    """Between the bytes time passes, writing is paused, and in the end the connection is lost or closed."""

    def play() -> None:
        played = Played()
        played.connection.data_received(said.settings({}))
        chunks = iter(pieces(data, [len(data) // 8 + 1] * 8))
        for kind, value in steps:
            step(played, kind, value, chunks)
        for piece in chunks:
            played.connection.data_received(piece)
            played.check()
        played.finish()

    run(play)
