"""A database that tells tests when something was written."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from server.domain.ports import Database, Transaction

T = TypeVar("T")


class Announced:
    """Passes everything on, and wakes whoever waits for a write. `fail_once` is raised by the next write.

    `after_write` is called after each one has been committed and before whoever asked for it knows.
    """

    def __init__(self, behind: Database) -> None:
        self._behind = behind
        self._written = asyncio.Event()
        self.fail_once: Exception | None = None
        self.after_write: Callable[[], Awaitable[None]] | None = None

    @property
    def exclusive(self) -> bool:
        return self._behind.exclusive

    @property
    def credentials_version(self) -> int | None:
        return self._behind.credentials_version

    async def write(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        fault, self.fail_once = self.fail_once, None
        if fault is not None:
            raise fault
        try:
            value = await self._behind.write(job)
            if self.after_write is not None:
                await self.after_write()
        finally:
            self._written.set()
        return value

    async def read(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._behind.read(job)

    async def close(self) -> None:
        await self._behind.close()

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Return as soon as a condition holds after a write, or holds already; fails after 10 s."""
        async with asyncio.timeout(10):
            while True:
                self._written.clear()
                if await condition():
                    return
                await self._written.wait()
