"""Rows of several tenants of one server that did the same: whatever is of one of them, so that it can be held to what is of another.

All columns, times too, but ids, which stand for what they name, and hashes.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from server.domain.ports import Database, Transaction
from server.store.schema import metadata
from tests.harness.acting import Acting

# Of nobody's tenant: the server's own, and what its operator has.
_OF_ALL = {"delivery_tallies", "relays", "access_tokens", "sessions"}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAMES = (
    ("tenants", "'the tenant'"),
    ("users", "external_id"),
    ("buckets", "topic_key"),
    ("devices", "name"),
    ("messages", "content"),
)
_OWN_ID = {"inbox_items", "deliveries", "tasks"}  # nothing else names them
Columns = Mapping[str, Collection[str]]
"""Columns by their tables."""


@dataclass
class Tenant:
    """One of them. `named` remembers what each id was, also of what is deleted since."""

    name: str
    api: Acting
    named: dict[str, str] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)  # message ids by their titles

    async def learn(self, db: Database) -> None:
        """See which ids are this tenant's, and what they name."""

        async def job(tx: Transaction) -> None:
            for table, named_by in _NAMES:
                rows = await tx.all(f"SELECT *, {named_by} AS named_by FROM {table}")  # noqa: S608 - our names
                for row in map(dict, rows):
                    if row["id"] not in self.named and self._has(table, row):
                        name = str(row["named_by"])
                        title = json.loads(name)["title"] if table == "messages" else name
                        self.named[row["id"]] = f"{table} {title}"

        await db.read(job)

    async def rows(self, db: Database, *, but: Columns | None = None) -> dict[str, list[str]]:
        """Return this tenant's rows by table, without some columns, as they would be for another one."""

        async def job(tx: Transaction) -> dict[str, list[str]]:
            found = {}
            for table in sorted(metadata.tables.keys() - _OF_ALL):
                rows = await tx.all(f"SELECT * FROM {table}")  # noqa: S608 - our names
                own = [row for row in map(dict, rows) if self._owns(row)]
                hidden = {*(but or {}).get(table, ()), *({"id"} if table in _OWN_ID else ())}
                found[table] = sorted(self._show(row, hidden) for row in own)
            return found

        return await db.read(job)

    def _has(self, table: str, row: dict[str, Any]) -> bool:
        if table == "tenants":
            return bool(row["name"] == self.name)
        return (row["user_id"] if table == "devices" else row["tenant_id"]) in self.named

    def _show(self, row: dict[str, Any], hidden: Collection[str]) -> str:
        shown = {
            name: "bytes" if isinstance(value, bytes) else value
            for name, value in row.items()
            if name not in hidden and not (name == "name" and value == self.name)
        }
        text = json.dumps(shown, sort_keys=True)
        return _UUID.sub(lambda found: self.named.get(found[0], "an id"), text)

    def _owns(self, row: dict[str, Any]) -> bool:
        """Say whether anything of a row is this tenant's."""
        return any(id_ in self.named for id_ in _UUID.findall(json.dumps(row, default=str)))
