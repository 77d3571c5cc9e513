"""Looking at the server itself."""

from server.domain.ports import Database, DatabaseError
from server.domain.tally import Audit, Tally
from server.store import tallies
from server.store.accounts import default_tenant


async def database_answers(db: Database) -> bool:
    """Say whether the database can be read."""
    try:
        await db.read(default_tenant)
    except DatabaseError:
        return False
    return True


async def count_deliveries(db: Database) -> Tally:
    """Return the book of deliveries."""
    return await db.read(tallies.count)


async def audit_deliveries(db: Database) -> Audit:
    """Hold the book of deliveries against the rows; reads the whole table."""
    return await db.read(tallies.audit)
