"""Users as a tenant's own servers see them: listed, changed together, and locked while they are deleted."""

import json
from collections.abc import Sequence

from server.domain.account import User, matching_key
from server.domain.pages import MOST_COUNTED
from server.domain.ports import Transaction
from server.store.accounts import user_of
from server.store.dialect import chunks, holes

_THERE = "FROM users WHERE tenant_id = $1 AND deleted_at IS NULL"


async def lock_for_end(tx: Transaction, user_id: str) -> User | None:
    """Return a user to whom nothing is added until the end of the transaction; None where they were deleted meanwhile."""
    row = await tx.one("SELECT * FROM users WHERE id = $1 AND deleted_at IS NULL FOR UPDATE", user_id)
    return None if row is None else user_of(row)


async def lock_all(tx: Transaction, user_ids: Sequence[str]) -> dict[str, User]:
    """Return users by id whom nobody else changes until the end of the transaction."""
    found: dict[str, User] = {}
    for chunk in chunks(sorted(set(user_ids))):
        rows = await tx.all(
            f"SELECT * FROM users WHERE id IN ({holes(len(chunk))}) AND deleted_at IS NULL ORDER BY id"
            " FOR NO KEY UPDATE",
            *chunk,
        )
        found.update({row["id"]: user_of(row) for row in rows})
    return found


async def owners_of(tx: Transaction, tenant_id: str, addresses: Sequence[str]) -> dict[str, str]:
    """Return the ids of a tenant's users who have one of some email addresses, by the address's matching key."""
    found: dict[str, str] = {}
    for chunk in chunks(sorted(set(map(matching_key, addresses)))):
        rows = await tx.all(
            f"SELECT id, email_key FROM users WHERE tenant_id = $1 AND email_key IN ({holes(len(chunk), after=1)})",
            tenant_id,
            *chunk,
        )
        found.update({row["email_key"]: row["id"] for row in rows})
    return found


async def change_all(tx: Transaction, users: Sequence[User]) -> None:
    """Write users' email addresses and profiles; NotUnique where an address is another's."""
    await tx.many(
        "UPDATE users SET email = $2, email_key = $3, profile = $4 WHERE id = $1",
        [
            (
                user.id,
                user.email,
                None if user.email is None else matching_key(user.email),
                json.dumps(user.profile),
            )
            for user in users
        ],
    )


async def list_subscribers(tx: Transaction, tenant_id: str, *, offset: int, limit: int) -> Sequence[User]:
    """Return a tenant's users in the order in which they were made; who is made now is last.

    The way to the page is found in the index alone, and only its own rows are looked at.
    """
    rows = await tx.all(
        f"SELECT u.* FROM (SELECT id {_THERE} ORDER BY id LIMIT $2 OFFSET $3) p JOIN users u ON u.id = p.id"
        " ORDER BY p.id",
        tenant_id,
        limit,
        offset,
    )
    return [user_of(row) for row in rows]


async def list_subscribers_after(
    tx: Transaction, tenant_id: str, *, after: str, limit: int
) -> Sequence[User]:
    """Return a tenant's users in the order in which they were made, from the one after `after` on."""
    rows = await tx.all(f"SELECT * {_THERE} AND id > $2 ORDER BY id LIMIT $3", tenant_id, after, limit)
    return [user_of(row) for row in rows]


async def count_subscribers(tx: Transaction, tenant_id: str) -> int:
    """Return how many users a tenant has; what is more than MOST_COUNTED is MOST_COUNTED + 1."""
    row = await tx.one(
        f"SELECT COUNT(*) AS n FROM (SELECT id {_THERE} LIMIT {MOST_COUNTED + 1}) AS counted", tenant_id
    )
    return 0 if row is None else int(row["n"])
