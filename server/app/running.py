"""What runs beside the requests, with the application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from server.api.outer import described
from server.app.pieces import ServerPieces
from server.commands.accounts import prepare
from server.commands.derive import first_account_code
from server.commands.usage import Usage
from server.domain.ports import DatabaseError

_WRITE_USAGE_EVERY = 30.0  # seconds


class Running:
    """What runs beside the requests: the workers, and the writing down of what was used when."""

    def __init__(self, pieces: ServerPieces, usage: Usage) -> None:
        self._pieces = pieces
        self._usage = usage
        self._workers: dict[str, asyncio.Task[None]] = {}

    def working(self) -> dict[str, bool]:
        """Say of each worker whether it runs."""
        tasks = self._workers
        return {name: name in tasks and not tasks[name].done() for name in self._pieces.workers}

    async def context(self, _app: web.Application) -> AsyncIterator[None]:
        """Start, and stop in the opposite order."""
        await self._prepare()
        for name, worker in self._pieces.workers.items():
            self._workers[name] = asyncio.create_task(worker.run(), name=name)
            self._workers[name].add_done_callback(self._report)
        writing = asyncio.create_task(self._write_usage(), name="usage")
        yield
        tasks = (*self._workers.values(), writing)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        with suppress(DatabaseError):
            await self._usage.write(self._pieces.db)

    async def _prepare(self) -> None:
        pieces = self._pieces
        if await prepare(pieces.db, now=pieces.clock(), random=pieces.random):
            # The one secret that is logged: it is good until the first account exists, and whoever can read the log
            # of a server that has none yet is meant to be its operator.
            pieces.log.warning(
                "there is no account yet: POST /api/v1/auth/register makes the admin's, from elsewhere with this code",
                code=first_account_code(pieces.secret),
            )

    async def _write_usage(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_USAGE_EVERY)
            try:
                await self._usage.write(self._pieces.db)
            except DatabaseError as error:
                self._pieces.log.warning("usage not written", error=type(error).__name__)

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._pieces.log.error("a worker has stopped", worker=task.get_name(), **described(error))
