"""The members of buckets, and what each of them wants to hear of theirs."""

from collections.abc import Iterable, Sequence

from server.domain.bucket import Member, Permission
from server.domain.ports import Row, Transaction
from server.domain.quiet import QuietTime, write_quiet_times
from server.store.buckets import permissions_of, permissions_text

_MEMBER = (
    "SELECT m.user_id, u.username, m.permissions, m.created_at, b.owner_id FROM bucket_members m"
    " JOIN users u ON u.id = m.user_id JOIN buckets b ON b.id = m.bucket_id WHERE m.bucket_id = $1"
)


async def list_members(tx: Transaction, bucket_id: str, *, after: str, limit: int) -> list[Member]:
    """Return a bucket's members by user id, from the one after `after` on."""
    rows = await tx.all(f"{_MEMBER} AND m.user_id > $2 ORDER BY m.user_id LIMIT $3", bucket_id, after, limit)
    return [_member_of(row) for row in rows]


async def load_member(tx: Transaction, bucket_id: str, user_id: str) -> Member | None:
    row = await tx.one(f"{_MEMBER} AND m.user_id = $2", bucket_id, user_id)
    return None if row is None else _member_of(row)


async def change_permissions(
    tx: Transaction, bucket_id: str, user_id: str, permissions: Iterable[Permission]
) -> bool:
    """Write a member's permissions; False where there is no such member."""
    written = await tx.run(
        "UPDATE bucket_members SET permissions = $3 WHERE bucket_id = $1 AND user_id = $2",
        bucket_id,
        user_id,
        permissions_text(permissions),
    )
    return written == 1


async def remove_member(tx: Transaction, bucket_id: str, user_id: str) -> bool:
    """Take a member out of a bucket; False where there is no such member."""
    written = await tx.run(
        "DELETE FROM bucket_members WHERE bucket_id = $1 AND user_id = $2", bucket_id, user_id
    )
    return written == 1


async def set_snooze(tx: Transaction, bucket_id: str, user_id: str, until: int | None) -> bool:
    """Write until when a member hears nothing of a bucket; False where there is no such member."""
    written = await tx.run(
        "UPDATE bucket_members SET snoozed_until = $3 WHERE bucket_id = $1 AND user_id = $2",
        bucket_id,
        user_id,
        until,
    )
    return written == 1


async def set_quiet_times(
    tx: Transaction, bucket_id: str, user_id: str, quiet_times: Sequence[QuietTime]
) -> bool:
    """Write when in the week a member hears nothing of a bucket; False where there is no such member."""
    written = await tx.run(
        "UPDATE bucket_members SET quiet_times = $3 WHERE bucket_id = $1 AND user_id = $2",
        bucket_id,
        user_id,
        write_quiet_times(quiet_times),
    )
    return written == 1


def _member_of(row: Row) -> Member:
    return Member(
        user_id=row["user_id"],
        username=row["username"],
        permissions=permissions_of(row["permissions"]),
        is_owner=row["user_id"] == row["owner_id"],
        created_at=row["created_at"],
    )
