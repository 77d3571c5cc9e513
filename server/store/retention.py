"""Which messages their buckets keep no more, and the end of those that nobody waits for.

Rows that others are busy with are passed over on PostgreSQL, so that a sweep waits for nobody: the next one finds them. A message's row
is locked first; what refers to it (a delivery, a task, a key) cannot be written from then on, so what is asked after that stays true.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from server.domain.ids import first_id
from server.domain.message import DAY, LONGEST_TTL
from server.domain.ports import Transaction
from server.store.dialect import holes

_RETAINED = "(retention_days IS NOT NULL OR retention_count IS NOT NULL)"
_WAITED_FOR = "read_at IS NULL AND deleted_at IS NULL"  # an item that is unread
_FREE = (
    "NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message_id = m.id AND d.state IN ('queued', 'leased'))"
    " AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.message_id = m.id)"
    " AND NOT EXISTS (SELECT 1 FROM idempotency_keys k WHERE k.message_id = m.id AND k.expires_at > $1)"
    " AND NOT EXISTS (SELECT 1 FROM outgoing_requests o WHERE o.message_id = m.id"
    " AND o.state IN ('queued', 'leased'))"
    " AND (m.expires_at <= $1 OR NOT EXISTS (SELECT 1 FROM inbox_items i WHERE i.message_id = m.id"
    f" AND {_WAITED_FOR}))"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """How long a bucket keeps its messages: for so many days, and at most so many; None: however old, however many."""

    bucket_id: str
    days: int | None
    count: int | None


@dataclass(frozen=True, slots=True)
class Aged:
    """A message that its bucket keeps no more, and how many users it went to."""

    id: str
    users: int


async def next_rule(tx: Transaction, *, after: str) -> Rule | None:
    """Return the rule of the next bucket that does not keep everything; None where that was the last."""
    row = await tx.one(
        f"SELECT id, retention_days, retention_count FROM buckets WHERE id > $1 AND {_RETAINED} ORDER BY id LIMIT 1",
        after,
    )
    return None if row is None else Rule(row["id"], row["retention_days"], row["retention_count"])


async def newest_beyond(tx: Transaction, rule: Rule) -> str:
    """Return the newest message, in the order of lists, that is one too many for a bucket; "" where none is.

    Those that are not sent yet do not count, nor those that were retracted.
    """
    if rule.count is None:
        return ""
    row = await tx.one(
        "SELECT id FROM messages WHERE bucket_id = $1 AND sent_at IS NOT NULL AND retracted_at IS NULL"
        " ORDER BY id DESC LIMIT 1 OFFSET $2",
        rule.bucket_id,
        rule.count,
    )
    return "" if row is None else str(row["id"])


async def lock_aged(
    tx: Transaction, rule: Rule, *, beyond: str, after: str, now: int, limit: int
) -> list[Aged]:
    """Return the next messages that a bucket keeps no more, locked; `beyond` is what `newest_beyond` has returned.

    What was retracted stays for as long as a device that was away may ask for it: its content is gone already.
    """
    before = 0 if rule.days is None else now - rule.days * DAY
    rows = await tx.all(
        "SELECT id, notifications FROM messages WHERE bucket_id = $1 AND id > $2 AND id <= $3 AND sent_at IS NOT NULL"
        " AND (id <= $4 OR sent_at < $5) AND (retracted_at IS NULL OR retracted_at < $6)"
        " ORDER BY id LIMIT $7 FOR UPDATE SKIP LOCKED",
        rule.bucket_id,
        after,
        max(beyond, first_id(before)),  # nothing is sent before it has an id, and an id is a time
        beyond,
        before,
        now - LONGEST_TTL,
        limit,
    )
    return [Aged(row["id"], row["notifications"]) for row in rows]


async def list_free(tx: Transaction, message_ids: Sequence[str], now: int) -> list[str]:
    """Return those of some messages that are locked for which nothing is still to be done, and nobody is to read in time."""
    rows = await tx.all(
        f"SELECT m.id FROM messages m WHERE m.id IN ({holes(len(message_ids), after=1)}) AND {_FREE} ORDER BY m.id",
        now,
        *message_ids,
    )
    return [row["id"] for row in rows]


async def drop_items(tx: Transaction, message_ids: Sequence[str], now: int, limit: int) -> int:
    """Delete at most so many inbox items of messages, but none that has become unread in time; return how many."""
    return await tx.run(
        "DELETE FROM inbox_items WHERE id IN (SELECT i.id FROM inbox_items i JOIN messages m ON m.id = i.message_id"
        f" WHERE i.message_id IN ({holes(len(message_ids), after=2)}) AND (m.expires_at <= $1 OR NOT ({_WAITED_FOR}))"
        " LIMIT $2 FOR UPDATE OF i SKIP LOCKED)",
        now,
        limit,
        *message_ids,
    )


async def list_bare(tx: Transaction, message_ids: Sequence[str]) -> list[str]:
    """Return those of some messages of which there are no deliveries and no inbox items."""
    rows = await tx.all(
        f"SELECT m.id FROM messages m WHERE m.id IN ({holes(len(message_ids))})"
        " AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message_id = m.id)"
        " AND NOT EXISTS (SELECT 1 FROM inbox_items i WHERE i.message_id = m.id) ORDER BY m.id",
        *message_ids,
    )
    return [row["id"] for row in rows]


async def drop_claims(tx: Transaction, message_ids: Sequence[str], limit: int) -> int:
    """Delete at most so many claims of messages; return how many."""
    return await tx.run(
        "DELETE FROM claims WHERE id IN (SELECT id FROM claims"
        f" WHERE message_id IN ({holes(len(message_ids), after=1)}) LIMIT $1)",
        limit,
        *message_ids,
    )


async def note_swept(tx: Transaction, bucket_id: str, messages: int, now: int) -> None:
    """Add to what was removed from a bucket."""
    await tx.run(
        "UPDATE buckets SET swept = swept + $2, swept_at = $3 WHERE id = $1", bucket_id, messages, now
    )
