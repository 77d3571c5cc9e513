"""What is counted for each request: nonces and limits, here and, where there is a Redis, with all processes of this relay.

This process's own `Nonces` and `Limits` are always filled. While Redis answers, it decides, in one round trip for the nonce
(which also tells what the caller's limits have left) and one for a batch; what it says is noted here, so that `RateLimit`
fields and refusals are true for all processes, and that little is lost when it goes. While it is away, each process
counts by itself: it has its part of what was left, and a replay is refused by the process that was asked before. In Redis a
window begins with the first that it counts, as here, and its keys go with it.

Not shared: the count of unsigned requests, which protects one process's own time, and the record of bad tokens.
"""

from collections.abc import Sequence
from typing import Any, Final

from relay.errors import Problem
from relay.limits import WINDOW_SECONDS, Limits, Rule, limited, take
from relay.nonces import Nonces
from relay.shared import Shared

_CLOCKS_APART: Final = 10
"""Seconds that a nonce is kept longer than its request is good, for processes whose clocks differ."""

# KEYS: the nonce, then the windows. ARGV: how long the nonce is kept. Answers whether it is new, then of each window its
# count and what is left of it in milliseconds.
_REMEMBER: Final = """
local answer = {redis.call('SET', KEYS[1], 1, 'NX', 'PX', ARGV[1]) and 1 or 0}
for i = 2, #KEYS do
  answer[#answer + 1] = tonumber(redis.call('GET', KEYS[i]) or 0) or 0
  answer[#answer + 1] = math.max(redis.call('PTTL', KEYS[i]), 0)
end
return answer
"""

# KEYS: the windows that every push counts against, then each push's own, if it has one. ARGV: how many of the former, a
# window's milliseconds, how many pushes, the limit of their own windows, the limits of the others.
# In order, a push is counted in all of its windows or, where one is full, in none. Answers of each common window its
# count and what is left of it, then of each refused push its number, its full window's, and what is left of that.
_TAKE: Final = """
local common, window, pushes, own = unpack(ARGV, 1, 4)
common, own = tonumber(common), tonumber(own)
local held, count, added = redis.call('MGET', unpack(KEYS)), {}, {}
for i, key in ipairs(KEYS) do count[key] = tonumber(held[i] or 0) or 0 end

local function full(mine)
  for i = 1, common do
    if count[KEYS[i]] >= tonumber(ARGV[4 + i]) then return i end
  end
  if mine and count[mine] >= own then return common + 1 end
end

local function add(key)
  count[key] = count[key] + 1
  added[key] = (added[key] or 0) + 1
end

local refused = {}
for push = 1, tonumber(pushes) do
  local mine = KEYS[common + push]
  local by = full(mine)
  if by then
    refused[#refused + 1] = {push, by}
  else
    for i = 1, common do add(KEYS[i]) end
    if mine then add(mine) end
  end
end

for i, key in ipairs(KEYS) do
  if added[key] then
    if tonumber(held[i] or 'none') then
      redis.call('INCRBY', key, added[key])
    else
      redis.call('SET', key, added[key], 'PX', window)
    end
    added[key] = nil
  end
end

local answer = {}
local function left(key) return math.max(redis.call('PTTL', key), 0) end
for i = 1, common do
  answer[#answer + 1] = count[KEYS[i]]
  answer[#answer + 1] = left(KEYS[i])
end
for _, one in ipairs(refused) do
  local push, by = one[1], one[2]
  answer[#answer + 1] = push - 1
  answer[#answer + 1] = by - 1
  answer[#answer + 1] = left(by <= common and KEYS[by] or KEYS[common + push])
end
return answer
"""


class Counts:
    """`shared` is None where this process has nobody to share with."""

    def __init__(self, limits: Limits, nonces: Nonces, shared: Shared | None) -> None:
        self._limits = limits
        self._nonces = nonces
        self._shared = shared

    async def use_nonce(
        self, keyid: str, nonce: str, rules: Sequence[Rule], *, created: int, expires: int, now: float
    ) -> None:
        """Remember a nonce; the problems are those of `Nonces.use`."""
        self._nonces.use(keyid, nonce, created=created, expires=expires, now=now)
        if self._shared is None:
            return
        keep = int((expires + 1 + _CLOCKS_APART - now) * 1000)
        name = self._shared.name("nonce", f"{keyid}\0{nonce}".encode())
        answer = await self._shared.ask(_REMEMBER, [name, *map(self._name, rules)], max(keep, 1))
        if answer is None:
            return
        _note(rules, answer[1:], now)
        if not answer[0]:
            raise Problem("nonce_replayed", "this nonce was used; sign each attempt with a new one")

    async def take(self, rules: Sequence[Rule], tokens: Sequence[Rule], now: float) -> list[Rule | None]:
        """Count pushes, one for each of `tokens`, in order: the rule that refuses it, or None for what was counted."""
        if self._shared is not None and tokens:
            blocked = await self._take(rules, tokens, len(tokens), now)
            if blocked is not None:
                return blocked
        return take(rules, tokens, now)

    async def take_handle(self, address: bytes, now: float) -> None:
        """One handle request of this address, faultless or not."""
        await self._take_one(self._limits.handle_rule(address), now)

    async def take_token(self, token: str, now: float) -> None:
        """One handle for this token, to which it may have to be sent."""
        await self._take_one(self._limits.token_rule("", token), now)

    async def _take_one(self, rule: Rule, now: float) -> None:
        blocked = await self._take([rule], (), 1, now) if self._shared is not None else None
        if (blocked or take((), [rule], now))[0] is not None:
            raise limited(rule, now)

    async def _take(
        self, rules: Sequence[Rule], tokens: Sequence[Rule], pushes: int, now: float
    ) -> list[Rule | None] | None:
        if self._shared is None:
            return None
        names = [*map(self._name, rules), *map(self._name, tokens)]
        own = tokens[0].limit if tokens else 0
        limits = [rule.limit for rule in rules]
        answer = await self._shared.ask(_TAKE, names, len(rules), WINDOW_SECONDS * 1000, pushes, own, *limits)
        if answer is None:
            return None
        _note(rules, answer, now)
        return _blocked(rules, tokens, pushes, answer[2 * len(rules) :], now)

    def _name(self, rule: Rule) -> str:
        assert self._shared is not None  # noqa: S101 - who asks for a name shares it
        return self._shared.name(rule.window.name, rule.key)


def _note(rules: Sequence[Rule], answer: Sequence[Any], now: float) -> None:
    for rule, count, left in zip(rules, answer[::2], answer[1::2], strict=False):
        rule.window.note(rule.key, count, now + left / 1000, now)


def _blocked(
    rules: Sequence[Rule], tokens: Sequence[Rule], pushes: int, refused: Sequence[Any], now: float
) -> list[Rule | None]:
    blocked: list[Rule | None] = [None] * pushes
    for push, by, left in zip(refused[::3], refused[1::3], refused[2::3], strict=True):
        rule = rules[by] if by < len(rules) else tokens[push]
        rule.window.note(rule.key, rule.limit, now + left / 1000, now)
        blocked[push] = rule
    for token, by_rule in zip(tokens, blocked, strict=False):
        if by_rule is None:
            token.window.take(token.key, now)
    return blocked
