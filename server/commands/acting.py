"""Calling for others: the servers of an operator name the tenant and the user for whom they call, by names of their own.

Reading makes nothing: who is not there has nothing. What writes makes the tenant and the user first (`settle`).
"""

from dataclasses import replace

from server.commands.people import ensure_people, ensure_tenant
from server.domain.account import DEFAULT_TENANT, Acting, Caller, Role, User
from server.domain.audience import identify
from server.domain.errors import Forbidden, NotFound
from server.domain.ports import Database, Random, Transaction
from server.store import accounts


async def find_acting(tx: Transaction, caller: Caller, tenant: str | None, user: str | None) -> Caller:
    """Return the caller as they act for a tenant (None: the token's, or the default one) and a user of it; Forbidden.

    NotFound where the token's own was deleted while the request came, even where another one has its name.
    """
    bound = caller.grant.tenant
    if bound is not None and tenant not in (None, bound):
        raise Forbidden("this access token is for another tenant", code="acting_forbidden")
    name = tenant or bound or DEFAULT_TENANT
    tenant_id = await accounts.find_tenant(tx, name)
    if caller.grant.tenant_id not in (None, tenant_id):
        raise NotFound("no such tenant", code="tenant_not_found")
    if user is None:  # who made the token is nobody there: nothing of their own may be reached in this way
        acting = Acting(name, tenant_id or "", None, known=False)
        return replace(caller, user=_nobody(tenant_id or "", None), acting=acting)
    found = None if tenant_id is None else await _find(tx, tenant_id, user)
    acting = Acting(name, tenant_id or "", user, known=found is not None)
    return replace(caller, user=found or _nobody(tenant_id or "", user), acting=acting)


async def find_meant(tx: Transaction, caller: Caller, tenant: str, user: str | None) -> Caller:
    """Return the caller for a tenant and a user that a request names: as `find_acting` for who may act for others, else themselves.

    NotFound where that is somebody else, or another tenant: the two look as if they were not there.
    """
    grant = caller.grant
    if grant.tenant not in (None, tenant):
        raise NotFound("no such tenant", code="tenant_not_found")
    if grant.acts or (grant.scopes is None and grant.operator):
        return await find_acting(tx, caller, tenant, user)
    if await accounts.find_tenant(tx, tenant) != caller.user.tenant_id:
        raise NotFound("no such tenant", code="tenant_not_found")
    if user is not None:
        [found] = identify([user], await accounts.find_people(tx, caller.user.tenant_id, [user]))
        if found != caller.user.id:
            raise NotFound("no such user", code="user_not_found")
    return caller


async def ensure_meant(
    tx: Transaction, caller: Caller, name: str, *, makes: bool, now: int, random: Random
) -> str:
    """Return the id of the tenant that a request names, which is not closed until the end of the transaction; NotFound.

    `makes` one where there is none, but not for a token that is good for one only: that was deleted then, and the token with it.
    """
    if makes and caller.grant.tenant_id is None:
        return await ensure_tenant(tx, name, now, random)
    found = await accounts.find_tenant(tx, name, hold=True)
    if found is None or caller.grant.tenant_id not in (None, found):
        raise NotFound("no such tenant", code="tenant_not_found")
    return found


async def settle(db: Database, caller: Caller, *, now: int, random: Random) -> Caller:
    """Return the caller with the tenant and the user for whom they act, made where they are not there yet."""
    acting = caller.acting
    if acting is None or (acting.tenant_id and (acting.user is None or acting.known)):
        return caller

    async def job(tx: Transaction) -> Caller:
        tenant_id = await ensure_tenant(tx, acting.tenant, now, random)
        if acting.user is not None:
            await ensure_people(tx, tenant_id, [acting.user], now, random)
        return await find_acting(tx, caller, acting.tenant, acting.user)

    return await db.write(job)


async def _find(tx: Transaction, tenant_id: str, name: str) -> User | None:
    [user_id] = identify([name], await accounts.find_people(tx, tenant_id, [name]))
    return None if user_id is None else await accounts.load_user(tx, user_id)


def _nobody(tenant_id: str, name: str | None) -> User:
    return User("", tenant_id, name, None, None, Role.USER, {}, 0)
