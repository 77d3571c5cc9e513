"""Members of buckets: added, given other permissions and taken out by whoever is ADMIN there; anybody may leave.

The owner of a bucket has every permission in it and never leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from server.commands.buckets import administered, find, only
from server.domain.account import User
from server.domain.audience import find_people
from server.domain.bucket import Bucket, Member, Permission
from server.domain.errors import Conflict, Fault, NotFound
from server.domain.ports import Database, NotUnique, Transaction
from server.domain.rules import label
from server.store import accounts, buckets, members


@dataclass(frozen=True)
class MemberPage:
    members: Sequence[Member]
    more: bool


async def list_members(db: Database, user: User, reference: str, *, after: str, limit: int) -> MemberPage:
    """Return the members of a bucket that the user is ADMIN of; NotFound, Conflict, Forbidden."""

    async def job(tx: Transaction) -> list[Member]:
        bucket = await administered(tx, user, reference, lock=False)
        return await members.list_members(tx, bucket.id, after=after, limit=limit + 1)

    found = await db.read(job)
    return MemberPage(found[:limit], len(found) > limit)


async def add_member(
    db: Database, user: User, reference: str, name: str, permissions: Sequence[Permission], *, now: int
) -> Member:
    """Make somebody a member; NotFound for an unknown bucket or user, Forbidden, Conflict where they are one."""

    async def job(tx: Transaction) -> Member:
        bucket = await administered(tx, user, reference)
        member_id = await _find_person(tx, user.tenant_id, name)
        if member_id is None:
            fault = Fault("user", "is nobody", "name a user of this server by id, external id or username")
            raise NotFound(f"no such user: {name}", code="user_not_found", faults=[fault])
        await buckets.add_member(tx, bucket.id, member_id, permissions, now)
        return await _load(tx, bucket, member_id)

    try:
        return await db.write(job)
    except NotUnique:
        fault = Fault("user", "is a member", "change their permissions instead")
        raise Conflict("this user is a member", code="member_exists", faults=[fault]) from None


async def change_member(
    db: Database, user: User, reference: str, name: str, permissions: Sequence[Permission]
) -> Member:
    """Give a member other permissions; NotFound, Forbidden, Conflict for the owner, who has all of them."""

    async def job(tx: Transaction) -> Member:
        bucket = await administered(tx, user, reference)
        member = await _find_member(tx, bucket, user, name)
        _check_not_owner(member)
        await members.change_permissions(tx, bucket.id, member.user_id, permissions)
        return await _load(tx, bucket, member.user_id)

    return await db.write(job)


async def remove_member(db: Database, user: User, reference: str, name: str) -> None:
    """Take a member out, which members may do with themselves; NotFound, Forbidden, Conflict for the owner, who stays."""

    async def job(tx: Transaction) -> None:
        bucket = only(await find(tx, user.id, reference))
        if await _find_person(tx, user.tenant_id, name) != user.id:
            await administered(tx, user, bucket.id)
        member = await _find_member(tx, bucket, user, name)
        _check_not_owner(member)
        await members.remove_member(tx, bucket.id, member.user_id)

    await db.write(job)


async def leave_bucket(db: Database, user: User, reference: str) -> None:
    """Take the user out of a bucket; NotFound, Conflict for the owner, who stays."""
    await remove_member(db, user, reference, user.id)


async def _find_member(tx: Transaction, bucket: Bucket, user: User, name: str) -> Member:
    person = await _find_person(tx, user.tenant_id, name)
    member = None if person is None else await members.load_member(tx, bucket.id, person)
    if member is None:
        raise NotFound("no such member in this bucket", code="member_not_found")
    return member


async def _load(tx: Transaction, bucket: Bucket, user_id: str) -> Member:
    member = await members.load_member(tx, bucket.id, user_id)
    if member is None:
        raise LookupError("a member that this transaction has written")
    return member


async def _find_person(tx: Transaction, tenant_id: str, name: str) -> str | None:
    """Return the id of the user of some id, external id or username."""
    people = [] if label(name) is not None else await accounts.find_people(tx, tenant_id, [name])
    found, _ = find_people([name], people)
    return found[0] if found else None


def _check_not_owner(member: Member) -> None:
    if member.is_owner:
        raise Conflict("the owner of a bucket has every permission and stays", code="bucket_owner")
