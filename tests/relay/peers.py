"""A push service that is played: it writes what a test says, whatever that does to HTTP."""

import asyncio
from typing import TYPE_CHECKING

from simulator.authority import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
CHUNK = b"10000\r\n" + bytes(65_536) + b"\r\n"
WITHOUT_END = {
    b"POST /endless ": (b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNK),
    b"POST /interim ": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1_000),
    b"POST /header ": (b"HTTP/1.1 201 Created\r\n", b"X: x\r\n" * 1_000),
    b"POST /line ": (b"HTTP/1.1 201 Created\r\nX: ", b"x" * 65_536),
}
"""By the path: what begins, and what then goes on for ever."""


class Peer:
    """Gives the next of `answers` to each request; nothing to those for /silent; see `WITHOUT_END`."""

    def __init__(self, authority: Authority) -> None:
        self.answers: Iterator[bytes] = iter(())
        self.requests: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.roots = authority.certificate
        self.closed = asyncio.Event()
        self._context = authority.context("http/1.1")
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                self.requests.append(head)
                await self._answer(head, writer)
        except (asyncio.IncompleteReadError, OSError):
            self.closed.set()
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        for path, (first, more) in WITHOUT_END.items():
            if head.startswith(path):
                writer.write(first)
                while True:
                    writer.write(more)
                    await writer.drain()
        if not head.startswith(b"POST /silent "):
            writer.write(next(self.answers))
            await writer.drain()
