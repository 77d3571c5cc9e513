"""Tenants, as an operator's own servers make, name and delete them.

A tenant that is deleted is closed at once: its name is free, tokens that are bound to it are deleted, and nobody finds it. Whoever makes
one of that name afterwards has an empty one. What was in it goes little by little by a task (`close`): every user as one who is deleted,
every bucket as one that is deleted, so that what was scheduled is taken back and devices get nothing more; then its documents and
templates. A message that is written to it meanwhile is taken back with its bucket. The task looks once more after a while, for what came to it in the same moment.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.commands import emptying, erasing
from server.commands.emptying import LOOK_AGAIN
from server.domain.account import DEFAULT_TENANT, Caller
from server.domain.delivery import SECOND
from server.domain.errors import Conflict, Forbidden, NotFound
from server.domain.ids import new_id
from server.domain.ports import Database, Random, Transaction
from server.domain.task import Kind, Task
from server.domain.tenant import Tenant
from server.store import accounts, closing, tasks, tenants

_BUCKETS_AT_ONCE = 100
_USERS_AT_ONCE = (
    50  # in a second: each leaves a task of their own, and other tenants' are not to wait for all of these
)
_DEVICES_AT_ONCE = 10  # with what went to each in a month
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class TenantPage:
    tenants: Sequence[Tenant]
    more: bool


async def add_tenant(
    db: Database, name: str, display_name: str | None, *, now: int, random: Random
) -> Tenant:
    """Make a tenant; Conflict where there is one of that name."""
    tenant = Tenant(new_id(now, random), name, display_name, now)
    if not await db.write(lambda tx: tenants.add_tenant(tx, tenant)):
        raise Conflict("there is an organization of this id", code="tenant_exists")
    return tenant


async def get_tenant(db: Database, tenant_id: str) -> Tenant:
    """Return a tenant; NotFound."""
    found = await db.read(lambda tx: tenants.load_tenant(tx, tenant_id))
    if found is None:
        raise _no_tenant()
    return found


async def list_tenants(db: Database, caller: Caller, *, after: str, limit: int) -> TenantPage:
    """Return the tenants that who manages them may see, in the order in which they were made; a token that is bound to one sees that."""
    bound = caller.grant.tenant
    if bound is None:
        found = await db.read(lambda tx: tenants.list_tenants(tx, after=after, limit=limit + 1))
        return TenantPage(found[:limit], len(found) > limit)

    async def job(tx: Transaction) -> Tenant | None:
        return await tenants.load_tenant(tx, await accounts.find_tenant(tx, bound) or "")

    own = await db.read(job)
    return TenantPage([own] if own is not None and own.id > after else [], more=False)


async def show_tenant_as(db: Database, tenant_id: str, display_name: str | None) -> None:
    """Change what people are shown as a tenant's name; NotFound."""
    if not await db.write(lambda tx: tenants.show_as(tx, tenant_id, display_name)):
        raise _no_tenant()


async def delete_tenant(
    db: Database, caller: Caller, *, now: int, random: Random, wake: Callable[[], None]
) -> None:
    """Close the tenant for which somebody calls; NotFound, Conflict for the one of a fresh server.

    Forbidden for a token that is bound to it: it would delete itself, and a key that is kept in one app's servers ends nobody's data.
    """
    if caller.grant.tenant is not None:
        raise Forbidden("a token that is bound to an organization does not delete it", code="scope_missing")
    tenant_id = caller.tenant_id

    async def job(tx: Transaction) -> None:
        tenant = await tenants.lock_to_close(tx, tenant_id)
        if tenant is None:
            raise _no_tenant()
        if tenant.name == DEFAULT_TENANT:
            raise Conflict(
                f"the organization {DEFAULT_TENANT} is not deleted: every server has it",
                code="tenant_default",
            )
        await tenants.close_tenant(tx, tenant_id, now)
        await closing.drop_at_once(tx, tenant_id)
        payload = {"tenant": tenant_id, "after": "", "until": now + LOOK_AGAIN}
        await tasks.add_task(tx, Task(new_id(now, random), Kind.CLOSE, None, payload, now, 0, now))

    await db.write(job)
    wake()


async def hold(tx: Transaction, tenant_id: str) -> None:
    """Keep a tenant from being closed until the transaction ends; NotFound."""
    if not await tenants.hold_tenant(tx, tenant_id):
        raise _no_tenant()


async def close(tx: Transaction, task: Task, now: int, random: Random) -> Task | None:
    """Go on with the end of a tenant; return the task as it goes on, None where nothing can come any more.

    The payload: the bucket after which to go on, None where all have been ended but those that come late.
    """
    tenant_id, until = task.payload["tenant"], task.payload["until"]
    await closing.drop_at_once(tx, tenant_id)
    ended = await _end_buckets(tx, tenant_id, task.payload["after"], now, random)
    going_on = {**task.payload, "after": _next_after(task.payload["after"], ended)}
    users, are_all = await _end_users(tx, tenant_id, now, random)
    if not are_all:
        return task.at(now + SECOND * users // _USERS_AT_ONCE, going_on)
    if ended or users or await closing.drop_rows(tx, tenant_id, _ROWS_AT_ONCE):
        return task.at(now, going_on)
    return task.at(min(until, now + LOOK_AGAIN), going_on) if now < until else None


async def _end_buckets(
    tx: Transaction, tenant_id: str, after: str | None, now: int, random: Random
) -> list[str]:
    """Have the next buckets that are no user's be emptied; return their ids."""
    if after is None:
        ended = await closing.end_late(tx, tenant_id, limit=_BUCKETS_AT_ONCE)
    else:
        ended = await closing.end_shared(tx, tenant_id, after=after, limit=_BUCKETS_AT_ONCE)
    for bucket_id in ended:
        await tasks.add_task(tx, emptying.plan(bucket_id, now, random))
    return ended


def _next_after(after: str | None, ended: Sequence[str]) -> str | None:
    return ended[-1] if after is not None and len(ended) == _BUCKETS_AT_ONCE else None


async def _end_users(tx: Transaction, tenant_id: str, now: int, random: Random) -> tuple[int, bool]:
    """Delete the next users; return how many, and whether these were all of them."""
    users = await closing.lock_users(tx, tenant_id, limit=_USERS_AT_ONCE)
    devices = 0
    for number, user in enumerate(users, start=1):
        devices += (await erasing.begin(tx, user.id, now=now, random=random)).devices
        if devices >= _DEVICES_AT_ONCE:
            return number, False
    return len(users), len(users) < _USERS_AT_ONCE


def _no_tenant() -> NotFound:
    return NotFound("no such organization", code="tenant_not_found")
