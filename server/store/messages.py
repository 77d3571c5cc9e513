"""Messages, and who may see them: the sender, the recipients who have not deleted them, and who may delete in the bucket.

Deliveries are the outbox's (`server/store/outbox.py`).
"""

import json
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import orjson

from server.domain.delivery import Channel
from server.domain.ids import LAST_ID
from server.domain.message import Category, DeliveryType, Message, Options
from server.domain.ports import Row, Transaction
from server.store.dialect import chunks, holes

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
_GONE_OUT = (
    "SELECT COUNT(*) AS n FROM deliveries d WHERE d.message_id = $1 AND d.frame_id = $1"
    " AND d.state IN ('accepted', 'leased')"
)


async def add_message(tx: Transaction, message: Message) -> None:
    await tx.run(
        "INSERT INTO messages (id, tenant_id, bucket_id, sender_id, delivery_type, collapse_id, content, options,"
        " notifications, created_at, scheduled_at, sent_at, expires_at, channels, category)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
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
        _channels_text(message.channels),
        message.category.value,
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


async def load_messages(tx: Transaction, message_ids: Collection[str]) -> list[Message]:
    """Return those of some messages that are there, for the server's own work, in no order."""
    found: list[Message] = []
    for chunk in chunks(sorted(set(message_ids))):
        rows = await tx.all(f"{_MESSAGE} WHERE m.id IN ({holes(len(chunk))})", *chunk)
        found += [message_of(row) for row in rows]
    return found


async def add_inbox_items(
    tx: Transaction, message: Message, items: Sequence[tuple[str, str]], now: int
) -> None:
    """Store an inbox item (id, user id) for each recipient."""
    await tx.many(
        "INSERT INTO inbox_items (id, message_id, user_id, bucket_id, category, created_at, changed_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $6)",
        [
            (item_id, message.id, user_id, message.bucket_id, message.category.value, now)
            for item_id, user_id in items
        ],
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
        before or LAST_ID,
        limit,
        bucket_id or "",
    )
    return [message_of(row) for row in rows]


async def blank(tx: Transaction, message_id: str, now: int) -> bool:
    """Forget a message's content; False where that was done before. Its items count as deleted from then on (`inbox_pages.py`).

    How much of it had gone out is written down, below zero until it is final (`count_handed_over`). What a worker holds right now
    counts, since it may be on its way; a reminder or an update to who has it already does not.
    """
    written = await tx.run(
        f"UPDATE messages SET content = NULL, collapse_id = NULL, retracted_at = $2,"
        f" handed_over = -1 - ({_GONE_OUT})"
        " WHERE id = $1 AND retracted_at IS NULL",
        message_id,
        now,
    )
    for table in ("claims", "attachment_claims"):
        await tx.run(f"DELETE FROM {table} WHERE message_id = $1", message_id)
    return written == 1


async def count_handed_over(tx: Transaction, message_id: str, leased_until: int) -> None:
    """Write down for good how much of a message has gone out that was blanked before this transaction began.

    What workers took while it was being blanked, and may have read in time, is seen only then: the leases that end before a
    time. From then on there is nothing to be read, and it is not counted again.
    """
    await lock_message(tx, message_id)
    row = await tx.one("SELECT handed_over FROM messages WHERE id = $1", message_id)
    noted = None if row is None else row["handed_over"]
    if noted is not None and noted >= 0:
        return
    counted = await tx.one(
        f"{_GONE_OUT} AND (d.state = 'accepted' OR d.due_at <= $2)", message_id, leased_until
    )
    number = max(_handed_over(noted) or 0, 0 if counted is None else int(counted["n"]))
    await tx.run("UPDATE messages SET handed_over = $2 WHERE id = $1", message_id, number)


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


@lru_cache(maxsize=64)
def _channels_text(channels: tuple[Channel, ...]) -> str:
    return json.dumps(channels)


@lru_cache(maxsize=64)
def _channels_of(text: str) -> tuple[Channel, ...]:
    return tuple(map(Channel, json.loads(text)))


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
        channels=_channels_of(row["channels"]),
        category=Category(row["category"]),
        collapse_id=row["collapse_id"],
        content=content,
        options=_options_of(row["options"]),
        created_at=row["created_at"],
        scheduled_at=row["scheduled_at"],
        sent_at=row["sent_at"],
        expires_at=row["expires_at"],
        updated_at=row["updated_at"],
        retracted_at=row["retracted_at"],
        handed_over=_handed_over(row["handed_over"]),
        notifications=row["notifications"],
    )


def _handed_over(stored: int | None) -> int | None:
    return stored if stored is None or stored >= 0 else -1 - stored
