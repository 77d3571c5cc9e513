"""Messages, and who may see them: the sender, the recipients who have not deleted them, and who may delete in the bucket.

Deliveries are the outbox's (`server/store/outbox.py`).
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson

from server.domain.message import DeliveryType, Message, Options
from server.domain.ports import Row, Transaction
from server.store.dialect import changed_now

_MESSAGE = "SELECT m.* FROM messages m"
# Permissions are JSON lists of four plain words, so a quoted word is found by its text.
_OVERSEES = "(b.permissions LIKE '%\"ADMIN\"%' OR b.permissions LIKE '%\"DELETE\"%')"
VISIBLE = (
    "(m.sender_id = $1"
    " OR EXISTS (SELECT 1 FROM inbox_items i WHERE i.message_id = m.id AND i.user_id = $1"
    " AND (i.deleted_at IS NULL OR m.retracted_at IS NOT NULL))"  # what was retracted is gone, not unknown
    f" OR EXISTS (SELECT 1 FROM bucket_members b WHERE b.bucket_id = m.bucket_id AND b.user_id = $1 AND {_OVERSEES}))"
)
# The newest of each of the three reasons to see a message, each from an index, so that a page costs a page.
_NEWEST_VISIBLE = (
    "SELECT id FROM (SELECT id FROM messages WHERE sender_id = $1 AND retracted_at IS NULL AND id < $2"
    " AND (bucket_id = $4 OR $4 = '') ORDER BY id DESC LIMIT $3) AS sent"
    " UNION SELECT id FROM (SELECT m.id FROM inbox_items i JOIN messages m ON m.id = i.message_id"
    " WHERE i.user_id = $1 AND i.deleted_at IS NULL AND m.retracted_at IS NULL AND i.message_id < $2"
    " AND (m.bucket_id = $4 OR $4 = '')"
    " ORDER BY i.message_id DESC LIMIT $3) AS received"
    " UNION SELECT id FROM (SELECT m.id FROM bucket_members b JOIN messages m ON m.bucket_id = b.bucket_id"
    f" WHERE b.user_id = $1 AND {_OVERSEES} AND m.retracted_at IS NULL AND m.id < $2"
    " AND (m.bucket_id = $4 OR $4 = '') ORDER BY m.id DESC LIMIT $3) AS overseen"
    " ORDER BY id DESC LIMIT $3"
)
NEWEST = "g"  # sorts after every id


async def add_message(tx: Transaction, message: Message) -> None:
    await tx.run(
        "INSERT INTO messages (id, tenant_id, bucket_id, sender_id, delivery_type, collapse_id, content, options,"
        " notifications, created_at, scheduled_at, sent_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        message.id,
        message.tenant_id,
        message.bucket_id,
        message.sender_id,
        message.delivery_type.value,
        message.collapse_id,
        orjson.dumps(message.content).decode(),
        _options_text(message.options),
        message.notifications,
        message.created_at,
        message.scheduled_at,
        message.sent_at,
        message.expires_at,
    )


async def mark_sent(tx: Transaction, message_id: str, notifications: int, now: int) -> None:
    """Note that a scheduled message goes out now, and to how many users."""
    await tx.run(
        "UPDATE messages SET sent_at = $2, notifications = $3 WHERE id = $1", message_id, now, notifications
    )


async def load_message(tx: Transaction, message_id: str) -> Message | None:
    """Return a message for the server's own work, whoever may see it."""
    row = await tx.one(f"{_MESSAGE} WHERE m.id = $1", message_id)
    return None if row is None else message_of(row)


async def add_inbox_items(
    tx: Transaction, message: Message, items: Sequence[tuple[str, str]], now: int
) -> None:
    """Store an inbox item (id, user id) for each recipient."""
    await tx.many(
        "INSERT INTO inbox_items (id, message_id, user_id, bucket_id, created_at, changed_at)"
        " VALUES ($1, $2, $3, $4, $5, $5)",
        [(item_id, message.id, user_id, message.bucket_id, now) for item_id, user_id in items],
    )


async def find_message(tx: Transaction, user_id: str, message_id: str) -> Message | None:
    """Return a message that this user may see, a retracted one too."""
    row = await tx.one(f"{_MESSAGE} WHERE m.id = $2 AND {VISIBLE}", user_id, message_id)
    return None if row is None else message_of(row)


async def list_messages(
    tx: Transaction, user_id: str, *, before: str | None, bucket_id: str | None, limit: int
) -> list[Message]:
    """Return the messages that this user may see, newest first, from the one before `before` on."""
    rows = await tx.all(
        f"{_MESSAGE} WHERE m.id IN (SELECT id FROM ({_NEWEST_VISIBLE}) AS page) ORDER BY m.id DESC",
        user_id,
        before or NEWEST,
        limit,
        bucket_id or "",
    )
    return [message_of(row) for row in rows]


async def blank(tx: Transaction, message_id: str, now: int) -> bool:
    """Forget a message's content and take it out of every inbox; False where that was done before."""
    written = await tx.run(
        "UPDATE messages SET content = NULL, collapse_id = NULL, retracted_at = $2"
        " WHERE id = $1 AND retracted_at IS NULL",
        message_id,
        now,
    )
    await tx.run(
        f"UPDATE inbox_items SET deleted_at = $2, changed_at = {changed_now(2)}"
        " WHERE message_id = $1 AND deleted_at IS NULL",
        message_id,
        now,
    )
    for table in ("claims", "attachment_claims"):
        await tx.run(f"DELETE FROM {table} WHERE message_id = $1", message_id)
    return written == 1


async def lock_message(tx: Transaction, message_id: str) -> None:
    """Have whoever changes or retracts a message wait until the end of the transaction."""
    await tx.all("SELECT id FROM messages WHERE id = $1 FOR NO KEY UPDATE", message_id)


async def write_content(tx: Transaction, message: Message) -> None:
    """Write what a message says now, and when it is to be sent; what could be claimed of the old text is gone."""
    await tx.run(
        "UPDATE messages SET content = $2, updated_at = $3, scheduled_at = $4, expires_at = $5 WHERE id = $1",
        message.id,
        orjson.dumps(message.content).decode(),
        message.updated_at,
        message.scheduled_at,
        message.expires_at,
    )
    await tx.run("DELETE FROM claims WHERE message_id = $1", message.id)


def _options_text(options: Options) -> str:
    """Write options down, those that are set."""
    words: dict[str, Any] = {"ephemeral": True} if options.ephemeral else {}
    if options.remind_every is not None:
        words |= {"remindEveryMinutes": options.remind_every, "maxReminders": options.max_reminders}
    return orjson.dumps(words).decode()


@lru_cache(maxsize=256)  # most messages have none
def _options_of(text: str) -> Options:
    words = orjson.loads(text)
    return Options(
        ephemeral=words.get("ephemeral", False),
        remind_every=words.get("remindEveryMinutes"),
        max_reminders=words.get("maxReminders", 0),
    )


def message_of(row: Row) -> Message:
    """Return the message of a row that has its columns under their own names."""
    content: dict[str, Any] | None = None if row["content"] is None else json.loads(row["content"])
    return Message(
        id=row["id"],
        tenant_id=row["tenant_id"],
        bucket_id=row["bucket_id"],
        sender_id=row["sender_id"],
        delivery_type=DeliveryType(row["delivery_type"]),
        collapse_id=row["collapse_id"],
        content=content,
        options=_options_of(row["options"]),
        created_at=row["created_at"],
        scheduled_at=row["scheduled_at"],
        sent_at=row["sent_at"],
        expires_at=row["expires_at"],
        updated_at=row["updated_at"],
        retracted_at=row["retracted_at"],
        notifications=row["notifications"],
    )
