"""Buckets: made by a user, who is their first member with every permission, and found by id or by name."""

from dataclasses import dataclass

from server.domain.account import User
from server.domain.bucket import ALL, Bucket
from server.domain.errors import Conflict, Fault, NotFound
from server.domain.ids import new_id
from server.domain.ports import Database, NotUnique, Random, Transaction
from server.domain.rules import is_id, label
from server.store import buckets


@dataclass(frozen=True)
class CreateBucket:
    name: str
    description: str | None
    icon: str | None
    color: str | None
    protected: bool
    public: bool


async def create_bucket(
    db: Database, user: User, command: CreateBucket, *, now: int, random: Random
) -> Bucket:
    """Make a bucket; Conflict where its owner has one of that name."""
    bucket = Bucket(
        id=new_id(now, random),
        tenant_id=user.tenant_id,
        owner_id=user.id,
        name=command.name,
        description=command.description,
        icon=command.icon,
        color=command.color,
        protected_at=now if command.protected else None,
        public_at=now if command.public else None,
        created_at=now,
        permissions=frozenset(ALL),
    )
    try:
        await db.write(lambda tx: buckets.add_bucket(tx, bucket))
    except NotUnique:
        fault = Fault(
            "name", "is the name of another bucket of yours", "choose another name, or use that bucket"
        )
        raise Conflict("you have a bucket of this name", code="bucket_exists", faults=[fault]) from None
    return bucket


async def list_buckets(db: Database, user: User) -> list[Bucket]:
    return await db.read(lambda tx: buckets.list_buckets(tx, user.id))


async def get_bucket(db: Database, user: User, reference: str) -> Bucket:
    """Return a bucket by id or name; NotFound where the user is no member, Conflict for an ambiguous name."""

    async def job(tx: Transaction) -> Bucket:
        return only(await find(tx, user.id, reference))

    return await db.read(job)


async def find(tx: Transaction, user_id: str, reference: str) -> list[Bucket]:
    """Return the buckets that an id or a name may mean, among those that the user is a member of."""
    if label(reference) is not None:  # no bucket has such a name, and PostgreSQL cannot even look for a NUL
        return []
    if is_id(reference):
        bucket = await buckets.find_bucket(tx, user_id, reference.lower())
        return [] if bucket is None else [bucket]
    return await buckets.find_buckets_named(tx, user_id, reference)


def only(found: list[Bucket]) -> Bucket:
    """Return the one bucket that was found; NotFound, Conflict."""
    if not found:
        raise NotFound("no such bucket among yours", code="bucket_not_found")
    if len(found) > 1:
        ids = ", ".join(bucket.id for bucket in found)
        fault = Fault("bucketId", f"is the name of {len(found)} buckets", f"use the id of one of them: {ids}")
        raise Conflict("more than one bucket has this name", code="bucket_ambiguous", faults=[fault])
    return found[0]
