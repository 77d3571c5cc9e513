"""What every request is counted by: here at once, and for all processes together a moment later.

A request waits for nobody: each process counts by itself, and where there is a Redis tells it a few times a second what it has counted,
and learns what all have. So a credential gets by as much more than its quota as it is used for in that moment at the other
processes. While Redis is away, or where there is none, each process allows as much as one alone.

Redis holds for each key nothing but how long it takes until the key's quota is whole again: that is the time for which it keeps
the key. No clock is compared with another's.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Final

from relay.shared import Shared
from server.domain.errors import Allowance
from server.domain.throttle import Throttle

TELL_EVERY: Final = 0.2
"""Seconds."""
_AT_ONCE: Final = 500

# ARGV: the window, then for each key what was used of it, in milliseconds. Answers what all have used of it.
_TELL: Final = """
local all, window = {}, tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
  local used = math.max(redis.call('PTTL', key), 0) + tonumber(ARGV[i + 1])
  all[i] = math.max(math.ceil(math.min(used, window)), 1)
  redis.call('SET', key, 1, 'PX', all[i])
end
return all
"""


class CountedThrottle:
    """`shared` is None where this process has nobody to share with, `monotonic` is in seconds."""

    def __init__(self, own: Throttle, shared: Shared | None, monotonic: Callable[[], float]) -> None:
        self._own = own
        self._shared = shared
        self._monotonic = monotonic
        self._untold: dict[str, int] = {}

    def take(self, key: str) -> Allowance | None:
        """Count one request and return what is left, or None where nothing was: then it is not counted."""
        allowance = self._own.take(key, self._now())
        if allowance is not None and self._shared is not None:
            self._untold[key] = self._untold.get(key, 0) + 1
        return allowance

    def left(self, key: str) -> Allowance:
        """Return what is left for a key."""
        return self._own.left(key, self._now())

    async def run(self) -> None:
        """Tell the others until cancelled."""
        while True:
            await asyncio.sleep(TELL_EVERY)
            await self.tell()

    async def tell(self) -> None:
        """Tell what was counted since the last time, and take over what all have counted of the same keys."""
        untold, self._untold = list(self._untold.items()), {}
        if self._shared is not None:
            for start in range(0, len(untold), _AT_ONCE):
                await self._exchange(self._shared, untold[start : start + _AT_ONCE])

    async def _exchange(self, shared: Shared, counted: Sequence[tuple[str, int]]) -> None:
        names = [shared.name(self._own.name, key.encode()) for key, _ in counted]
        used = [math.ceil(number * self._own.step) for _, number in counted]
        answer = await shared.ask(_TELL, names, self._own.window, *used)
        now = self._now()
        for (key, _), together in zip(counted, answer or (), strict=False):
            # What was counted here while the answer was on its way is told next time, and was not in it.
            self._own.raise_to(key, now + together + self._untold.get(key, 0) * self._own.step)

    def _now(self) -> int:
        return int(self._monotonic() * 1000)
