"""Looking at the server itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from server.domain.ports import Database, DatabaseError, Transaction
from server.domain.tally import Audit, Tally
from server.domain.task import Kind
from server.store import leases, tallies, tasks
from server.store.accounts import touch_default_tenant


@dataclass(frozen=True, slots=True)
class Queue:
    """The book of deliveries, how many of them are due or leased, for how many milliseconds the oldest has waited, and what tasks there are."""

    tally: Tally
    due: int
    oldest: int
    tasks: Mapping[Kind, int]


async def database_works(db: Database) -> bool:
    """Say whether the database can be written to: it can often be read for long after its disk is full."""
    try:
        await db.write(touch_default_tenant)
    except DatabaseError:
        return False
    return True


async def look_at_queue(db: Database, now: int) -> Queue:
    """Return what waits, and the book, as of one moment."""

    async def look(tx: Transaction) -> Queue:
        due, oldest = await leases.waiting(tx, now)
        return Queue(await tallies.count(tx), due, oldest, await tasks.count_tasks(tx))

    return await db.read(look)


async def audit_deliveries(db: Database) -> Audit:
    """Hold the book of deliveries against the rows; reads the whole table."""
    return await db.read(tallies.audit)
