"""Access tokens, recognised by their SHA-256: they are random, so a slow hash would add nothing."""

import json
from collections.abc import Sequence

from server.domain.account import AccessToken, User
from server.domain.ports import Row, Transaction
from server.store.accounts import user_of

_FIND = (
    "SELECT u.*, t.id AS token_id, t.name AS token_name, t.scopes, t.created_at AS token_created_at,"
    " t.expires_at, t.last_used_at, n.name AS tenant, n.id AS for_tenant FROM access_tokens t JOIN users u ON u.id = t.user_id"
    " LEFT JOIN tenants n ON n.id = t.tenant_id WHERE t.hash = $1 AND (t.expires_at IS NULL OR t.expires_at > $2)"
    " AND u.deleted_at IS NULL AND n.closed_at IS NULL"  # who was deleted, or whose tenant, while it was made
)
_OWN = "SELECT t.*, n.name AS tenant FROM access_tokens t LEFT JOIN tenants n ON n.id = t.tenant_id"
_OF_USER = f"{_OWN} WHERE t.id = $1 AND t.user_id = $2"


async def add_token(tx: Transaction, token: AccessToken, *, token_hash: bytes, tenant_id: str | None) -> None:
    await tx.run(
        "INSERT INTO access_tokens (id, user_id, name, hash, scopes, created_at, expires_at, tenant_id)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        token.id,
        token.user_id,
        token.name,
        token_hash,
        json.dumps(token.scopes),
        token.created_at,
        token.expires_at,
        tenant_id,
    )


async def find_token(
    tx: Transaction, token_hash: bytes, now: int
) -> tuple[AccessToken, User, str | None] | None:
    """Return a token that has not expired, its owner and the id of its tenant, in one indexed read; who was deleted has none."""
    row = await tx.one(_FIND, token_hash, now)
    if row is None:
        return None
    token = _token_of(row, row["token_id"], row["id"], row["token_name"], row["token_created_at"])
    return token, user_of(row), row["for_tenant"]


async def list_tokens(tx: Transaction, user_id: str) -> list[AccessToken]:
    """Return a user's tokens, the newest first."""
    rows = await tx.all(f"{_OWN} WHERE t.user_id = $1 ORDER BY t.id DESC", user_id)
    return [_own_token_of(row) for row in rows]


async def load_token(tx: Transaction, token_id: str, user_id: str) -> AccessToken | None:
    """Return a token of this user, an expired one too."""
    row = await tx.one(_OF_USER, token_id, user_id)
    return None if row is None else _own_token_of(row)


async def lock_token(tx: Transaction, token_id: str, user_id: str) -> AccessToken | None:
    """Return a token of this user that nobody else changes until the end of the transaction."""
    row = await tx.one(f"{_OF_USER} FOR UPDATE OF t", token_id, user_id)
    return None if row is None else _own_token_of(row)


async def change_token(tx: Transaction, token: AccessToken) -> None:
    """Write a token's name, scopes and end."""
    await tx.run(
        "UPDATE access_tokens SET name = $2, scopes = $3, expires_at = $4 WHERE id = $1",
        token.id,
        token.name,
        json.dumps(token.scopes),
        token.expires_at,
    )


async def delete_token(tx: Transaction, token_id: str, user_id: str) -> bool:
    """Delete a token of this user; False where there is none."""
    return await tx.run("DELETE FROM access_tokens WHERE id = $1 AND user_id = $2", token_id, user_id) == 1


async def note_use(tx: Transaction, used: Sequence[tuple[str, int]]) -> None:
    """Write down when tokens (id, time) were last used; never back in time."""
    await tx.many(
        "UPDATE access_tokens SET last_used_at = $2 WHERE id = $1"
        " AND (last_used_at IS NULL OR last_used_at < $2)",
        used,
    )


def _own_token_of(row: Row) -> AccessToken:
    return _token_of(row, row["id"], row["user_id"], row["name"], row["created_at"])


def _token_of(row: Row, token_id: str, user_id: str, name: str, created_at: int) -> AccessToken:
    return AccessToken(
        id=token_id,
        user_id=user_id,
        tenant=row["tenant"],
        name=name,
        scopes=tuple(json.loads(row["scopes"])),
        created_at=created_at,
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
    )
