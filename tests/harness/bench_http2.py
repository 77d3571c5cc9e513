"""What the HTTP/2 client alone can do: a bare loop over it against nginx, which is no bottleneck on another core.

No signatures, handles or limits: what `./dev bench relay` prints is held against this. Needs Debian's nginx.
"""

import asyncio
import secrets
import shutil
import signal
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from socket import socket
from statistics import median

import uvloop

from relay.http2 import Fault, Field, Request, Response
from relay.http2_pool import Pool
from simulator.authority import make_authority
from tests.harness.bench_figures import RUNS, say, spread

REQUESTS = 100_000
WARM_UP = 5_000
BODIES = (300, 2_000)
IN_FLIGHT = (1, 100, 1_000)

_CONFIG = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 64; }}
http {{
    access_log off; server_tokens off; keepalive_requests 1000000000; keepalive_timeout 1h;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {leaf}; ssl_certificate_key {leaf};
        http2_max_concurrent_streams 1000;
        location / {{ return 200; }}
    }}
}}
"""

REPEATING: tuple[Field, ...] = (
    (b":authority", b"api.push.apple.com"),
    (b"authorization", b"bearer " + b"x" * 200),
    (b"apns-topic", b"org.hushpost.app"),
    (b"apns-push-type", b"alert"),
    (b"apns-priority", b"10"),
)


@asynccontextmanager
async def nginx(folder: Path) -> AsyncIterator[tuple[int, ssl.SSLContext]]:
    """Run it on a free port; give the port and a context that trusts it."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise RuntimeError("nginx is not installed: apt install nginx-light")
    authority = make_authority(folder / "leaf.pem", now=datetime.now(UTC))
    with closing(socket()) as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, port=port, leaf=authority.leaf))
    process = await asyncio.create_subprocess_exec(program, "-p", str(folder), "-c", str(config))
    try:
        await _listening(process, port)
        context = ssl.create_default_context(cadata=authority.certificate)
        context.set_alpn_protocols(["h2"])
        yield port, context
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(10):
        while process.returncode is None:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.01)
    raise RuntimeError(f"nginx ended with {process.returncode}")


class Load:
    """Keeps a number of requests under way until as many as wanted have ended."""

    def __init__(self, pool: Pool, body: bytes) -> None:
        self._pool = pool
        self._body = body
        self._loop = asyncio.get_running_loop()
        self._left = self._to_start = 0
        self._ended = asyncio.Event()
        self._path = b"/3/device/" + secrets.token_hex(32).encode()
        self._varying = ((b"apns-id", secrets.token_hex(18).encode()), (b"apns-expiration", b"1800000000"))
        self.results: Counter[int | Fault] = Counter()

    async def run(self, count: int, in_flight: int) -> None:
        self._left = count
        self._ended.clear()
        at_once = min(in_flight, count)
        self._to_start = count - at_once
        for _ in range(at_once):
            self._ask()
        await self._ended.wait()

    def _ask(self) -> None:
        deadline = self._loop.time() + 10
        request = Request(self._path, REPEATING, self._varying, self._body, self._done, deadline, "a server")
        self._pool.submit(request)

    def _done(self, result: Response | Fault) -> None:
        self.results[result.status if isinstance(result, Response) else result] += 1
        self._left -= 1
        if self._to_start:
            self._to_start -= 1
            self._ask()
        elif not self._left:
            self._ended.set()


async def measure(pool: Pool, length: int, in_flight: int, count: int) -> tuple[float, float]:
    """Requests a second, and microseconds of this process' CPU for each."""
    load = Load(pool, b"x" * length)
    await load.run(min(WARM_UP, count), in_flight)
    start, cpu = time.perf_counter(), time.process_time()
    await load.run(count, in_flight)
    taken, used = time.perf_counter() - start, time.process_time() - cpu
    if set(load.results) != {200}:
        raise RuntimeError(f"not all were answered with 200: {dict(load.results)}")
    return count / taken, used / count * 1e6


async def http2(directory: Path) -> None:
    """Print the figures; runs in a loop that exists."""
    directory.mkdir(parents=True, exist_ok=True)
    async with nginx(directory) as (port, context):
        pool = Pool("127.0.0.1", port, context, connections=1, in_flight=max(IN_FLIGHT))
        for length in BODIES:
            for in_flight in IN_FLIGHT:
                count = REQUESTS if in_flight > 1 else REQUESTS // 20
                figures = [await measure(pool, length, in_flight, count) for _ in range(RUNS)]
                rates, costs = zip(*figures, strict=True)
                say(
                    f"http2 client alone, {length} bytes, {in_flight:,} under way, one connection",
                    f"{spread(rates, '/s')}   {median(costs):.1f} us of CPU each",
                )
        await pool.close()


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="hushpost-bench-") as directory:
        uvloop.run(http2(Path(directory)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
