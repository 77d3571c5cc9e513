"""Calls for a tenant and a user of it, as an operator's own servers and gateways make them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from server.commands.people import ensure_people, ensure_tenant
from server.domain.ids import new_id
from server.domain.ports import Database, Random, Transaction
from server.store.schema import metadata
from tests.harness.native import Native, Reply

RPCS = "/api/v1/notifications/"
JANE = {
    "firstName": "Jane",
    "lastName": "Doe",
    "email": "jane@example.com",
    "phone": "+1234567890",
    "locale": "en-US",
    "timezone": "America/New_York",
}


@dataclass(frozen=True)
class Acting:
    """A client with a token that may name for whom it calls. None: the header is left out."""

    api: Native
    tenant: str | None = None
    user: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that say for whom this is."""
        named = {"X-Tenant-ID": self.tenant, "X-User-ID": self.user}
        return {name: value for name, value in named.items() if value is not None}

    def for_user(self, user: str | None) -> "Acting":
        return Acting(self.api, self.tenant, user)

    async def call(self, method: str, path: str, body: object = None) -> Reply:
        return await self.api.call(method, path, body, headers=self.headers)

    async def rpc(self, name: str, body: object = None) -> Reply:
        """Call one of Socayo's RPCs."""
        return await self.call("POST", RPCS + name, {} if body is None else body)

    async def send(self, rpc: str = "send", **more: Any) -> str:
        """Send by an RPC, by PUSH to ann where nothing else is said; return the transaction."""
        body = {"userId": "ann", "channel": "PUSH", "content": {"title": "Hello"}, **more}
        answer = await self.rpc(f"manage/{rpc}", body)
        assert answer.status == 200, answer.body
        return str(answer["transactionId"])

    async def pages(self, name: str, body: dict[str, Any]) -> AsyncIterator[Reply]:
        """Yield every page of a list that an RPC gives, two on each."""
        number, more = 1, True
        while more:
            answer = await self.rpc(name, {**body, "page": number, "pageSize": 2})
            yield answer
            number, more = number + 1, answer["hasMore"]


async def give_phones(db: Database, tenant: str, name: str, number: int, *, now: int, random: Random) -> None:
    """Give a user of a tenant so many phones, which their app calls ann-0 and so on."""

    async def job(tx: Transaction) -> None:
        [user] = await ensure_people(tx, await ensure_tenant(tx, tenant, now, random), [name], now, random)
        rows = [(new_id(now, random), user, random(32), f"{name}-{index}") for index in range(number)]
        await tx.many(
            "INSERT INTO devices (id, user_id, name, platform, handle, token_hash, head, created_at, external_id)"
            " VALUES ($1, $2, 'phone', 'ios', 'h', $3, 0, 1, $4)",
            rows,
        )

    await db.write(job)


async def rows_of(db: Database) -> dict[str, list[Any]]:
    """Return every row there is, by table."""

    async def job(tx: Transaction) -> dict[str, list[Any]]:
        found = {name: await tx.all(f"SELECT * FROM {name}") for name in metadata.tables}  # noqa: S608 - our names
        return {name: sorted(map(repr, map(dict, rows))) for name, rows in found.items()}

    return await db.read(job)
