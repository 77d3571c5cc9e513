"""The sweep: every ten minutes, files that nobody needs any more are deleted (`server/commands/attachments.py`).

It looks at a disk, which no transaction of the scheduler's may wait for. One process of a server does it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from server.commands.attachments import Swept, WrongDatabase, claim_folder, sweep
from server.domain.ports import Clock, Database
from server.store.files import Files
from server.worker.metrics import SweepMetrics

_FIRST_AFTER = 120.0  # seconds: whoever has started the server with the wrong settings may notice
_EVERY = 600.0


class Sweeper:
    """Run it as one task; cancelling that ends it. `log` is a structlog logger."""

    def __init__(self, db: Database, files: Files, *, metrics: SweepMetrics, clock: Clock, log: Any) -> None:
        self._db = db
        self._files = files
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._refused = False

    def wake(self) -> None:
        """Do nothing: what is to be swept is old by then."""

    async def run(self) -> None:
        """Sweep until cancelled. The folder is claimed at once: nearly always before there is a file in it."""
        await self.attempt(self.claim)
        await asyncio.sleep(_FIRST_AFTER)
        while True:
            await self.attempt(self.sweep)
            await asyncio.sleep(_EVERY)

    async def attempt(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do it, and log why it fails; that the folder is another database's is logged once."""
        try:
            await work()
            self._refused = False
        except WrongDatabase:
            if not self._refused:
                self._log.error(
                    "files are not swept: this folder is another database's. Start the server with that one,"
                    " or delete the file that names it if the folder is this one's now",
                    file=str(self._files.owner_file),
                )
            self._refused = True
        except Exception as error:  # noqa: BLE001 - nobody would start it again: what it is, it may pass
            self._log.error("files are not swept, which is tried again", error=type(error).__name__)

    async def claim(self) -> None:
        """Make the folder this database's; WrongDatabase."""
        await claim_folder(self._db, self._files)

    async def sweep(self) -> Swept:
        """Sweep once; WrongDatabase."""
        swept = await sweep(self._db, self._files, now=self._clock())
        self._metrics.swept(swept)
        if any(asdict(swept).values()):
            self._log.info("files deleted that nobody needs", **asdict(swept))
        return swept
