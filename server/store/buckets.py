"""Buckets, always as one user sees them: what that user is no member of is not found, unless it is public.

A bucket without members is nobody's any more: it is being emptied (`server/commands/emptying.py`).
"""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache

from server.domain.bucket import Bucket, Permission
from server.domain.pages import MOST_COUNTED
from server.domain.ports import Row, Transaction
from server.domain.quiet import read_quiet_times
from server.store.dialect import chunks, holes

_READER = json.dumps([Permission.READ])
_MINE = "m.permissions, m.snoozed_until, m.quiet_times"
_SEEN_BY = (
    f"SELECT b.*, {_MINE} FROM buckets b JOIN bucket_members m ON m.bucket_id = b.id AND m.user_id = $1"
)
_PUBLIC = (
    f"SELECT b.*, {_MINE} FROM buckets b LEFT JOIN bucket_members m ON m.bucket_id = b.id AND m.user_id = $1"
    " WHERE b.tenant_id = $2 AND b.public_at IS NOT NULL"
)


async def add_bucket(tx: Transaction, bucket: Bucket) -> None:
    """Store a bucket with its owner as its first member; NotUnique where the owner has one of that name."""
    await tx.run(
        "INSERT INTO buckets (id, tenant_id, owner_id, name, description, icon, color, protected_at, public_at,"
        " created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        bucket.id,
        bucket.tenant_id,
        bucket.owner_id,
        bucket.name,
        bucket.description,
        bucket.icon,
        bucket.color,
        bucket.protected_at,
        bucket.public_at,
        bucket.created_at,
    )
    await add_member(tx, bucket.id, bucket.owner_id or "", bucket.permissions, bucket.created_at)


async def add_member(
    tx: Transaction, bucket_id: str, user_id: str, permissions: Iterable[Permission], now: int
) -> None:
    await tx.run(
        "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at) VALUES ($1, $2, $3, $4)",
        bucket_id,
        user_id,
        permissions_text(permissions),
        now,
    )


async def find_topic(tx: Transaction, tenant_id: str, key: str) -> Bucket | None:
    """Return a tenant's topic, or with DIRECT its bucket for messages to users by name; as nobody sees it."""
    row = await tx.one(
        "SELECT b.*, NULL AS permissions, NULL AS snoozed_until, NULL AS quiet_times FROM buckets b"
        " WHERE b.tenant_id = $1 AND b.topic_key = $2",
        tenant_id,
        key,
    )
    return None if row is None else _bucket_of(row)


async def is_topic(tx: Transaction, bucket_id: str) -> bool:
    """Say whether a bucket is a topic, or a tenant's for messages to users by name."""
    row = await tx.one("SELECT topic_key FROM buckets WHERE id = $1", bucket_id)
    return row is not None and row["topic_key"] is not None


async def is_of_tenant(tx: Transaction, bucket_id: str) -> bool:
    """Say whether a bucket is its tenant's and no user's: it is a topic, or was one, or is for messages to users by name."""
    row = await tx.one("SELECT owner_id FROM buckets WHERE id = $1", bucket_id)
    return row is not None and row["owner_id"] is None


async def add_topic(tx: Transaction, bucket: Bucket) -> bool:
    """Store a bucket that is a topic; False where its tenant has one of that key."""
    written = await tx.run(
        "INSERT INTO buckets (id, tenant_id, topic_key, name, created_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (tenant_id, topic_key) DO NOTHING",
        bucket.id,
        bucket.tenant_id,
        bucket.topic_key,
        bucket.name,
        bucket.created_at,
    )
    return written == 1


async def ensure_readers(tx: Transaction, bucket_id: str, user_ids: Sequence[str], now: int) -> int:
    """Make users readers of a bucket who are no members of it; return how many these were."""
    added = 0
    for chunk in chunks(sorted(set(user_ids))):
        added += await tx.run(
            "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at)"
            f" SELECT $1, u.id, $2, $3 FROM users u WHERE u.id IN ({holes(len(chunk), after=3)})"
            " AND u.deleted_at IS NULL ORDER BY u.id FOR KEY SHARE OF u ON CONFLICT DO NOTHING",
            bucket_id,
            _READER,
            now,
            *chunk,
        )
    return added


async def list_buckets(tx: Transaction, user_id: str) -> list[Bucket]:
    """Return the buckets that a user is a member of, by name."""
    rows = await tx.all(f"{_SEEN_BY} ORDER BY b.name, b.id", user_id)
    return [_bucket_of(row) for row in rows]


async def list_public(
    tx: Transaction, user_id: str, tenant_id: str, *, after: str, limit: int
) -> list[Bucket]:
    """Return the buckets of a tenant that anybody may join, by id, from the one after `after` on."""
    rows = await tx.all(f"{_PUBLIC} AND b.id > $3 ORDER BY b.id LIMIT $4", user_id, tenant_id, after, limit)
    return [_bucket_of(row) for row in rows]


async def find_public(
    tx: Transaction, user_id: str, tenant_id: str, reference: str, *, lock: bool
) -> list[Bucket]:
    """Return the public buckets of that id or name; `lock` keeps them as they are until the end of the transaction."""
    rows = await tx.all(
        f"{_PUBLIC} AND (b.id = $3 OR b.name = $4) ORDER BY b.id{' FOR SHARE OF b' if lock else ''}",
        user_id,
        tenant_id,
        reference.lower(),
        reference,
    )
    return [_bucket_of(row) for row in rows]


async def count_members(tx: Transaction, bucket_ids: Sequence[str]) -> dict[str, int]:
    """Return how many members buckets have, each counted in an index up to MOST_COUNTED."""
    found: dict[str, int] = {}
    for chunk in chunks(sorted(set(bucket_ids))):
        rows = await tx.all(
            "SELECT b.id, (SELECT COUNT(*) FROM (SELECT 1 FROM bucket_members m WHERE m.bucket_id = b.id"
            f" LIMIT {MOST_COUNTED}) AS counted) AS n FROM buckets b WHERE b.id IN ({holes(len(chunk))})",
            *chunk,
        )
        found.update({row["id"]: int(row["n"]) for row in rows})
    return found


async def lock_bucket(tx: Transaction, user_id: str, bucket_id: str) -> Bucket | None:
    """Return a bucket that nobody else changes until the end of the transaction."""
    row = await tx.one(f"{_SEEN_BY} WHERE b.id = $2 FOR NO KEY UPDATE OF b", user_id, bucket_id)
    return None if row is None else _bucket_of(row)


async def change_bucket(tx: Transaction, bucket: Bucket) -> None:
    """Write what can be changed about a bucket; NotUnique where the owner has another one of that name."""
    await tx.run(
        "UPDATE buckets SET name = $2, description = $3, icon = $4, color = $5, protected_at = $6, public_at = $7,"
        " retention_days = $8, retention_count = $9 WHERE id = $1",
        bucket.id,
        bucket.name,
        bucket.description,
        bucket.icon,
        bucket.color,
        bucket.protected_at,
        bucket.public_at,
        bucket.retention_days,
        bucket.retention_count,
    )


async def close_bucket(tx: Transaction, bucket_id: str) -> None:
    """Take a bucket away from everybody, and free its name. What is in it is still there."""
    await tx.run("DELETE FROM invitations WHERE bucket_id = $1", bucket_id)
    await tx.run(
        "UPDATE buckets SET name = id, public_at = NULL, retention_days = NULL, retention_count = NULL WHERE id = $1",
        bucket_id,
    )
    await tx.run("DELETE FROM bucket_members WHERE bucket_id = $1", bucket_id)


async def delete_bucket(tx: Transaction, bucket_id: str) -> None:
    """Delete a bucket that is empty."""
    await tx.run("DELETE FROM buckets WHERE id = $1", bucket_id)


async def find_bucket(tx: Transaction, user_id: str, bucket_id: str) -> Bucket | None:
    row = await tx.one(f"{_SEEN_BY} WHERE b.id = $2", user_id, bucket_id)
    return None if row is None else _bucket_of(row)


async def find_buckets_named(tx: Transaction, user_id: str, name: str) -> list[Bucket]:
    """Return every bucket of that name that the user is a member of: owners may choose the same name."""
    rows = await tx.all(f"{_SEEN_BY} WHERE b.name = $2 ORDER BY b.id", user_id, name)
    return [_bucket_of(row) for row in rows]


async def find_own_bucket(tx: Transaction, user_id: str, name: str) -> Bucket | None:
    """Return the bucket of that name which this user owns."""
    row = await tx.one(f"{_SEEN_BY} WHERE b.owner_id = $1 AND b.name = $2", user_id, name)
    return None if row is None else _bucket_of(row)


async def webhook_epoch(tx: Transaction, bucket_id: str) -> int:
    """Return how often a bucket's webhook key was replaced."""
    row = await tx.one("SELECT webhook_epoch FROM buckets WHERE id = $1", bucket_id)
    return 0 if row is None else int(row["webhook_epoch"])


async def raise_webhook_epoch(tx: Transaction, bucket_id: str) -> None:
    await tx.run("UPDATE buckets SET webhook_epoch = webhook_epoch + 1 WHERE id = $1", bucket_id)


@lru_cache(maxsize=64)  # there are sixteen, and one is read for each member of each send
def permissions_of(text: str | None) -> frozenset[Permission]:
    """Return the permissions that a JSON list names, none where there is no list."""
    return frozenset(Permission(word) for word in json.loads(text or "[]"))


def permissions_text(permissions: Iterable[Permission]) -> str:
    """Return permissions as the database has them."""
    return json.dumps(sorted(permissions))


def _bucket_of(row: Row) -> Bucket:
    return Bucket(
        id=row["id"],
        tenant_id=row["tenant_id"],
        owner_id=row["owner_id"],
        name=row["name"],
        description=row["description"],
        icon=row["icon"],
        color=row["color"],
        protected_at=row["protected_at"],
        public_at=row["public_at"],
        created_at=row["created_at"],
        permissions=permissions_of(row["permissions"]),
        retention_days=row["retention_days"],
        retention_count=row["retention_count"],
        swept=row["swept"],
        swept_at=row["swept_at"],
        snoozed_until=row["snoozed_until"],
        quiet_times=read_quiet_times(row["quiet_times"]),
        topic_key=row["topic_key"],
    )
