"""Keeps several processes of a server or of a relay running behind one socket.

Each process inherits the socket and takes from it what it can. One that ends is started again: at once if it had served for a while, else after a pause that grows. Where none
of them has ever come so far as to serve, a few attempts are enough, and the supervisor ends with what is wrong.

A stop is passed on to all, and whoever has not ended in time is killed. On SIGHUP the program says what there is to tell, and
all are told, as is everyone that is started later. Each process holds the end of a pipe, through which it is told, so that none
outlives a supervisor that was killed. It forks nothing: processes are programs of their own, in sessions of their own, so that
Ctrl-C reaches the supervisor alone.
"""

import asyncio
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.cli.lifeline import FOLDER, READY
from server.cli.listening import Listener
from server.cli.saying import FAILED, USAGE, CommandError

_END_WITHIN = 25.0  # seconds: requests under way are finished, batches settled or given back
_STEADY = (
    10.0  # seconds that a process serves before its end counts as a new fault and not as the same one again
)
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = {True: 2.0, False: 15.0}  # by whether it had served
_ATTEMPTS = 3


@dataclass(frozen=True)
class Program:
    """What is run: a module of ours, and what each of its processes is told at its start, one line for its number from 1.

    `reload` answers a SIGHUP: what all processes are told, one line, or None where there is nothing to tell; `orders` says the
    same from then on. Without it, the signal keeps its own meaning. `shown` stands in the log once all processes serve.
    """

    name: str
    module: str
    orders: Callable[[int], bytes] = field(repr=False)
    reload: Callable[[], Awaitable[bytes | None]] | None = None
    shown: Mapping[str, str] = field(default_factory=dict)


def supervise(program: Program, listener: Listener, processes: int, log: Any) -> None:
    """Keep so many processes of a program running until a signal comes; `GaveUp` where they cannot be started."""
    with tempfile.TemporaryDirectory(prefix="hushpost-metrics-", ignore_cleanup_errors=True) as folder:
        asyncio.run(Crew(program, listener, Path(folder), log).serve(processes))


class GaveUp(CommandError):
    pass


@dataclass
class Crew:
    """All processes of one server or relay."""

    program: Program
    listener: Listener
    folder: Path
    log: Any

    def __post_init__(self) -> None:
        self._running: dict[int, Process] = {}
        self._served: set[int] = set()

    async def serve(self, processes: int) -> None:
        stop, now = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: now.set() if stop.is_set() else stop.set())
        keepers = [asyncio.create_task(self._keep(number, processes)) for number in range(1, processes + 1)]
        others = [asyncio.create_task(stop.wait()), *self._reloading(loop)]
        await asyncio.wait((*keepers, *others), return_when=asyncio.FIRST_COMPLETED)
        self.log.info("stopping", processes=len(self._running))
        for task in (*keepers, *others):
            task.cancel()
        await asyncio.wait((*keepers, *others))
        await self._end(now)
        for keeper in keepers:
            if not keeper.cancelled():
                keeper.result()

    def _reloading(self, loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
        if self.program.reload is None:
            return []
        wanted = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, wanted.set)
        return [asyncio.create_task(self._reload(self.program.reload, wanted))]

    async def _reload(self, reload: Callable[[], Awaitable[bytes | None]], wanted: asyncio.Event) -> None:
        """Tell all processes what the program says. One that is just being started hears it with its orders."""
        while await wanted.wait():
            wanted.clear()
            line = await reload()
            for child in self._running.values() if line is not None else ():
                _tell(child, line or b"")

    async def _keep(self, number: int, processes: int) -> None:
        """Run one process, and another in its place when it has ended."""
        loop = asyncio.get_running_loop()
        faults = 0
        while True:
            began = loop.time()
            served, code, end = await self._run(number, processes)
            faults = 0 if served and loop.time() - began > _STEADY else faults + 1
            self._judge(code, faults)
            pause = min(_FIRST_PAUSE * 2 ** min(faults, 10), _LONGEST_PAUSE[served]) if faults else 0.0
            self.log.error(
                "a process has ended, another takes its place", process=number, end=end, seconds=pause
            )
            await asyncio.sleep(pause)

    async def _run(self, number: int, processes: int) -> tuple[bool, int, str]:
        """Run one process to its end; whether it served, its exit code, and how it ended."""
        try:
            child = self._running[number] = await self._start(number)
        except OSError as error:  # no memory, or no files, for one more: the others go on
            return False, FAILED, f"not started ({error.strerror})"
        served = await child.stdout.read(1) == READY if child.stdout else False
        if served:
            self._note_served(number, processes)
        code = await child.wait()
        return served, code, _end(code)

    async def _start(self, number: int) -> Process:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", self.program.module),
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=(self.listener.socket.fileno(),),
            start_new_session=True,
            env=_environment(self.folder),
        )
        _tell(child, self.program.orders(number))  # what they are now: starting it may have taken a while
        return child

    def _note_served(self, number: int, processes: int) -> None:
        if number in self._served:
            self.log.info("a process serves in the other's place", process=number)
            return
        self._served.add(number)
        if len(self._served) == processes:
            self.log.info(
                "listening", address=self.listener.address, processes=processes, **self.program.shown
            )

    def _judge(self, code: int, faults: int) -> None:
        if not self._served and (faults >= _ATTEMPTS or code == USAGE):
            raise GaveUp(
                f"no process of the {self.program.name} could be started; the lines above say why",
                code=USAGE if code == USAGE else FAILED,
            )

    async def _end(self, now: asyncio.Event) -> None:
        """Tell all to stop, and kill what has not by the deadline or by the second signal.

        From here on nobody takes connections: they are refused, and wait for nobody.
        """
        self.listener.socket.close()
        for child in self._running.values():
            with suppress(ProcessLookupError):
                child.terminate()
        ended = asyncio.gather(*(child.wait() for child in self._running.values()))
        hurry = asyncio.create_task(now.wait())
        await asyncio.wait((ended, hurry), timeout=_END_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        late = [number for number, child in self._running.items() if child.returncode is None]
        for number in late:
            self.log.error("a process has not ended in time and is killed", process=number)
            with suppress(ProcessLookupError):
                self._running[number].kill()
        await ended


def _tell(child: Process, line: bytes) -> None:
    if child.stdin is not None and not child.stdin.is_closing():
        child.stdin.write(line + b"\n")


def _environment(folder: Path) -> Mapping[str, str]:
    """This process's own, without its settings: those are in the orders."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUSHPOST_")}
    return {**kept, FOLDER: str(folder)}


def _end(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
