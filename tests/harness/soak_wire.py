"""The wire between a relay and one provider: a TCP proxy that can break as wires and machines do."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

HOLD_SECONDS = 2.0
RESTART_SECONDS = 1.0


class _End(asyncio.Protocol):
    """One of a connection's two ends: what it reads, the other writes."""

    def __init__(self, wire: "Wire", other: "_End | None") -> None:
        self.transport: Any = None
        self.other = other
        self._wire = wire
        self._from_provider = other is not None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._wire.ends.add(self)
        if self.other is None:
            self._wire.connect(self)
            return
        if self.other.transport.is_closing():
            self.transport.abort()
            return
        self.other.other = self
        for data in self.other._early:
            self.transport.write(data)
        self.other._early.clear()

    def data_received(self, data: bytes) -> None:
        if self._from_provider and self._wire.corrupts:
            self._wire.corrupts = False
            data = data[:-1] + bytes([data[-1] ^ 1])
        if self.other is None:
            self._early.append(data)
        else:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self._wire.holds:
            self.other.transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        self._wire.ends.discard(self)
        if self.other is not None:
            self.other.transport.close()


class Wire:
    """`host` and `port` are where the relay finds the provider."""

    host = "127.0.0.1"

    def __init__(self, target: str) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self.port = 0
        self.ends: set[_End] = set()
        self.corrupts = False
        self.holds = False

    async def open(self) -> None:
        """Listen, on the same port whenever it is opened again."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        self.port = listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self, None), sock=listener)

    def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        for end in tuple(self.ends):
            end.transport.abort()

    async def break_it(self, how: str) -> None:
        """Break it once.

        `cut`: every connection is dropped. `restart`: and new ones are refused for a while. `hold`: nothing is passed on
        for a while. `corrupt`: one bit of what a provider sends is turned over.
        """
        if how == "cut":
            self.cut()
        elif how == "restart":
            self.close()
            try:
                await asyncio.sleep(RESTART_SECONDS)
            finally:
                await self.open()
        elif how == "hold":
            await self._hold()
        else:
            self.corrupts = True

    async def _hold(self) -> None:
        self.holds = True
        held = tuple(self.ends)
        for end in held:
            end.transport.pause_reading()
        try:
            await asyncio.sleep(HOLD_SECONDS)
        finally:
            self.holds = False
            for end in held:
                if not end.transport.is_closing():
                    end.transport.resume_reading()

    def connect(self, end: _End) -> None:
        task = asyncio.create_task(self._connect(end))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, end: _End) -> None:
        host, _, port = self._target.rpartition(":")
        try:
            await asyncio.get_running_loop().create_connection(lambda: _End(self, end), host, int(port))
        except OSError:
            end.transport.abort()


@asynccontextmanager
async def wire_to(target: str) -> AsyncIterator[Wire]:
    """`target`: host:port."""
    wire = Wire(target)
    await wire.open()
    try:
        yield wire
    finally:
        wire.close()
