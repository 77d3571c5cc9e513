"""Invitations: codes that are good once. Who is ADMIN in a bucket invites to it, an admin of the server also to an account.

The code is shown when it is made, and stored as its hash. Accepting takes the invitation's row for itself until the end of the
transaction, so that of two who accept at the same moment one comes too late. Who has lost what they had to give has invited in vain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from server.commands.buckets import administered, count_of
from server.commands.callers import token_hash
from server.domain.account import Role, User
from server.domain.bucket import Bucket, Invitation, Permission
from server.domain.errors import Conflict, Forbidden, NotFound
from server.domain.ids import LAST_ID, new_id
from server.domain.ports import Database, Random, Transaction
from server.store import buckets, invitations

HOUR = 3_600_000  # milliseconds
_CODE_BYTES = 10
_GROUP = 5


@dataclass(frozen=True)
class Invite:
    """`bucket` is an id or a name, None for an account alone."""

    bucket: str | None
    permissions: tuple[Permission, ...]
    hours: int


@dataclass(frozen=True)
class NewInvitation:
    invitation: Invitation
    code: str = field(repr=False)  # shown once


@dataclass(frozen=True)
class InvitationPage:
    invitations: Sequence[Invitation]
    more: bool


async def invite(db: Database, user: User, command: Invite, *, now: int, random: Random) -> NewInvitation:
    """Make an invitation; Forbidden, NotFound or Conflict for the bucket."""
    if command.bucket is None and user.role is not Role.ADMIN:
        raise Forbidden("only an admin invites to the server; name a bucket", code="scope_missing")
    code = _new_code(random)

    async def job(tx: Transaction) -> Invitation:
        bucket = None if command.bucket is None else await administered(tx, user, command.bucket)
        invitation = Invitation(
            id=new_id(now, random),
            tenant_id=user.tenant_id,
            bucket_id=None if bucket is None else bucket.id,
            permissions=frozenset() if bucket is None else frozenset(command.permissions),
            created_by=user.id,
            created_at=now,
            expires_at=now + command.hours * HOUR,
        )
        await invitations.add_invitation(tx, invitation, hash_of_code(code))
        return invitation

    return NewInvitation(await db.write(job), code)


async def list_invitations(db: Database, user: User, *, before: str | None, limit: int) -> InvitationPage:
    """Return the invitations that a user has made, the newest first."""
    found = await db.read(
        lambda tx: invitations.list_invitations(tx, user.id, before=before or LAST_ID, limit=limit + 1)
    )
    return InvitationPage(found[:limit], len(found) > limit)


async def delete_invitation(db: Database, user: User, invitation_id: str) -> None:
    """Make an invitation worthless; NotFound where this user has none of that id."""
    if not await db.write(lambda tx: invitations.delete_invitation(tx, invitation_id, user.id)):
        raise NotFound("no such invitation", code="invitation_not_found")


async def accept(db: Database, user: User, code: str, *, now: int) -> Bucket:
    """Make a user a member of the bucket that they are invited to; Forbidden, Conflict where they are one."""

    async def job(tx: Transaction) -> Bucket:
        invitation = await invitations.find_to_bucket(tx, hash_of_code(code), now)
        if invitation is None or invitation.tenant_id != user.tenant_id:
            raise no_invitation()
        bucket_id = invitation.bucket_id or ""
        if await buckets.find_bucket(tx, user.id, bucket_id) is not None:
            raise Conflict("you are a member of this bucket", code="member_exists")
        await _use(tx, invitation, user, now)
        bucket = await buckets.find_bucket(tx, user.id, bucket_id)
        if bucket is None:
            raise LookupError("a bucket that this transaction has joined")
        return await count_of(tx, bucket)

    return await db.write(job)


async def check_invited(db: Database, code: str, now: int) -> None:
    """Look whether a code would do for an account; Forbidden."""
    if not await db.read(lambda tx: invitations.is_open_to_server(tx, hash_of_code(code), now)):
        raise no_invitation()


async def accept_account(tx: Transaction, user: User, code: str, now: int) -> None:
    """Use an invitation for an account that is made in this transaction, and join its bucket; Forbidden."""
    invitation = await invitations.find_to_server(tx, hash_of_code(code), now)
    if invitation is None or invitation.tenant_id != user.tenant_id:
        raise no_invitation()
    await _use(tx, invitation, user, now)


def hash_of_code(code: str) -> bytes:
    """Return what is stored of a code, however it was typed: its case and its hyphens do not count."""
    return token_hash(code.strip().upper().replace("-", ""))


def no_invitation() -> Forbidden:
    """Return the one answer to every code that is not good, so that it tells nothing more."""
    return Forbidden("the code is wrong, used or expired; ask for another one", code="invitation_invalid")


async def _use(tx: Transaction, invitation: Invitation, user: User, now: int) -> None:
    await invitations.mark_accepted(tx, invitation.id, user.id, now)
    if invitation.bucket_id is not None:
        await buckets.add_member(tx, invitation.bucket_id, user.id, invitation.permissions, now)


def _new_code(random: Random) -> str:
    """Return 80 bits, in groups to read aloud."""
    digits = random(_CODE_BYTES).hex().upper()
    return "-".join(digits[i : i + _GROUP] for i in range(0, len(digits), _GROUP))
