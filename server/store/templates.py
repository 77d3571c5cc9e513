"""Templates (`server/domain/template.py`): a tenant's, by id and by key."""

import json
from collections.abc import Sequence

from server.domain.delivery import Channel
from server.domain.pages import MOST_COUNTED
from server.domain.ports import Row, Transaction
from server.domain.template import Template


async def add_template(tx: Transaction, template: Template) -> None:
    """Store a template; NotUnique where its tenant has another one of that key."""
    await tx.run(
        "INSERT INTO templates (id, tenant_id, key, label, title, body, channels, actionable_at, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        template.id,
        template.tenant_id,
        template.key,
        template.label,
        template.title,
        template.body,
        json.dumps(template.channels),
        template.created_at if template.actionable else None,
        template.created_at,
    )


async def change_template(tx: Transaction, template: Template) -> None:
    """Write what a template says now; NotUnique where its tenant has another one of that key."""
    await tx.run(
        "UPDATE templates SET key = $2, label = $3, title = $4, body = $5, channels = $6, actionable_at = $7,"
        " updated_at = $8 WHERE id = $1",
        template.id,
        template.key,
        template.label,
        template.title,
        template.body,
        json.dumps(template.channels),
        template.updated_at if template.actionable else None,
        template.updated_at,
    )


async def drop_template(tx: Transaction, tenant_id: str, template_id: str) -> bool:
    """Delete a template of a tenant; False where there is none."""
    return await tx.run("DELETE FROM templates WHERE id = $1 AND tenant_id = $2", template_id, tenant_id) == 1


async def find_template(
    tx: Transaction, tenant_id: str, template_id: str, *, lock: bool = False
) -> Template | None:
    """Return a template of a tenant; with `lock` nobody else changes it until the end of the transaction."""
    row = await tx.one(
        f"SELECT * FROM templates WHERE id = $1 AND tenant_id = $2{' FOR UPDATE' if lock else ''}",
        template_id,
        tenant_id,
    )
    return None if row is None else _template_of(row)


async def find_template_by_key(tx: Transaction, tenant_id: str, key: str) -> Template | None:
    row = await tx.one("SELECT * FROM templates WHERE tenant_id = $1 AND key = $2", tenant_id, key)
    return None if row is None else _template_of(row)


async def list_templates(tx: Transaction, tenant_id: str, *, offset: int, limit: int) -> Sequence[Template]:
    """Return a tenant's templates by key, from the one at an offset on."""
    rows = await tx.all(
        "SELECT * FROM templates WHERE tenant_id = $1 ORDER BY key LIMIT $2 OFFSET $3",
        tenant_id,
        limit,
        offset,
    )
    return [_template_of(row) for row in rows]


async def count_templates(tx: Transaction, tenant_id: str) -> int:
    """Return how many templates a tenant has; what is more than MOST_COUNTED is MOST_COUNTED + 1."""
    row = await tx.one(
        "SELECT COUNT(*) AS n FROM (SELECT key FROM templates WHERE tenant_id = $1"
        f" LIMIT {MOST_COUNTED + 1}) AS counted",
        tenant_id,
    )
    return 0 if row is None else int(row["n"])


def _template_of(row: Row) -> Template:
    return Template(
        id=row["id"],
        tenant_id=row["tenant_id"],
        key=row["key"],
        label=row["label"],
        title=row["title"],
        body=row["body"],
        channels=tuple(map(Channel, json.loads(row["channels"]))),
        actionable=row["actionable_at"] is not None,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
