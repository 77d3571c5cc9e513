"""The end of an organization: whatever was in it goes, whatever is interrupted and whoever writes meanwhile, and nobody else's does."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from server.commands import documents, enrolling, tenants, topics
from server.commands.callers import token_hash
from server.commands.due import next_due, run_due
from server.commands.emptying import LOOK_AGAIN
from server.commands.people import ensure_people
from server.commands.repeats import Repeats
from server.commands.send import Sender, send
from server.domain.account import AccessToken, Caller, Role, User
from server.domain.account import Acting as ActingFor
from server.domain.delivery import DAYS_KEPT, SECOND
from server.domain.errors import NotFound
from server.domain.mention import Mention
from server.domain.message import DAY
from server.domain.ports import Database, Transaction
from server.domain.scopes import Grant
from server.domain.task import Kind
from server.domain.times import show_time
from server.domain.turns import Turns
from server.store import accounts, tallies, tokens
from server.store.tenants import close_tenant, lock_to_close
from tests.harness.acting import Acting, give_phones, rows_of
from tests.harness.calendar import PLAIN
from tests.harness.velt import Velt
from tests.server.commands.test_races import waits_for_a_lock
from tests.server.conftest import House, Person

USERS = ("ann", "ben", "cleo")
WORD = "canary"  # is in all that is of the organization, and in nothing else


@dataclass
class Servers:
    """What the operator's servers call with, for one organization."""

    house: House
    velt: Velt
    name: str

    @property
    def db(self) -> Database:
        return self.house.pieces.db

    @property
    def native(self) -> Acting:
        return Acting(self.velt.api, self.name)

    async def said(self, path: str, **data: Any) -> Any:
        return await self.velt.said(path, {"organizationId": self.name, **data})

    async def fill(self, word: str) -> None:
        """Put something of every kind into the organization, with a word in each."""
        users = [
            {"userId": f"{word}-{one}", "name": f"{one} {word}", "email": f"{one}@{word}.example"}
            for one in USERS
        ]
        await self.said("organizations/add", name=f"The {word}")
        await self.said("organizations/users/add", users=users)
        await self.said("documents/add", documentId=f"{word}-plan", name=f"The {word} plan")
        await self.said(
            "documents/access/add", documentId=f"{word}-plan", users=users[:2], access={word: [word, 5]}
        )
        await self.said("organizations/resolver/set", url=f"https://{word}.example/texts")
        await give_phones(
            self.db, self.name, f"{word}-ann", 2, now=self.house.clock(), random=self.house.random
        )
        await self._send(word)
        await self.db.write(lambda tx: self._store(tx, word))

    async def _send(self, word: str) -> None:
        """Send to everybody, to users by their names, to a topic, to one that is deleted since, and later."""
        await self.said("notifications/add", documentId=f"{word}-plan", **notification(word))
        for topic in (f"{word}-old", f"{word}-news"):
            await self.native.rpc(
                "manage/add-subscribers-to-topic", {"topicKey": topic, "subscriberIds": [f"{word}-ben"]}
            )
            await self.message(word, topic=topic)
        await self.native.rpc("manage/delete-topic", {"topicKey": f"{word}-old"})
        later = show_time(self.house.clock() + 2 * DAY)
        await self.message(word, topic=f"{word}-news", scheduledSendAt=later)
        await self.message(word, userIds=[f"{word}-ann"], scheduledSendAt=later)

    async def message(self, word: str, **more: Any) -> None:
        body = {"title": word, "body": word, "data": {word: word}, "deliveryType": "NORMAL", **more}
        if "topic" in body:
            body["topicKey"] = body.pop("topic")
        answer = await self.native.call("POST", "/api/v1/messages", body)
        assert answer.status == 201, answer.body

    async def _store(self, tx: Transaction, word: str) -> None:
        tenant = await accounts.find_tenant(tx, self.name)
        template = "INSERT INTO templates (id, tenant_id, key, title, body, channels, created_at)"
        await tx.run(f"{template} VALUES ($1, $2, $1, $1, $1, '[]', 1)", f"{word}-template", tenant)

    async def delete(self) -> None:
        await self.said("organizations/delete")

    async def tenant(self) -> str:
        return (await self.db.read(lambda tx: accounts.find_tenant(tx, self.name))) or ""

    async def rows(self) -> dict[str, list[Any]]:
        return await rows_of(self.db)


@pytest.fixture
async def operator(house: House, admin: Person) -> Velt:
    return Velt.of(await house.token(admin, "admin"))


@pytest.fixture
async def acme(house: House, operator: Velt) -> Servers:
    """An organization with something of every kind in it."""
    servers = Servers(house, operator, "acme-canary")
    await servers.fill(WORD)
    return servers


def notification(word: str) -> dict[str, Any]:
    return {
        "notificationId": word,
        "actionUser": {"userId": f"{word}-cleo"},
        "displayHeadlineMessageTemplate": f"{word} {{actionUser}}",
        "displayBodyMessage": word,
        "notificationSourceData": {word: word},
        "notifyUsers": [],
    }


async def run_tasks(house: House) -> None:
    """Run what is due."""
    while await run_due(house.pieces.db, now=house.clock(), random=house.random, log=house.pieces.log):
        pass


async def pass_away(house: House, times: int = 3) -> None:
    """Let so much time pass that nothing is looked at again for what others may not know yet."""
    for _ in range(times):
        house.clock.advance((DAYS_KEPT + 1) * DAY)
        await run_tasks(house)


def holding(rows: dict[str, list[Any]], word: str) -> dict[str, list[Any]]:
    """Return the rows that hold a word, by table."""
    found = {table: [one for one in some if word in one.lower()] for table, some in rows.items()}
    return {table: some for table, some in found.items() if some}


async def test_an_organization_that_is_filled_has_something_in_every_table(acme: Servers) -> None:
    """So that what is left of it afterwards says something."""
    tenant = await acme.tenant()
    rows = await acme.rows()
    assert holding(rows, WORD).keys() == {
        "tenants",
        "users",
        "buckets",
        "documents",
        "document_fields",
        "templates",
        "resolvers",
        "messages",
        "subjects",
        "devices",
    }
    assert holding(rows, tenant).keys() >= {"deliveries", "messages", "buckets", "users"}


async def test_nothing_of_a_deleted_organization_is_left(house: House, acme: Servers) -> None:
    """What it says is gone at once, for people and devices; of its rows only ids are left in the end."""
    tenant = await acme.tenant()
    await acme.delete()
    await run_tasks(house)
    assert holding(await acme.rows(), WORD) == {}
    assert await house.deliveries(state="queued") == []
    await pass_away(house)
    left = holding(await acme.rows(), tenant)
    assert left.keys() == {"tenants", "users"}
    rows = await acme.rows()
    for table in (
        "messages",
        "inbox_items",
        "buckets",
        "devices",
        "deliveries",
        "subjects",
        "document_access",
    ):
        assert holding({table: rows[table]}, tenant) == {}
    assert await kinds(acme.db) == set()
    assert (await acme.db.read(tallies.audit)).holds


async def test_what_others_have_stays_as_it_is(house: House, operator: Velt, acme: Servers) -> None:
    umbrella = Servers(house, operator, "umbrella")
    await umbrella.fill("umbrella")
    before = holding(await umbrella.rows(), "umbrella")
    tenant = await umbrella.tenant()
    mine = holding(await umbrella.rows(), tenant)
    await acme.delete()
    await run_tasks(house)
    house.clock.advance(LOOK_AGAIN)
    await run_tasks(house)
    rows = await umbrella.rows()
    assert holding(rows, "umbrella") == before
    assert holding(rows, tenant) == mine


async def test_what_was_scheduled_is_taken_back(house: House, acme: Servers) -> None:
    await acme.delete()
    await run_tasks(house)
    house.clock.advance(3 * DAY)
    await run_tasks(house)
    rows = await acme.db.read(lambda tx: tx.all("SELECT content, retracted_at, sent_at FROM messages"))
    assert len(rows) == 5
    assert all(row["content"] is None and row["retracted_at"] is not None for row in rows)
    assert sum(row["sent_at"] is None for row in rows) == 2


async def test_an_end_that_is_interrupted_at_every_step_goes_on(
    house: House, acme: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A little at a time, and each time once more: what was done and not committed is done again."""
    for name in ("_BUCKETS_AT_ONCE", "_USERS_AT_ONCE", "_ROWS_AT_ONCE"):
        monkeypatch.setattr(tenants, name, 1)
    tenant = await acme.tenant()
    await acme.delete()
    steps, dying = 0, cast("Database", DiesAtTheEnd(acme.db))
    while (await next_due(acme.db) or house.clock() + 1) <= house.clock():
        steps += 1
        before = await acme.rows()
        with pytest.raises(ZeroDivisionError):
            await run_due(dying, now=house.clock(), random=house.random, log=house.pieces.log)
        assert await acme.rows() == before
        await run_due(acme.db, now=house.clock(), random=house.random, log=house.pieces.log)
        house.clock.advance(SECOND)
    assert steps > 10
    assert holding(await acme.rows(), WORD) == {}
    await pass_away(house)
    assert holding(await acme.rows(), tenant).keys() == {"tenants", "users"}


async def test_many_users_go_so_many_in_a_second(
    house: House, acme: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What other tenants wait for comes in between."""
    monkeypatch.setattr(tenants, "_USERS_AT_ONCE", 2)
    await acme.delete()
    left = []
    for _ in range(3):
        await run_tasks(house)
        left.append(len(holding(await acme.rows(), WORD).get("users", ())))
        house.clock.advance(SECOND)
    assert left == [1, 0, 0]


async def test_users_with_many_devices_go_in_smaller_steps(
    house: House, acme: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each device goes what was sent to it in a month, and one step has to be done in seconds."""
    monkeypatch.setattr(tenants, "_DEVICES_AT_ONCE", 2)
    for name in ("ben", "cleo", "dan", "eve"):
        await give_phones(house.pieces.db, acme.name, f"{WORD}-{name}", 1, now=1, random=house.random)
    at_most, before = 0, len((await acme.rows())["devices"])
    await acme.delete()
    while await run_due(house.pieces.db, now=house.clock(), random=house.random, log=house.pieces.log):
        left = len((await acme.rows())["devices"])
        at_most, before = max(at_most, before - left), left
        house.clock.advance(SECOND // 10)
    assert before == 0
    assert at_most <= 3, "the last of them may have two"


async def test_what_comes_while_it_ends_goes_too(house: House, acme: Servers) -> None:
    """From who has found the organization before it was deleted, and writes to it afterwards."""
    tenant = await acme.tenant()
    await acme.delete()
    await run_tasks(house)
    now, random = house.clock(), house.random
    await topics.subscribe(acme.db, tenant, "late-canary", ["late-canary-ann"], now=now, random=random)
    await send_late(house, tenant)
    assert holding(await acme.rows(), WORD).keys() == {"users", "buckets", "messages"}
    house.clock.advance(LOOK_AGAIN)
    await run_tasks(house)
    assert holding(await acme.rows(), WORD) == {}
    await pass_away(house)
    assert holding(await acme.rows(), tenant).keys() == {"tenants", "users"}
    assert await kinds(acme.db) == set()


async def test_a_token_that_is_bound_to_it_while_it_ends_is_good_for_nothing(
    house: House, admin: Person, acme: Servers
) -> None:
    """From the first moment on; and it goes, as does where texts were to be asked for."""
    tenant, now = await acme.tenant(), house.clock()
    await acme.delete()
    await run_tasks(house)
    token = AccessToken("late", admin.id, None, "late", ("admin",), now, None, None)
    resolver = (
        "INSERT INTO resolvers (tenant_id, url, secret, set_at) VALUES ($1, 'https://late.example', $2, 1)"
    )

    async def binding(tx: Transaction) -> None:
        await tokens.add_token(tx, token, token_hash=token_hash("zat_late"), tenant_id=tenant)
        await tx.run(resolver, tenant, b"secret")

    await acme.db.write(binding)
    answer = await replace(acme.velt, key="zat_late", token="zat_late").call("organizations/get", {})
    assert answer.status == 401
    house.clock.advance(LOOK_AGAIN)
    await run_tasks(house)
    rows = await acme.rows()
    assert (holding(rows, "'late'"), rows["resolvers"]) == ({}, [])


async def test_nothing_is_added_to_an_organization_that_is_deleted_by_then(
    house: House, acme: Servers
) -> None:
    tenant = await acme.tenant()
    await acme.delete()
    before = await acme.rows()
    now, random = house.clock(), house.random
    late = [Mention("late")]
    for adding in (
        documents.add_document(acme.db, tenant, "late", None, now=now, random=random),
        documents.add_access(acme.db, tenant, "canary-plan", late, (), now=now, random=random),
        enrolling.put_users(acme.db, tenant, late, now=now, random=random),
        tenants.show_tenant_as(acme.db, tenant, "Late"),
        tenants.get_tenant(acme.db, tenant),
    ):
        with pytest.raises(NotFound):
            await adding
    assert await acme.rows() == before


async def test_who_writes_to_an_organization_is_waited_for(house: House, acme: Servers) -> None:
    """What they write is there when its end begins, and goes with the rest."""
    if acme.db.exclusive:
        pytest.skip("there is one writer")
    begun, waited = asyncio.Event(), asyncio.Event()

    async def writing(tx: Transaction) -> None:
        tenant = await accounts.find_tenant(tx, acme.name, hold=True)
        begun.set()
        await waited.wait()
        assert tenant is not None
        await ensure_people(tx, tenant, ["late-canary"], house.clock(), house.random)

    async with asyncio.TaskGroup() as group:
        group.create_task(acme.db.write(writing))
        await begun.wait()
        group.create_task(acme.delete())
        await waits_for_a_lock(acme.db)
        waited.set()
    await run_tasks(house)
    assert holding(await acme.rows(), WORD) == {}


@pytest.mark.parametrize("makes", [True, False])
async def test_who_finds_an_organization_while_it_ends_finds_none(acme: Servers, *, makes: bool) -> None:
    """They wait for that; who makes it where there is none makes another one of its name."""
    if acme.db.exclusive:
        pytest.skip("there is one writer")
    tenant = await acme.tenant()
    closed, waited = asyncio.Event(), asyncio.Event()

    async def closing(tx: Transaction) -> None:
        await lock_to_close(tx, tenant)
        await close_tenant(tx, tenant, 1)
        closed.set()
        await waited.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(acme.db.write(closing))
        await closed.wait()
        data = {"organizationId": acme.name, "documentId": "late", **notification("late")}
        making = {"createOrganization": makes, "createDocument": True}
        adding = group.create_task(acme.velt.call("notifications/add", {**data, **making}))
        await waits_for_a_lock(acme.db)
        waited.set()
    assert (await adding).status == (200 if makes else 404)
    assert await acme.tenant() not in {tenant, "" if makes else tenant}


@dataclass
class DiesAtTheEnd:
    """A database of a process that dies before it commits."""

    db: Database

    async def write(self, job: Any) -> Any:
        async def dying(tx: Transaction) -> None:
            await job(tx)
            raise ZeroDivisionError

        return await self.db.write(dying)


async def kinds(db: Database) -> set[Kind]:
    rows = await db.read(lambda tx: tx.all("SELECT kind FROM tasks"))
    return {Kind(row["kind"]) for row in rows}


async def send_late(house: House, tenant: str) -> None:
    """Send to users by name in a tenant, as who has found it before it was closed."""
    nobody = User("", tenant, None, None, None, Role.USER, {}, 0)
    acting = ActingFor("acme-canary", tenant, None, known=False)
    caller = Caller(nobody, Grant(frozenset({"admin"}), operator=True), None, "t", acting)
    sender = Sender(house.pieces.db, Turns(), Repeats(), house.random, house.pieces.wake, 100)
    command = replace(PLAIN, title="late canary", user_ids=("late-canary-ben",), makes_users=True)
    await send(sender, caller, command, key=None, now=house.clock())
