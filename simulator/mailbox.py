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

from crypto.errors import CryptoError
from simulator.subscription import Subscription

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
Milliseconds = Callable[[], int]


@dataclass(frozen=True)
class Push:
    """`envelope` is None for a wake, `deleted` says that the provider dropped what it had kept. Times in ms.

    `fault` is set where Web Push's own encryption did not open, and says why.
    """

    envelope: str | None = field(repr=False)
    deleted: bool
    fault: str | None
    accepted_at: int
    received_at: int


class Mailbox:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        clock: Milliseconds,
        subscription: Subscription | None,
    ) -> None:
        self._session = session
        self._subscription = subscription
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
        data: Mapping[str, Any] = {}
        fault: str | None = None
        try:
            data = self._open(event)
        except CryptoError as error:
            fault = error.reason
        if "hh" in data:
            self._answer(str(data.get("rq")), str(data["hh"]))
            return
        push = Push(
            envelope=data.get("hp") or None,
            deleted=event["event"] == "deleted",
            fault=fault,
            accepted_at=event["acceptedAt"],
            received_at=self._clock(),
        )
        self.pushes.put_nowait(push)

    def _open(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """Find what rides in the payload, in each provider's own place."""
        payload: Mapping[str, Any] = event["payload"]
        if self._subscription is not None:
            return self._subscription.open(payload)
        data: Mapping[str, Any] = payload.get("data", {}) if event["provider"] == "fcm" else payload
        return data

    def _answer(self, request: str, handle: str) -> None:
        waiting = self._asked.pop(request, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(handle)
