"""Invitations, recognised by the SHA-256 of their codes, which are random."""

from server.domain.account import Role
from server.domain.bucket import Invitation
from server.domain.ports import Row, Transaction
from server.store.buckets import permissions_of, permissions_text

_OPEN = "SELECT i.* FROM invitations i WHERE i.hash = $1 AND i.accepted_at IS NULL AND i.expires_at > $2"
# Who was made less since has nothing to give: permissions are JSON lists of four plain words.
_ADMIN_OF_BUCKET = (
    "EXISTS (SELECT 1 FROM bucket_members m WHERE m.bucket_id = i.bucket_id AND m.user_id = i.created_by"
    " AND m.permissions LIKE '%\"ADMIN\"%')"
)
_GIVEN_BY_ADMIN_OF_BUCKET = f" AND {_ADMIN_OF_BUCKET}"
_GIVEN_BY_OPERATOR = (
    f" AND EXISTS (SELECT 1 FROM users u WHERE u.id = i.created_by AND u.role = '{Role.ADMIN.value}')"
    f" AND (i.bucket_id IS NULL OR {_ADMIN_OF_BUCKET})"
)


async def add_invitation(tx: Transaction, invitation: Invitation, code_hash: bytes) -> None:
    await tx.run(
        "INSERT INTO invitations (id, tenant_id, hash, bucket_id, permissions, created_by, created_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        invitation.id,
        invitation.tenant_id,
        code_hash,
        invitation.bucket_id,
        permissions_text(invitation.permissions),
        invitation.created_by,
        invitation.created_at,
        invitation.expires_at,
    )


async def list_invitations(tx: Transaction, user_id: str, *, before: str, limit: int) -> list[Invitation]:
    """Return the invitations that a user made, the newest first, from the one before `before` on."""
    rows = await tx.all(
        "SELECT * FROM invitations WHERE created_by = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        user_id,
        before,
        limit,
    )
    return [_invitation_of(row) for row in rows]


async def find_to_bucket(tx: Transaction, code_hash: bytes, now: int) -> Invitation | None:
    """Return an open invitation to a bucket, which nobody else accepts before the end of the transaction."""
    row = await tx.one(f"{_OPEN}{_GIVEN_BY_ADMIN_OF_BUCKET} FOR UPDATE OF i", code_hash, now)
    return None if row is None else _invitation_of(row)


async def find_to_server(tx: Transaction, code_hash: bytes, now: int) -> Invitation | None:
    """Return an open invitation of the operator's, which nobody else accepts before the end of the transaction."""
    row = await tx.one(f"{_OPEN}{_GIVEN_BY_OPERATOR} FOR UPDATE OF i", code_hash, now)
    return None if row is None else _invitation_of(row)


async def is_open_to_server(tx: Transaction, code_hash: bytes, now: int) -> bool:
    """Say whether a code is an open invitation of the operator's, as things are."""
    return await tx.one(f"{_OPEN}{_GIVEN_BY_OPERATOR}", code_hash, now) is not None


async def mark_accepted(tx: Transaction, invitation_id: str, user_id: str, now: int) -> None:
    await tx.run(
        "UPDATE invitations SET accepted_at = $3, accepted_by = $2 WHERE id = $1", invitation_id, user_id, now
    )


async def delete_invitation(tx: Transaction, invitation_id: str, user_id: str) -> bool:
    """Delete an invitation of this user's; False where there is none."""
    return (
        await tx.run("DELETE FROM invitations WHERE id = $1 AND created_by = $2", invitation_id, user_id) == 1
    )


def _invitation_of(row: Row) -> Invitation:
    return Invitation(
        id=row["id"],
        tenant_id=row["tenant_id"],
        bucket_id=row["bucket_id"],
        permissions=permissions_of(row["permissions"]),
        created_by=row["created_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        accepted_at=row["accepted_at"],
        accepted_by=row["accepted_by"],
    )
