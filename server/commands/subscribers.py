"""Subscribers: users as a tenant's own servers keep them, under names of their own.

Whoever writes holds the user's row until it is written, so that of two who change different fields at the same moment neither undoes
the other's; and who is deleted in that moment is made anew.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from msgspec import UnsetType

from server.commands import erasing
from server.commands.erasing import Erased
from server.commands.people import ensure_people, find_person
from server.domain.account import Role, User
from server.domain.errors import Conflict, Fault, NotFound
from server.domain.pages import Numbered
from server.domain.ports import Database, NotUnique, Random, Transaction
from server.store import accounts, subscribers


@dataclass(frozen=True)
class SubscriberData:
    """What is to be different about a subscriber. UNSET: as it is, None: cleared. `profile` has what is different of it.

    `where` stands in front of the names of these fields in the request that they came with.
    """

    email: str | UnsetType | None = field(repr=False)
    profile: Mapping[str, str | None] = field(repr=False)
    where: str

    def of(self, user: User) -> User:
        """Return the user as they are afterwards."""
        profile = {**user.profile, **self.profile}
        return replace(
            user,
            email=user.email if isinstance(self.email, UnsetType) else self.email,
            profile={name: value for name, value in profile.items() if value is not None},
        )


@dataclass(frozen=True)
class SubscriberPage:
    subscribers: Sequence[User]
    more: bool


async def put_subscriber(
    db: Database, tenant_id: str, name: str, data: SubscriberData, *, now: int, random: Random
) -> User:
    """Make a subscriber, or change the one of that name; Conflict where the email address is another user's, or would be another one of an admin's."""

    async def job(tx: Transaction) -> User:
        return await _write(tx, await _settled(tx, tenant_id, name, now, random), data)

    return await _written(db, job, data)


async def change_subscriber(db: Database, tenant_id: str, name: str, data: SubscriberData) -> User:
    """Change a subscriber; NotFound, Conflict as `put_subscriber`."""

    async def job(tx: Transaction) -> User:
        user = await accounts.lock_user(tx, await find_person(tx, tenant_id, name))
        if user is None:
            raise _nobody(name)
        return await _write(tx, user, data)

    return await _written(db, job, data)


async def get_subscriber(db: Database, tenant_id: str, name: str) -> User:
    """Return a user by any of their names; NotFound."""

    async def job(tx: Transaction) -> User:
        user = await accounts.load_user(tx, await find_person(tx, tenant_id, name))
        if user is None:
            raise _nobody(name)
        return user

    return await db.read(job)


async def delete_subscriber(
    db: Database, tenant_id: str, name: str, *, now: int, random: Random, wake: Callable[[], None]
) -> Erased:
    """Delete a user with all that is theirs, and say how much that is: the name is free. NotFound, Conflict for an admin."""

    async def job(tx: Transaction) -> Erased:
        user = await subscribers.lock_for_end(tx, await find_person(tx, tenant_id, name))
        if user is None:
            raise _nobody(name)
        if user.role is Role.ADMIN:
            fault = Fault(
                "userId", "is an admin's account", "have another admin take that role from it first"
            )
            raise Conflict("the account of an admin is not deleted", code="subscriber_admin", faults=[fault])
        return await erasing.begin(tx, user.id, now=now, random=random)

    erased = await db.write(job)
    wake()
    return erased


async def list_subscribers(db: Database, tenant_id: str, *, offset: int, limit: int) -> Numbered[User]:
    """Return a tenant's users in the order in which they were made."""

    async def job(tx: Transaction) -> Numbered[User]:
        found = await subscribers.list_subscribers(tx, tenant_id, offset=offset, limit=limit + 1)
        total = await subscribers.count_subscribers(tx, tenant_id)
        return Numbered(found[:limit], len(found) > limit, total)

    return await db.read(job)


async def list_subscribers_after(db: Database, tenant_id: str, *, after: str, limit: int) -> SubscriberPage:
    """Return a tenant's users in the order in which they were made, from the one after `after` on."""
    found = await db.read(
        lambda tx: subscribers.list_subscribers_after(tx, tenant_id, after=after, limit=limit + 1)
    )
    return SubscriberPage(found[:limit], len(found) > limit)


async def _settled(tx: Transaction, tenant_id: str, name: str, now: int, random: Random) -> User:
    """Return a user by any of their names, made where there is none, whom nobody else changes."""
    while True:
        for user_id in await ensure_people(tx, tenant_id, [name], now, random):
            user = await accounts.lock_user(tx, user_id)
            if user is not None:
                return user


async def _write(tx: Transaction, user: User, data: SubscriberData) -> User:
    changed = data.of(user)
    if user.role is Role.ADMIN and changed.email != user.email:
        fault = Fault(
            f"{data.where}email", "is an admin's, who signs in with it", "have them change it themselves"
        )
        raise Conflict("the email address of an admin is their own", code="subscriber_admin", faults=[fault])
    if changed != user:
        await accounts.change_user(tx, changed)
    return changed


async def _written(db: Database, job: Callable[[Transaction], Awaitable[User]], data: SubscriberData) -> User:
    try:
        return await db.write(job)
    except NotUnique:
        fault = Fault(f"{data.where}email", "is another user's", "give each user one of their own")
        raise Conflict("another user has this email address", code="email_taken", faults=[fault]) from None


def _nobody(name: str) -> NotFound:
    return NotFound(f"no such user: {name}", code="user_not_found")
