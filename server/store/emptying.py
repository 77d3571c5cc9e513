"""What is in a bucket that nobody has any more: its messages, those that stand and those that were taken back, and their items."""

from collections.abc import Sequence

from server.domain.ports import Transaction
from server.store.dialect import holes


async def list_standing(tx: Transaction, bucket_id: str, *, after: str, limit: int) -> list[str]:
    """Return the next messages of a bucket that were not retracted, from the one after `after` on."""
    rows = await tx.all(
        "SELECT id FROM messages WHERE bucket_id = $1 AND id > $2 AND retracted_at IS NULL ORDER BY id LIMIT $3",
        bucket_id,
        after,
        limit,
    )
    return [row["id"] for row in rows]


async def list_messages(tx: Transaction, bucket_id: str, *, limit: int) -> list[str]:
    """Return the first messages of a bucket, whatever became of them."""
    rows = await tx.all("SELECT id FROM messages WHERE bucket_id = $1 ORDER BY id LIMIT $2", bucket_id, limit)
    return [row["id"] for row in rows]


async def drop_items(tx: Transaction, message_ids: Sequence[str], limit: int) -> int:
    """Delete at most so many inbox items of messages; return how many."""
    return await tx.run(
        "DELETE FROM inbox_items WHERE id IN (SELECT id FROM inbox_items"
        f" WHERE message_id IN ({holes(len(message_ids), after=1)}) LIMIT $1)",
        limit,
        *message_ids,
    )


async def delete_messages(tx: Transaction, message_ids: Sequence[str]) -> None:
    """Delete messages without deliveries."""
    await tx.run(f"DELETE FROM messages WHERE id IN ({holes(len(message_ids))})", *message_ids)
