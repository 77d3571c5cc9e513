"""The scheduler's loop: what is due at some time is done at that time, one task after the other.

It sleeps until the next task is due, or until it is woken, and looks by itself every so often for what other processes have
added. It knows times only by the clock on the wall: a clock that is set makes what has come due by it happen at once, and nothing
happen twice. Any number of them may run on one database (`server/commands/due.py`).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from server.commands.due import next_due, prepare_tasks, put_back, run_due
from server.commands.retention import report_of
from server.domain.delivery import SECOND
from server.domain.ports import Clock, Database, DatabaseError, Random
from server.domain.task import Kind
from server.worker.metrics import SchedulerMetrics

_TOGETHER = 0.01  # seconds: whoever sends much wakes often
_TAKEN = 0.1  # seconds until the next look where other processes have all that is due
_PUT_BACK = 1 * SECOND  # a clock that loses more than this at once was set
_WRITES = frozenset(Kind) - {Kind.PRUNE, Kind.COMPACT, Kind.RETAIN}


class Scheduler:
    """Run it as one task; cancelling that ends it. `deliver` has the outbox look; `log` is a structlog logger."""

    def __init__(
        self,
        db: Database,
        *,
        deliver: Callable[[], None],
        poll_seconds: float,
        metrics: SchedulerMetrics,
        clock: Clock,
        random: Random,
        log: Any,
    ) -> None:
        self._db = db
        self._deliver = deliver
        self._poll_seconds = poll_seconds
        self._metrics = metrics
        self._clock = clock
        self._random = random
        self._log = log
        self._bell = asyncio.Event()
        self._prepared = False
        self._seen = 0

    def wake(self) -> None:
        """Look for tasks now."""
        self._bell.set()

    async def run(self) -> None:
        """Work until cancelled; a task that is running is then committed or rolled back as a whole."""
        while True:
            self._bell.clear()
            try:
                wait = await self._look()
            except DatabaseError as error:
                self._log.error("the scheduler cannot use the database", error=type(error).__name__)
                wait = self._poll_seconds
            except Exception as error:  # noqa: BLE001 - nobody would start it again: what it is, it may pass
                self._log.error("the scheduler failed and goes on", error=type(error).__name__)
                wait = self._poll_seconds
            if wait:
                await self._idle(wait)

    async def _look(self) -> float:
        """Run a task if one is due; return for how many seconds there is nothing to do, at most until the next look."""
        if not self._prepared:
            if await prepare_tasks(self._db, self._clock()):
                self._log.warning(
                    "the clock was put back since the last start; what waited for a later time is due"
                )
                self._deliver()
            self._prepared = True
        await self._watch_clock()
        due_at, now = await next_due(self._db), self._clock()
        if due_at is None or due_at > now:
            return self._poll_seconds if due_at is None else min((due_at - now) / 1000, self._poll_seconds)
        return 0 if await self._step() else _TAKEN

    async def _watch_clock(self) -> None:
        """Have what waits a moment not wait for as long as the clock was put back."""
        now = self._clock()
        if now < self._seen - _PUT_BACK:
            number = await put_back(self._db, now)
            self._log.warning(
                "the clock was put back; what waited for no time of its own is due", tasks=number
            )
        self._seen = now

    async def _step(self) -> bool:
        """Run the task that has been due the longest; False where there is none to be had."""
        now = self._clock()
        task = await run_due(self._db, now=now, random=self._random, log=self._log)
        if task is None:
            return False
        self._metrics.ran(task, now)
        report = report_of(task)
        if report is not None:
            self._metrics.removed(report["messages"])
            self._log.info("messages deleted that their buckets do not keep", **report)
        if task.kind in _WRITES:
            self._deliver()
        return True

    async def _idle(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bell.wait()
                await asyncio.sleep(_TOGETHER)
