"""One message to many devices: from the POST until the providers have accepted a push for each, and the memory that it takes.

Real server, relay and simulated providers, all on this machine's cores; the providers share the benchmark's process, so what
they cost is part of the figure. Memory is looked at twenty times a second, in every process for itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

from tests.harness.bench_figures import RUNS, family_seconds, say, spread, stopwatch
from tests.harness.seeding import seed_devices, seeds_of
from tests.harness.stack import Stack, running

SIZES = (1_000, 10_000)
LARGEST = 100_000
LOOK_SECONDS = 0.05
SETTLED_WITHIN = 120.0
MIB = 1 << 20


@dataclass
class Memory:
    """Peaks of resident memory in bytes, by part; `sealing` is the sum of the processes that encrypt."""

    peaks: dict[str, int] = field(default_factory=dict)

    def look(self, stack: Stack) -> None:
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(stack.server.pid)
            self._see("server", server.memory_info().rss)
            self._see("sealing", sum(one.memory_info().rss for one in server.children(recursive=True)))
            self._see("relay", psutil.Process(stack.relay.pid).memory_info().rss)

    def _see(self, part: str, size: int) -> None:
        self.peaks[part] = max(size, self.peaks.get(part, 0))

    def __str__(self) -> str:
        return ", ".join(f"{part} {size / MIB:.0f} MiB" for part, size in self.peaks.items())


@asynccontextmanager
async def watched(stack: Stack) -> AsyncIterator[Memory]:
    memory = Memory()

    async def watch() -> None:
        while True:
            memory.look(stack)
            await asyncio.sleep(LOOK_SECONDS)

    memory.look(stack)
    task = asyncio.create_task(watch())
    try:
        yield memory
    finally:
        task.cancel()
        await asyncio.wait([task])


async def fanout(directory: Path) -> None:
    for size in SIZES:
        await _fan_out(directory / str(size), size, RUNS)


async def fanout_large(directory: Path) -> None:
    await _fan_out(directory, LARGEST, 1)


async def _fan_out(directory: Path, size: int, runs: int) -> None:
    async with running(directory) as stack:
        await stack.server.stop()
        await seed_devices(f"sqlite:///{stack.database}", seeds_of(stack), "default", size)
        await stack.server.start(stack.session)
        await settled(stack)
        times: list[float] = []
        answers: list[float] = []
        costs: dict[str, list[float]] = {part: [] for part in _cpu(stack)}
        async with watched(stack) as memory:
            idle = str(memory)
            for _ in range(runs):
                before = _cpu(stack)
                answer, took = await _send_to_all(stack, size)
                answers.append(answer)
                times.append(took)
                await settled(stack)
                for part, seconds in _cpu(stack).items():
                    costs[part].append((seconds - before[part]) / size * 1000)
        rates = [size / took for took in times]
        say(
            f"one message to {size:,} devices, from POST to accepted by their providers",
            spread(times, "s", 2),
        )
        say("  deliveries", spread(rates, "/s"))
        say("  until the POST was answered", spread(answers, "s", 2))
        say(
            "  CPU for each delivery",
            ", ".join(f"{part} {median(each):.2f} ms" for part, each in costs.items()),
        )
        say("  memory idle", idle)
        say("  memory at its peak", str(memory))


def _cpu(stack: Stack) -> dict[str, float]:
    """What each part has used so far, in seconds."""
    own = psutil.Process().cpu_times()
    return {
        "server with its sealing processes": family_seconds(stack.server),
        "relay": family_seconds(stack.relay),
        "simulated providers": own.user + own.system,
    }


async def _send_to_all(stack: Stack, size: int) -> tuple[float, float]:
    """Seconds until the answer and until the providers have seen them all."""
    wanted = stack.providers.asked + size
    with stopwatch() as whole:
        with stopwatch() as answer:
            await stack.send(title="bench", body="x" * 200)
        await stack.providers.until(lambda _recorded: stack.providers.asked >= wanted)
    faults = {one.reason for one in stack.providers.recorded[-size:] if one.status != 200}
    if faults:
        raise RuntimeError(f"a provider refused: {sorted(faults)}")
    return answer[0], whole[0]


async def settled(stack: Stack) -> None:
    """Wait until nothing is under way any more."""
    async with asyncio.timeout(SETTLED_WITHIN):
        while (books := await stack.books()).waiting:
            await asyncio.sleep(LOOK_SECONDS)
    if books.given_up:
        raise RuntimeError(f"deliveries were given up: {books}")
