"""What is killed, when, and the log of it.

A round sends a burst and kills one process at some moment after it: while requests are committed, while batches are sealed
or relayed, while outcomes are written, or while the process is still starting. It is started again in the background,
and the next round begins as soon as a server answers requests. Everything comes from the seed; the log has a line for
each kill: what, in which phase, how long it had lived, and what was under way.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp
import psutil

from tests.harness.crash_senders import Senders
from tests.harness.process import Process

PHASES = {"commit": (0.0, 0.03), "seal": (0.03, 0.12), "relay": (0.08, 0.3), "settle": (0.2, 0.7)}
"""Seconds after the burst."""

START = (0.0, 0.7)
"""Seconds after its start, for one that is killed before it answers."""

KILLED_AT_START = 0.1
KILLED_TOGETHER = 0.02
SEALER = "sealer"
BURST = (2, 6)
STARTING_AT_ONCE = 2


class Kills:
    """`answering` are the servers that take requests; `owed` counts what some phone has not shown yet."""

    def __init__(
        self,
        processes: Sequence[Process],
        answering: Sequence[Process],
        session: aiohttp.ClientSession,
        *,
        seed: int,
        log: Path,
        owed: Callable[[], int],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._processes = {process.name: process for process in processes}
        self._answering = answering
        self._session = session
        self._chance = random.Random(f"{seed}/kills")  # noqa: S311 - a run is repeated with its seed
        self._log = log
        self._owed = owed
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._up_since = dict.fromkeys(self._processes, time.monotonic())
        self._began = time.monotonic()

    async def round(self, number: int, senders: Senders) -> None:
        target = self._chance.choice([*self._processes, *self._processes, SEALER])
        phase = self._chance.choice(list(PHASES))
        wait = self._chance.uniform(*PHASES[phase])
        count = self._chance.randint(*BURST)
        at_start, together = self._chance.random(), self._chance.random()
        start_wait = self._chance.uniform(*START)
        if target != SEALER:
            await self._up(target)
        await self._any_answers()
        senders.burst(f"r{number}", count)
        await asyncio.sleep(wait)
        if target == SEALER:
            self._kill_a_sealer(number, phase, senders)
        elif together < KILLED_TOGETHER:
            await asyncio.gather(*(self._kill(number, name, "together", senders) for name in self._processes))
        else:
            await self._kill(number, target, phase, senders)
            if at_start < KILLED_AT_START:
                await asyncio.sleep(start_wait)
                await self._kill(number, target, "start", senders)
        while len(self._starting) > STARTING_AT_ONCE:
            await self._up(next(iter(self._starting)))

    async def all_up(self) -> None:
        for name in list(self._starting):
            await self._up(name)

    async def _up(self, name: str) -> None:
        task = self._starting.get(name)
        if task is not None:
            await task

    async def _any_answers(self) -> None:
        down = [self._starting[one.name] for one in self._answering if one.name in self._starting]
        if len(down) == len(self._answering):
            await asyncio.wait(down, return_when=asyncio.FIRST_COMPLETED)

    async def _kill(self, number: int, name: str, phase: str, senders: Senders) -> None:
        process = self._processes[name]
        task = self._starting.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        elif not process.alive:
            raise RuntimeError(f"{name} has ended by itself; see {process.log}")
        await process.kill()
        lived = time.monotonic() - self._up_since[name] if task is None else 0.0
        self._note(number, name, phase, lived, senders)
        self._starting[name] = asyncio.create_task(self._start(process))

    async def _start(self, process: Process) -> None:
        await process.start(self._session)
        self._up_since[process.name] = time.monotonic()
        del self._starting[process.name]

    def _kill_a_sealer(self, number: int, phase: str, senders: Senders) -> None:
        found = [
            (name, child)
            for name, process in self._processes.items()
            if process.alive
            for child in sealing_children(process.pid)
        ]
        if found:
            name, child = self._chance.choice(found)
            self._note(number, f"{SEALER} of {name}", phase, time.time() - child.create_time(), senders)
            child.kill()

    def _note(self, number: int, target: str, phase: str, lived: float, senders: Senders) -> None:
        self.counts[f"{target.partition('-')[0].partition(' ')[0]}, {phase}"] += 1
        line = {
            "round": number,
            "at": round(time.monotonic() - self._began, 3),
            "killed": target,
            "phase": phase,
            "lived": round(lived, 3),
            "requests": senders.ledger.open,
            "owed": self._owed(),
        }
        with self._log.open("a") as log:
            log.write(json.dumps(line) + "\n")


def sealing_children(pid: int) -> list[psutil.Process]:
    """The processes that encrypt for a server."""
    try:
        children = psutil.Process(pid).children(recursive=True)
        return [child for child in children if any("spawn_main" in word for word in child.cmdline())]
    except psutil.NoSuchProcess:
        return []
