"""A provider that answers 200 to every push after a while, and knows no more of HTTP/2 than that takes.

`python -m tests.harness.bench_fake_late LEAF SECONDS FCM-ANSWER` prints its two ports, APNs' and FCM's, as a JSON list. It reads
frames and no header block, so that its table and streams cost nothing: a push is a stream that has ended. Of flow control it
keeps what its peer could notice: its own credit is given back, and the connection's is not overdrawn.
"""

import asyncio
import json
import ssl
import struct
import sys
from collections import deque
from typing import Any, Final

import uvloop

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD: Final = 9
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
ACK = END_STREAM = 1
END_HEADERS = 4
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4
STREAMS: Final = 1_000
CREDIT: Final = 1 << 24
FIRST_CREDIT: Final = 65_535
STATUS_200: Final = b"\x88"  # RFC 7541, appendix A: the eighth of the static table


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack("!IBI", len(payload) << 8 | kind, flags, stream) + payload


class Connection(asyncio.Protocol):
    def __init__(self, delay: float, body: bytes) -> None:
        self._delay = delay
        self._body = body
        self._buffer = bytearray()
        self._greeted = False
        self._taken = 0
        self._credit = FIRST_CREDIT
        self._owed: deque[int] = deque()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        settings = struct.pack("!HIHI", MAX_CONCURRENT_STREAMS, STREAMS, INITIAL_WINDOW_SIZE, CREDIT)
        more = struct.pack("!I", CREDIT - FIRST_CREDIT)
        self._transport.write(frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, more))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._greeted:
            if len(self._buffer) < len(PREFACE):
                return
            del self._buffer[: len(PREFACE)]
            self._greeted = True
        ended = self._read()
        if self._taken > CREDIT // 2:
            self._transport.write(frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", self._taken)))
            self._taken = 0
        if ended:
            asyncio.get_running_loop().call_later(self._delay, self._answer, ended)

    def _read(self) -> list[int]:
        """Take every whole frame; the streams that have ended."""
        buffer, at, ended = self._buffer, 0, []
        while len(buffer) - at >= HEAD:
            word, flags, stream = struct.unpack_from("!IBI", buffer, at)
            length, kind = word >> 8, word & 0xFF
            if len(buffer) - at < HEAD + length:
                break
            at += HEAD + length
            if kind == DATA:
                self._taken += length
            if kind <= HEADERS:
                if flags & END_STREAM:
                    ended.append(stream)
            else:
                self._obey(kind, flags, stream, bytes(buffer[at - length : at]))
        del buffer[:at]
        return ended

    def _obey(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE and stream == 0:
            self._credit += struct.unpack("!I", payload)[0]
            self._answer(())
        elif kind in {SETTINGS, PING} and not flags & ACK:
            self._transport.write(frame(kind, ACK, 0, payload if kind == PING else b""))

    def _answer(self, streams: list[int] | tuple[()]) -> None:
        self._owed.extend(streams)
        out = []
        while self._owed and self._credit >= len(self._body):
            stream = self._owed.popleft()
            if self._body:
                self._credit -= len(self._body)
                out.append(frame(HEADERS, END_HEADERS, stream, STATUS_200))
                out.append(frame(DATA, END_STREAM, stream, self._body))
            else:
                out.append(frame(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_200))
        if out and not self._transport.is_closing():
            self._transport.write(b"".join(out))


async def serve(leaf: str, delay: float, fcm_answer: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf)
    context.set_alpn_protocols(["h2"])
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda body=body: Connection(delay, body), "127.0.0.1", 0, ssl=context)  # type: ignore[misc]
        for body in (b"", fcm_answer)
    ]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    leaf, delay, fcm_answer = sys.argv[1:]
    uvloop.run(serve(leaf, float(delay), fcm_answer.encode()))


if __name__ == "__main__":
    main()
