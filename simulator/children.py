"""Child processes of the demonstration: each has a log file, and some say what they do in JSON lines on standard output.

Whoever waits for one is told why, when it ends instead: the last lines of its log.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.bell import Bell

Event = Mapping[str, Any]
Environment = Mapping[str, str]

_LAST_LINES = 5
_STOP_WITHIN = 20.0  # longer than any of them takes for requests under way


class StepFailed(Exception):
    """A step of the demonstration did not come to its end; the text says which, and why."""


@dataclass(frozen=True)
class Program:
    """Something to run as `python -m …`. Of Hushpost's variables, only those of `environment` reach it."""

    name: str
    arguments: Sequence[str]
    environment: Environment
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    async def start(self) -> asyncio.subprocess.Process:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("HUSHPOST_")}
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *self.arguments,
                env={**inherited, **self.environment, "PYTHONUTF8": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )

    async def output(self) -> str:
        """Run it to its end; what it wrote, or `StepFailed`."""
        process = await self.start()
        written, _ = await process.communicate()
        if process.returncode:
            raise self.failure(f"failed with exit code {process.returncode}")
        return written.decode("utf-8", "replace")

    def failure(self, what: str) -> StepFailed:
        lines = self.log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]
        return StepFailed("\n".join([f"{self.name} {what}", *(f"  {line}" for line in lines)]))


class Child:
    """A program that runs until it is stopped."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process) -> None:
        self.program = program
        self.events: list[Event] = []
        self.bell = Bell()
        self._process = process
        self._reading = asyncio.create_task(self._read())

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def runs(self) -> bool:
        return not self._reading.done()

    async def _read(self) -> None:
        """Keep the lines that are events, until the process ends."""
        output = self._process.stdout
        while output is not None and (line := await output.readline()):
            if line.startswith(b"{"):
                self.events.append(json.loads(line))
                self.bell.ring()
        await self._process.wait()

    async def event(self, kind: str, *, seconds: float, fits: Callable[[Event], bool]) -> Event:
        """Wait for an event of this kind that fits; `StepFailed` says why there is none."""

        def found() -> list[Event]:
            return [one for one in self.events if one["event"] == kind and fits(one)]

        await self.until(lambda: bool(found()), seconds=seconds, what=f"said nothing like {kind!r}")
        return found()[0]

    async def until(self, condition: Callable[[], bool], *, seconds: float | None, what: str) -> None:
        """Wait until a condition of its events holds; `StepFailed` where it ends first, or the time does."""
        waiting = asyncio.create_task(self.bell.until(condition))
        await asyncio.wait({waiting, self._reading}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not condition():
            raise self.program.failure(f"{what} within {seconds} s" if self.runs else "has ended")

    async def stop(self) -> None:
        """End it, in good order if it can."""
        if self._process.returncode is None:
            self._process.terminate()
        await asyncio.wait({self._reading}, timeout=_STOP_WITHIN)
        if self._process.returncode is None:
            self._process.kill()
        await self._reading
