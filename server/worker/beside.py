"""What goes on beside the outbox's batches and takes none of their places: so many deliveries at a time, and so many of one tenant.

A tenant whose server says nothing fills its own part, and no other tenant's.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from server.domain.ports import DatabaseError

_MOST = 8_000  # deliveries
_MOST_OF_TENANT = 2_000


class Beside:
    """One for a process. `log` is a structlog logger."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._tasks: dict[asyncio.Task[None], tuple[str, int]] = {}  # whose, and how many deliveries
        self._bell: Callable[[], None] | None = None

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """Return what is under way."""
        return set(self._tasks)

    def rings(self, bell: Callable[[], None]) -> None:
        """Have something called whenever a task is over."""
        self._bell = bell

    def has_room(self, tenant: str, deliveries: int) -> bool:
        """Say whether so many more of a tenant may go on beside; what is alone in its part always may."""
        of_tenant = sum(number for whose, number in self._tasks.values() if whose == tenant)
        in_all = sum(number for _, number in self._tasks.values())
        return not of_tenant or (of_tenant + deliveries <= _MOST_OF_TENANT and in_all + deliveries <= _MOST)

    def start(self, tenant: str, deliveries: int, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._run(work), name="outbox-beside")
        self._tasks[task] = (tenant, deliveries)
        task.add_done_callback(self._done)

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except DatabaseError as error:
            self._log.error("deliveries were not settled and come again", error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - nobody waits for it; its text may quote content
            self._log.error("deliveries failed and are tried again", error=type(error).__name__)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if self._bell is not None:
            self._bell()
