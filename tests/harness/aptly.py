"""A client of Aptly's API."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from tests.harness.native import Native, Reply

PREFIXES = ("/v1", "/notification/v1")
TENANT = "550e8400-e29b-41d4-a716-446655440000"
USER = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
TEMPLATE = {
    "key": "DELEGATION_ISSUED",
    "category": "Delegations",
    "title": "Delegation Issued",
    "message": "Delegation {{delegation_id}} was issued to you. Click to review.",
    "actionable": True,
}
NOTIFICATION = {
    "templateKey": "DELEGATION_ISSUED",
    "entityType": "delegation",
    "entityId": "1387b022-c897-4008-90d9-4e49d78249f8",
    "placeholders": {"delegation_id": "ABC123"},
}


@dataclass(frozen=True)
class Aptly:
    """Calls one server for a tenant, and a user of it where one is named in a header."""

    api: Native
    tenant: str = TENANT
    user: str | None = None
    prefix: str = PREFIXES[0]
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_user(self, user: str = USER) -> "Aptly":
        return replace(self, user=user)

    def at(self, prefix: str) -> "Aptly":
        return replace(self, prefix=prefix)

    async def call(self, method: str, path: str, body: object = None, **query: Any) -> Reply:
        """Call with a query; the tenant is in it, and in no header, unless the query says otherwise (None: nowhere)."""
        asked = {"tenantId": self.tenant, **query}
        text = urlencode({name: value for name, value in asked.items() if value is not None})
        headers = {**self.headers, **({} if self.user is None else {"X-User-ID": self.user})}
        return await self.api.call(
            method, f"{self.prefix}/{path}{'?' if text else ''}{text}", body, headers=headers
        )

    async def template(self, **more: Any) -> Reply:
        """Make a template."""
        return await self.call(
            "POST", "templates", {"tenantId": self.tenant, **TEMPLATE, **more}, tenantId=None
        )

    async def notify(self, **more: Any) -> Reply:
        """Make a notification from a template."""
        body = {"tenantId": self.tenant, "userId": USER, **NOTIFICATION, **more}
        return await self.call("POST", "notifications", body, tenantId=None)

    async def made(self, **more: Any) -> dict[str, Any]:
        """Make a notification and return it."""
        answer = await self.notify(**more)
        assert answer.status == 201, answer.body
        found: dict[str, Any] = answer["data"]
        return found

    async def inbox(self, **query: Any) -> Reply:
        return await self.call("GET", "notifications", **query)

    async def titles(self, **query: Any) -> list[str | None]:
        """Return what a page of the inbox says, by its titles."""
        answer = await self.inbox(**query)
        assert answer.status == 200, answer.body
        return [row["title"] for row in answer["data"]["data"]]

    async def count(self, **query: Any) -> dict[str, Any]:
        answer = await self.call("GET", "notifications/count", **query)
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer["data"]
        return found

    async def get(self, id_: str, **query: Any) -> Reply:
        return await self.call("GET", f"notifications/{id_}", **query)

    async def toggle(self, id_: str, status: str, **query: Any) -> Reply:
        return await self.call("PATCH", f"notifications/{id_}/toggle-status", {"status": status}, **query)

    async def mark_all(self, status: str, **query: Any) -> Reply:
        return await self.call("PATCH", "notifications/mark-all", {"status": status}, **query)

    async def delete(self, id_: str, **query: Any) -> Reply:
        return await self.call("DELETE", f"notifications/{id_}", **query)
