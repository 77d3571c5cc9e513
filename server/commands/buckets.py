"""Buckets: made by a user, who is their first member with every permission, and found by id or by name.

Who is ADMIN in a bucket changes and deletes it; a protected one only its owner changes, and nobody deletes. Who is a member
chooses for themselves when they want to hear of it. What is public anybody may find, and join.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from msgspec import UNSET, UnsetType

from server.commands import emptying
from server.domain.account import DEFAULT_BUCKET, User
from server.domain.bucket import ALL, Bucket, Permission
from server.domain.errors import Conflict, Fault, Forbidden, NotFound
from server.domain.ids import new_id
from server.domain.ports import Database, NotUnique, Random, Transaction
from server.domain.quiet import QuietTime
from server.domain.rules import is_id, label
from server.store import buckets, members, tasks

T = TypeVar("T")

_MINUTE = 60_000  # milliseconds


@dataclass(frozen=True)
class CreateBucket:
    name: str
    description: str | None
    icon: str | None
    color: str | None
    protected: bool
    public: bool
    retention_days: int | None = None
    retention_count: int | None = None


@dataclass(frozen=True)
class ChangeBucket:
    """UNSET: as it is."""

    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    icon: str | UnsetType | None = UNSET
    color: str | UnsetType | None = UNSET
    protected: bool | UnsetType = UNSET
    public: bool | UnsetType = UNSET
    retention_days: int | UnsetType | None = UNSET
    retention_count: int | UnsetType | None = UNSET

    def of(self, bucket: Bucket, now: int) -> Bucket:
        """Return the bucket as it is afterwards."""
        return replace(
            bucket,
            name=_or(self.name, bucket.name),
            description=_or(self.description, bucket.description),
            icon=_or(self.icon, bucket.icon),
            color=_or(self.color, bucket.color),
            protected_at=_since(bucket.protected_at, now, change=self.protected),
            public_at=_since(bucket.public_at, now, change=self.public),
            retention_days=_or(self.retention_days, bucket.retention_days),
            retention_count=_or(self.retention_count, bucket.retention_count),
        )


@dataclass(frozen=True)
class BucketPage:
    buckets: Sequence[Bucket]
    more: bool


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
        retention_days=command.retention_days,
        retention_count=command.retention_count,
    )
    try:
        await db.write(lambda tx: buckets.add_bucket(tx, bucket))
    except NotUnique:
        raise _name_taken() from None
    return replace(bucket, members=1)


async def list_buckets(db: Database, user: User) -> list[Bucket]:
    async def job(tx: Transaction) -> list[Bucket]:
        return await counted(tx, await buckets.list_buckets(tx, user.id))

    return await db.read(job)


async def list_public(db: Database, user: User, *, after: str, limit: int) -> BucketPage:
    """Return the buckets that anybody may join, those too that the user has joined."""

    async def job(tx: Transaction) -> list[Bucket]:
        found = await buckets.list_public(tx, user.id, user.tenant_id, after=after, limit=limit + 1)
        return await counted(tx, found)

    found = await db.read(job)
    return BucketPage(found[:limit], len(found) > limit)


async def get_bucket(db: Database, user: User, reference: str) -> Bucket:
    """Return a bucket of the user's, or else a public one; NotFound, Conflict for an ambiguous name."""

    async def job(tx: Transaction) -> Bucket:
        found = only(await find(tx, user.id, reference) or await _find_public(tx, user, reference))
        return await count_of(tx, found)

    return await db.read(job)


async def change_bucket(
    db: Database, user: User, reference: str, command: ChangeBucket, *, now: int
) -> Bucket:
    """Change a bucket and return it; NotFound, Forbidden, Conflict where its owner has another one of that name."""

    async def job(tx: Transaction) -> Bucket:
        bucket = await administered(tx, user, reference)
        if bucket.protected_at is not None and bucket.owner_id != user.id:
            raise Forbidden("this bucket is protected: only its owner may change it", code="owner_only")
        if bucket.name == DEFAULT_BUCKET and command.name not in (UNSET, DEFAULT_BUCKET):
            raise Conflict("everybody has a bucket of this name; it keeps it", code="bucket_default")
        changed = command.of(bucket, now)
        await buckets.change_bucket(tx, changed)
        return await count_of(tx, changed)

    try:
        return await db.write(job)
    except NotUnique:
        raise _name_taken() from None


async def delete_bucket(
    db: Database, user: User, reference: str, *, now: int, random: Random, wake: Callable[[], None]
) -> None:
    """Take a bucket away from everybody; what is in it is retracted by a task. NotFound, Forbidden, Conflict."""

    async def job(tx: Transaction) -> None:
        bucket = await administered(tx, user, reference)
        if bucket.name == DEFAULT_BUCKET:
            raise Conflict("everybody has a bucket of this name; it stays", code="bucket_default")
        if bucket.protected_at is not None:
            raise Conflict("this bucket is protected; end that first", code="bucket_protected")
        await buckets.close_bucket(tx, bucket.id)
        await tasks.add_task(tx, emptying.plan(bucket.id, now, random))

    await db.write(job)
    wake()


async def join_bucket(db: Database, user: User, reference: str, *, now: int) -> Bucket:
    """Make a user a reader of a public bucket; who is a member stays what they are. NotFound, Conflict for an ambiguous name."""

    async def job(tx: Transaction) -> Bucket:
        bucket = only(await _find_public(tx, user, reference, lock=True))
        if bucket.permissions:
            return await count_of(tx, bucket)
        await buckets.add_member(tx, bucket.id, user.id, [Permission.READ], now)
        return replace(bucket, permissions=frozenset([Permission.READ]))

    return await db.write(job)


async def snooze(db: Database, user: User, reference: str, minutes: int, *, now: int) -> Bucket:
    """Have a user hear nothing of a bucket for some minutes from now on, 0 ends that; NotFound, Conflict."""

    async def job(tx: Transaction) -> Bucket:
        bucket = only(await find(tx, user.id, reference))
        until = await snooze_bucket(tx, user.id, bucket.id, minutes, now)
        return replace(await count_of(tx, bucket), snoozed_until=until)

    return await db.write(job)


async def snooze_bucket(tx: Transaction, user_id: str, bucket_id: str, minutes: int, now: int) -> int | None:
    """Write a snooze and return when it ends (milliseconds), None where it ends now; NotFound for who is no member."""
    until = now + minutes * _MINUTE if minutes else None
    if not await members.set_snooze(tx, bucket_id, user_id, until):
        raise _not_found()
    return until


async def set_quiet_times(
    db: Database, user: User, reference: str, quiet_times: Sequence[QuietTime]
) -> Bucket:
    """Have a user hear nothing of a bucket at these times of the week; NotFound, Conflict for an ambiguous name."""

    async def job(tx: Transaction) -> Bucket:
        bucket = only(await find(tx, user.id, reference))
        await members.set_quiet_times(tx, bucket.id, user.id, quiet_times)
        return replace(await count_of(tx, bucket), quiet_times=tuple(quiet_times))

    return await db.write(job)


async def administered(tx: Transaction, user: User, reference: str, *, lock: bool = True) -> Bucket:
    """Return a bucket that a user is ADMIN of, which nobody else changes meanwhile; NotFound, Conflict, Forbidden."""
    bucket: Bucket | None = only(await find(tx, user.id, reference))
    if lock and bucket is not None:
        bucket = await buckets.lock_bucket(tx, user.id, bucket.id)
    if bucket is None:
        raise _not_found()
    if not bucket.lets(Permission.ADMIN):
        raise Forbidden("only who is ADMIN in this bucket may do that", code="bucket_forbidden")
    return bucket


async def counted(tx: Transaction, found: Sequence[Bucket]) -> list[Bucket]:
    """Return buckets with how many members they have, as far as the user is told: as with their names, who is ADMIN in them."""
    told = [bucket.id for bucket in found if bucket.lets(Permission.ADMIN)]
    numbers = await buckets.count_members(tx, told)
    return [replace(bucket, members=numbers.get(bucket.id)) for bucket in found]


async def count_of(tx: Transaction, bucket: Bucket) -> Bucket:
    """Return a bucket with how many members it has, where the user is told."""
    [found] = await counted(tx, [bucket])
    return found


async def check_member(tx: Transaction, user_id: str, bucket_id: str) -> None:
    """NotFound for who is no member of a bucket."""
    if await buckets.find_bucket(tx, user_id, bucket_id) is None:
        raise _not_found()


async def find(tx: Transaction, user_id: str, reference: str) -> list[Bucket]:
    """Return the buckets that an id or a name may mean, among those that the user is a member of."""
    if label(reference) is not None:  # no bucket has such a name, and PostgreSQL cannot even look for a NUL
        return []
    if is_id(reference):
        bucket = await buckets.find_bucket(tx, user_id, reference.lower())
        return [] if bucket is None else [bucket]
    return await buckets.find_buckets_named(tx, user_id, reference)


async def id_of(tx: Transaction, user_id: str, reference: str | None) -> str | None:
    """Return the id that an id or a name means, to choose by; NotFound, Conflict.

    Messages and inbox items stay when a membership ends, so an id is taken as it is.
    """
    if reference is None or is_id(reference):
        return reference and reference.lower()
    return only(await find(tx, user_id, reference)).id


def only(found: Sequence[Bucket]) -> Bucket:
    """Return the one bucket that was found; NotFound, Conflict."""
    if not found:
        raise _not_found()
    if len(found) > 1:
        ids = ", ".join(bucket.id for bucket in found)
        fault = Fault("bucketId", f"is the name of {len(found)} buckets", f"use the id of one of them: {ids}")
        raise Conflict("more than one bucket has this name", code="bucket_ambiguous", faults=[fault])
    return found[0]


async def _find_public(tx: Transaction, user: User, reference: str, *, lock: bool = False) -> list[Bucket]:
    if label(reference) is not None:
        return []
    return await buckets.find_public(tx, user.id, user.tenant_id, reference, lock=lock)


def _or(change: T | UnsetType, otherwise: T) -> T:
    return otherwise if isinstance(change, UnsetType) else change


def _since(at: int | None, now: int, *, change: bool | UnsetType) -> int | None:
    """Return since when something is so: what is so already has been since then."""
    if isinstance(change, UnsetType):
        return at
    return (at or now) if change else None


def _not_found() -> NotFound:
    return NotFound("no such bucket among yours", code="bucket_not_found")


def _name_taken() -> Conflict:
    fault = Fault(
        "name", "is the name of another bucket of its owner's", "choose another name, or use that bucket"
    )
    return Conflict("there is a bucket of this name", code="bucket_exists", faults=[fault])
