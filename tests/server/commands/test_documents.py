"""Documents and users that are written to while somebody else deletes or changes them: each finds what is there, and fails alone."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from server.commands import documents, enrolling
from server.commands.people import ensure_people
from server.domain.errors import Conflict, NotFound, Refusal
from server.domain.mention import Mention
from server.domain.ports import Database, Random, Transaction
from server.store import accounts
from server.store.documents import close_document
from server.store.documents import delete_document as drop_document
from tests.server.commands.test_races import waits_for_a_lock

ADDRESS = "shared@example.com"


@dataclass
class Tenant:
    """A tenant with a document, and who writes to it."""

    db: Database
    random: Random
    id: str

    async def put(self, name: str, email: str | None = None) -> Refusal | None:
        found = await enrolling.put_users(
            self.db, self.id, [Mention(name, None, email)], now=1, random=self.random
        )
        return found[name]

    async def meanwhile(
        self, first: Callable[[Transaction], Awaitable[None]], then: Callable[[], Awaitable[None]]
    ) -> None:
        """Do one thing while another is written, which commits once the one waits for it."""
        written, waited = asyncio.Event(), asyncio.Event()

        async def writing(tx: Transaction) -> None:
            await first(tx)
            written.set()
            await waited.wait()

        async with asyncio.TaskGroup() as group:
            group.create_task(self.db.write(writing))
            await written.wait()
            after = group.create_task(_run(then))
            await waits_for_a_lock(self.db)
            waited.set()
        await after


async def _run(then: Callable[[], Awaitable[None]]) -> None:
    await then()


@pytest.fixture
async def tenant(database: Database, random: Random) -> Tenant:
    await database.write(lambda tx: accounts.ensure_tenant(tx, "tenant", "acme", 1))
    await documents.add_document(database, "tenant", "plan", None, now=1, random=random)
    return Tenant(database, random, "tenant")


@pytest.fixture
async def many(tenant: Tenant) -> Tenant:
    """One to which several write at the same time."""
    if tenant.db.exclusive:
        pytest.skip("there is one writer")
    return tenant


async def test_an_address_that_is_taken_in_this_moment_is_refused(many: Tenant) -> None:
    """Nobody had it when it was looked for."""

    async def taking(tx: Transaction) -> None:
        await ensure_people(tx, many.id, ["ann"], 1, many.random)
        await tx.run("UPDATE users SET email = $1, email_key = $1 WHERE external_id = 'ann'", ADDRESS)

    async def putting() -> None:
        refused = await many.put("ben", ADDRESS)
        assert isinstance(refused, Conflict)
        assert refused.reason == "email_taken"

    await many.meanwhile(taking, putting)
    assert [user.email for user in await enrolling.find_users(many.db, many.id, ["ann"])] == [ADDRESS]


async def test_who_is_changed_by_two_at_once_loses_nothing(many: Tenant) -> None:
    await many.put("ann")

    async def naming(tx: Transaction) -> None:
        await tx.run("UPDATE users SET profile = '{\"locale\": \"en\"}' WHERE external_id = 'ann'")

    async def putting() -> None:
        assert await many.put("ann", ADDRESS) is None

    await many.meanwhile(naming, putting)
    [ann] = await enrolling.find_users(many.db, many.id, ["ann"])
    assert (ann.email, ann.profile) == (ADDRESS, {"locale": "en"})


async def test_nobody_comes_onto_the_list_of_a_document_that_is_deleted_in_this_moment(
    many: Tenant,
) -> None:
    async def deleting(tx: Transaction) -> None:
        await drop_document(tx, await close_document(tx, many.id, "plan") or "")

    async def adding() -> None:
        with pytest.raises(NotFound):
            await documents.add_access(
                many.db, many.id, "plan", [Mention("ann")], (), now=1, random=many.random
            )

    await many.meanwhile(deleting, adding)
    assert (await enrolling.list_users(many.db, many.id, after="", limit=1)).users == []


async def test_of_many_who_put_a_user_each_finds_the_same_one(tenant: Tenant) -> None:
    outcomes = await asyncio.gather(*(tenant.put("ann", ADDRESS) for _ in range(10)))
    assert outcomes == [None] * 10
    found = await enrolling.list_users(tenant.db, tenant.id, after="", limit=10)
    assert [user.email for user in found.users] == [ADDRESS]
