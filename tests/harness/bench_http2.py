"""What the HTTP/2 client alone can do: a bare loop over it, in a process of its own, against a provider that is no bottleneck.

No signatures, handles or limits: what `./dev bench relay` prints of the relay is held against this.
"""

import asyncio
import json
import secrets
import ssl
import sys
import time
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Collection
from statistics import median

import uvloop

from relay.http2 import Fault, Field, Request, Response
from relay.http2_pool import Pool
from tests.harness.bench_fake import Fake
from tests.harness.bench_figures import RUNS, say, spread
from tests.harness.process import confined

REQUESTS = 100_000
WARM_UP = 5_000
BODY = 2_100  # bytes: what carries an envelope of 1,536
IN_FLIGHT = (1, 100, 1_000)

REPEATING: tuple[Field, ...] = (
    (b":authority", b"api.push.apple.com"),
    (b"authorization", b"bearer " + b"x" * 200),
    (b"apns-topic", b"org.hushpost.app"),
    (b"apns-push-type", b"alert"),
    (b"apns-priority", b"10"),
)


class Load:
    """Keeps a number of requests under way until as many as wanted have ended."""

    def __init__(self, pool: Pool, token: str) -> None:
        self._pool = pool
        self._body = b"x" * BODY
        self._loop = asyncio.get_running_loop()
        self._left = self._to_start = 0
        self._ended = asyncio.Event()
        self._path = b"/3/device/" + token.encode()
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


async def measure(pool: Pool, token: str, in_flight: int, count: int) -> tuple[float, float]:
    """Requests a second, and microseconds of this process' CPU for each."""
    load = Load(pool, token)
    await load.run(min(WARM_UP, count), in_flight)
    start, cpu = time.perf_counter(), time.process_time()
    await load.run(count, in_flight)
    taken, used = time.perf_counter() - start, time.process_time() - cpu
    if set(load.results) != {200}:
        raise RuntimeError(f"not all were answered with 200: {dict(load.results)}")
    return count / taken, used / count * 1e6


async def measure_all(host: str, port: int, ca_file: str, token: str) -> None:
    """Print a line of JSON for each number under way: rates, and microseconds of CPU."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["h2"])
    pool = Pool(host, port, context, connections=1, in_flight=max(IN_FLIGHT))
    for in_flight in IN_FLIGHT:
        count = REQUESTS if in_flight > 1 else REQUESTS // 20
        figures = [await measure(pool, token, in_flight, count) for _ in range(RUNS)]
        print(json.dumps([in_flight, *zip(*figures, strict=True)]), flush=True)
    await pool.close()


async def client_alone(fake: Fake, token: str, cpus: Collection[int]) -> float:
    """Say what it does; the best median rate."""
    command = (sys.executable, "-m", __name__, fake.host, str(fake.apns_port), str(fake.ca_file), token)
    with confined(cpus):
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    said, _ = await process.communicate()
    found = [json.loads(line) for line in said.splitlines()]
    if process.returncode or not found:
        raise RuntimeError(f"the HTTP/2 client alone ended with {process.returncode}")
    for in_flight, rates, costs in found:
        name = f"the HTTP/2 client alone, against {fake.name}, {in_flight:,} under way"
        say(name, f"{spread(rates, '/s')}   {median(costs):.1f} µs of CPU each")
    return max(float(median(rates)) for _, rates, _ in found)


def main() -> None:
    host, port, ca_file, token = sys.argv[1:]
    uvloop.run(measure_all(host, int(port), ca_file, token))


if __name__ == "__main__":
    main()
