"""What tests of adding notifications start from: the documented requests, and a look at what was written."""

from dataclasses import dataclass
from typing import Any

from tests.harness.golden import examples
from tests.harness.velt import Velt
from tests.server.conftest import House

MADE = {"createOrganization": True, "createDocument": True}
PLAIN: dict[str, Any] = {
    "organizationId": "acme",
    "documentId": "plan",
    "actionUser": {"userId": "ann"},
    "displayHeadlineMessageTemplate": "{actionUser} has written",
    "displayBodyMessage": "Have a look",
    "notifyUsers": [{"userId": "ben"}],
    "notifyAll": False,
}
ANSWER = {
    "result": {
        "status": "success",
        "message": "Notification added successfully.",
        "data": {"success": True, "message": "Notification added successfully."},
    }
}


def documented(name: str) -> dict[str, Any]:
    """Return a request as the document prints it."""
    [found] = [example for example in examples("velt") if example.name[3:] == name]
    data: dict[str, Any] = found.request["body"]["data"]
    return data


@dataclass(frozen=True)
class Acme:
    """An organization's servers, and what this server has written for them."""

    velt: Velt
    house: House

    async def add(self, given: dict[str, Any] | None = None, **more: Any) -> str:
        """Add a notification, which is not refused; return the newest message's id."""
        self.house.clock.advance(1)
        answer = await self.velt.call("notifications/add", {**(given or PLAIN), **MADE, **more})
        assert (answer.status, answer.json) == (200, ANSWER), answer.body
        return str((await self.rows("SELECT id FROM messages ORDER BY id DESC LIMIT 1"))[0]["id"])

    async def rows(self, sql: str, *args: object) -> list[dict[str, Any]]:
        found = await self.house.pieces.db.read(lambda tx: tx.all(sql, *args))
        return [dict(row) for row in found]

    async def names(self, message: str) -> list[str]:
        """Return who has a message in the inbox."""
        found = await self.rows(
            "SELECT u.external_id FROM inbox_items i JOIN users u ON u.id = i.user_id WHERE i.message_id = $1",
            message,
        )
        return sorted(row["external_id"] for row in found)

    async def users(self, organization: str = "acme") -> dict[str, dict[str, Any]]:
        """Return an organization's users by their names."""
        found = await self.rows(
            "SELECT u.* FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE t.name = $1", organization
        )
        return {row["external_id"]: row for row in found}

    async def message(self, message: str) -> dict[str, Any]:
        """Return a message with what it is about and who sent it."""
        [found] = await self.rows(
            "SELECT m.*, s.document_id, s.name, s.fingerprint, s.details, d.key AS document, u.external_id AS sender FROM messages m"
            " JOIN subjects s ON s.message_id = m.id JOIN documents d ON d.id = s.document_id"
            " JOIN users u ON u.id = m.sender_id WHERE m.id = $1",
            message,
        )
        return found

    async def listed(self, document: str = "plan") -> list[str]:
        """Return who is on a document's access list."""
        found = await self.rows(
            "SELECT u.external_id FROM document_access a JOIN documents d ON d.id = a.document_id"
            " JOIN users u ON u.id = a.user_id WHERE d.key = $1",
            document,
        )
        return sorted(row["external_id"] for row in found)
