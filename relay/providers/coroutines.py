"""Transports that are made of coroutines: so many requests at once, the others wait in turns."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from relay.errors import origin
from relay.fair import FairQueue
from relay.http2 import Fault, Request, Response, finish


class Failed(Exception):
    """There is no answer; the fault says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class Exchanges:
    """`post` makes one exchange, or raises `Failed`; it is cancelled at the request's deadline."""

    def __init__(self, post: Callable[[Request], Coroutine[Any, Any, Response]], in_flight: int) -> None:
        self._post = post
        self._in_flight = in_flight
        self._queue: FairQueue[Request] = FairQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def submit(self, request: Request) -> None:
        if self._closed:
            finish(request, Fault.CLOSED)
            return
        self._queue.put(request)
        if len(self._tasks) < self._in_flight:
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        while (request := self._queue.pop()) is not None:
            await self._make(request)

    async def _make(self, request: Request) -> None:
        answer: Response | Fault = Fault.CLOSED
        try:
            async with asyncio.timeout_at(request.deadline):
                answer = await self._post(request)
        except TimeoutError:
            answer = Fault.TIMEOUT
        except Failed as failed:
            answer = failed.fault
        except Exception as error:  # noqa: BLE001  a fault in one exchange must not cost the others theirs
            structlog.get_logger("relay").error("send_failed", error=origin(error))
            answer = Fault.PROTOCOL
        finally:
            finish(request, answer)

    async def close(self) -> None:
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while (request := self._queue.pop()) is not None:
            finish(request, Fault.CLOSED)
