"""Keeps several server processes running behind one socket.

The supervisor binds the socket and brings the tables up to date, once; each process inherits the socket and takes from it
what it can. One that ends is started again: at once if it had served for a while, else after a pause that grows. Where none
of them has ever come so far as to serve, a few attempts are enough, and the supervisor ends with what is wrong.

A stop is passed on to all, and whoever has not ended in time is killed. Each process holds the end of a pipe, so that none
outlives a supervisor that was killed. It forks nothing: processes are programs of their own, in sessions of their own, so that
Ctrl-C reaches the supervisor alone.
"""

import asyncio
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec.structs import replace

from server.cli.files import load_settings, read_server_keys
from server.cli.listening import Listener, bind
from server.cli.logs import log_to_stderr
from server.cli.orders import READY, Orders
from server.cli.roles import Role, refuse_to_share_a_file
from server.cli.tables import migrated
from server.cli.terminal import FAILED, USAGE, CommandError
from server.config import Settings

_METRICS = "PROMETHEUS_MULTIPROC_DIR"  # `server.cli.figures`, which this process has no need to load
_END_WITHIN = 25.0  # seconds: requests under way are finished, batches settled or given back
_STEADY = (
    10.0  # seconds that a process serves before its end counts as a new fault and not as the same one again
)
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = {True: 2.0, False: 15.0}  # by whether it had served
_ATTEMPTS = 3


def serve(config: str | None, role: Role, processes: int) -> None:
    settings = load_settings(config).settings
    refuse_to_share_a_file(settings, role, processes)
    log_to_stderr(settings.log)
    read_server_keys(settings)  # what is wrong with them is said once, and not by each
    listener = bind(settings.server.listen, "server.listen")
    migrated(settings)
    with tempfile.TemporaryDirectory(prefix="hushpost-metrics-", ignore_cleanup_errors=True) as folder:
        crew = Crew(
            _shared_out(settings, processes), role, listener, Path(folder), structlog.get_logger("server")
        )
        asyncio.run(crew.serve(processes))


def _shared_out(settings: Settings, processes: int) -> Settings:
    """Give each process its part of the machine."""
    sealing = settings.worker.seal_processes or max(1, (os.cpu_count() or 1) // processes)
    return replace(settings, worker=replace(settings.worker, seal_processes=sealing))


class GaveUp(CommandError):
    pass


@dataclass
class Crew:
    """All processes of one server."""

    settings: Settings
    role: Role
    listener: Listener
    folder: Path
    log: Any

    def __post_init__(self) -> None:
        self._running: dict[int, Process] = {}
        self._served: set[int] = set()

    async def serve(self, processes: int) -> None:
        """Keep so many running until a signal comes; `GaveUp` where they cannot be started."""
        stop, now = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: now.set() if stop.is_set() else stop.set())
        keepers = [asyncio.create_task(self._keep(number, processes)) for number in range(1, processes + 1)]
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((*keepers, stopping), return_when=asyncio.FIRST_COMPLETED)
        self.log.info("stopping", processes=len(self._running))
        for task in (*keepers, stopping):
            task.cancel()
        await asyncio.wait((*keepers, stopping))
        await self._end(now)
        for keeper in keepers:
            if not keeper.cancelled():
                keeper.result()

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
        descriptor = self.listener.socket.fileno()
        orders = Orders(
            settings=self.settings, role=self.role, number=number, socket=descriptor, host=self.listener.host
        )
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "server.cli.child"),
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=(descriptor,),
            start_new_session=True,
            env=_environment(self.folder),
        )
        if child.stdin is not None:
            child.stdin.write(msgspec.json.encode(orders) + b"\n")
        return child

    def _note_served(self, number: int, processes: int) -> None:
        if number in self._served:
            self.log.info("a process serves in the other's place", process=number)
            return
        self._served.add(number)
        if len(self._served) == processes:
            address, role = self.listener.address, self.role.value
            self.log.info("listening", address=address, role=role, processes=processes)

    def _judge(self, code: int, faults: int) -> None:
        if not self._served and (faults >= _ATTEMPTS or code == USAGE):
            raise GaveUp(
                "no process of the server could be started; the lines above say why",
                code=USAGE if code == USAGE else FAILED,
            )

    async def _end(self, now: asyncio.Event) -> None:
        """Tell all to stop, and kill what has not by the deadline or by the second signal."""
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


def _environment(folder: Path) -> Mapping[str, str]:
    """This process's own, without its settings: those are in the orders."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUSHPOST_")}
    return {**kept, _METRICS: str(folder)}


def _end(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
