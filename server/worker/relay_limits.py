"""What the relay takes from this server in a minute, as each of its answers says (`RateLimit`, `RateLimit-Policy`).

Nobody signs these fields: they are shown and warned of, and decide nothing. The names and numbers in them are taken only in
the form that a relay of ours writes, and only so many, since each name is a line of the metrics.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge

from server.domain.ports import Clock
from server.domain.relay import RelayLimit

_MOST: Final = 8
_ITEM: Final = re.compile(r'"([a-z][a-z0-9_-]{0,31})"((?:;[a-z]+=[0-9]{1,12})*)')
_PARAMETER: Final = re.compile(r";([a-z]+)=([0-9]+)")
_LONGEST_WINDOW: Final = 86_400


class RelayLimits:
    """Notes limits and warns once in each window where less than a fifth is left. `log` is a structlog logger."""

    def __init__(self, registry: CollectorRegistry, clock: Clock, log: Any) -> None:
        self._clock = clock
        self._log = log
        self._warned: dict[str, int] = {}
        self._limit = _gauge(registry, "limit", "Pushes that the relay takes in a window, by its limits.")
        self._remaining = _gauge(
            registry, "remaining", "Pushes that were left of it when the relay last answered."
        )
        self._resets = _gauge(
            registry, "resets_timestamp_seconds", "When that window ends; from then on all of it is there."
        )

    def note(self, headers: Iterable[tuple[str, str]]) -> None:
        """Take the fields of an answer."""
        now = self._clock()
        for one in read_limits(headers, now):
            if one.name in self._warned or len(self._warned) < _MOST:
                self._show(one)
                self._warn(one, now)

    def _show(self, one: RelayLimit) -> None:
        self._limit.labels(one.name).set(one.limit)
        self._remaining.labels(one.name).set(one.remaining)
        self._resets.labels(one.name).set(one.resets_at / 1000)

    def _warn(self, one: RelayLimit, now: int) -> None:
        warned_until = self._warned.setdefault(one.name, 0)
        if not one.is_low or now < warned_until:
            return
        self._warned[one.name] = one.resets_at
        self._log.warning(
            "little is left of a limit of the relay's",
            limit=one.name,
            of=one.limit,
            remaining=one.remaining,
            seconds=(one.resets_at - now) // 1000,
        )


def read_limits(headers: Iterable[tuple[str, str]], now: int) -> Iterator[RelayLimit]:
    """Read both fields of draft-ietf-httpapi-ratelimit-headers-10; what is of another form is left out. Times in milliseconds."""
    fields = {name.lower(): value for name, value in headers}
    policies = dict(_items(fields.get("ratelimit-policy", "")))
    for name, state in _items(fields.get("ratelimit", "")):
        limit = policies.get(name, {}).get("q", 0)
        if limit and "r" in state and state.get("t", _LONGEST_WINDOW + 1) <= _LONGEST_WINDOW:
            yield RelayLimit(name, limit, min(state["r"], limit), now + state["t"] * 1000)


def _items(field: str) -> Iterator[tuple[str, dict[str, int]]]:
    for item in field.split(", ")[:_MOST]:
        if (found := _ITEM.fullmatch(item)) is not None:
            yield found[1], {name: int(value) for name, value in _PARAMETER.findall(found[2])}


def _gauge(registry: CollectorRegistry, name: str, text: str) -> Gauge:
    # Several processes ask the same relay: what the last of them was told is what is so.
    return Gauge(
        f"hushpost_server_relay_{name}", text, ("name",), registry=registry, multiprocess_mode="mostrecent"
    )
