"""Buckets and their members, always as one user sees them: what that user is no member of is not found."""

import json
from collections.abc import Iterable
from functools import lru_cache

from server.domain.bucket import Bucket, Permission
from server.domain.ports import Row, Transaction

_SEEN_BY = (
    "SELECT b.*, m.permissions FROM buckets b JOIN bucket_members m ON m.bucket_id = b.id AND m.user_id = $1"
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
        json.dumps(sorted(permissions)),
        now,
    )


async def list_buckets(tx: Transaction, user_id: str) -> list[Bucket]:
    """Return the buckets that a user is a member of, by name."""
    rows = await tx.all(f"{_SEEN_BY} ORDER BY b.name, b.id", user_id)
    return [_bucket_of(row) for row in rows]


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


@lru_cache(maxsize=64)  # there are sixteen, and one is read for each member of each send
def _permissions(text: str) -> frozenset[Permission]:
    return frozenset(Permission(word) for word in json.loads(text))


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
        permissions=_permissions(row["permissions"]),
    )
