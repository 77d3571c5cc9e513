"""Tenants and users. Names are compared by their keys; `server.domain.account.matching_key` makes them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from server.domain.account import DEFAULT_TENANT, Role, User, matching_key
from server.domain.audience import Person
from server.domain.ports import Row, Transaction
from server.store.dialect import holes


@dataclass(frozen=True)
class SignIn:
    """An account that somebody wants to sign in to; `password_hash` is None where nobody can."""

    user: User
    password_hash: str | None = field(repr=False)


async def ensure_tenant(tx: Transaction, tenant_id: str, name: str, now: int) -> None:
    """Store a tenant, unless there is one of that name."""
    await tx.run(
        "INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING",
        tenant_id,
        name,
        now,
    )


async def find_tenant(tx: Transaction, name: str, *, hold: bool = False) -> str | None:
    """Return the id of a tenant by its name; `hold` keeps it from being closed until the end of the transaction."""
    suffix = " FOR KEY SHARE" if hold else ""
    row = await tx.one(f"SELECT id FROM tenants WHERE name = $1{suffix}", name)
    return None if row is None else str(row["id"])


async def touch_default_tenant(tx: Transaction) -> None:
    """Write something that changes nothing."""
    await tx.run("UPDATE tenants SET name = name WHERE name = $1", DEFAULT_TENANT)


async def default_tenant(tx: Transaction, *, lock: bool = False) -> str:
    """Return the id of the default tenant; `lock` makes registrations take turns until this one has ended."""
    suffix = " FOR NO KEY UPDATE" if lock else ""
    row = await tx.one(f"SELECT id FROM tenants WHERE name = $1{suffix}", DEFAULT_TENANT)
    if row is None:
        raise LookupError("the default tenant is made when the server starts")
    return str(row["id"])


async def has_account(tx: Transaction) -> bool:
    """Say whether there is anyone who can sign in."""
    return await tx.one("SELECT 1 AS found FROM users WHERE password_hash IS NOT NULL LIMIT 1") is not None


async def add_user(tx: Transaction, user: User, *, password_hash: str | None) -> None:
    """Store a user; NotUnique where the username or the email address is taken."""
    await tx.run(
        "INSERT INTO users (id, tenant_id, external_id, username, email, username_key, email_key, password_hash,"
        " role, profile, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        user.id,
        user.tenant_id,
        user.external_id,
        user.username,
        user.email,
        None if user.username is None else matching_key(user.username),
        None if user.email is None else matching_key(user.email),
        password_hash,
        user.role.value,
        json.dumps(user.profile),
        user.created_at,
    )


async def ensure_users(tx: Transaction, users: Sequence[User]) -> None:
    """Store users without a username, those of whom nobody has the external id or the email address yet."""
    await tx.many(
        "INSERT INTO users (id, tenant_id, external_id, email, email_key, role, profile, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        [
            (
                one.id,
                one.tenant_id,
                one.external_id,
                one.email,
                None if one.email is None else matching_key(one.email),
                one.role.value,
                json.dumps(one.profile),
                one.created_at,
            )
            for one in users
        ],
    )


async def find_sign_in(tx: Transaction, name: str) -> SignIn | None:
    """Find an account of the default tenant by its email address or username."""
    row = await tx.one(
        "SELECT * FROM users WHERE tenant_id = $1 AND (email_key = $2 OR username_key = $2)",
        await default_tenant(tx),
        matching_key(name),
    )
    return None if row is None else SignIn(user_of(row), row["password_hash"])


async def load_password_hash(tx: Transaction, user_id: str) -> str | None:
    """Return what is stored of a user's password, None where nobody can sign in as them."""
    row = await tx.one("SELECT password_hash FROM users WHERE id = $1", user_id)
    return None if row is None else row["password_hash"]


async def lock_user(tx: Transaction, user_id: str) -> User | None:
    """Return a user whom nobody else changes until the end of the transaction; None where they were deleted meanwhile."""
    row = await tx.one("SELECT * FROM users WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE", user_id)
    return None if row is None else user_of(row)


async def load_user(tx: Transaction, user_id: str) -> User | None:
    row = await tx.one("SELECT * FROM users WHERE id = $1 AND deleted_at IS NULL", user_id)
    return None if row is None else user_of(row)


async def load_users(tx: Transaction, user_ids: Sequence[str]) -> list[User]:
    """Return users by their ids, in no order."""
    if not user_ids:
        return []
    rows = await tx.all(
        f"SELECT * FROM users WHERE id IN ({holes(len(user_ids))}) AND deleted_at IS NULL", *user_ids
    )
    return [user_of(row) for row in rows]


async def change_user(tx: Transaction, user: User) -> None:
    """Write a user's names, role and profile; NotUnique where a name is another's."""
    await tx.run(
        "UPDATE users SET external_id = $2, username = $3, email = $4, username_key = $5, email_key = $6, role = $7,"
        " profile = $8 WHERE id = $1",
        user.id,
        user.external_id,
        user.username,
        user.email,
        None if user.username is None else matching_key(user.username),
        None if user.email is None else matching_key(user.email),
        user.role.value,
        json.dumps(user.profile),
    )


async def set_password_hash(tx: Transaction, user_id: str, password_hash: str) -> None:
    await tx.run("UPDATE users SET password_hash = $2 WHERE id = $1", user_id, password_hash)


async def find_people(tx: Transaction, tenant_id: str, names: Sequence[str]) -> list[Person]:
    """Return whoever in a tenant has one of the names as external id, id or username.

    Three questions in one, each by an index of its own: of one with OR, SQLite reads the whole tenant. Who was deleted has an id only.
    """
    if not names:
        return []
    plain, lowered = list(dict.fromkeys(names)), list(dict.fromkeys(name.lower() for name in names))
    keys = list(dict.fromkeys(matching_key(name) for name in names))
    in_plain = holes(len(plain), after=1)
    in_lowered = holes(len(lowered), after=1 + len(plain))
    in_keys = holes(len(keys), after=1 + len(plain) + len(lowered))
    asked = "SELECT id, external_id, username_key FROM users WHERE tenant_id = $1 AND"
    rows = await tx.all(
        f"{asked} external_id IN ({in_plain}) UNION {asked} id IN ({in_lowered}) AND deleted_at IS NULL"
        f" UNION {asked} username_key IN ({in_keys})",
        tenant_id,
        *plain,
        *lowered,
        *keys,
    )
    return [Person(row["id"], row["external_id"], row["username_key"]) for row in rows]


def user_of(row: Row) -> User:
    """Make a user of a row with the columns of `users`."""
    profile: dict[str, Any] = json.loads(row["profile"])
    return User(
        id=row["id"],
        tenant_id=row["tenant_id"],
        external_id=row["external_id"],
        username=row["username"],
        email=row["email"],
        role=Role(row["role"]),
        profile=profile,
        created_at=row["created_at"],
    )
