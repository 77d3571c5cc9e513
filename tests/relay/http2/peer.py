"""What the tests of the HTTP/2 client share: peers that are played by hand, frame by frame, and requests that are watched."""

import asyncio
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple, Self

from hpack import Decoder

from relay.http2 import Fault, Field, Request, Response
from relay.http2_connection import TIMING
from relay.http2_pool import Pool

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WHOLE = END_HEADERS | END_STREAM
TABLE, PUSH, STREAMS, WINDOW, FRAME, LIST = range(1, 7)
OK = b"\x88"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HELLO = bytes.fromhex("0001 00000000 0002 00000000 0004 00004000 0006 00002000")
LARGEST = 2**31 - 1

QUICK = replace(TIMING, tick=0.01, first_backoff=0.02, longest_backoff=0.1)
PATIENT = replace(QUICK, dial=30.0, silence=30.0, patience=60.0)
"""For a peer that is a process of its own, which a busy machine may forget for a while."""

AUTHORITY: Field = (b":authority", b"push.example")
REPEATING: tuple[Field, ...] = (AUTHORITY, (b"authorization", b"bearer secret"), (b"topic", b"org.example"))


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def number(value: int) -> bytes:
    return struct.pack(">I", value)


def settings(values: Mapping[int, int] | Sequence[tuple[int, int]]) -> bytes:
    pairs = values.items() if isinstance(values, Mapping) else values
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def answer(stream: int, block: bytes = OK) -> bytes:
    return frame(HEADERS, WHOLE, stream, block)


def literal(name: bytes, value: bytes) -> bytes:
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, number(increment))


def goaway(last: int, code: int = 0) -> bytes:
    return frame(GOAWAY, 0, 0, number(last) + number(code))


def rst_stream(stream: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream, number(code))


class Seen(NamedTuple):
    """A request as the peer saw it."""

    stream: int
    fields: list[Field]
    body: bytes

    @property
    def path(self) -> bytes:
        return dict(self.fields)[b":path"]


class Wire:
    """One accepted connection, from the peer's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.decoder = Decoder()
        self.given = 0
        """What the client gave back of the window of the connection."""

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def hello(self, values: Mapping[int, int] | None = None) -> Self:
        """Read the client's preface and exchange SETTINGS."""
        await self.preface()
        self.send(settings(values or {}))
        assert await self.frame() == (SETTINGS, ACK, 0, b"")
        self.send(frame(SETTINGS, ACK, 0))
        return self

    async def preface(self) -> None:
        assert await self._exactly(len(PREFACE)) == PREFACE
        assert await self.frame() == (SETTINGS, 0, 0, HELLO)
        assert await self.frame() == (WINDOW_UPDATE, 0, 0, number(1_048_576 - 65_535))
        self.given = 0

    async def _exactly(self, length: int) -> bytes:
        async with asyncio.timeout(10):
            return await self._reader.readexactly(length)

    async def frame(self) -> Frame:
        head = await self._exactly(9)
        payload = await self._exactly(int.from_bytes(head[:3], "big"))
        one = Frame(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
        if one.kind == WINDOW_UPDATE and one.stream == 0:
            self.given += int.from_bytes(payload, "big")
        return one

    async def until(self, kind: int) -> Frame:
        """Read on to the next frame of a type."""
        while (one := await self.frame()).kind != kind:
            pass
        return one

    async def request(self) -> Seen:
        """Read one request with all of its frames."""
        head = await self.until(HEADERS)
        block, flags, ended = head.payload, head.flags, head.flags & END_STREAM
        while not flags & END_HEADERS:
            kind, flags, stream, payload = await self.frame()
            assert (kind, stream) == (CONTINUATION, head.stream)
            block += payload
        body = b""
        while not ended:
            kind, flags, stream, payload = await self.frame()
            assert (kind, stream) == (DATA, head.stream)
            body += payload
            ended = flags & END_STREAM
        return Seen(head.stream, self.fields(block), body)

    def fields(self, block: bytes) -> list[Field]:
        return [(bytes(name), bytes(value)) for name, value in self.decoder.decode(block, raw=True)]

    async def quiet(self) -> None:
        """Make sure that the client has nothing more to say for now: it answers a PING with nothing before it."""
        self.send(frame(PING, 0, 0, b"is it so"))
        assert await self.frame() == (PING, ACK, 0, b"is it so")

    async def ended(self) -> None:
        """Wait until the client has closed its side."""
        async with asyncio.timeout(10):
            with suppress(ConnectionError, ssl.SSLError):
                while await self._reader.read(65_536):
                    pass

    def abort(self) -> None:
        self.writer.transport.abort()


class Peer:
    """Listens with TLS; each connection is played by the test."""

    def __init__(self) -> None:
        self._accepted: asyncio.Queue[Wire] = asyncio.Queue()
        self._wires: list[Wire] = []
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, context: ssl.SSLContext) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        self._wires.append(wire)
        self._accepted.put_nowait(wire)

    async def accept(self) -> Wire:
        async with asyncio.timeout(10):
            return await self._accepted.get()

    async def greet(self, values: Mapping[int, int] | None = None) -> Wire:
        return await (await self.accept()).hello(values)

    @property
    def accepted(self) -> int:
        return len(self._wires)

    async def stop(self) -> None:
        for wire in self._wires:
            wire.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0)


class Asked:
    """A request, and all that was ever said of its end."""

    def __init__(self, **values: Any) -> None:
        self.results: list[Response | Fault] = []
        self.fails = values.pop("fails", False)
        self.then: Callable[[], None] | None = None
        self._ended = asyncio.Event()
        seconds = values.pop("seconds", 60.0)
        given = {"path": b"/3/device/ab", "repeating": REPEATING, "varying": (), "body": b"{}"} | values
        deadline = asyncio.get_running_loop().time() + seconds
        self.request = Request(done=self._done, deadline=deadline, **given)

    def _done(self, result: Response | Fault) -> None:
        self.results.append(result)
        self._ended.set()
        if self.then is not None:
            self.then()
        if self.fails:
            raise RuntimeError("as it was asked to")

    async def end(self) -> Response | Fault:
        async with asyncio.timeout(90):
            await self._ended.wait()
        return self.results[0]

    async def response(self) -> Response:
        result = await self.end()
        assert isinstance(result, Response), result
        return result

    async def status(self) -> int:
        return (await self.response()).status


class Watched:
    """What a pool tells of its connections."""

    def __init__(self) -> None:
        self.up = 0
        self.faults: list[Fault] = []

    def connected(self) -> None:
        self.up += 1

    def lost(self, fault: Fault) -> None:
        self.faults.append(fault)


class Client:
    """A pool, whose every request must end exactly once."""

    def __init__(self, port: int, context: ssl.SSLContext, **changes: Any) -> None:
        self.watched = Watched()
        host = changes.pop("host", "127.0.0.1")
        settled: dict[str, Any] = {"watch": self.watched, "timing": QUICK} | changes
        self.pool = Pool(host, port, context, **settled)
        self.asked: list[Asked] = []

    def ask(self, **values: Any) -> Asked:
        one = Asked(**values)
        self.asked.append(one)
        self.pool.submit(one.request)
        return one

    async def close(self) -> None:
        await self.pool.close()
        assert [len(one.results) for one in self.asked] == [1] * len(self.asked)
        assert self.pool.in_flight == self.pool.waiting == self.pool.connections == 0
