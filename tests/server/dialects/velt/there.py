"""What tests of notifications that are there start from: acme, where ann writes to ben and cleo, and a look at what their phones get."""

import json
from dataclasses import dataclass, replace
from typing import Any

from server.commands.due import run_due
from server.domain.delivery import Event, Settlement
from server.domain.ports import Transaction
from server.store import leases
from server.store.leases import Times
from tests.harness.acting import Acting
from tests.harness.native import Reply
from tests.harness.velt import Velt
from tests.server.conftest import House

ORGANIZATION, DOCUMENT = "acme", "plan"
MESSAGE, RETRACT, READ, UPDATE = 1, 2, 3, 4


@dataclass(frozen=True)
class Acme:
    """The servers of an organization."""

    house: House
    velt: Velt

    def at(self, velt: Velt) -> "Acme":
        """Return the same, called by somebody else."""
        return replace(self, velt=velt)

    async def add(self, name: str | None = None, *to: str, **more: Any) -> str:
        """Have ann write about the plan; return the notification's id."""
        self.house.clock.advance(1)
        meant = [{"userId": user} for user in to or ("ben", "cleo")]
        given = {
            "organizationId": ORGANIZATION,
            "createOrganization": True,
            "documentId": DOCUMENT,
            "createDocument": True,
            "actionUser": {"userId": "ann", "name": "Ann Lee"},
            "displayHeadlineMessageTemplate": "{actionUser} has written about {page}",
            "displayHeadlineMessageTemplateData": {"page": "the plan"},
            "displayBodyMessage": "Have a look",
            "notifyUsers": meant,
            "notifyAll": False,
            **({} if name is None else {"notificationId": name}),
            **more,
        }
        await self.velt.said("notifications/add", given)
        return name or (await self.rows("SELECT id FROM messages ORDER BY id DESC LIMIT 1"))[0]["id"]

    async def call(self, name: str, **data: Any) -> Reply:
        return await self.velt.call(f"notifications/{name}", {"organizationId": ORGANIZATION, **data})

    async def get(self, **data: Any) -> list[dict[str, Any]]:
        """Read one page."""
        rows: list[dict[str, Any]] = (await self.page(**data))["data"]
        return rows

    async def page(self, **data: Any) -> dict[str, Any]:
        return await self._result("get", data)

    async def ids(self, **data: Any) -> list[str]:
        return [row["id"] for row in await self.get(**data)]

    async def read_through(self, name: str = "get", **data: Any) -> list[str]:
        """Read, or delete, to the end, two on a page; return the ids."""
        found: list[str] = []
        token: str | None = None
        while True:
            given = data if token is None else {**data, "pageToken": token}
            page = await self._result(name, {"pageSize": 2, **given})
            rows = page["data"]
            assert len(rows) <= 2
            found += rows if isinstance(rows, dict) else [row["id"] for row in rows]
            token = page["pageToken"]
            if token is None:
                return found

    async def update(self, *changes: dict[str, Any], **data: Any) -> dict[str, dict[str, Any]]:
        result = await self._result("update", {"notifications": changes, **data})
        results: dict[str, dict[str, Any]] = result["data"]
        return results

    async def delete(self, **data: Any) -> dict[str, dict[str, Any]]:
        results: dict[str, dict[str, Any]] = (await self._result("delete", data))["data"]
        return results

    async def _result(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        answer = await self.call(name, **data)
        assert answer.status == 200, answer.body
        result: dict[str, Any] = answer["result"]
        assert result["status"] == "success"
        return result

    def socayo(self, user: str | None = None) -> Acting:
        """Return the same servers calling another of the APIs."""
        return Acting(self.velt.api, ORGANIZATION, user)

    async def feed(self, user: str) -> list[dict[str, Any]]:
        """Return a user's inbox as another API shows it."""
        answer = await self.socayo(user).rpc("get-inbox-feed")
        assert answer.status == 200, answer.body
        rows: list[dict[str, Any]] = answer["messages"]
        return rows

    async def pushed(self) -> list[tuple[str, int, Any]]:
        """Do all that is due and have the provider take what waits; return (user, kind, body) of each push."""
        house, now = self.house, self.house.clock()
        while await run_due(house.pieces.db, now=now, random=house.random, log=house.pieces.log):
            pass

        async def job(tx: Transaction) -> list[tuple[str, int, Any]]:
            await leases.claim(tx, "l", now=now, until=now + 30_000, limit=500)
            parcels = (await leases.read_batch(tx, "l")).parcels
            settled = [Settlement(parcel.id, parcel.device_id, Event.ACCEPT, None, now) for parcel in parcels]
            await leases.settle(tx, "l", settled, now, Times(now, now))
            rows = await tx.all("SELECT v.id, u.external_id FROM devices v JOIN users u ON u.id = v.user_id")
            owners = {row["id"]: row["external_id"] for row in rows}
            return [
                (owners[parcel.device_id], parcel.kind.value, json.loads(parcel.body or "null"))
                for parcel in parcels
            ]

        return sorted(await house.pieces.db.write(job), key=repr)

    async def rows(self, sql: str, *args: object) -> list[dict[str, Any]]:
        found = await self.house.pieces.db.read(lambda tx: tx.all(sql, *args))
        return [dict(row) for row in found]
