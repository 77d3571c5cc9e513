"""Idempotency keys: which message a key has made, and from what request. Kept for a day, written with the message."""

from dataclasses import dataclass, field

from server.domain.ports import Transaction


@dataclass(frozen=True, slots=True)
class Record:
    """`hash` is of user, route and key: the key itself is not kept. `fingerprint` is of what was asked for."""

    hash: bytes = field(repr=False)
    fingerprint: bytes = field(repr=False)
    message_id: str
    expires_at: int


async def find_record(tx: Transaction, key_hash: bytes, now: int) -> Record | None:
    row = await tx.one(
        "SELECT hash, fingerprint, message_id, expires_at FROM idempotency_keys WHERE hash = $1 AND expires_at > $2",
        key_hash,
        now,
    )
    if row is None:
        return None
    return Record(row["hash"], row["fingerprint"], row["message_id"], row["expires_at"])


async def add_record(tx: Transaction, record: Record, now: int) -> None:
    """Store a record in the place of an expired one; NotUnique where another request has stored one meanwhile."""
    await tx.run("DELETE FROM idempotency_keys WHERE hash = $1 AND expires_at <= $2", record.hash, now)
    await tx.run(
        "INSERT INTO idempotency_keys (hash, fingerprint, message_id, created_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        record.hash,
        record.fingerprint,
        record.message_id,
        now,
        record.expires_at,
    )


async def drop_expired(tx: Transaction, now: int, limit: int) -> int:
    """Delete records whose day is over, at most so many."""
    return await tx.run(
        "DELETE FROM idempotency_keys WHERE hash IN"
        " (SELECT hash FROM idempotency_keys WHERE expires_at <= $1 LIMIT $2)",
        now,
        limit,
    )
