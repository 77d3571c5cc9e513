"""Documents and their access lists, whoever else makes, reads or deletes them in the same moment."""

import asyncio
from dataclasses import dataclass

import pytest

from server.commands import erasing
from server.domain.document import Document
from server.domain.ids import new_id
from server.domain.ports import Database, Random, Transaction
from server.store import access, closing, documents, subscribers, tenants
from tests.server.commands.test_races import waits_for_a_lock
from tests.server.store.test_inbox_pages import Ask
from tests.server.store.test_subscribers import planned


@dataclass
class Filled:
    """A tenant with two users and a document."""

    db: Database
    random: Random
    tenant: str
    users: list[str]
    document: Document

    def new(self, key: str) -> Document:
        return Document(new_id(1, self.random), self.tenant, key, None, 1)

    async def listed(self) -> list[str]:
        rows = await self.db.read(lambda tx: tx.all("SELECT user_id FROM document_access ORDER BY user_id"))
        return [row["user_id"] for row in rows]

    async def fields(self) -> list[tuple[str, str, str]]:
        sql = "SELECT user_id, field, value FROM document_fields ORDER BY user_id, field, value"
        rows = await self.db.read(lambda tx: tx.all(sql))
        return [(row["user_id"], row["field"], row["value"]) for row in rows]


@pytest.fixture
async def filled(database: Database, random: Random) -> Filled:
    tenant, users = new_id(1, random), sorted(new_id(1, random) for _ in range(2))
    document = Document(new_id(1, random), tenant, "plan", "The plan", 1)

    async def job(tx: Transaction) -> None:
        await tx.run("INSERT INTO tenants (id, name, created_at) VALUES ($1, 'acme', 1)", tenant)
        user = "INSERT INTO users (id, tenant_id, external_id, role, profile, created_at)"
        await tx.many(f"{user} VALUES ($1, $2, $1, 'user', '{{}}', 1)", [(one, tenant) for one in users])
        await documents.ensure_document(tx, document)

    await database.write(job)
    return Filled(database, random, tenant, users, document)


async def test_a_document_that_is_there_is_returned_as_it_is(filled: Filled) -> None:
    other = filled.new("plan")
    assert await filled.db.write(lambda tx: documents.ensure_document(tx, other)) == filled.document
    assert (
        await filled.db.read(lambda tx: documents.find_document(tx, filled.tenant, "plan")) == filled.document
    )
    assert await filled.db.read(lambda tx: documents.find_document(tx, filled.tenant, "Plan")) is None


async def test_of_many_who_make_a_document_all_get_the_same_one(filled: Filled) -> None:
    async def make() -> Document:
        document = filled.new("new")
        return await filled.db.write(lambda tx: documents.ensure_document(tx, document))

    found = await asyncio.gather(*(make() for _ in range(20)))
    assert len({document.id for document in found}) == 1
    stored = await filled.db.read(lambda tx: documents.find_document(tx, filled.tenant, "new"))
    assert stored == found[0]


async def test_access_adds_up(filled: Filled) -> None:
    """What somebody has already stays, and is not there twice."""
    first, second = filled.users

    async def job(tx: Transaction) -> None:
        await documents.add_access(tx, filled.document.id, [first], [("team", "a")], 1)
        await documents.add_access(
            tx, filled.document.id, [first, second, first], [("team", "b"), ("team", "a")], 2
        )
        await documents.add_access(tx, filled.document.id, [second], [], 3)

    await filled.db.write(job)
    assert await filled.listed() == filled.users
    assert await filled.fields() == [(user, "team", value) for user in filled.users for value in ("a", "b")]


async def test_very_many_values_are_written(filled: Filled) -> None:
    many = [("row", str(number)) for number in range(700)]
    await filled.db.write(lambda tx: documents.add_access(tx, filled.document.id, filled.users, many, 1))
    assert len(await filled.fields()) == 1400


async def test_who_was_deleted_does_not_come_onto_a_list(filled: Filled) -> None:
    first, second = filled.users

    async def job(tx: Transaction) -> None:
        await subscribers.lock_for_end(tx, first)
        await erasing.begin(tx, first, now=2, random=filled.random)
        await documents.add_access(tx, filled.document.id, filled.users, [("team", "a")], 3)

    await filled.db.write(job)
    assert await filled.listed() == [second]
    assert await filled.fields() == [(second, "team", "a")]


@pytest.mark.parametrize("was_listed", [True, False])
async def test_who_is_deleted_in_that_moment_is_left_out(filled: Filled, *, was_listed: bool) -> None:
    if filled.db.exclusive:
        pytest.skip("there is one writer")
    first, second = filled.users
    if was_listed:
        await filled.db.write(lambda tx: documents.add_access(tx, filled.document.id, [first], [], 1))
    erased, waited = asyncio.Event(), asyncio.Event()

    async def deleting(tx: Transaction) -> None:
        await subscribers.lock_for_end(tx, first)
        await erasing.begin(tx, first, now=2, random=filled.random)
        erased.set()
        await waited.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(filled.db.write(deleting))
        await erased.wait()
        adding = filled.db.write(
            lambda tx: documents.add_access(tx, filled.document.id, filled.users, [("team", "a")], 3)
        )
        group.create_task(adding)
        await waits_for_a_lock(filled.db)
        waited.set()
    assert await filled.listed() == [second]
    assert await filled.fields() == [(second, "team", "a")]


TENANTS = 20
EACH = 60  # documents of each tenant, and users of each with access to the first of them

lists = pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda tx: documents.find_document(tx, "7", "7-3"), "documents"),
        (lambda tx: documents.list_documents(tx, "7", after="7-3", limit=20), "documents"),
        (lambda tx: access.list_access(tx, "7-0", after="0", limit=20), "document_access"),
        (lambda tx: tenants.list_tenants(tx, after="3", limit=5), "tenants"),
        (lambda tx: closing.lock_users(tx, "7", limit=5), "ix_users_there"),
        (lambda tx: closing.end_shared(tx, "7", after="0", limit=5), "ix_buckets_tenant_id_id"),
        (lambda tx: closing.end_late(tx, "7", limit=5), "ix_buckets_tenant_id"),
        (lambda tx: subscribers.owners_of(tx, "7", ["a@example.com"]), "users"),
    ],
)


@pytest.fixture
async def crowded(database: Database, random: Random) -> Database:
    """Tenants with as many documents and users each."""

    async def job(tx: Transaction) -> None:
        named = [(str(number),) for number in range(TENANTS)]
        await tx.many("INSERT INTO tenants (id, name, created_at) VALUES ($1, $1, 1)", named)
        keys = [(f"{one[0]}-{number}", one[0]) for one in named for number in range(EACH)]
        await tx.many("INSERT INTO documents (id, tenant_id, key, created_at) VALUES ($1, $2, $1, 1)", keys)
        topic = "INSERT INTO buckets (id, tenant_id, topic_key, name, created_at) VALUES ($1, $2, $1, $1, 1)"
        await tx.many(topic, keys)
        users = [(new_id(number, random), tenant) for number, (_, tenant) in enumerate(keys)]
        user = "INSERT INTO users (id, tenant_id, external_id, role, profile, created_at)"
        await tx.many(f"{user} VALUES ($1, $2, $1, 'user', '{{}}', 1)", users)
        listed = "INSERT INTO document_access (document_id, user_id, created_at) VALUES ($2 || '-0', $1, 1)"
        await tx.many(listed, users)
        if not database.exclusive:
            await tx.run("ANALYZE")

    await database.write(job)
    return database


@lists
async def test_a_page_is_found_in_an_index(crowded: Database, ask: Ask, index: str) -> None:
    """Whatever else there is in the database."""
    plan = await planned(crowded, ask)
    assert any(index in step for step in plan), plan
    tables = ("documents", "document_access", "subjects", "users", "buckets")
    read_through = [f"{how} {table}" for table in tables for how in ("SCAN", "Seq Scan on")]
    assert not [step for step in plan if any(word in step for word in read_through)], plan
