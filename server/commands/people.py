"""Tenants and users who come to be by being named: by the servers of an operator, who know them under names of their own."""

from collections.abc import Sequence

from server.domain.account import Role, User
from server.domain.audience import identify
from server.domain.errors import NotFound
from server.domain.ids import new_id
from server.domain.ports import Random, Transaction
from server.domain.rules import label
from server.store import accounts


async def ensure_people(
    tx: Transaction, tenant_id: str, names: Sequence[str], now: int, random: Random
) -> list[str]:
    """Return the ids of users by any of their names, each once; a name that nobody has is a new user's external id."""
    found = identify(names, await accounts.find_people(tx, tenant_id, names))
    unknown = sorted({name for name, user_id in zip(names, found, strict=True) if user_id is None})
    if unknown:
        await accounts.ensure_users(tx, [_named(tenant_id, name, now, random) for name in unknown])
        found = identify(names, await accounts.find_people(tx, tenant_id, names))
    return list(dict.fromkeys(user_id for user_id in found if user_id is not None))


async def find_named(tx: Transaction, tenant_id: str, names: Sequence[str]) -> dict[str, str]:
    """Return the ids of users by their names; who is unknown is left out."""
    found = identify(names, await accounts.find_people(tx, tenant_id, names))
    return {name: user_id for name, user_id in zip(names, found, strict=True) if user_id is not None}


async def load_named(tx: Transaction, tenant_id: str, names: Sequence[str]) -> dict[str, User]:
    """Return users by their names; who is unknown is left out."""
    found = await find_named(tx, tenant_id, names)
    users = {user.id: user for user in await accounts.load_users(tx, sorted(set(found.values())))}
    return {name: users[user_id] for name, user_id in found.items() if user_id in users}


async def find_person(tx: Transaction, tenant_id: str, name: str) -> str:
    """Return the id of a user by any of their names; NotFound. What is no name PostgreSQL cannot always look for."""
    people = [] if label(name) is not None else await accounts.find_people(tx, tenant_id, [name])
    [found] = identify([name], people)
    if found is None:
        raise NotFound(f"no such user: {name}", code="user_not_found")
    return found


async def stays(tx: Transaction, user_id: str) -> None:
    """Keep a user from being deleted, and others from changing what is theirs by this, until the transaction ends; NotFound."""
    if await accounts.lock_user(tx, user_id) is None:
        raise NotFound("the user was deleted", code="user_not_found")


async def ensure_tenant(tx: Transaction, name: str, now: int, random: Random) -> str:
    """Return the id of the tenant of a name, made where there is none, which is not closed until the end of the transaction."""
    while (found := await accounts.find_tenant(tx, name, hold=True)) is None:
        await accounts.ensure_tenant(tx, new_id(now, random), name, now)
    return found


def _named(tenant_id: str, name: str, now: int, random: Random) -> User:
    return User(
        id=new_id(now, random),
        tenant_id=tenant_id,
        external_id=name,
        username=None,
        email=None,
        role=Role.USER,
        profile={},
        created_at=now,
    )
