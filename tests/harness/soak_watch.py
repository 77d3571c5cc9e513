"""What a soak looks at from outside: memory of the processes, the relay's metrics and its log."""

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import aiohttp
import psutil
from prometheus_client.parser import text_string_to_metric_families

MIB = 1 << 20
LOOK_SECONDS = 0.5
PUSHES = "hushpost_relay_pushes_total"
IN_FLIGHT = "hushpost_relay_pushes_in_flight"
GROWTH_PART = 0.05
GROWTH_BYTES = {"relay": 4 * MIB, "providers": 128 * MIB}
"""The simulator's faults take many MiB each for a moment, and it is not what is tested: it only has to last."""

WARM_UP_PART = 3
"""The first of so many equal parts of a soak is not judged: caches and pools fill."""


@dataclass(frozen=True)
class Growth:
    """Medians of resident memory in bytes: of the first half after the warm-up, and of the second."""

    first: float
    second: float
    peak: float
    margin: float

    @property
    def bound(self) -> float:
        return self.margin + GROWTH_PART * self.first

    @property
    def flat(self) -> bool:
        return self.second - self.first <= self.bound

    def __str__(self) -> str:
        first, second, peak, bound = (one / MIB for one in (self.first, self.second, self.peak, self.bound))
        return f"{first:.1f} MiB, later {second:.1f} MiB, peak {peak:.1f} MiB; may grow by {bound:.1f} MiB"


class Memory:
    """Resident memory of processes by name, each with its children."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._seen: dict[str, list[float]] = defaultdict(list)

    async def watch(self) -> None:
        while True:
            for name, pid in self._pids.items():
                with suppress(psutil.NoSuchProcess):
                    self._seen[name].append(resident(pid))
            await asyncio.sleep(LOOK_SECONDS)

    def now(self, name: str) -> float:
        return self._seen[name][-1] if self._seen[name] else 0.0

    def growth(self) -> dict[str, Growth]:
        return {name: growth_of(seen, GROWTH_BYTES[name]) for name, seen in self._seen.items()}


def resident(pid: int) -> float:
    root = psutil.Process(pid)
    whole = root.memory_info().rss
    for child in root.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            whole += child.memory_info().rss
    return float(whole)


def growth_of(seen: Sequence[float], margin: float) -> Growth:
    warm = seen[len(seen) // WARM_UP_PART :]
    half = len(warm) // 2
    return Growth(median(warm[:half]), median(warm[half:]), max(seen), margin)


@dataclass(frozen=True)
class Metrics:
    """What the relay counted: pushes by status and reason, and how many a provider holds."""

    pushes: Counter[tuple[str, str]]
    in_flight: float


async def scrape(session: aiohttp.ClientSession, url: str) -> Metrics:
    async with session.get(f"{url}/metrics") as answer:
        text = await answer.text()
    pushes: Counter[tuple[str, str]] = Counter()
    in_flight = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == PUSHES:
                pushes[sample.labels["status"], sample.labels["reason"]] += int(sample.value)
            elif sample.name == IN_FLIGHT:
                in_flight += sample.value
    return Metrics(pushes, in_flight)


async def settled(session: aiohttp.ClientSession, url: str, seconds: float) -> Metrics:
    """What the relay counted once it holds nothing any more, or after so many seconds."""
    until = time.monotonic() + seconds
    found = await scrape(session, url)
    while found.in_flight and time.monotonic() < until:
        await asyncio.sleep(LOOK_SECONDS)
        found = await scrape(session, url)
    return found


def disagreements(counted: Metrics, said: Mapping[tuple[str, str, str], int], unknown: int) -> list[str]:
    """Where the relay's totals differ from the sum of its answers, beyond the pushes of requests that had no answer."""
    wanted: Counter[tuple[str, str]] = Counter()
    for (_, status, reason), number in said.items():
        wanted[status, reason] += number
    found = [
        f"{' '.join(key)}: answered {number}, counted {counted.pushes[key]}"
        for key, number in wanted.items()
        if not number <= counted.pushes[key] <= number + unknown
    ]
    more = counted.pushes.total() - wanted.total()
    if not 0 <= more <= unknown:
        found.append(
            f"all: answered {wanted.total()}, counted {counted.pushes.total()}, {unknown} without an answer"
        )
    return found


def logged_faults(log: Path) -> Counter[str]:
    """Errors in a log, and lines that are no log entries, such as a trace."""
    found: Counter[str] = Counter()
    with log.open(errors="replace") as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                found[f"not a log entry: {line.strip()[:200]}"] += 1
                continue
            if entry.get("level") in {"error", "critical"}:
                found[f"{entry.get('event')}: {entry.get('error', '')}"] += 1
    return found
