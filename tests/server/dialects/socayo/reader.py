"""Somebody who reads an inbox by a session, and the servers of the app that has it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from server.domain.ids import new_id
from server.domain.inbox import OVERLAP
from server.domain.ports import Transaction
from server.store.messages import add_inbox_items, add_message, load_message
from tests.harness.acting import Acting
from tests.harness.inboxes import InboxClient, following
from tests.harness.native import Native
from tests.server.conftest import House

MINUTE = 60_000
LATE = 15_000  # milliseconds: what a transaction may take, OVERLAP being twice that


@dataclass
class Ann:
    """Somebody who reads an inbox, and the servers of the app that she uses."""

    house: House
    id: str
    servers: Acting
    sent: str  # a message that others are made like

    async def session(self) -> str:
        answer = await self.servers.for_user("ann").rpc("get-inbox-session")
        assert answer.status == 200, answer.body
        self.house.secrets.append(answer["sessionToken"])
        return str(answer["sessionToken"])

    @asynccontextmanager
    async def follow(self, after: str | None = None) -> AsyncIterator[InboxClient]:
        """Follow the inbox; who comes for the first time has been told the counts, and so is told all that comes from then on."""
        house = self.house
        async with following(house.api.session, house.api.url, await self.session(), after) as client:
            while after is None and len(client.counts) < 2:
                assert await client.next() is not None
            yield client

    async def send(self, *titles: str) -> None:
        for title in titles:
            body = {"userId": "ann", "channel": "IN_APP", "content": {"title": title}}
            answer = await self.servers.rpc("manage/send", body)
            assert answer.status == 200, answer.body

    async def commit(self, *titles: str, at: int, gone: bool = False) -> None:
        """Commit messages in a transaction that bears a time; those that are `gone` were deleted at once."""

        async def job(tx: Transaction) -> None:
            message = await load_message(tx, self.sent)
            assert message is not None
            for title in titles:
                another = replace(message, id=new_id(at, self.house.random), content={"title": title})
                await add_message(tx, another)
                await add_inbox_items(tx, another, [(new_id(at, self.house.random), self.id)], at)
                if gone:
                    sql = "UPDATE inbox_items SET deleted_at = $1 WHERE message_id = $2"
                    await tx.run(sql, at, another.id)

        await self.house.pieces.db.write(job)
        self.house.pieces.hint()

    async def mark_all(self, status: str) -> None:
        await self.servers.for_user("ann").rpc("mark-all-inbox-messages", {"status": status})

    async def row(self, title: str) -> dict[str, object]:
        rows = (await self.servers.for_user("ann").rpc("get-inbox-feed", {"pageSize": 100}))["messages"]
        return next(row for row in rows if row["title"] == title)


async def reader_of(house: House) -> Ann:
    admin = await house.register("admin")
    servers = Acting(await house.token(admin, "admin"), "acme")
    body = {"userId": "ann", "channel": "IN_APP", "content": {"title": "long ago"}}
    sent = (await servers.rpc("manage/send", body))["transactionId"]
    rows = await house.pieces.db.read(lambda tx: tx.all("SELECT id FROM users WHERE external_id = $1", "ann"))
    await servers.for_user("ann").rpc("mark-all-inbox-messages", {"status": "READ"})
    house.clock.advance(10 * OVERLAP)
    return Ann(house, rows[0]["id"], servers, sent)


@pytest.fixture
async def ann(house: House) -> Ann:
    """Who has one message, from long ago, and has read it."""
    return await reader_of(house)


@pytest.fixture
async def admin_again(house: House, ann: Ann) -> Native:
    """The admin, signed in."""
    assert ann.id
    answer = await house.api.post(
        "/api/v1/auth/login", {"email": "admin@example.com", "password": "correct horse battery"}
    )
    return house.api.with_token(answer["accessToken"])
