"""A TCP connection between a program and what it talks to, which can fall silent or be cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class Wire:
    """Passes on what comes from either side, as long as it is open."""

    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        self._questions = asyncio.Event()
        self._answers = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.release()

    def hold(self) -> None:
        """Fall silent: connections stay, and new ones are taken, but nothing arrives."""
        self._questions.clear()
        self._answers.clear()

    def hold_answers(self) -> None:
        """Pass on what is asked, and keep what is answered."""
        self._answers.clear()

    def release(self) -> None:
        """Pass on everything, what was held first."""
        self._questions.set()
        self._answers.set()

    def cut(self) -> None:
        """End all connections, without what was held."""
        for writer in self._writers:
            writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._there)
        self._writers |= {writer, there_writer}
        for source, target, gate in (
            (reader, there_writer, self._questions),
            (there_reader, writer, self._answers),
        ):
            task = asyncio.create_task(self._pass_on(source, target, gate))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await gate.wait()
                target.write(data)
                await target.drain()
        target.close()
        self._writers.discard(target)

    async def close(self) -> None:
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def wired(url: str) -> AsyncIterator[tuple[Wire, str]]:
    """Put a wire before the host of a URL; yields it and the URL that leads through it."""
    parts = urlsplit(url)
    wire = Wire(parts.hostname or "127.0.0.1", parts.port or 5432)
    server = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    user, at, _ = parts.netloc.rpartition("@")
    try:
        yield wire, urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{port}"))
    finally:
        server.close()
        await wire.close()
