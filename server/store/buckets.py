"""Buckets, always as one user sees them: what that user is no member of is not found, unless it is public.

A bucket without members is nobody's any more: it is being emptied (`server/commands/emptying.py`).
"""

import json
from collections.abc import Iterable
from functools import lru_cache

from server.domain.bucket import Bucket, Permission
from server.domain.ports import Row, Transaction
from server.domain.quiet import read_quiet_times

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
    await add_member(tx, bucket.id, bucket.owner_id, bucket.permissions, bucket.created_at)


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
    )
