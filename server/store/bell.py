"""Tells other processes that something was committed: PostgreSQL's NOTIFY, on a connection of its own.

It is a hint and may be lost: polling finds the work all the same. Nobody hears what they ring themselves. So ringing never waits and never fails, and what is rung
while the connection is away is one ring when it is back. A NOTIFY is never part of a transaction that does something else:
commits that carry one wait for each other. However often it is rung, one process sends at most one in `_PAUSE`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

_CHANNEL = "hushpost_work"
_PAUSE = 0.02  # seconds
_PATIENCE = 5.0  # seconds for one answer
_LOOK_EVERY = 30.0  # seconds: a connection that was lost without a word is noticed
_FIRST_DELAY = 0.2
_LONGEST_DELAY = 15.0
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class Bell:
    """Run it as one task. `heard` is called for every ring of others; None for who only rings. `log` is a structlog logger."""

    def __init__(self, url: str, heard: Callable[[], None] | None, log: Any) -> None:
        self._url = url
        self._heard = heard
        self._log = log
        self._stirred = asyncio.Event()  # it was rung, or the connection ended

    def ring(self) -> None:
        """Let others know that something was committed. Returns at once."""
        self._stirred.set()

    async def run(self) -> None:
        """Pass rings on, both ways, until cancelled."""
        loop = asyncio.get_running_loop()
        delay, silent = _FIRST_DELAY, False
        while True:
            began = loop.time()
            try:
                async with self._connection() as connection:
                    if silent:
                        self._log.info("hints between processes work again")
                        silent = False
                    await self._pass_on(connection)
            except _FAULTS as error:
                if not silent:
                    self._log.warning("no hints between processes, they poll", error=type(error).__name__)
                silent = True
            delay = _FIRST_DELAY if loop.time() - began > _LONGEST_DELAY else min(2 * delay, _LONGEST_DELAY)
            await asyncio.sleep(delay)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(
            self._url,
            timeout=_PATIENCE,
            command_timeout=_PATIENCE,
            server_settings={"application_name": "hushpost bell"},
        )
        try:
            connection.add_termination_listener(lambda _connection: self._stirred.set())
            if self._heard is not None:
                await connection.add_listener(_CHANNEL, self._hear)
                self._heard()  # what was rung meanwhile was not heard
            yield connection
        finally:
            connection.terminate()

    async def _pass_on(self, connection: Any) -> None:
        """Send what is rung, and look now and then whether the other end is still there."""
        while True:
            rung = await self._wait()
            await connection.execute(f"NOTIFY {_CHANNEL}" if rung else "SELECT 1")
            await asyncio.sleep(_PAUSE)

    async def _wait(self) -> bool:
        try:
            async with asyncio.timeout(_LOOK_EVERY):
                await self._stirred.wait()
        except TimeoutError:
            return False
        self._stirred.clear()
        return True

    def _hear(self, connection: Any, ringer: int, *_notice: object) -> None:
        if self._heard is not None and ringer != connection.get_server_pid():
            self._heard()
