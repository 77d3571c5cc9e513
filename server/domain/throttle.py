"""A quota over time for each key, with bounded memory: the generic cell rate algorithm, one number a key.

The number is the time at which the key's quota is whole again. A key whose time has passed is the same as a key that
was never seen; the keys that were used longest ago go first when room is needed, and those are nearest to it.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from server.domain.errors import Allowance


@dataclass(frozen=True)
class Quota:
    """`amount` attempts in `window` seconds, refilled evenly."""

    name: str
    amount: int
    window: int


class Throttling(Protocol):
    """A throttle that may be shared with other processes, as `server.live.throttles` has it."""

    async def take(self, key: str, now: int) -> Allowance | None: ...
    def left(self, key: str, now: int) -> Allowance: ...
    async def give_back(self, key: str, now: int) -> None: ...
    async def forget(self, key: str) -> None: ...


class Counting(Protocol):
    """A throttle that nobody waits for, as `server.live.counting` has it."""

    def take(self, key: str) -> Allowance | None: ...
    def left(self, key: str) -> Allowance: ...


class Throttle:
    """Counts attempts for each key, in this process. Times are milliseconds."""

    def __init__(self, quota: Quota, *, keys: int) -> None:
        self._quota = quota
        self.name = quota.name
        self.window = quota.window * 1000
        self.step = self.window / quota.amount
        self._keys = keys
        self._whole_at: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str, now: int) -> Allowance | None:
        """Count one attempt and return what is left, or None where nothing was: then it is not counted."""
        whole_at = max(self._whole_at.get(key, 0.0), float(now)) + self.step
        if whole_at - now > self.window + 1e-6:  # a sum of steps may miss the window by a rounding error
            return None
        self._store(key, whole_at)
        return self.left(key, now)

    def left(self, key: str, now: int) -> Allowance:
        """Return what is left for a key; `reset` is when the next attempt is possible, or when all are."""
        used = max(self._whole_at.get(key, 0.0) - now, 0.0)
        remaining = int((self.window - used + 1e-6) // self.step)
        wait = used if remaining else used + self.step - self.window
        name, amount, window = self._quota.name, self._quota.amount, self._quota.window
        return Allowance(name, amount, window, remaining, max(1, -int(-wait // 1000)))

    def give_back(self, key: str) -> None:
        """Uncount one attempt."""
        if key in self._whole_at:
            self._whole_at[key] -= self.step

    def forget(self, key: str) -> None:
        """Make the key's quota whole."""
        self._whole_at.pop(key, None)

    def note(self, key: str, whole_at: float) -> None:
        """Take over what all processes together have counted."""
        self._store(key, whole_at)

    def raise_to(self, key: str, whole_at: float) -> None:
        """Take over what all processes together have counted, where that is more than this one has."""
        if whole_at > self._whole_at.get(key, 0.0):
            self._store(key, whole_at)

    def _store(self, key: str, whole_at: float) -> None:
        self._whole_at[key] = whole_at
        self._whole_at.move_to_end(key)
        if len(self._whole_at) > self._keys:
            self._whole_at.popitem(last=False)
