"""What is in a tenant that was closed, and how it goes, little by little.

Its users' rows stay without anything, as those of all who are deleted do (`erasing.py`), and with them the tenant's own.
"""

from collections.abc import Sequence

from server.domain.account import User
from server.domain.ports import Transaction
from server.store.accounts import user_of
from server.store.dialect import holes

_BY_ROWS = (("subjects", "message_id"), ("documents", "id"), ("templates", "id"))
_AT_ONCE = ("access_tokens", "resolvers")


async def drop_at_once(tx: Transaction, tenant_id: str) -> None:
    """Delete what would still let somebody in, or have somebody asked."""
    for table in _AT_ONCE:
        await tx.run(f"DELETE FROM {table} WHERE tenant_id = $1", tenant_id)


async def end_shared(tx: Transaction, tenant_id: str, *, after: str, limit: int) -> list[str]:
    """Make the next buckets that are no user's be no topics any more; return their ids, and of those that were none by then."""
    rows = await tx.all(
        "SELECT id FROM buckets WHERE tenant_id = $1 AND id > $2 AND owner_id IS NULL ORDER BY id LIMIT $3"
        " FOR NO KEY UPDATE",
        tenant_id,
        after,
        limit,
    )
    return await _end(tx, [row["id"] for row in rows])


async def end_late(tx: Transaction, tenant_id: str, *, limit: int) -> list[str]:
    """Do the same with topics that were made while the tenant was being closed."""
    rows = await tx.all(
        "SELECT id FROM buckets WHERE tenant_id = $1 AND topic_key IS NOT NULL ORDER BY id LIMIT $2"
        " FOR NO KEY UPDATE",
        tenant_id,
        limit,
    )
    return await _end(tx, [row["id"] for row in rows])


async def lock_users(tx: Transaction, tenant_id: str, *, limit: int) -> list[User]:
    """Return users of a tenant to whom nothing is added until the end of the transaction."""
    rows = await tx.all(
        # Told plainly that the tenant is the same, PostgreSQL may go through everybody's users by their ids.
        "SELECT * FROM users WHERE tenant_id <= $1 AND (tenant_id, id) > ($1, '') AND deleted_at IS NULL"
        " ORDER BY tenant_id, id LIMIT $2 FOR UPDATE",
        tenant_id,
        limit,
    )
    return [user_of(row) for row in rows]


async def drop_rows(tx: Transaction, tenant_id: str, limit: int) -> int:
    """Delete at most so many of what messages are about, or of documents, or templates, in this order; return how many."""
    for table, key in _BY_ROWS:
        dropped = await tx.run(
            f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE tenant_id = $1 LIMIT $2)",
            tenant_id,
            limit,
        )
        if dropped:
            return dropped
    return 0


async def _end(tx: Transaction, bucket_ids: Sequence[str]) -> list[str]:
    if bucket_ids:
        await tx.run(
            "UPDATE buckets SET topic_key = NULL, name = id, public_at = NULL, retention_days = NULL,"
            f" retention_count = NULL WHERE id IN ({holes(len(bucket_ids))})",
            *bucket_ids,
        )
    return [*bucket_ids]
