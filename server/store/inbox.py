"""Inbox items: one for each message and recipient, unread until it is read on one of their devices.

An item that is deleted stays as a row, for those who were away: a stream that is taken up again, a device that fetches.
"""

from collections.abc import Sequence

from server.domain.ids import LAST_ID
from server.domain.ports import Transaction
from server.store.dialect import changed_now, chunks, holes


async def mark_read(tx: Transaction, user_id: str, message_ids: Sequence[str], now: int) -> list[str]:
    """Mark a user's items as read, and so as seen, and return the ids of the messages that were not read before."""
    read = "read_at = $2, seen_at = COALESCE(seen_at, $2)"
    return await _change(tx, user_id, message_ids, read, "read_at IS NULL", now)


async def mark_read_by(tx: Transaction, message_id: str, user_ids: Sequence[str], now: int) -> list[str]:
    """Mark users' items of one message as read, and so as seen, and return the ids of those who had not read it before."""
    fresh: list[str] = []
    for chunk in chunks(sorted(set(user_ids))):
        rows = await tx.all(
            f"UPDATE inbox_items SET read_at = $2, seen_at = COALESCE(seen_at, $2), changed_at = {changed_now(2)}"
            " WHERE message_id = $1 AND read_at IS NULL AND deleted_at IS NULL"
            f" AND user_id IN ({holes(len(chunk), after=2)}) RETURNING user_id",
            message_id,
            now,
            *chunk,
        )
        fresh += [row["user_id"] for row in rows]
    return sorted(fresh)


async def mark_unread(tx: Transaction, user_id: str, message_ids: Sequence[str], now: int) -> list[str]:
    """Mark a user's items as unread, what is postponed as well, and return the ids of the messages that were not before."""
    return await _change(
        tx, user_id, message_ids, "read_at = NULL, postponed_until = NULL", "read_at IS NOT NULL", now
    )


async def mark_seen(tx: Transaction, user_id: str, message_ids: Sequence[str], now: int) -> list[str]:
    """Mark a user's items as seen and return the ids of the messages that were not before."""
    return await _change(tx, user_id, message_ids, "seen_at = $2", "seen_at IS NULL", now)


async def mark_unseen(tx: Transaction, user_id: str, message_ids: Sequence[str], now: int) -> list[str]:
    """Mark a user's items as unseen, and so as unread, and return the ids of the messages that were seen before."""
    unseen = "seen_at = NULL, read_at = NULL, postponed_until = NULL"
    return await _change(tx, user_id, message_ids, unseen, "seen_at IS NOT NULL", now)


async def delete(tx: Transaction, user_id: str, message_ids: Sequence[str], now: int) -> list[str]:
    """Delete a user's items and return the ids of the messages whose items were there."""
    return await _change(tx, user_id, message_ids, "deleted_at = $2", "TRUE", now)


async def postpone(tx: Transaction, user_id: str, message_id: str, until: int, now: int) -> bool:
    """Note until when a user does not want to see an item; False where it is not there."""
    changed = await tx.run(
        f"UPDATE inbox_items SET postponed_until = $3, changed_at = {changed_now(4)}"
        " WHERE user_id = $1 AND message_id = $2 AND deleted_at IS NULL",
        user_id,
        message_id,
        until,
        now,
    )
    return changed == 1


async def bring_back(tx: Transaction, user_id: str, message_id: str, until: int, now: int) -> bool:
    """Make an item new again that was postponed until a time; False where that has changed since."""
    changed = await tx.run(
        f"UPDATE inbox_items SET seen_at = NULL, read_at = NULL, postponed_until = NULL, changed_at = {changed_now(4)}"
        " WHERE user_id = $1 AND message_id = $2 AND postponed_until = $3 AND deleted_at IS NULL",
        user_id,
        message_id,
        until,
        now,
    )
    return changed == 1


async def touch(tx: Transaction, message_id: str, *, after: str, limit: int, now: int) -> str | None:
    """Note that a message's next items, by user, show something else now; return the user to go on after, None at the end."""
    last = await _end_of_page(tx, message_id, after, limit)
    await tx.run(
        f"UPDATE inbox_items SET changed_at = {changed_now(4)} WHERE message_id = $1 AND user_id > $2 AND user_id <= $3"
        " AND deleted_at IS NULL",
        message_id,
        after,
        last or LAST_ID,
        now,
    )
    return last


async def take_out(tx: Transaction, message_id: str, *, after: str, limit: int, now: int) -> str | None:
    """Delete a message's next items, by user; return the user to go on after, None at the end."""
    last = await _end_of_page(tx, message_id, after, limit)
    await tx.run(
        f"UPDATE inbox_items SET deleted_at = $4, changed_at = {changed_now(4)}"
        " WHERE message_id = $1 AND user_id > $2 AND user_id <= $3 AND deleted_at IS NULL",
        message_id,
        after,
        last or LAST_ID,
        now,
    )
    return last


async def is_pending(tx: Transaction, message_id: str) -> bool:
    """Say whether anybody has still to read a message, or to get it again."""
    return await _any(tx, message_id, "(read_at IS NULL OR postponed_until IS NOT NULL)")


async def is_kept(tx: Transaction, message_id: str) -> bool:
    """Say whether a message is in anybody's inbox."""
    return await _any(tx, message_id, "TRUE")


async def _end_of_page(tx: Transaction, message_id: str, after: str, limit: int) -> str | None:
    """Return the last user of a message's next items; None where there are fewer."""
    row = await tx.one(
        "SELECT user_id FROM inbox_items WHERE message_id = $1 AND user_id > $2 ORDER BY user_id LIMIT 1 OFFSET $3",
        message_id,
        after,
        limit - 1,
    )
    return None if row is None else str(row["user_id"])


async def _any(tx: Transaction, message_id: str, where: str) -> bool:
    row = await tx.one(
        f"SELECT id FROM inbox_items WHERE message_id = $1 AND deleted_at IS NULL AND {where} LIMIT 1",
        message_id,
    )
    return row is not None


async def _change(
    tx: Transaction, user_id: str, message_ids: Sequence[str], change: str, where: str, now: int
) -> list[str]:
    """Change those of a user's items that are as `where` says and not deleted; return the ids of their messages."""
    changed: list[str] = []
    for chunk in chunks(sorted(set(message_ids))):
        rows = await tx.all(
            f"UPDATE inbox_items SET {change}, changed_at = {changed_now(2)} WHERE user_id = $1 AND {where}"
            f" AND deleted_at IS NULL AND message_id IN ({holes(len(chunk), after=2)}) RETURNING message_id",
            user_id,
            now,
            *chunk,
        )
        changed += [row["message_id"] for row in rows]
    return sorted(changed)
