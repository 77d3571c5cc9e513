"""One soak: the processes, the servers that load them, the phases, and the verdict."""

import asyncio
import os
import random
import secrets
import signal
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import aiohttp
import psutil

from crypto.keys import IdentityKey
from tests.harness import soak_servers as servers
from tests.harness.lone_relay import lone_relay
from tests.harness.process import Process
from tests.harness.soak_faults import Faults
from tests.harness.soak_garbage import Garbage
from tests.harness.soak_ledger import JUDGED_AFTER, UNPROCESSED, Ledger
from tests.harness.soak_providers import DRAIN_SECONDS, MAKERS, SimulatedProviders, simulated_providers
from tests.harness.soak_servers import Relay, Server, Tally
from tests.harness.soak_watch import Memory, disagreements, logged_faults, settled
from tests.harness.soak_wire import Wire, wire_to

TARGETS = 100
GOOD = 3
AT_ONCE = 3
FLOODS = 12
SETTLE_SECONDS = 15.0
LIMITS = """
server = 30000
token = 60000
bad_token_wait = 5
in_flight = 60
known_tokens = 1000
"""
JUDGE_SECONDS = 1.0
REPLACED = "a process has ended, another takes its place"
"""What a relay logs as an error of each process that was killed."""

LOST_SECONDS = 3.0
"""After a process was killed, answers may be missing for so long."""

NAMES = (
    *(f"good {number}" for number in range(GOOD)),
    "probe",
    "dead",
    "huge",
    "flood",
    "vanishing",
    "garbage",
)
PHASES = (("quiet", 2.0), ("faults", 3.0), ("flood", 2.0), ("faults", 3.0))
"""Names, and their parts of a cycle."""

CYCLE_SECONDS = 100.0
CYCLES = 6
"""A short soak has so many short ones."""

SETTLING_PART = 0.5
"""The part of a phase in which times are not taken: what went wrong before is still under way."""

LONG_MINUTES = 3.0
"""A shorter soak says nothing of memory and of times."""

FLOOD_TIMES = 10.0
FLOOD_SECONDS = 0.25
"""A good server's single push may take so many times as long in a flood as in quiet, or so long."""


@dataclass(frozen=True)
class Plan:
    minutes: float
    seed: int
    workers: int = 1

    @property
    def cycle(self) -> float:
        return min(CYCLE_SECONDS, self.minutes * 60 / CYCLES)


class Soak:
    """`phase` is what goes on now."""

    def __init__(
        self,
        plan: Plan,
        process: Process,
        relay: Relay,
        providers: SimulatedProviders,
        wires: Mapping[str, Wire],
        keys: Mapping[str, IdentityKey],
        session: aiohttp.ClientSession,
    ) -> None:
        self.plan = plan
        self.process = process
        self.ledger = Ledger()
        self.tally = Tally()
        self.memory = Memory({"relay": process.pid, "providers": providers.pid})
        self.phase = ""
        self.killed = 0
        self._chance = random.Random(plan.seed)  # noqa: S311 - a run is repeated with its seed
        self.faults = Faults(session, providers.addresses["control"], wires, self._chance)
        self._relay = relay
        self._keys = keys
        self._providers = providers
        self._session = session
        self._flood = asyncio.Event()
        self._timed = "settling"

    async def run(self) -> None:
        """Everything, until the plan's time is over; then judge what is left."""
        await self.faults.check()
        until = time.monotonic() + self.plan.minutes * 60
        reading = asyncio.create_task(self._read_records())
        watching = [asyncio.create_task(one) for one in (self.memory.watch(), self._judge())]
        load = [asyncio.create_task(one) for one in self._load()]
        phases = asyncio.create_task(self._phases())
        ended, _ = await asyncio.wait(
            {phases, reading, *watching, *load},
            timeout=until - time.monotonic(),
            return_when=asyncio.FIRST_COMPLETED,
        )
        await _end([phases, *load])
        if not self.process.alive:
            raise RuntimeError(self.process.ended())
        await self._conclude()
        await _end([*watching, reading])
        for task in ended:
            task.result()
            self.ledger.violate("something ended before its time", str(task))

    def _load(self) -> list[Coroutine[Any, Any, None]]:
        url, session = self._relay.url, self._session
        made = {name: self._server(name) for name in NAMES}
        return [
            *(
                servers.good(one, session)
                for name, one in made.items()
                if name.startswith("good")
                for _ in range(AT_ONCE)
            ),
            *(servers.flood(made["flood"], session, self._flood) for _ in range(FLOODS)),
            servers.probe(made["probe"], session, lambda: self.tally.times[self._timed]),
            servers.dead(made["dead"], session),
            servers.huge(made["huge"], session),
            servers.vanishing(made["vanishing"], session),
            Garbage(made["garbage"], session, url, self.ledger, self.plan.workers).run(),
        ]

    def _server(self, name: str) -> Server:
        return Server(
            name,
            self._keys[name],
            relay=self._relay,
            targets=self._providers.targets,
            ledger=self.ledger,
            tally=self.tally,
            chance=random.Random(f"{self.plan.seed}/{name}"),  # noqa: S311 - a run is repeated with its seed
        )

    async def _phases(self) -> None:
        whole = sum(part for _, part in PHASES)
        while True:
            for name, part in PHASES:
                self.phase = name
                await self._play(name, self.plan.cycle * part / whole)
                await self._signal()

    async def _play(self, name: str, seconds: float) -> None:
        if name == "faults":
            await self.faults.play(seconds)
            return
        await asyncio.sleep(seconds * SETTLING_PART)
        if name == "flood":
            self._flood.set()
        self._timed = name
        await asyncio.sleep(seconds * (1 - SETTLING_PART))
        self._timed = "settling"
        self._flood.clear()

    async def _signal(self) -> None:
        """Let the relay read its configuration again, or kill one of its processes."""
        os.kill(self.process.pid, signal.SIGHUP)
        children = psutil.Process(self.process.pid).children()
        if self.plan.workers > 1 and children:
            self.tally.expects_loss = True
            self._chance.choice(children).kill()
            self.killed += 1
            await asyncio.sleep(LOST_SECONDS)
            self.tally.expects_loss = False

    async def _read_records(self) -> None:
        async for provider, push_id, status, reason in self._providers.lines():
            if push_id != "-":
                self.ledger.recorded(provider, push_id, status, reason)
            elif provider in MAKERS and reason not in UNPROCESSED:
                self.ledger.violate("a provider saw a push without an id", f"{provider} {status} {reason}")

    async def _judge(self) -> None:
        while True:
            self.ledger.judge(time.monotonic() - JUDGED_AFTER)
            await asyncio.sleep(JUDGE_SECONDS)

    async def _conclude(self) -> None:
        """Nothing is sent any more: what is open ends, and the books are compared."""
        self.phase = "settling"
        counted = await settled(self._session, self._relay.url, SETTLE_SECONDS)
        await asyncio.sleep(2 * DRAIN_SECONDS)
        self.ledger.judge(time.monotonic())
        if counted.in_flight:
            self.ledger.violate("the relay holds pushes for ever", str(counted.in_flight))
        if not self.killed:
            for one in disagreements(counted, self.ledger.outcomes, self.ledger.unknown):
                self.ledger.violate("the relay's totals are not the sum of its answers", one)
        for line, count in logged_faults(self.process.log).items():
            if line.startswith(REPLACED) and count <= self.killed:
                continue
            self.ledger.violate("an error in the log", f"{count} times {line}")
        if self.plan.minutes >= LONG_MINUTES:
            self._compare_memory()
            self._compare_times()

    def _compare_memory(self) -> None:
        for name, growth in self.memory.growth().items():
            if not growth.flat:
                self.ledger.violate(f"memory of {name} grows", str(growth))

    def _compare_times(self) -> None:
        quiet, flood = (percentiles(self.tally.times[name]) for name in ("quiet", "flood"))
        if quiet and flood and flood[1] > max(FLOOD_SECONDS, FLOOD_TIMES * quiet[1]):
            self.ledger.violate(
                "a good server waits for a flood", f"p99 {quiet[1]:.3f} s, in a flood {flood[1]:.3f} s"
            )


def percentiles(times: Sequence[float]) -> tuple[float, float] | None:
    """The median and the 99th."""
    if len(times) < 2:
        return None
    cuts = quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[98]


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@asynccontextmanager
async def soaked(directory: Path, plan: Plan) -> AsyncIterator[Soak]:
    """Start everything but the load."""
    keys = {name: IdentityKey.generate(secrets.token_bytes) for name in NAMES}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        providers = await stack.enter_async_context(simulated_providers(directory / "providers", TARGETS))
        wires = {
            name: await stack.enter_async_context(wire_to(providers.addresses[name].removeprefix("https://")))
            for name in MAKERS
        }
        lone = await lone_relay(
            directory,
            credentials=providers.addresses,
            reached={name: f"{wire.host}:{wire.port}" for name, wire in wires.items()},
            relay=f"allowlist = {[key.public.id for key in keys.values()]}",
            limits=LIMITS,
            workers=plan.workers,
        )
        stack.push_async_callback(lone.process.stop)
        await lone.process.start(session)
        relay = Relay(lone.url, lone.key, lone.epoch)
        yield Soak(plan, lone.process, relay, providers, wires, keys, session)
