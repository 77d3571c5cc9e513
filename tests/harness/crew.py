"""A `hushpost` command that runs until it is stopped, with its log line by line, and the processes that it keeps."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.harness.hushpost import environment

SECONDS = 30


@dataclass
class Crew:
    """A supervisor and its log; what it says is waited for, in order."""

    process: asyncio.subprocess.Process
    url: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)

    async def says(self, event: str) -> dict[str, Any]:
        async with asyncio.timeout(SECONDS):
            while line := await self.said():
                if line.get("event") == event:
                    return line
        raise AssertionError(f"it ended and never said: {event}; but {self.lines}")

    async def said(self) -> dict[str, Any]:
        """The next line of its log; {} at its end. One that is no JSON is a sentence."""
        assert self.process.stderr is not None
        line = await self.process.stderr.readline()
        try:
            read: dict[str, Any] = json.loads(line) if line else {}
        except json.JSONDecodeError:
            read = {"sentence": line.decode()}
        self.lines.append(read)
        return read

    @property
    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    async def ends(self) -> int:
        async with asyncio.timeout(SECONDS):
            while await self.said():
                pass
            return await self.process.wait()


@asynccontextmanager
async def crew(folder: Path, *command: str, settings: Mapping[str, str]) -> AsyncIterator[Crew]:
    """Start a command in a folder; it is killed at the end, if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server.cli", *command),
        cwd=folder,
        env=environment(settings),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Crew(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
