"""The few connections to one host: requests wait in a queue, go out where there is room, and end exactly once.

The connection that is there first is filled first, so that its writes are large. Another is dialled when none is left, or
when something waits although all are full; one at a time, and after a failure not before the backoff is over. One failed dial
speaks for all that wait: with no connection left they end with its fault, as does what comes until the next dial is
due. What a peer certainly did not process waits before all else, and is sent again while its deadline and `ATTEMPTS`
allow.

How much may wait is bounded by who submits; what is under way by `in_flight`, over all connections.
"""

import asyncio
import random
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from relay.http2 import Fault, Queue, Request, finish
from relay.http2_connection import TIMING, Connection, Timing
from relay.http2_dial import Backoff, dial

ATTEMPTS: Final = 3
LONG: Final = 1.0
"""Seconds until the next dial for which nobody is kept waiting, when connections come to be and bring no answer."""


class Watch(Protocol):
    """Who wants to know how connections fare."""

    def connected(self) -> None: ...

    def lost(self, fault: Fault) -> None:
        """Hear that a connection was left, or that a dial failed, and why."""


class Fifo:
    """First come, first served."""

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()

    def put(self, request: Request) -> None:
        self._waiting.append(request)

    def pop(self) -> Request | None:
        return self._waiting.popleft() if self._waiting else None

    def overdue(self, now: float) -> list[Request]:
        late = [request for request in self._waiting if request.deadline <= now]
        if late:
            self._waiting = deque(request for request in self._waiting if request.deadline > now)
        return late

    def __len__(self) -> int:
        return len(self._waiting)


class Pool:
    """`context` must offer ALPN `h2` and nothing else. To be used in one loop, which need not run yet when it is made."""

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext,
        *,
        queue: Queue | None = None,
        connections: int = 8,
        in_flight: int = 2_000,
        watch: Watch | None = None,
        timing: Timing = TIMING,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._queue: Queue = Fifo() if queue is None else queue
        self._most_connections = connections
        self._most_in_flight = in_flight
        self._watch = watch
        self._timing = timing
        self._backoff = Backoff(timing, jitter)
        self._refusal: Fault | None = None
        self._usable: list[Connection] = []
        self._leaving: set[Connection] = set()
        self._again: deque[Request] = deque()
        self._dialling: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pumping = False
        self._full = False
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None

    @property
    def connections(self) -> int:
        """How many take requests."""
        return len(self._usable)

    @property
    def in_flight(self) -> int:
        return sum(connection.in_flight for connection in (*self._usable, *self._leaving))

    @property
    def waiting(self) -> int:
        return len(self._queue) + len(self._again)

    def submit(self, request: Request) -> None:
        """Take a request; its `done` is called once, within its deadline and a tick."""
        if self._closed:
            finish(request, Fault.CLOSED)
            return
        self._queue.put(request)
        if not self._pumping:
            self._pump_soon()

    async def close(self) -> None:
        """Say goodbye; everything that has not ended ends as `CLOSED`."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.wait([self._dialling])
        self._end_waiting(Fault.CLOSED)
        for connection in (*self._usable, *self._leaving):
            connection.close()
        if self._leaving:
            self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._emptied], timeout=self._timing.goodbye)
        for connection in self._leaving:
            connection.abort()

    # What the connections say.

    def freed(self) -> None:
        if not self._pumping and (self._again or len(self._queue)):
            self._pump_soon()

    def again(self, requests: list[Request]) -> None:
        now = asyncio.get_running_loop().time()
        for request in requests:
            if self._closed:
                finish(request, Fault.CLOSED)
            elif request.attempts >= ATTEMPTS or request.deadline <= now:
                finish(request, Fault.GOAWAY)
            else:
                self._again.append(request)
        self.freed()

    def left(self, connection: Connection, fault: Fault) -> None:
        self._leaving.add(connection)
        if connection not in self._usable:
            return  # a dial that comes to nothing: `_dial` hears of it
        self._usable.remove(connection)
        if connection.served:
            self._backoff.succeeded()
        else:
            now = asyncio.get_running_loop().time()
            self._backoff.failed(now)
            if not self._backoff.is_over(now + LONG):
                self._refusal = fault
        self._tell_lost(fault)

    def closed(self, connection: Connection) -> None:
        self._leaving.discard(connection)
        if self._emptied is not None and not self._leaving and not self._emptied.done():
            self._emptied.set_result(None)

    # How requests get out.

    def _pump_soon(self) -> None:
        self._pumping = True
        loop = asyncio.get_running_loop()
        loop.call_soon(self._pump)
        if self._timer is None:
            self._timer = loop.call_later(self._timing.tick, self._tick)

    def _pump(self) -> None:
        self._pumping = False
        if self._closed:
            return
        now = asyncio.get_running_loop().time()
        free = self._most_in_flight - self.in_flight
        for connection in tuple(self._usable):
            free -= self._fill(connection, free, now)
        if not self.waiting:
            self._full = False
        elif not self._usable:
            self._dial_or_refuse(now)

    def _fill(self, connection: Connection, free: int, now: float) -> int:
        """Begin what waits, up to `free` requests; give their number."""
        begun = 0
        while begun < free and connection.has_room() and (request := self._next(now)) is not None:
            connection.start(request)
            begun += 1
        connection.flush()
        return begun

    def _next(self, now: float) -> Request | None:
        while (request := self._again.popleft() if self._again else self._queue.pop()) is not None:
            if request.deadline > now:
                return request
            self._end_late(request)
        return None

    def _end_late(self, request: Request) -> None:
        finish(request, Fault.GOAWAY if request.attempts else Fault.TIMEOUT)

    def _end_waiting(self, fault: Fault) -> None:
        # Only what waits now: who is told may submit anew, and that must not go on for ever.
        for _ in range(self.waiting):
            request = self._again.popleft() if self._again else self._queue.pop()
            if request is not None:
                finish(request, fault)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        # At once, so that who submits from within does not set another beside it.
        self._timer = loop.call_later(self._timing.tick, self._tick)
        worried = any(connection.is_doubted for connection in self._usable)
        for connection in (*self._usable, *self._leaving):
            connection.tick(now, worried=worried)
        late = self._queue.overdue(now)
        late += [request for request in self._again if request.deadline <= now]
        self._again = deque(request for request in self._again if request.deadline > now)
        for request in late:
            self._end_late(request)
        if self.waiting:
            self._pump()
            self._widen(now)
        if not (self._usable or self._leaving or self._dialling or self.waiting):
            self._timer.cancel()
            self._timer = None

    # How connections come to be.

    def _dial_or_refuse(self, now: float) -> None:
        if self._backoff.is_over(now):
            self._dial_soon()
        elif self._refusal is not None and self._dialling is None:
            self._end_waiting(self._refusal)

    def _widen(self, now: float) -> None:
        """Dial one more where something has waited for a whole tick, and all are full.

        A large batch fills a window for a moment again and again.
        """
        waited, self._full = self._full, self.waiting > 0
        if (
            waited
            and self._full
            and 0 < len(self._usable) < self._most_connections
            and self.in_flight < self._most_in_flight
            and not any(connection.has_room() for connection in self._usable)
            and self._backoff.is_over(now)
        ):
            self._dial_soon()

    def _dial_soon(self) -> None:
        # Those that are leaving count too: a peer that sends every connection away must not collect them.
        many = len(self._usable) + len(self._leaving) >= 2 * self._most_connections
        if self._dialling is None and not many and not self._closed:
            self._dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        try:
            failures = self._backoff.failures
            result = await dial(self, self._host, self._port, self._context, self._timing, failures)
        finally:
            self._dialling = None
        if isinstance(result, Connection) and not result.has_left:
            self._usable.append(result)
            self._refusal = None
            if self._watch is not None:
                self._watch.connected()
        else:
            self._refusal = result if isinstance(result, Fault) else Fault.GOAWAY
            self._backoff.failed(asyncio.get_running_loop().time())
            self._tell_lost(self._refusal)
            if not self._usable:
                self._end_waiting(self._refusal)
        self._pump()

    def _tell_lost(self, fault: Fault) -> None:
        if self._watch is not None:
            self._watch.lost(fault)
