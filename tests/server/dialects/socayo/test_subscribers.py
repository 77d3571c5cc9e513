"""Subscribers by RPC: an upsert loses nothing, a list misses nobody, and of who is deleted nothing is left but what others have."""

import asyncio
from typing import Any

import pytest

from server.commands.due import run_due
from server.commands.emptying import LOOK_AGAIN
from server.domain.message import DAY
from server.domain.ports import Transaction
from server.store import tallies
from tests.harness.acting import JANE, Acting, rows_of
from tests.harness.native import Reply
from tests.server.conftest import House, Person

NOTHING = dict.fromkeys(JANE)


@pytest.fixture
async def acme(house: House, admin: Person) -> Acting:
    """The servers of a tenant that there is not yet."""
    return Acting(await house.token(admin, "admin"), "acme")


@pytest.fixture
async def home(acme: Acting) -> Acting:
    """Those of the default tenant, to which whoever registers belongs."""
    return Acting(acme.api)


async def create(who: Acting, user: str, **data: Any) -> Reply:
    return await who.rpc("manage/create-subscriber", {"userId": user, "subscriberData": data})


async def update(who: Acting, user: str, **data: Any) -> Reply:
    return await who.rpc("manage/update-subscriber-data", {"userId": user, "subscriberData": data})


async def get(who: Acting, user: str) -> Reply:
    return await who.rpc("manage/get-subscriber", {"userId": user})


async def delete(who: Acting, user: str) -> Reply:
    return await who.rpc("manage/delete-subscriber", {"userId": user})


async def page(who: Acting, **body: Any) -> Reply:
    return await who.rpc("manage/list-subscribers", body)


async def send(who: Acting, *users: str, **more: Any) -> Reply:
    body = {"title": "Hello", "deliveryType": "NORMAL", "userIds": [*users], **more}
    answer = await who.call("POST", "/api/v1/messages", body)
    assert answer.status == 201, answer.body
    return answer


async def rows(house: House, sql: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await house.pieces.db.read(lambda tx: tx.all(sql))]


async def run_tasks(house: House) -> None:
    while await run_due(house.pieces.db, now=house.clock(), random=house.random, log=house.pieces.log):
        pass


async def holds(house: House) -> bool:
    return (await house.pieces.db.read(tallies.audit)).holds


async def owned(house: House, user_id: str) -> dict[str, int]:
    """Return how many rows of each table are a user's, where there are any."""
    columns = {
        "sessions": "user_id",
        "access_tokens": "user_id",
        "pairing_codes": "user_id",
        "bucket_members": "user_id",
        "opt_outs": "user_id",
        "devices": "user_id",
        "inbox_items": "user_id",
        "invitations": "created_by",
        "buckets": "owner_id",
        "messages": "sender_id",
    }

    async def job(tx: Transaction) -> dict[str, int]:
        found = {
            table: await tx.all(f"SELECT 1 AS one FROM {table} WHERE {column} = $1", user_id)  # noqa: S608 - ours
            for table, column in columns.items()
        }
        return {table: len(rows) for table, rows in found.items() if rows}

    return await house.pieces.db.read(job)


def code(answer: Reply) -> str:
    return str(answer["error"]["code"])


def faults(answer: Reply) -> dict[str, str]:
    return {one["path"]: one["reason"] for one in answer["error"]["details"]}


async def test_a_subscriber_is_what_was_said_of_them(acme: Acting) -> None:
    """The tenant is made with the first one."""
    answer = await create(acme, "user-1", **JANE)
    assert (answer.status, answer["userId"], answer["subscriberData"]) == (200, "user-1", JANE)
    assert (await get(acme, "user-1")).json == answer.json
    bare = await acme.rpc("manage/create-subscriber", {"userId": "user-2"})
    assert (bare.status, bare["subscriberData"]) == (200, NOTHING)


async def test_an_upsert_loses_no_field(acme: Acting) -> None:
    """What is left out stays, null clears, and saying nothing changes nothing."""
    first = await create(acme, "user-1", **JANE)
    changed = await create(acme, "user-1", locale="en-GB", phone=None)
    assert changed["subscriberData"] == {**JANE, "locale": "en-GB", "phone": None}
    bodies: list[dict[str, Any]] = [{}, {"subscriberData": None}, {"subscriberData": {}}]
    for body in bodies:
        again = await acme.rpc("manage/create-subscriber", {"userId": "user-1", **body})
        assert again.json == changed.json
    assert changed["createdAt"] == first["createdAt"]
    cleared = await create(acme, "user-1", **NOTHING)
    assert (await get(acme, "user-1"))["subscriberData"] == cleared["subscriberData"] == NOTHING


async def test_an_update_is_of_who_is_there(house: House, acme: Acting) -> None:
    assert (await update(acme, "user-1", **JANE)).status == 404
    assert code(await update(acme, "user-1", **JANE)) == "user_not_found"
    await create(acme, "user-1", **JANE)
    answer = await update(acme, "user-1", email="jane.updated@example.com", locale="en-GB")
    expected = {**JANE, "email": "jane.updated@example.com", "locale": "en-GB"}
    assert (answer.status, answer["subscriberData"]) == (200, expected)
    before = await rows_of(house.pieces.db)
    missing = await acme.rpc("manage/update-subscriber-data", {"userId": "user-1"})
    assert (missing.status, {*faults(missing)}) == (400, {"subscriberData"})
    for rpc in ("get-subscriber", "delete-subscriber"):
        answer = await acme.rpc(f"manage/{rpc}", {"userId": "nobody"})
        assert (answer.status, code(answer)) == (404, "user_not_found")
    assert await rows_of(house.pieces.db) == before


async def test_every_fault_is_named(house: House, acme: Acting) -> None:
    before = await rows_of(house.pieces.db)
    wrong = {
        "firstName": "x" * 101,
        "lastName": "a\nb",
        "email": "jane",
        "phone": "0123 456",
        "locale": "english!",
        "timezone": "Mars/Olympus",
    }
    for rpc in ("create-subscriber", "update-subscriber-data"):
        answer = await acme.rpc(f"manage/{rpc}", {"userId": "", "subscriberData": wrong})
        assert (answer.status, code(answer)) == (400, "invalid")
        assert {*faults(answer)} == {"userId", *(f"subscriberData.{name}" for name in wrong)}
        assert all(one["fix"] for one in answer["error"]["details"])
    not_an_object = await acme.rpc("manage/create-subscriber", {"userId": "u", "subscriberData": []})
    assert {*faults(not_an_object)} == {"subscriberData"}
    assert await rows_of(house.pieces.db) == before


async def test_concurrent_upserts_lose_nothing(acme: Acting) -> None:
    """Each writes another field of somebody who is not there yet: there is one of them, with all of it."""
    for number in range(4):
        user, fields = f"user-{number}", {**JANE, "email": f"user-{number}@example.com"}
        answers = await asyncio.gather(
            *(create(acme, user, **{name: value}) for name, value in fields.items())
        )
        assert [answer.status for answer in answers] == [200] * 6
        assert (await get(acme, user))["subscriberData"] == fields
    assert (await page(acme))["total"] == 4


async def test_an_email_address_is_one_users_of_a_tenant(acme: Acting) -> None:
    """Whatever its case; another tenant may know somebody of the same one."""
    await create(acme, "user-1", **JANE)
    await create(acme, "user-3")
    for answer in (
        await create(acme, "user-2", email="JANE@Example.com"),
        await update(acme, "user-3", email="jane@example.com"),
    ):
        assert (answer.status, code(answer)) == (409, "email_taken")
        assert {*faults(answer)} == {"subscriberData.email"}
    assert (await get(acme, "user-2")).status == 404
    assert (await create(Acting(acme.api, "globex"), "user-2", email=JANE["email"])).status == 200
    assert (await create(acme, "user-1", email="Jane@example.com"))["subscriberData"]["email"] == (
        "Jane@example.com"
    )


async def test_whoever_registered_is_a_subscriber_too(house: House, home: Acting) -> None:
    """By id, and by username; the account stays what it is."""
    bob = await house.register("bob")
    answer = await create(home, "bob", firstName="Bob")
    assert answer["userId"] == bob.id
    assert (await get(home, bob.id))["subscriberData"]["email"] == "bob@example.com"
    me = await bob.api.get("/api/v1/users/me")
    assert (me["username"], me["firstName"]) == ("bob", "Bob")


async def test_pages_stay_as_they_are_while_subscribers_are_made(house: House, acme: Acting) -> None:
    """Somebody new comes last, wherever their name would stand: nobody is seen twice or missed."""
    for user in ("m", "z", "k", "y", "a"):
        await create(acme, user)
        house.clock.advance(1)
    seen = []
    async for answer in acme.pages("manage/list-subscribers", {}):
        seen += [one["userId"] for one in answer["subscribers"]]
        assert (answer["pageSize"], answer["total"]) == (2, min(4 + answer["page"], 7))
        if answer["page"] <= 2:
            await create(acme, f"0-{answer['page']}")
            house.clock.advance(1)
    assert seen == ["m", "z", "k", "y", "a", "0-1", "0-2"]
    empty = {"subscribers": [], "hasMore": False, "page": 1, "pageSize": 20, "total": 0}
    assert (await page(Acting(acme.api, "globex"))).json == empty


async def test_a_total_is_counted_up_to_ten_thousand(house: House, acme: Acting) -> None:
    """Beyond that the answer says that there are more; whether there is a next page it always knows."""
    await create(acme, "first")

    async def fill(tx: Transaction) -> None:
        row = await tx.one("SELECT id FROM tenants WHERE name = 'acme'")
        assert row is not None
        users = [(f"f{number:05}", row["id"], f"user-{number}") for number in range(10_000)]
        insert = "INSERT INTO users (id, tenant_id, external_id, role, profile, created_at)"
        await tx.many(f"{insert} VALUES ($1, $2, $3, 'user', '{{}}', 1)", users)

    await house.pieces.db.write(fill)
    answer = await page(acme, pageSize=100, page=100)
    assert (answer["total"], answer["totalIsLowerBound"], answer["hasMore"]) == (10_000, True, True)
    last = await page(acme, pageSize=100, page=101)
    assert ([one["userId"] for one in last["subscribers"]], last["hasMore"]) == (["user-9999"], False)
    await delete(acme, "first")
    answer = await page(acme, pageSize=100, page=100)
    assert (answer["total"], answer["hasMore"], "totalIsLowerBound" in answer.json) == (10_000, False, False)


async def test_of_who_is_deleted_nothing_is_left(house: House, admin: Person, home: Acting) -> None:
    """Devices, what waits for them, inbox, preferences: counted in the answer. The rest goes too, and what others have stays."""
    bob = await house.register("bob")
    token = await house.token(bob, "messages:read")
    phone, other = await house.phone(bob), await house.phone(admin)
    bucket = await house.bucket(bob, "Mine")
    await house.join(admin, bucket)
    await bob.api.post("/api/v1/devices/pairing-codes")
    await bob.api.post("/api/v1/invitations", {"bucketId": bucket})
    acting = home.for_user("bob")
    for channel in ("EMAIL", "CHAT"):
        await acting.rpc("update-preferences", {"channel": channel, "enabled": False})
    await home.rpc("manage/add-subscribers-to-topic", {"topicKey": "news", "subscriberIds": ["bob", "ann"]})
    for _ in range(3):
        await send(home, "bob", "admin")
    of_bob = await house.send(bob.api, "default")
    await house.send(admin.api, "default")
    wakes = house.wakes.count
    answer = await delete(home, "bob")
    assert (answer.status, answer.json) == (
        200,
        {"deleted": True, "removed": {"devices": 1, "inboxMessages": 4, "preferences": 2}},
    )
    assert house.wakes.count > wakes
    assert {*await owned(house, bob.id)} <= {"inbox_items", "messages", "buckets"}
    assert (await bob.api.get("/api/v1/users/me")).status == 401
    assert (await token.get("/api/v1/notifications")).status == 401
    assert (await phone.api.get("/api/v1/device/messages")).status == 401
    assert (await house.api.post("/api/v1/auth/login", {"login": "bob", "password": "x" * 20})).status != 200
    assert not await house.deliveries(device_id=phone.id)
    assert len(await house.deliveries(device_id=other.id)) == 4
    for gone in (await get(home, "bob"), await get(home, bob.id), await delete(home, "bob")):
        assert (gone.status, code(gone)) == (404, "user_not_found")
    assert await holds(house)
    await run_tasks(house)
    assert {*await owned(house, bob.id)} <= {"buckets"}
    assert (await house.api.with_token(admin.access).get("/api/v1/notifications"))["notifications"]
    house.clock.advance(60 * DAY)
    await run_tasks(house)
    assert await owned(house, bob.id) == {}
    assert of_bob["id"] not in str((await rows_of(house.pieces.db))["messages"])
    assert await holds(house)


async def test_a_name_is_free_after_deletion(house: House, home: Acting) -> None:
    """Its next bearer has nothing of the one before; whoever had the email address, another one may have it."""
    bob = await house.register("bob")
    await create(home, "ann", **JANE)
    await send(home, "ann")
    for user in ("ann", "bob"):
        assert (await delete(home, user)).status == 200
    again = await create(home, "ann", firstName="Ann")
    assert again["subscriberData"] == {**NOTHING, "firstName": "Ann"}
    assert (await create(home, "eve", email=JANE["email"])).status == 200
    assert not (await home.for_user("ann").call("GET", "/api/v1/notifications"))["notifications"]
    assert (await house.register("bob")).id != bob.id


async def test_what_somebody_sent_to_others_stays_and_is_nobodys(
    house: House, admin: Person, home: Acting
) -> None:
    bob = await house.register("bob")
    bucket = await house.bucket(admin, "Shared")
    await admin.api.post(f"/api/v1/buckets/{bucket}/members", {"user": "bob", "permissions": ["WRITE"]})
    sent = await house.send(bob.api, bucket)
    assert sent.status == 201
    await delete(home, "bob")
    await run_tasks(house)
    assert {*await owned(house, bob.id)} == {"buckets"}  # the default one, which is being emptied
    [item] = (await admin.api.get("/api/v1/notifications"))["notifications"]
    assert item["message"]["id"] == sent["id"]


async def test_an_admins_account_is_not_deleted(house: House, admin: Person, home: Acting) -> None:
    before = await rows_of(house.pieces.db)
    for name in ("admin", admin.id):
        answer = await delete(home, name)
        assert (answer.status, code(answer)) == (409, "subscriber_admin")
    after = await rows_of(house.pieces.db)
    assert {**after, "access_tokens": None} == {**before, "access_tokens": None}


async def test_what_is_another_tenants_is_not_there(house: House, acme: Acting) -> None:
    """By name, by id, in lists and totals."""
    await create(acme, "ann", **JANE)
    [row] = await rows(house, "SELECT id FROM users WHERE external_id = 'ann'")
    strangers = [Acting(acme.api, "globex"), Acting(acme.api)]
    await create(strangers[0], "bob")
    before = await rows_of(house.pieces.db)
    for stranger in strangers:
        for name in ("ann", row["id"], row["id"].upper()):
            for answer in (
                await get(stranger, name),
                await update(stranger, name, firstName="X"),
                await delete(stranger, name),
            ):
                assert (answer.status, code(answer)) == (404, "user_not_found")
        assert (await page(stranger))["total"] == 1
    assert await rows_of(house.pieces.db) == before


async def test_deletion_during_a_fan_out_leaves_the_book_right(house: House, home: Acting) -> None:
    """Of those whom a message reaches, some go while it is written: none of it is left with them, and nothing is lost."""
    everybody = [f"user-{number:03}" for number in range(700)]
    for start in range(0, len(everybody), 100):
        body = {"topicKey": "news", "subscriberIds": everybody[start : start + 100]}
        await home.rpc("manage/add-subscribers-to-topic", body)
    people = [await house.register(f"late{number}") for number in range(4)]
    for person in people:
        await house.phone(person)
        await house.phone(person)
    late = [person.username for person in people]
    await home.rpc("manage/add-subscribers-to-topic", {"topicKey": "news", "subscriberIds": late})
    message = await home.call(
        "POST", "/api/v1/messages", {"title": "All", "deliveryType": "NORMAL", "topicKey": "news"}
    )
    assert message["notificationsCount"] == 704
    gone = [*late[:2], *everybody[:5], *everybody[-5:]]
    await asyncio.gather(run_tasks(house), *(delete(home, name) for name in gone))
    await house.accept_pushes()
    assert await holds(house)
    await run_tasks(house)
    house.clock.advance(LOOK_AGAIN)
    await run_tasks(house)
    assert await holds(house)
    left = "SELECT 1 AS one FROM users u JOIN {} i ON i.user_id = u.id WHERE u.deleted_at IS NOT NULL"
    for table in ("inbox_items", "devices", "bucket_members"):
        assert not await rows(house, left.format(table))
    pushed = {row["user_id"] for row in await house.deliveries(channel="PUSH") if row["device_id"]}
    assert pushed == {person.id for person in people[2:]}


async def test_who_is_written_while_being_deleted_is_there_or_not(house: House, acme: Acting) -> None:
    """Never half: the name leads to one user, with all that was written after the deletion, or to nobody."""
    for _ in range(8):
        await create(acme, "ann", **JANE)
        answers = await asyncio.gather(
            delete(acme, "ann"),
            create(acme, "ann", firstName="Ann"),
            update(acme, "ann", lastName="Lee"),
            acme.rpc("manage/add-subscribers-to-topic", {"topicKey": "news", "subscriberIds": ["ann"]}),
        )
        assert [answer.status for answer in answers[:2]] == [200, 200]
        assert answers[2].status in {200, 404}
        assert answers[3].status == 200
    tombs = (
        "SELECT id FROM users WHERE deleted_at IS NOT NULL AND (external_id IS NOT NULL OR profile <> '{}')"
    )
    assert not await rows(house, tombs)
    stray = "SELECT 1 AS one FROM bucket_members m JOIN users u ON u.id = m.user_id WHERE u.deleted_at IS NOT NULL"
    assert not await rows(house, stray)


async def test_of_two_who_delete_somebody_one_comes_too_late(acme: Acting) -> None:
    for _ in range(4):
        await create(acme, "ann", **JANE)
        answers = await asyncio.gather(delete(acme, "ann"), delete(acme, "ann"))
        assert sorted(answer.status for answer in answers) == [200, 404]


async def test_what_comes_in_the_moment_of_deletion_goes_too(house: House, home: Acting) -> None:
    """Another process may be about to write to who is deleted, or to pair their device: that is looked for once more."""
    bob = await house.register("bob")
    phone = await house.phone(bob)
    await send(home, "bob")
    before = await house.pieces.db.read(
        lambda tx: tx.one("SELECT * FROM inbox_items WHERE user_id = $1", bob.id)
    )
    device = await house.pieces.db.read(lambda tx: tx.one("SELECT * FROM devices WHERE id = $1", phone.id))
    assert before is not None
    assert device is not None
    await delete(home, "bob")
    await run_tasks(house)
    assert {*await owned(house, bob.id)} == {"buckets"}

    async def come_late(tx: Transaction) -> None:
        for table, row in (("inbox_items", dict(before)), ("devices", dict(device))):
            holes = ", ".join(f"${number}" for number in range(1, len(row) + 1))
            await tx.run(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({holes})", *row.values())  # noqa: S608 - our names

    await house.pieces.db.write(come_late)
    house.clock.advance(LOOK_AGAIN)
    await run_tasks(house)
    assert not {"inbox_items", "devices"} & {*await owned(house, bob.id)}
    tasks = await rows(house, "SELECT kind FROM tasks WHERE kind = 'erase'")
    assert not tasks
    assert await holds(house)
