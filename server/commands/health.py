"""Looking at the server itself."""

from server.domain.delivery import Counts
from server.domain.ports import Database, DatabaseError
from server.store import outbox
from server.store.accounts import default_tenant


async def database_answers(db: Database) -> bool:
    """Say whether the database can be read."""
    try:
        await db.read(default_tenant)
    except DatabaseError:
        return False
    return True


async def count_deliveries(db: Database) -> Counts:
    """Count the deliveries by state; reads the whole table."""
    return await db.read(outbox.count)
