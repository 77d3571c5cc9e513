"""Passwords: argon2id in a few threads of its own, with a bounded queue.

The event loop never hashes, a flood of sign-ins takes no more memory than `threads` times the hasher's, and what
would wait behind a long queue is told to come back. A sign-in to an account that does not exist costs the same as one
to an account that does: it is checked against a hash that nothing matches.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from server.domain.errors import Unavailable
from server.domain.ports import Random

T = TypeVar("T")

_RETRY_AFTER = 2


class Passwords:
    def __init__(self, hasher: PasswordHasher, *, random: Random, threads: int, waiting: int) -> None:
        self._hasher = hasher
        self._random = random
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self._room = threads + waiting
        self._nobodys = hasher.hash(random(32), salt=random(hasher.salt_len))

    async def hash(self, password: str) -> str:
        """Return what to store; Unavailable where too many are waiting."""
        salt = self._random(self._hasher.salt_len)
        return await self._run(lambda: self._hasher.hash(password, salt=salt))

    async def match(self, stored: str | None, password: str) -> bool:
        """Say whether a password is the stored one, at the same cost where none is stored."""
        return (
            await self._run(lambda: self._matches(stored or self._nobodys, password)) and stored is not None
        )

    def outdated(self, stored: str) -> bool:
        """Say whether a stored hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Let go of the threads; hashes under way are finished."""
        self._threads.shutdown(wait=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._room == 0:
            raise Unavailable("too many sign-ins at once", retry_after=_RETRY_AFTER)
        self._room -= 1
        work_done = asyncio.get_running_loop().run_in_executor(self._threads, work)
        work_done.add_done_callback(lambda _: self._leave())  # also when the caller has gone away
        return await work_done

    def _leave(self) -> None:
        self._room += 1

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
