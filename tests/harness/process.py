"""One `hushpost` command as a process: started until it answers, and ended in good order or as a power cut would.

It takes its configuration from the stack's file; what is its own (where it listens, on which cores it may run) is given
beside that. Its log is a file that each start adds to.
"""

import asyncio
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

HUSHPOST = Path(sys.executable).with_name("hushpost")
START_SECONDS = 30
LOOK_SECONDS = 0.02
END_OF_LOG = 2_000


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without Hushpost's own variables, and with compiled modules kept between starts."""
    unwanted = ("HUSHPOST_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return kept | dict(extra)


@contextmanager
def confined(cpus: Collection[int]) -> Iterator[None]:
    """Let what is started meanwhile, and whatever it starts, run on these cores only; none means all."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass
class Process:
    """`settings` are environment variables, `cpus` the cores that it and its children may use (empty: all)."""

    name: str
    command: tuple[str, ...]
    config: Path
    url: str
    log: Path
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    cpus: frozenset[int] = frozenset()
    _running: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        assert self._running is not None, f"{self.name} is not running"
        return self._running.pid

    @property
    def alive(self) -> bool:
        return self._running is not None and self._running.returncode is None

    def ended(self) -> str:
        """How it ended, for a person who has to find out why it did."""
        code = self._running.returncode if self._running is not None else None
        return f"{self.name} ended with {code}:\n{self.log.read_text(errors='replace')[-END_OF_LOG:]}"

    async def start(self, session: aiohttp.ClientSession) -> None:
        """Start it and wait until it answers. Cancelled, it leaves what was started: `kill` ends that."""
        with self.log.open("ab") as log, confined(self.cpus):
            self._running = await asyncio.create_subprocess_exec(
                HUSHPOST,
                *self.command,
                "--config",
                self.config,
                stdout=log,
                stderr=log,
                env=environment(self.settings),
            )
        async with asyncio.timeout(START_SECONDS):
            while not await self._answers(session):
                await asyncio.sleep(LOOK_SECONDS)

    async def kill(self) -> None:
        """End it as a power cut would: nothing in it gets to say goodbye."""
        if self._running is not None and self.alive:
            self._running.kill()
            await self._running.wait()

    async def stop(self) -> None:
        if self._running is not None and self.alive:
            self._running.terminate()
            await self._running.wait()

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        if not self.alive:
            raise RuntimeError(self.ended())
        try:
            # A connection that stayed would have to be waited for when the process stops.
            async with session.get(f"{self.url}/healthz", headers={"Connection": "close"}) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False
