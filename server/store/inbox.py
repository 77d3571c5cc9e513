"""Inbox items: one for each message and recipient, unread until it is read on one of their devices.

An item that is deleted stays as a row, for those who were away: a stream that is taken up again, a device that fetches.
"""

from collections.abc import Sequence

from server.domain.ports import Transaction
from server.store.dialect import chunks, holes


async def mark_read(tx: Transaction, user_id: str, message_ids: Sequence[str], now: int) -> list[str]:
    """Mark a user's items as read and return the ids of the messages that were not before."""
    return await _change(tx, user_id, message_ids, "read_at = $2", "read_at IS NULL", now)


async def mark_unread(tx: Transaction, user_id: str, message_ids: Sequence[str], now: int) -> list[str]:
    """Mark a user's items as unread, what is postponed as well, and return the ids of the messages that were not before."""
    return await _change(
        tx, user_id, message_ids, "read_at = NULL, postponed_until = NULL", "read_at IS NOT NULL", now
    )


async def delete(tx: Transaction, user_id: str, message_ids: Sequence[str], now: int) -> list[str]:
    """Delete a user's items and return the ids of the messages whose items were there."""
    return await _change(tx, user_id, message_ids, "deleted_at = $2", "TRUE", now)


async def _change(
    tx: Transaction, user_id: str, message_ids: Sequence[str], change: str, where: str, now: int
) -> list[str]:
    """Change those of a user's items that are as `where` says and not deleted; return the ids of their messages."""
    changed: list[str] = []
    for chunk in chunks(sorted(set(message_ids))):
        rows = await tx.all(
            f"UPDATE inbox_items SET {change}, changed_at = $2 WHERE user_id = $1 AND {where}"
            f" AND deleted_at IS NULL AND message_id IN ({holes(len(chunk), after=2)}) RETURNING message_id",
            user_id,
            now,
            *chunk,
        )
        changed += [row["message_id"] for row in rows]
    return sorted(changed)
