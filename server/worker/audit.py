"""The audit: every ten minutes the book of deliveries is held against the rows, and what differs is an error for the operator.

It reads the whole table of deliveries from one snapshot, beside everything else and in nobody's way, so it is no task of the
scheduler's: that would hold a transaction open that writes. One process of a server does it.
"""

import asyncio
from typing import Any

from server.commands.health import audit_deliveries
from server.domain.ports import Clock, Database, DatabaseError
from server.worker.metrics import AuditMetrics

_FIRST_AFTER = 60.0  # seconds: a server that starts has better things to read
_EVERY = 600.0


class Auditor:
    """Run it as one task; cancelling that ends it. `log` is a structlog logger."""

    def __init__(self, db: Database, *, metrics: AuditMetrics, clock: Clock, log: Any) -> None:
        self._db = db
        self._metrics = metrics
        self._clock = clock
        self._log = log

    def wake(self) -> None:
        """Do nothing: no commit makes an audit due."""

    async def run(self) -> None:
        """Audit until cancelled."""
        await asyncio.sleep(_FIRST_AFTER)
        while True:
            try:
                await self.audit()
            except DatabaseError as error:
                self._log.error("the audit cannot use the database", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - nobody would start it again: what it is, it may pass
                self._log.error("the audit failed and is done again later", error=type(error).__name__)
            await asyncio.sleep(_EVERY)

    async def audit(self) -> None:
        """Look once."""
        found = await audit_deliveries(self._db)
        self._metrics.audited(found, self._clock())
        if not found.holds:
            self._log.error(
                "the book of deliveries and the deliveries differ",
                differences=found.differences,
                lost=found.book.lost,
            )
