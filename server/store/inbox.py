"""Inbox items: one for each message and recipient, unread until it is read on one of their devices."""

from collections.abc import Sequence

from server.domain.ports import Transaction
from server.store.dialect import chunks, holes


async def mark_read(tx: Transaction, user_id: str, message_ids: Sequence[str], now: int) -> list[str]:
    """Mark a user's items as read and return the ids of the messages that were not before."""
    fresh: list[str] = []
    for chunk in chunks(sorted(set(message_ids))):
        rows = await tx.all(
            "UPDATE inbox_items SET read_at = $2, changed_at = $2 WHERE user_id = $1 AND read_at IS NULL"
            f" AND deleted_at IS NULL AND message_id IN ({holes(len(chunk), after=2)}) RETURNING message_id",
            user_id,
            now,
            *chunk,
        )
        fresh += [row["message_id"] for row in rows]
    return sorted(fresh)
