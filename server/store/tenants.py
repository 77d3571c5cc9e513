"""Tenants: made, found, listed, named and closed.

One that is closed has a name that nobody can give, and what was in it is being deleted (`closing.py`).
"""

from server.domain.ports import Row, Transaction
from server.domain.tenant import Tenant

_OPEN = "SELECT * FROM tenants WHERE closed_at IS NULL"


async def add_tenant(tx: Transaction, tenant: Tenant) -> bool:
    """Store a tenant; False where there is one of that name."""
    written = await tx.run(
        "INSERT INTO tenants (id, name, display_name, created_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (name) DO NOTHING",
        tenant.id,
        tenant.name,
        tenant.display_name,
        tenant.created_at,
    )
    return written == 1


async def load_tenant(tx: Transaction, tenant_id: str) -> Tenant | None:
    row = await tx.one(f"{_OPEN} AND id = $1", tenant_id)
    return None if row is None else _tenant_of(row)


async def list_tenants(tx: Transaction, *, after: str, limit: int) -> list[Tenant]:
    """Return tenants in the order in which they were made, from the one after `after` on."""
    rows = await tx.all(f"{_OPEN} AND id > $1 ORDER BY id LIMIT $2", after, limit)
    return [_tenant_of(row) for row in rows]


async def show_as(tx: Transaction, tenant_id: str, display_name: str | None) -> bool:
    """Write what people are shown as a tenant's name; False where it is not there."""
    written = await tx.run(
        "UPDATE tenants SET display_name = $2 WHERE id = $1 AND closed_at IS NULL", tenant_id, display_name
    )
    return written == 1


async def hold_tenant(tx: Transaction, tenant_id: str) -> bool:
    """Keep a tenant from being closed until the end of the transaction; False where it is not there."""
    row = await tx.one("SELECT id FROM tenants WHERE id = $1 AND closed_at IS NULL FOR KEY SHARE", tenant_id)
    return row is not None


async def lock_to_close(tx: Transaction, tenant_id: str) -> Tenant | None:
    """Return a tenant to which nobody adds anything until the end of the transaction; what is being added is added first."""
    row = await tx.one(f"{_OPEN} AND id = $1 FOR UPDATE", tenant_id)
    return None if row is None else _tenant_of(row)


async def close_tenant(tx: Transaction, tenant_id: str, now: int) -> None:
    """Take a tenant away from everybody, and free its name: no name that anybody may give begins with a space."""
    await tx.run(
        "UPDATE tenants SET name = ' ' || id, display_name = NULL, closed_at = $2 WHERE id = $1",
        tenant_id,
        now,
    )


def _tenant_of(row: Row) -> Tenant:
    return Tenant(row["id"], row["name"], row["display_name"], row["created_at"])
