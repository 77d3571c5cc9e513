"""Limits: fixed windows of a minute, and the record of a server's bad tokens. No I/O; the time is an argument.

Memory is bounded: each window keeps at most `capacity` keys and forgets the one whose window began first.
A clock that is put back ends what it would have made last longer.
Forgetting lets a key begin anew, so whoever can make keys at will (open admission) can escape the per-server
limit; that is what the limits by address and in total are for, and those keys cannot be made.
A push is counted only if every limit that it meets has room: what is refused costs nothing.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeVar

from relay.config import FCM_QUOTA, LimitSettings
from relay.errors import Problem, seconds_to_wait

WINDOW_SECONDS: Final = 60
HISTORY: Final = 100
SUSPECT: Final = 10
"""A provider that sees many bad tokens on a connection allows it less: who sends more than so many of its last 100 to bad
ones gets connections apart from the others'."""

_PROJECTS: Final = 10_000
_HISTORY_MASK: Final = (1 << HISTORY) - 1
_ALL: Final = b""
_Value = TypeVar("_Value")


class Window:
    """How often each key was taken in its current minute: in all, until when, and how many of those by all processes together."""

    __slots__ = ("_capacity", "_keys", "limit", "name")

    def __init__(self, name: str, limit: int, capacity: int) -> None:
        self.name = name
        self.limit = limit
        self._capacity = capacity
        self._keys: OrderedDict[bytes, list[float]] = OrderedDict()

    def remaining(self, key: bytes, now: float, limit: int, parts: int = 1) -> int:
        """What is left here where so many processes count by themselves: each has its part of what all together have left."""
        entry = self._keys.get(key)
        if entry is None or _is_over(entry[1], now):
            return limit // parts
        count, _, together = entry
        return max(0, int((limit - together) // parts - (count - together)))

    def resets_at(self, key: bytes, now: float) -> float:
        entry = self._keys.get(key)
        return now + WINDOW_SECONDS if entry is None or _is_over(entry[1], now) else entry[1]

    def take(self, key: bytes, now: float, count: int = 1) -> None:
        entry = self._keys.get(key)
        if entry is not None and not _is_over(entry[1], now):
            entry[0] += count
            return
        if entry is not None:
            del self._keys[key]
        while self._keys and (len(self._keys) >= self._capacity or self._oldest_is_over(now)):
            self._keys.popitem(last=False)
        self._keys[key] = [count, now + WINDOW_SECONDS, 0]

    def note(self, key: bytes, count: int, ends: float, now: float) -> None:
        """What all processes together have counted by now, where that is more than is known here."""
        if ends <= now or self.limit - self.remaining(key, now, self.limit) >= count:
            return
        self._keys.pop(key, None)
        self.take(key, now)
        self._keys[key] = [count, ends, count]

    def _oldest_is_over(self, now: float) -> bool:
        # All windows are equally long, so that the order of insertion is the order in which they end.
        return _is_over(next(iter(self._keys.values()))[1], now)

    def __len__(self) -> int:
        return len(self._keys)


def _is_over(ends: float, now: float) -> bool:
    """Also where it ends later than any that began by now: the clock was put back (seconds more or less are no such thing)."""
    return not now < ends <= now + 2 * WINDOW_SECONDS


@dataclass(frozen=True, slots=True)
class Rule:
    """A window seen by one caller: whose count, how much of it, and in how many parts."""

    window: Window
    key: bytes
    whole: int
    parts: int

    @property
    def limit(self) -> int:
        return self.whole // self.parts

    def remaining(self, now: float) -> int:
        return self.window.remaining(self.key, now, self.whole, self.parts)

    def resets_at(self, now: float) -> float:
        return self.window.resets_at(self.key, now)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a caller's pushes count against: all of them, and those of normal priority besides.

    holder: who has part of what there is only so much of. Where anybody is admitted that is the address, since keys can be made
    at will, else the server.
    """

    every: tuple[Rule, ...]
    normal: Rule
    holder: str

    def of(self, *, high: bool) -> tuple[Rule, ...]:
        return self.every if high else (*self.every, self.normal)

    @property
    def shown(self) -> tuple[Rule, ...]:
        return (*self.every, self.normal)


class BadTokens:
    """Which servers send to bad tokens; one with more than half of its last 100 bad waits."""

    def __init__(self, wait: int, capacity: int) -> None:
        self._wait = wait
        self._capacity = capacity
        self._history: OrderedDict[str, int] = OrderedDict()
        self._until: OrderedDict[str, float] = OrderedDict()

    def record(self, server: str, *, bad: bool, now: float) -> None:
        if not bad and server not in self._history:
            return  # an unwritten history counts as good
        history = (self._history.pop(server, 0) << 1 | bad) & _HISTORY_MASK
        if history.bit_count() > HISTORY // 2:
            _put(self._until, server, now + self._wait, self._capacity)
        elif history:
            _put(self._history, server, history, self._capacity)

    def is_suspect(self, server: str, now: float) -> bool:
        """Whether so many were bad that its pushes should not go where others' do."""
        bad = self._history.get(server, 0).bit_count()
        return bad > SUSPECT or self.waits_until(server, now) is not None

    def waits_until(self, server: str, now: float) -> float | None:
        until = self._until.get(server)
        return until if until is not None and now < until <= now + 2 * self._wait else None


def _put(entries: OrderedDict[str, _Value], key: str, value: _Value, capacity: int) -> None:
    entries.pop(key, None)
    while len(entries) >= capacity:
        entries.popitem(last=False)
    entries[key] = value


class Limits:
    """Every limit of one relay process.

    `alone` says how many processes share what is allowed without counting together, now: each has its part of every limit.
    """

    def __init__(self, settings: LimitSettings, *, is_open: bool, alone: Callable[[], int]) -> None:
        self._is_open = is_open
        self._alone = alone
        self._normal_percent = settings.normal_percent
        server = settings.open_server if is_open else settings.server
        self.server = Window("server", server, settings.known_servers)
        self.normal = Window("normal", self._for_normal(server), settings.known_servers)
        self.token = Window("token", settings.token, settings.known_tokens)
        self.project = Window("project", FCM_QUOTA, _PROJECTS)
        self.normal_project = Window("normal-project", self._for_normal(FCM_QUOTA), _PROJECTS)
        self.address = Window("address", settings.open_address, settings.known_addresses)
        self.total = Window("total", settings.open_total, 1)
        self.requests = Window("requests", settings.open_requests, settings.known_addresses)
        self.handles = Window("handles", settings.handles, settings.known_addresses)
        self.bad_tokens = BadTokens(settings.bad_token_wait, settings.known_servers)

    def _for_normal(self, limit: int) -> int:
        return max(1, limit * self._normal_percent // 100)

    def _rule(self, window: Window, key: bytes, limit: int | None = None) -> Rule:
        parts = self._alone()
        return Rule(window, key, max(parts, limit or window.limit), parts)

    def rules(self, server: str, quota: int | None, address: bytes) -> Rules:
        """What the pushes of this caller are counted against, besides their tokens and projects."""
        key, limit = server.encode(), quota or self.server.limit
        every = [self._rule(self.server, key, limit)]
        if self._is_open:
            every += [self._rule(self.address, address), self._rule(self.total, _ALL)]
        holder = address.hex() if self._is_open else server
        return Rules(tuple(every), self._rule(self.normal, key, self._for_normal(limit)), holder)

    def project_rules(self, project: str, quota: int, *, high: bool) -> tuple[Rule, ...]:
        """What a push to this FCM project is counted against: Google counts what it refuses too."""
        key = project.encode()
        every = self._rule(self.project, key, quota)
        return (every,) if high else (every, self._rule(self.normal_project, key, self._for_normal(quota)))

    def is_projects(self, rule: Rule) -> bool:
        """Whether it is the provider's limit, not ours."""
        return rule.window in (self.project, self.normal_project)

    def token_rule(self, server: str, token: str) -> Rule:
        # Half of the digest names a token well enough to count by, and keeps none of it.
        return self._rule(self.token, sha256(f"{server}\0{token}".encode()).digest()[:16])

    def address_rules(self, address: bytes) -> tuple[Rule, ...]:
        """What the unsigned requests of an address are counted against."""
        handles = self.handle_rule(address)
        return (self._rule(self.requests, address), handles) if self._is_open else (handles,)

    def handle_rule(self, address: bytes) -> Rule:
        return self._rule(self.handles, address)

    def admit_request(self, address: bytes, now: float) -> None:
        """Where anybody is admitted, a signature is checked only within the address's limit."""
        if self._is_open:
            _take_or_refuse(self._rule(self.requests, address), now)

    def admit_batch(self, server: str, rules: Rules, now: float) -> None:
        """A request as a whole: refused where the server waits, or could not push a single time."""
        until = self.bad_tokens.waits_until(server, now)
        if until is not None:
            detail = f"more than half of the last {HISTORY} tokens were bad; retire the handles that are gone"
            raise Problem("limited", detail, retry_after=until - now)
        blocked = refusal(rules.every, now)
        if blocked is not None:
            raise limited(blocked, now)


def refusal(rules: Iterable[Rule], now: float) -> Rule | None:
    """The first rule with nothing left."""
    return next((rule for rule in rules if rule.remaining(now) < 1), None)


def take(common: Sequence[Rule], own: Sequence[Rule], now: float) -> list[Rule | None]:
    """Count pushes in order, each against `common` and one of `own`: the rule that refuses it, or None."""
    tightest = min(common, key=lambda rule: rule.remaining(now), default=None)
    room = len(own) if tightest is None else tightest.remaining(now)
    blocked: list[Rule | None] = []
    taken = 0
    for rule in own:
        if taken >= room:
            blocked.append(tightest)
        elif rule.remaining(now) < 1:
            blocked.append(rule)
        else:
            rule.window.take(rule.key, now)
            blocked.append(None)
            taken += 1
    if taken:
        for rule in common:
            rule.window.take(rule.key, now, taken)
    return blocked


def headers(rules: Sequence[Rule], now: float) -> dict[str, str]:
    """`RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10."""
    policy = ", ".join(f'"{rule.window.name}";q={rule.limit};w={WINDOW_SECONDS}' for rule in rules)
    state = ", ".join(
        f'"{rule.window.name}";r={rule.remaining(now)};t={seconds_to_wait(rule.resets_at(now) - now)}'
        for rule in rules
    )
    return {"RateLimit-Policy": policy, "RateLimit": state}


def _take_or_refuse(rule: Rule, now: float) -> None:
    if rule.remaining(now) < 1:
        raise limited(rule, now)
    rule.window.take(rule.key, now)


def limited(rule: Rule, now: float) -> Problem:
    detail = f"the limit {rule.window.name!r} of {rule.limit} in {WINDOW_SECONDS} s is used up"
    return Problem("limited", detail, retry_after=rule.resets_at(now) - now)
