"""A load of signed pushes that costs little beside the relay: `python -m tests.harness.bench_load`, a process of its own.

Each line on standard input is a run, each line on standard output its figures. The requests of a run are signed before it
starts; they share a few bodies, since a signature covers the digest and not the bytes, and differ in their nonces. Of an answer
the status is read, and its accepted pushes are counted.

A run without `rate` asks again as soon as it was answered, over each connection: it finds the maximum. One with a `rate`
sends at moments that are drawn beforehand, as from many strangers, and counts each answer's time from the moment at which its
request was due, whether or not a connection was free by then: a relay that stalls is charged for all who had to wait.
"""

import asyncio
import itertools
import json
import random
import secrets
import sys
import time
from asyncio.subprocess import PIPE
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import uvloop

from crypto.encoding import b64u, unb64u
from crypto.httpsig import PUSH, sign_request
from crypto.keys import IdentityKey
from relay.wire import JSON_TYPE, PUSH_PATH, Push, encode_pushes
from tests.harness.process import confined

BODIES = 8
ENVELOPE = 1536
SIGNED_FOR = 60
TICK = 0.001
END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"
STATUS = slice(9, 12)
ACCEPTED = b'"status":"accepted"'


@dataclass(frozen=True)
class Sender:
    """A server that is admitted, and handles that are bound to it. `seed`: of its Ed25519 key, b64u."""

    seed: str = field(repr=False)
    handles: Sequence[str] = field(repr=False)


@dataclass(frozen=True)
class Order:
    """One run: `count` requests of `batch` pushes each, by the senders in turns; `rate` in requests a second.

    `url`: where to connect, http only. `public_url`: what is signed. After `seconds` nothing more is sent; together with
    the signing it must stay below a minute.
    """

    url: str
    public_url: str
    senders: Sequence[Sender]
    batch: int
    count: int
    connections: int
    seconds: float = 30.0
    rate: float | None = None


@dataclass(frozen=True)
class Loaded:
    """What a run came to. `answered` requests, `accepted` pushes; `wrong`: requests by status other than 200.

    Times in seconds; percentiles are of a request's time. `busy`: the part of the time that this process itself was
    computing; near 1 it was the bottleneck.
    """

    answered: int
    accepted: int
    wrong: Mapping[str, int]
    seconds: float
    p50: float
    p90: float
    p99: float
    longest: float
    busy: float


Request = tuple[bytes, bytes]
"""Head and body."""


def requests_of(order: Order) -> list[Request]:
    """Sign them all; they are good for a minute."""
    prepared = [
        (IdentityKey.from_seed(unb64u(one.seed, 32)), _bodies(one, order.batch)) for one in order.senders
    ]
    turns = itertools.islice(itertools.cycle(prepared), order.count)
    created = int(time.time())
    host = urlsplit(order.url).netloc
    path = urlsplit(order.public_url).path + PUSH_PATH
    made = []
    for number, (key, bodies) in enumerate(turns):
        body = bodies[number // len(prepared) % len(bodies)]
        signed = sign_request(
            PUSH,
            key=key,
            method="POST",
            target_uri=order.public_url + PUSH_PATH,
            content_type=JSON_TYPE,
            body=body,
            created=created,
            lifetime=SIGNED_FOR,
            nonce=secrets.token_bytes(16),
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        made.append((head.encode(), body))
    return made


def _bodies(sender: Sender, batch: int) -> list[bytes]:
    return [encode_pushes(_push(sender) for _ in range(batch)) for _ in range(BODIES)]


def _push(sender: Sender) -> Push:
    return Push(
        id=str(uuid4()),
        handle=secrets.choice(sender.handles),
        envelope=b64u(secrets.token_bytes(ENVELOPE)),
        priority="high",
        ttl=60,
        collapse=b64u(secrets.token_bytes(16)),
        type="alert",
    )


class Run:
    """Which requests are still to be sent, over which connections, and how long each took."""

    def __init__(self, order: Order, requests: Sequence[Request]) -> None:
        self._todo = iter(requests)
        self._rate = order.rate
        self._until = order.seconds
        self._idle: deque[Connection] = deque()
        self._due: deque[tuple[float, Request]] = deque()
        self._under_way = 0
        self._all_due = order.rate is None
        self.times: list[float] = []
        self.accepted = 0
        self.wrong: dict[str, int] = {}
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def go(self, connections: Sequence["Connection"]) -> None:
        self._until += time.perf_counter()
        self._idle.extend(connections)
        self._advance()
        if self._rate is not None:
            await self._pace(self._rate)
        self._finish()
        await self.done

    def answered(self, connection: "Connection", status: bytes, accepted: int, took: float) -> None:
        self.times.append(took)
        self.accepted += accepted
        if status != b"200":
            self.wrong[status.decode()] = self.wrong.get(status.decode(), 0) + 1
        self._under_way -= 1
        self._idle.append(connection)
        self._advance()
        self._finish()

    def broken(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the relay closed a connection"))

    def _advance(self) -> None:
        while self._idle and (found := self._next()) is not None:
            self._under_way += 1
            self._idle.popleft().ask(*found)

    def _next(self) -> tuple[float, Request] | None:
        """What is due, and since when; without a rate that is whatever is left."""
        if self._rate is not None:
            return self._due.popleft() if self._due else None
        now = time.perf_counter()
        request = next(self._todo, None) if now < self._until else None
        return None if request is None else (now, request)

    async def _pace(self, rate: float) -> None:
        """Let requests become due at random moments, `rate` of them a second (a Poisson process, repeatable)."""
        chance = random.Random(rate)  # noqa: S311 - a run is repeated with its rate
        due = time.perf_counter()
        for request in self._todo:
            due += chance.expovariate(rate)
            while (now := time.perf_counter()) < due:
                await asyncio.sleep(TICK)
            if now > self._until:
                break
            self._due.append((due, request))
            self._advance()
        self._all_due = True

    def _finish(self) -> None:
        if self._all_due and not self._under_way and not self._due and not self.done.done():
            self.done.set_result(None)


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._buffer = bytearray()
        self._whole = 0
        self._since = 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._run.broken(error)

    def ask(self, since: float, request: Request) -> None:
        self._since = since
        self._transport.writelines(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._whole:
            end = self._buffer.find(END_OF_HEAD)
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower() + b"\r"
            at = head.find(LENGTH) + len(LENGTH)
            self._whole = end + len(END_OF_HEAD) + int(head[at : head.find(b"\r", at)])
        if len(self._buffer) < self._whole:
            return
        status, accepted = bytes(self._buffer[STATUS]), self._buffer.count(ACCEPTED)
        self._buffer.clear()
        self._whole = 0
        self._run.answered(self, status, accepted, time.perf_counter() - self._since)

    def close(self) -> None:
        self._transport.abort()


async def load(order: Order) -> Loaded:
    run = Run(order, requests_of(order))
    parts = urlsplit(order.url)
    loop = asyncio.get_running_loop()
    opened = [
        (await loop.create_connection(lambda: Connection(run), parts.hostname or "", parts.port or 80))[1]
        for _ in range(order.connections)
    ]
    began, used = time.perf_counter(), time.process_time()
    await run.go(opened)
    seconds, busy = time.perf_counter() - began, time.process_time() - used
    for connection in opened:
        connection.close()
    cuts = quantiles(run.times, n=100) if len(run.times) > 1 else run.times * 99
    return Loaded(
        answered=len(run.times),
        accepted=run.accepted,
        wrong=run.wrong,
        seconds=seconds,
        p50=cuts[49],
        p90=cuts[89],
        p99=cuts[98],
        longest=max(run.times),
        busy=busy / seconds,
    )


class PushLoad:
    """The other end of such a process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, order: Order) -> Loaded:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator has ended; its error is above")
        return Loaded(**json.loads(line))


@asynccontextmanager
async def push_load(cpus: Collection[int] = ()) -> AsyncIterator[PushLoad]:
    """Start one; several, each for an order of its own, load more than one core can."""
    with confined(cpus):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, stdin=PIPE, stdout=PIPE, limit=1 << 24
        )
    try:
        yield PushLoad(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _read_order(line: str) -> Order:
    fields = json.loads(line)
    return Order(**fields | {"senders": [Sender(**one) for one in fields["senders"]]})


def _orders() -> Iterator[Order]:
    return map(_read_order, sys.stdin)


def main() -> None:
    for order in _orders():
        print(json.dumps(asdict(uvloop.run(load(order)))), flush=True)


if __name__ == "__main__":
    main()
