"""Push gateways that do as a test needs: what stands in for a relay where not the relay is tested."""

import asyncio
from collections.abc import Sequence

from relay.wire import Outcome, Push
from server.worker.gateway import GatewayFault


class Takes:
    """Accepts everything, as long as it is open; `pushes` are the ids in the order in which they were asked for."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self._asked = asyncio.Event()

    @property
    def pushes(self) -> list[str]:
        return [id_ for batch in self.batches for id_ in batch]

    async def push(self, pushes: Sequence[Push]) -> list[Outcome]:
        self.batches.append([push.id for push in pushes])
        self._asked.set()
        await self.open.wait()
        return [Outcome(id=push.id, status="accepted") for push in pushes]

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(10):
            while len(self.batches) < times:
                self._asked.clear()
                await self._asked.wait()


class Down:
    """Cannot be reached; `asked` is how often somebody tried."""

    def __init__(self, reason: str = "relay_unreachable", *, general: bool = True) -> None:
        self.asked = 0
        self._reason = reason
        self._general = general

    async def push(self, pushes: Sequence[Push]) -> list[Outcome]:
        self.asked += len(pushes) > 0
        raise GatewayFault(self._reason, general=self._general)
