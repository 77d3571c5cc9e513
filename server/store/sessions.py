"""Sign-ins: one row is one family of refresh tokens, of which only the newest is good."""

from collections.abc import Sequence

from server.domain.account import Session, User
from server.domain.ports import Transaction
from server.store.accounts import user_of


async def add_session(
    tx: Transaction, session_id: str, user_id: str, *, refresh_hash: bytes, now: int, expires_at: int
) -> None:
    """Store a sign-in, and drop the ones of the same user that have ended."""
    await tx.run("DELETE FROM sessions WHERE user_id = $1 AND expires_at <= $2", user_id, now)
    await tx.run(
        "INSERT INTO sessions (id, user_id, refresh_hash, created_at, refreshed_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $4, $5)",
        session_id,
        user_id,
        refresh_hash,
        now,
        expires_at,
    )


async def find_session(tx: Transaction, session_id: str, now: int) -> tuple[User, int] | None:
    """Return the user of a sign-in that has not ended, and when it will; who was deleted while they signed in has none."""
    row = await tx.one(
        "SELECT u.*, s.expires_at FROM sessions s JOIN users u ON u.id = s.user_id"
        " WHERE s.id = $1 AND s.expires_at > $2 AND u.deleted_at IS NULL",
        session_id,
        now,
    )
    return None if row is None else (user_of(row), row["expires_at"])


async def list_sessions(tx: Transaction, user_id: str, now: int) -> Sequence[Session]:
    """Return the sign-ins of a user that have not ended, the newest first."""
    rows = await tx.all(
        "SELECT id, created_at, refreshed_at, expires_at FROM sessions WHERE user_id = $1 AND expires_at > $2"
        " ORDER BY id DESC",
        user_id,
        now,
    )
    return [Session(row["id"], row["created_at"], row["refreshed_at"], row["expires_at"]) for row in rows]


async def rotate(
    tx: Transaction, session_id: str, *, spent: bytes, fresh: bytes, now: int, expires_at: int
) -> bool:
    """Put a fresh refresh token in the place of the spent one; False where the spent one is not the newest."""
    written = await tx.run(
        "UPDATE sessions SET refresh_hash = $3, refreshed_at = $4, expires_at = $5"
        " WHERE id = $1 AND refresh_hash = $2 AND expires_at > $4",
        session_id,
        spent,
        fresh,
        now,
        expires_at,
    )
    return written == 1


async def end_session(tx: Transaction, session_id: str) -> bool:
    """End a family; False where it had ended."""
    return await tx.run("DELETE FROM sessions WHERE id = $1", session_id) == 1


async def end_session_of(tx: Transaction, session_id: str, user_id: str) -> bool:
    """End a family of this user's; False where there is none."""
    return await tx.run("DELETE FROM sessions WHERE id = $1 AND user_id = $2", session_id, user_id) == 1


async def end_others(tx: Transaction, user_id: str, *, but: str | None) -> None:
    """End all sign-ins of a user but one."""
    await tx.run("DELETE FROM sessions WHERE user_id = $1 AND id <> $2", user_id, but or "")
