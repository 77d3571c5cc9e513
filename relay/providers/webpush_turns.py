"""Whose push goes next, where the other end may be anybody's machine and may say nothing for as long as it likes.

So many at once in all, to one host, of one server. Servers take turns, and among one server's pushes the hosts do, so that
a host that is slow costs those who push to it, and them only that part of their pushes. What cannot go now waits for its
deadline at most; how much can wait is bounded by the requests that are admitted (`relay.bodies`). A push has a task only
while it is sent: there are never more than `Bounds.total`.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import structlog

from relay.errors import origin
from relay.providers.provider import CONNECTION_LOST, INTERNAL, TIMEOUT, Delivery, Done, Verdict

Attempt: TypeAlias = Callable[[Delivery, str], Coroutine[Any, Any, Verdict]]
"""One attempt, given the delivery and the host that it goes to."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many pushes may be under way: in all, to one host, of one server."""

    total: int
    host: int
    server: int


@dataclass(slots=True, eq=False)
class _Waiting:
    delivery: Delivery
    host: str
    done: Done
    deadline: float
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Lane:
    """What one server has waiting for one host: what is urgent goes first, and otherwise what came first."""

    urgent: deque[_Waiting] = field(default_factory=deque)
    normal: deque[_Waiting] = field(default_factory=deque)

    def of(self, waiting: _Waiting) -> deque[_Waiting]:
        return self.urgent if waiting.delivery.high else self.normal

    def pop(self) -> _Waiting:
        waiting = (self.urgent or self.normal).popleft()
        if waiting.timer is not None:
            waiting.timer.cancel()
        return waiting

    def __bool__(self) -> bool:
        return bool(self.urgent or self.normal)


_Hosts: TypeAlias = OrderedDict[str, _Lane]


class Turns:
    """`seconds`: what a push has from here on, waiting and sending together."""

    def __init__(self, attempt: Attempt, bounds: Bounds, seconds: float) -> None:
        self._attempt = attempt
        self._bounds = bounds
        self._seconds = seconds
        self._waiting: OrderedDict[str, _Hosts] = OrderedDict()
        self._by_host: Counter[str] = Counter()
        self._by_server: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[Verdict]] = set()

    def begin(self, delivery: Delivery, host: str, done: Done) -> None:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(delivery, host, done, loop.time() + self._seconds)
        waiting.timer = loop.call_at(waiting.deadline, self._give_up, waiting)
        lane = self._waiting.setdefault(delivery.server, OrderedDict()).setdefault(host, _Lane())
        lane.of(waiting).append(waiting)
        self._fill()

    async def close(self) -> None:
        """End what is under way and what waits: nobody knows what became of it."""
        waiting, self._waiting = self._waiting, OrderedDict()
        for hosts in waiting.values():
            for lane in hosts.values():
                while lane:
                    lane.pop().done(CONNECTION_LOST)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _fill(self) -> None:
        while len(self._tasks) < self._bounds.total and (waiting := self._next()) is not None:
            self._by_host[waiting.host] += 1
            self._by_server[waiting.delivery.server] += 1
            task = asyncio.create_task(self._run(waiting))
            self._tasks.add(task)
            task.add_done_callback(partial(self._finish, waiting))

    def _next(self) -> _Waiting | None:
        """The push whose turn it is. What has no room is passed over and keeps its place."""
        for server, hosts in self._waiting.items():
            if self._by_server[server] < self._bounds.server:
                for host, lane in hosts.items():
                    if self._by_host[host] < self._bounds.host:
                        return self._take(server, hosts, host, lane)
        return None

    def _take(self, server: str, hosts: _Hosts, host: str, lane: _Lane) -> _Waiting:
        waiting = lane.pop()
        hosts.move_to_end(host)
        self._waiting.move_to_end(server)
        self._tidy(server, hosts, host, lane)
        return waiting

    def _tidy(self, server: str, hosts: _Hosts, host: str, lane: _Lane) -> None:
        if not lane:
            del hosts[host]
        if not hosts:
            del self._waiting[server]

    def _give_up(self, waiting: _Waiting) -> None:
        """Its time is over before its turn came."""
        server, host = waiting.delivery.server, waiting.host
        hosts = self._waiting[server]
        lane = hosts[host]
        # All have the same time, so it stands in front, or close behind others of the same moment.
        lane.of(waiting).remove(waiting)
        self._tidy(server, hosts, host, lane)
        waiting.done(TIMEOUT)

    async def _run(self, waiting: _Waiting) -> Verdict:
        try:
            async with asyncio.timeout_at(waiting.deadline):
                return await self._attempt(waiting.delivery, waiting.host)
        except TimeoutError:
            return TIMEOUT
        except Exception as error:  # noqa: BLE001  a fault in one push must not cost the others their outcomes
            structlog.get_logger("relay").error("send_failed", provider="webpush", error=origin(error))
            return INTERNAL

    def _finish(self, waiting: _Waiting, task: "asyncio.Task[Verdict]") -> None:
        self._tasks.discard(task)
        _leave(self._by_host, waiting.host)
        _leave(self._by_server, waiting.delivery.server)
        waiting.done(CONNECTION_LOST if task.cancelled() else task.result())
        self._fill()


def _leave(running: "Counter[str]", name: str) -> None:
    running[name] -= 1
    if not running[name]:
        del running[name]
