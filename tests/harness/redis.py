"""A Redis of the test's own, on a free port: it can be killed, stopped for a while, and started again.

Where redis-server is not installed the tests that need it are skipped; where CI is set it must be there.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.harness.ports import free_port

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")


class RedisServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start empty, and return when it answers."""
        assert PROGRAM is not None
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self._folder),
            "save": "",
            "appendonly": "no",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([PROGRAM, *words], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if "Ready to accept connections" in line:
                return
        raise AssertionError("".join(lines))

    def kill(self) -> None:
        """SIGKILL: what it knew is gone, connections break."""
        process = self._process
        if process is None:
            return
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        self._process = None

    def stall(self) -> None:
        """Connections are still taken, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @asynccontextmanager
    async def client(self, *, decode_responses: bool = False) -> AsyncIterator[Redis]:
        """A connection of the test's own, to look and to interfere."""
        client = Redis.from_url(self.url, protocol=2, decode_responses=decode_responses)
        try:
            yield client
        finally:
            await client.aclose()


@contextmanager
def running_redis(folder: Path) -> Iterator[RedisServer]:
    if PROGRAM is None and not os.environ.get("CI"):
        pytest.skip("redis-server is not installed")
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
