"""The phone's side of its push provider: one live stream, kept open.

It plays the part of the operating system: it connects again whenever the connection breaks, and it hands a relay's
handle (`hh`, PROTOCOL §3) to whoever asked for it. An answer that nobody asked for (an unknown `rq`) is ignored.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from yarl import URL

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
Milliseconds = Callable[[], int]


@dataclass(frozen=True)
class Push:
    """`envelope` is None for a wake, `deleted` says that the provider dropped what it had kept. Times in ms."""

    envelope: str | None = field(repr=False)
    deleted: bool
    accepted_at: int
    received_at: int


class Mailbox:
    def __init__(self, session: aiohttp.ClientSession, url: str, clock: Milliseconds) -> None:
        self._session = session
        self._url = URL(url, encoded=True)
        self._clock = clock
        self._asked: dict[str, asyncio.Future[str]] = {}
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # None is a poke: nothing came, but there may be something to do.
        self.pushes: asyncio.Queue[Push | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        """Return once pushes arrive."""
        self._task = asyncio.create_task(self._run())
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            await self._task
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    def expect(self, request: str) -> asyncio.Future[str]:
        """Wait for the handle that answers `request`."""
        self._asked[request] = asyncio.get_running_loop().create_future()
        return self._asked[request]

    def forget(self, request: str) -> None:
        self._asked.pop(request, None)

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            started = time.monotonic()
            try:
                await self._listen()
            except (aiohttp.WSServerHandshakeError, aiohttp.InvalidURL):
                raise  # not a simulator, or not its token: trying again will not help
            except aiohttp.ClientError:
                pass
            lasted = time.monotonic() - started
            pause = FIRST_PAUSE if lasted > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        async with self._session.ws_connect(self._url, heartbeat=20) as socket:
            async for message in socket:
                if message.type == aiohttp.WSMsgType.TEXT:
                    self._take(message.json())

    def _take(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "ready":
            self._ready.set()
            return
        payload = event["payload"]
        data = payload.get("data", {}) if event["provider"] == "fcm" else payload
        if "hh" in data:
            self._answer(str(data.get("rq")), str(data["hh"]))
            return
        push = Push(
            envelope=data.get("hp") or None,
            deleted=event["event"] == "deleted",
            accepted_at=event["acceptedAt"],
            received_at=self._clock(),
        )
        self.pushes.put_nowait(push)

    def _answer(self, request: str, handle: str) -> None:
        waiting = self._asked.pop(request, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(handle)
