"""A client that shows HTTP/2 frame by frame: it judges nothing and sends what it is told."""

import asyncio
import json
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hpack import Decoder, Encoder

from simulator.bell import Bell
from simulator.http2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from tests.simulator.clients import PAYLOAD, Sender

BODY = json.dumps(PAYLOAD).encode()
SOON = 0.05
"""Seconds that a fault lasts, where a test waits for what comes after it."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9
NO_TABLE = b"\x00\x01\x00\x00\x00\x00"
"""HEADER_TABLE_SIZE 0: each header block can be read by itself, in any order."""


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def number(self) -> int:
        """The first four bytes: an error code, a last stream id, an increment."""
        return int.from_bytes(self.payload[:4], "big")

    @property
    def ends(self) -> bool:
        return self.kind in {HEADERS, DATA} and bool(self.flags & END_STREAM)

    @property
    def content(self) -> bytes:
        if not self.flags & PADDED or self.kind not in {HEADERS, DATA}:
            return self.payload
        return self.payload[1 : len(self.payload) - self.payload[0]]

    @property
    def settings(self) -> dict[int, int]:
        parts = [self.payload[at : at + 6] for at in range(0, len(self.payload), 6)]
        return {int.from_bytes(one[:2], "big"): int.from_bytes(one[2:], "big") for one in parts}


class Wire:
    """`frames` is what came; it acknowledges SETTINGS and nothing else."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.raw = b""
        self.frames: list[Frame] = []
        self.closed = False
        self._at = 0
        self._next = 1
        self._bell = Bell()
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._reader = reader
        self._writer = writer
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, address: str, ca_file: Path) -> Self:
        context = ssl.create_default_context(cafile=str(ca_file))
        context.set_alpn_protocols(["h2"])
        host, _, port = address.rpartition(":")
        wire = cls(*await asyncio.open_connection(host, int(port), ssl=context))
        wire.send(PREFACE + frame(SETTINGS, 0, 0, NO_TABLE))
        return wire

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(65_536):
                self.raw += data
                self._cut()
                self._bell.ring()
        except (ConnectionError, ssl.SSLError):
            pass
        self.closed = True
        self._bell.ring()

    def _cut(self) -> None:
        while len(self.raw) - self._at >= HEAD:
            head = self.raw[self._at : self._at + HEAD]
            end = self._at + HEAD + int.from_bytes(head[:3], "big")
            if len(self.raw) < end:
                return
            one = Frame(head[3], head[4], int.from_bytes(head[5:], "big"), self.raw[self._at + HEAD : end])
            self._at = end
            self.frames.append(one)
            if one.kind == SETTINGS and not one.flags & ACK:
                self.send(frame(SETTINGS, ACK, 0))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            await self._bell.until(condition)

    async def until_closed(self) -> None:
        await self.until(lambda: self.closed)

    async def one(self, kind: int, stream: int | None = None, *, after: int = 0, flag: int = 0) -> Frame:
        """Wait for a frame of a kind; gives the newest after the first `after` frames."""

        def found() -> list[Frame]:
            return [
                one
                for one in self.frames[after:]
                if one.kind == kind and stream in {None, one.stream} and one.flags & flag == flag
            ]

        await self.until(lambda: bool(found()))
        return found()[-1]

    def begin(self, headers: Iterable[tuple[str, str]]) -> int:
        """Send a request's headers; its body is still to come."""
        stream, self._next = self._next, self._next + 2
        self.send(frame(HEADERS, END_HEADERS, stream, self._encoder.encode(list(headers))))
        return stream

    def finish(self, stream: int, body: bytes) -> None:
        self.send(frame(DATA, END_STREAM, stream, body))

    def ask(self, headers: Iterable[tuple[str, str]], body: bytes) -> int:
        stream = self.begin(headers)
        self.finish(stream, body)
        return stream

    def of(self, stream: int) -> list[Frame]:
        return [one for one in self.frames if one.stream == stream]

    async def answer(self, stream: int) -> tuple[list[dict[str, str]], bytes]:
        """Wait for the end of an answer; gives every header block of it, and the body."""
        await self.until(lambda: any(one.ends for one in self.of(stream)))
        await self.until(lambda: self._has_blocks(stream))
        blocks: list[bytes] = []
        for one in self.of(stream):
            if one.kind == HEADERS:
                blocks.append(one.content)
            elif one.kind == CONTINUATION:
                blocks[-1] += one.payload
        body = b"".join(one.content for one in self.of(stream) if one.kind == DATA)
        return [_texts(self._decoder.decode(block)) for block in blocks], body

    def _has_blocks(self, stream: int) -> bool:
        opened = [one for one in self.of(stream) if one.kind == HEADERS]
        closed = [
            one for one in self.of(stream) if one.kind in {HEADERS, CONTINUATION} and one.flags & END_HEADERS
        ]
        return len(opened) == len(closed)

    async def status(self, stream: int) -> str:
        return (await self.answer(stream))[0][-1][":status"]

    async def ping(self) -> None:
        """Ask whether the connection is alive, and wait until it says so."""
        seen = len(self.frames)
        self.send(frame(PING, 0, 0, bytes(8)))
        await self.one(PING, after=seen, flag=ACK)

    async def reset_code(self, stream: int) -> int:
        return (await self.one(RST_STREAM, stream)).number

    async def last_stream(self) -> int:
        return (await self.one(GOAWAY)).number

    async def setting(self, name: int, value: int) -> None:
        await self.until(
            lambda: any(one.kind == SETTINGS and one.settings.get(name) == value for one in self.frames)
        )

    def open_window(self, stream: int, size: int) -> None:
        self.send(frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4, "big")))

    async def close(self) -> None:
        self._writer.transport.abort()
        await self._task


def _texts(pairs: Iterable[tuple[bytes | str, bytes | str]]) -> dict[str, str]:
    return {str(name): str(value) for name, value in pairs}


class Pusher:
    """Pushes over a bare connection, and looks at what was recorded."""

    def __init__(self, wire: Wire, apns: Sender) -> None:
        self.wire = wire
        self.providers = apns.providers
        self.sender = apns
        self.token = apns.providers.token("apns")

    def __call__(self, body: bytes = BODY) -> int:
        return self.wire.ask(self.sender.headers(self.token).items(), body)

    def begin(self) -> int:
        return self.wire.begin(self.sender.headers(self.token).items())

    async def recorded(self, count: int) -> list[tuple[str, bool]]:
        await self.providers.until(lambda recorded: len(recorded) >= count)
        return [(one.reason, one.accepted) for one in self.providers.recorded]
