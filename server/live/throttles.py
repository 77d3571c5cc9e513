"""Throttles that all processes of a server take from, where they have a Redis; each by itself while it is away.

Redis holds the throttle's one number for each key (`server.domain.throttle`), under a name that tells neither account nor
address. While it answers, it decides, and what it says is noted in this process's own throttle, which goes on from there
when it is gone.
"""

from typing import Final

from relay.shared import Shared
from server.domain.errors import Allowance
from server.domain.throttle import Throttle

# ARGV: now, a step, the window, in milliseconds. Answers whether an attempt was counted, and when the quota is whole again.
_TAKE: Final = """
local now, step, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local held = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
local whole = math.max(math.min(held, now + window), now)
if whole + step - now > window + 1e-6 then
  return {0, string.format('%.17g', whole)}
end
whole = whole + step
redis.call('SET', KEYS[1], string.format('%.17g', whole), 'PX', math.ceil(whole - now))
return {1, string.format('%.17g', whole)}
"""
# ARGV: now, a step. Answers 1.
_GIVE_BACK: Final = """
local whole = (tonumber(redis.call('GET', KEYS[1]) or 0) or 0) - tonumber(ARGV[2])
if whole > tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], string.format('%.17g', whole), 'PX', math.ceil(whole - ARGV[1]))
else
  redis.call('DEL', KEYS[1])
end
return 1
"""
_FORGET: Final = "return redis.call('DEL', KEYS[1])"


class SharedThrottle:
    """`shared` is None where this process has nobody to share with. Times are milliseconds."""

    def __init__(self, own: Throttle, shared: Shared | None) -> None:
        self._own = own
        self._shared = shared

    async def take(self, key: str, now: int) -> Allowance | None:
        """Count one attempt and return what is left, or None where nothing was: then it is not counted."""
        if self._shared is not None:
            step, window = self._own.step, self._own.window
            answer = await self._shared.ask(_TAKE, [self._name(self._shared, key)], now, step, window)
            if answer is not None:
                counted, whole_at = answer
                self._own.note(key, float(whole_at))
                return self._own.left(key, now) if counted else None
        return self._own.take(key, now)

    def left(self, key: str, now: int) -> Allowance:
        """Return what was left for a key when this process last took or was refused."""
        return self._own.left(key, now)

    async def give_back(self, key: str, now: int) -> None:
        """Uncount one attempt."""
        self._own.give_back(key)
        if self._shared is not None:
            await self._shared.ask(_GIVE_BACK, [self._name(self._shared, key)], now, self._own.step)

    async def forget(self, key: str) -> None:
        """Make the key's quota whole."""
        self._own.forget(key)
        if self._shared is not None:
            await self._shared.ask(_FORGET, [self._name(self._shared, key)])

    def _name(self, shared: Shared, key: str) -> str:
        return shared.name(self._own.name, key.encode(errors="backslashreplace"))
