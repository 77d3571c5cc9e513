"""A load of requests that costs little beside what it loads: `python -m tests.harness.load`, a process of its own.

Each line on standard input is a run: the bytes of one request, made once, sent over some connections that are kept open,
the next as soon as the last was answered. Of an answer only the status and the length are read. The figures of each run are
a line on standard output. An HTTP client that does more would cost more than the server that is measured.
"""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

import uvloop

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"
STATUS = slice(9, 12)


@dataclass(frozen=True)
class Loaded:
    """What a run came to. Times in seconds; `wrong` counts the answers that were not the status hoped for."""

    answered: int
    wrong: int
    seconds: float
    p50: float
    p99: float


def request_bytes(url: str, path: str, token: str, body: Any) -> bytes:
    """Return a POST as it goes over the wire."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


class Run:
    """One run: how many requests are still to be sent, and how long each took."""

    def __init__(self, request: bytes, count: int, status: bytes) -> None:
        self.request = request
        self.status = status
        self.left = count
        self.waiting = count
        self.wrong = 0
        self.times: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answered(self, status: bytes, took: float) -> None:
        self.times.append(took)
        self.wrong += status != self.status
        self.waiting -= 1
        if not self.waiting and not self.done.done():
            self.done.set_result(None)

    def broken(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed a connection"))


class Connection(asyncio.Protocol):
    """One at a time: an answer, then the next request."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._buffer = b""
        self._began = 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._run.broken(error)

    def ask(self) -> None:
        if self._run.left:
            self._run.left -= 1
            self._began = time.perf_counter()
            self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(END_OF_HEAD)
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(LENGTH) + len(LENGTH)
        length = int(head[at : (head + b"\r").find(b"\r", at)])
        if len(self._buffer) < end + len(END_OF_HEAD) + length:
            return
        self._buffer = b""
        self._run.answered(head[STATUS], time.perf_counter() - self._began)
        self.ask()

    def close(self) -> None:
        self._transport.abort()


async def load(request: bytes, *, host: str, port: int, connections: int, count: int, status: str) -> Loaded:
    run = Run(request, count, status.encode())
    loop = asyncio.get_running_loop()
    opened = [
        (await loop.create_connection(lambda: Connection(run), host, port))[1] for _ in range(connections)
    ]
    began = time.perf_counter()
    for connection in opened:
        connection.ask()
    await run.done
    seconds = time.perf_counter() - began
    for connection in opened:
        connection.close()
    cuts = quantiles(run.times, n=100)
    return Loaded(len(run.times), run.wrong, seconds, cuts[49], cuts[98])


class Generator:
    """The other end of such a process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(
        self, url: str, request: bytes, *, connections: int, count: int, status: int = 201
    ) -> Loaded:
        """Let it load a server; `RuntimeError` where an answer had another status."""
        order = {"url": url, "request": request.decode(), "connections": connections, "count": count}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order | {"status": str(status)}).encode() + b"\n")
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator has ended; its error is above")
        loaded = Loaded(**json.loads(line))
        if loaded.wrong:
            raise RuntimeError(f"{loaded.wrong} of {loaded.answered} answers were not {status}")
        return loaded


@asynccontextmanager
async def generator() -> AsyncIterator[Generator]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdin=PIPE, stdout=PIPE)
    try:
        yield Generator(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _obey(order: Mapping[str, Any]) -> Loaded:
    parts = urlsplit(order["url"])
    return await load(
        order["request"].encode(),
        host=parts.hostname or "",
        port=parts.port or 80,
        connections=order["connections"],
        count=order["count"],
        status=order["status"],
    )


def main() -> None:
    for line in sys.stdin:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            loaded = runner.run(_obey(json.loads(line)))
        print(json.dumps(loaded.__dict__), flush=True)


if __name__ == "__main__":
    main()
