"""A database that tells tests when something was written."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from server.domain.ports import Database, Transaction

T = TypeVar("T")

_PASSES = 20  # of the event loop, between one question and the next of whoever asks


class Announced:
    """Passes everything on, and wakes whoever waits for a write. `fail_once` is raised by the next write.

    `after_write` is called after each one has been committed and before whoever asked for it knows.
    """

    def __init__(self, behind: Database) -> None:
        self._behind = behind
        self._written = asyncio.Event()
        self._asked = 0
        self._answered = 0
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
        self._asked += 1
        try:
            value = await self._behind.write(job)
            if self.after_write is not None:
                await self.after_write()
        finally:
            self._answered += 1
            self._written.set()
        return value

    async def read(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        self._asked += 1
        try:
            return await self._behind.read(job)
        finally:
            self._answered += 1

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

    async def settle_down(self, *, after: int) -> None:
        """Return when it was asked something after a number of questions, and the event loop has nothing more to ask it."""
        quiet = 0
        async with asyncio.timeout(10):
            while quiet < _PASSES:
                await asyncio.sleep(0)
                quiet = quiet + 1 if after < self._asked == self._answered else 0

    @property
    def asked(self) -> int:
        """How many jobs it was given."""
        return self._asked
