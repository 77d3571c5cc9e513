"""The users of a tenant, made, changed and deleted several at once by its own servers; what cannot be done to one is done to the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from server.commands import erasing
from server.commands.people import ensure_people, find_named, load_named
from server.commands.tenants import hold
from server.domain.account import Role, User, matching_key
from server.domain.errors import Conflict, NotFound, Refusal
from server.domain.mention import Mention, profile_of
from server.domain.ports import Database, NotUnique, Random, Transaction
from server.store import subscribers

Outcomes = Mapping[str, Refusal | None]
"""What came of each thing that was named: why it is refused, None where it was done."""
_TRIES = 3


@dataclass(frozen=True)
class UserPage:
    users: Sequence[User]
    more: bool


async def put_users(
    db: Database, tenant_id: str, mentions: Sequence[Mention], *, now: int, random: Random
) -> Outcomes:
    """Make users, or change those who are there: a name or an address that is not given stays. NotFound where there is no tenant.

    Refused are an address that is another user's, and another one for an admin.
    """
    wanted = {one.key: one for one in mentions}

    async def job(tx: Transaction) -> Outcomes:
        await hold(tx, tenant_id)
        return await _put(tx, tenant_id, wanted, now, random)

    for _ in range(_TRIES - 1):
        try:
            return await db.write(job)
        except NotUnique:  # somebody took an address in this moment
            continue
    return await db.write(job)


async def remove_users(
    db: Database,
    tenant_id: str,
    names: Sequence[str],
    *,
    now: int,
    random: Random,
    wake: Callable[[], None],
) -> Outcomes:
    """Delete users with all that is theirs; refused are names that nobody has, and admins' accounts.

    Each in a transaction of its own: whoever writes to several users locks them in an order of its own, and never waits for two of these.
    """
    found = await db.read(lambda tx: find_named(tx, tenant_id, names))
    why = {
        user_id: await db.write(partial(_end, user_id=user_id, now=now, random=random))
        for user_id in sorted(set(found.values()))
    }
    wake()
    return {name: why[found[name]] if name in found else _why_kept(None) for name in names}


async def list_users(db: Database, tenant_id: str, *, after: str, limit: int) -> UserPage:
    """Return a tenant's users in the order in which they were made, from the one after `after` on."""
    found = await db.read(
        lambda tx: subscribers.list_subscribers_after(tx, tenant_id, after=after, limit=limit + 1)
    )
    return UserPage(found[:limit], len(found) > limit)


async def find_users(db: Database, tenant_id: str, names: Sequence[str]) -> Sequence[User]:
    """Return those users who have one of some names, in the order in which they were made."""
    found = await db.read(lambda tx: load_named(tx, tenant_id, names))
    return sorted({user.id: user for user in found.values()}.values(), key=lambda user: user.id)


async def _end(tx: Transaction, *, user_id: str, now: int, random: Random) -> Refusal | None:
    """Delete a user, or say why not."""
    why = _why_kept(await subscribers.lock_for_end(tx, user_id))
    if why is None:
        await erasing.begin(tx, user_id, now=now, random=random)
    return why


async def _put(
    tx: Transaction, tenant_id: str, wanted: Mapping[str, Mention], now: int, random: Random
) -> Outcomes:
    addresses = [one.email for one in wanted.values() if one.email]
    owners = await subscribers.owners_of(tx, tenant_id, addresses)
    outcomes = _sorted_out(wanted, await find_named(tx, tenant_id, list(wanted)), owners)
    names = [name for name, why in outcomes.items() if why is None]
    await ensure_people(tx, tenant_id, names, now, random)
    found = await find_named(tx, tenant_id, names)
    users = await subscribers.lock_all(tx, list(found.values()))
    changed: dict[str, User] = {}
    for name in names:
        user = users.get(found.get(name, ""))
        outcomes[name] = _why_unchanged(user, wanted[name])
        if user is not None and outcomes[name] is None:
            users[user.id] = changed[user.id] = _with(user, wanted[name])
    await subscribers.change_all(tx, list(changed.values()))
    return outcomes


def _sorted_out(
    wanted: Mapping[str, Mention], found: Mapping[str, str], owners: Mapping[str, str]
) -> dict[str, Refusal | None]:
    """Refuse an address that is another's, or that somebody is to have who is named before."""
    holders = dict(owners)
    outcomes: dict[str, Refusal | None] = {}
    for name, one in wanted.items():
        who = found.get(name, name)
        is_free = not one.email or holders.setdefault(matching_key(one.email), who) == who
        outcomes[name] = (
            None if is_free else Conflict("another user has this email address", code="email_taken")
        )
    return outcomes


def _why_unchanged(user: User | None, wanted: Mention) -> Refusal | None:
    if user is None:
        return NotFound("the user was deleted in this moment", code="user_not_found")
    if user.role is Role.ADMIN and wanted.email not in (None, user.email):
        return Conflict("the email address of an admin is their own", code="subscriber_admin")
    return None


def _why_kept(user: User | None) -> Refusal | None:
    if user is None:
        return NotFound("no such user", code="user_not_found")
    if user.role is Role.ADMIN:
        return Conflict("the account of an admin is not deleted", code="subscriber_admin")
    return None


def _with(user: User, wanted: Mention) -> User:
    """Return a user as they are with what is said of them."""
    others = {field: part for field, part in user.profile.items() if field not in ("firstName", "lastName")}
    profile = {**others, **profile_of(wanted.name)} if wanted.name else user.profile
    return replace(user, email=wanted.email or user.email, profile=profile)
