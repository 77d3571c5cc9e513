"""Where tenants are asked for the texts of their messages, and what it is that they are asked."""

from collections.abc import Sequence

import orjson

from server.domain.ports import Row, Transaction
from server.domain.resolver import Endpoint, Wanted
from server.store.dialect import chunks, holes


async def set_endpoint(tx: Transaction, endpoint: Endpoint) -> None:
    """Store where a tenant is asked, in the place of what was there."""
    await tx.run(
        "INSERT INTO resolvers (tenant_id, url, secret, set_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (tenant_id) DO UPDATE SET url = $2, secret = $3, set_at = $4",
        endpoint.tenant_id,
        endpoint.url,
        endpoint.sealed_secret,
        endpoint.set_at,
    )


async def drop_endpoint(tx: Transaction, tenant_id: str) -> bool:
    """Have a tenant not be asked any more; False where it was not."""
    return await tx.run("DELETE FROM resolvers WHERE tenant_id = $1", tenant_id) > 0


async def find_endpoint(tx: Transaction, tenant_id: str) -> Endpoint | None:
    row = await tx.one("SELECT tenant_id, url, secret, set_at FROM resolvers WHERE tenant_id = $1", tenant_id)
    return None if row is None else _endpoint(row)


async def list_wanted(tx: Transaction, message_ids: Sequence[str]) -> list[Wanted]:
    """Return what there is to ask for messages, of those whose tenants can be asked."""
    wanted = []
    for chunk in chunks(sorted(set(message_ids))):
        rows = await tx.all(
            "SELECT m.id, t.name AS tenant, s.name, s.details, r.tenant_id, r.url, r.secret, r.set_at FROM messages m"
            " JOIN resolvers r ON r.tenant_id = m.tenant_id JOIN tenants t ON t.id = m.tenant_id"
            " LEFT JOIN subjects s ON s.message_id = m.id"
            f" WHERE m.id IN ({holes(len(chunk))}) AND m.content IS NOT NULL AND t.closed_at IS NULL",
            *chunk,
        )
        wanted += [_wanted(row) for row in rows]
    return wanted


def _wanted(row: Row) -> Wanted:
    return Wanted(
        message_id=row["id"],
        tenant=row["tenant"],
        name=row["name"] or row["id"],
        details={} if row["details"] is None else orjson.loads(row["details"]),
        endpoint=_endpoint(row),
    )


def _endpoint(row: Row) -> Endpoint:
    return Endpoint(row["tenant_id"], row["url"], bytes(row["secret"]), row["set_at"])
