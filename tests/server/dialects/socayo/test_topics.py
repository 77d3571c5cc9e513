"""Topics by RPC: made by who names them, subscribed to by all or nobody, listed so that nobody is missed, and free after their end."""

import asyncio
from typing import Any

import pytest

from server.commands.due import run_due
from server.domain.ports import Transaction
from server.store import tallies
from tests.harness.acting import Acting, rows_of
from tests.harness.native import Reply
from tests.server.conftest import House, Person

HUNDRED = [f"user-{number:03}" for number in range(100)]
RPCS_OF_TOPICS: dict[str, dict[str, Any]] = {
    "delete-topic": {},
    "remove-subscribers-from-topic": {"subscriberIds": ["ann"]},
    "list-topic-subscribers": {},
    "check-topic-subscription": {"subscriberId": "ann"},
}


@pytest.fixture
async def acme(house: House, admin: Person) -> Acting:
    """The servers of a tenant that there is not yet."""
    return Acting(await house.token(admin, "admin"), "acme")


async def add(who: Acting, *users: str, topic: str = "news") -> Reply:
    return await who.rpc("manage/add-subscribers-to-topic", {"topicKey": topic, "subscriberIds": users})


async def remove(who: Acting, *users: str) -> Reply:
    return await who.rpc("manage/remove-subscribers-from-topic", {"topicKey": "news", "subscriberIds": users})


async def delete(who: Acting) -> Reply:
    return await who.rpc("manage/delete-topic", {"topicKey": "news"})


async def check(who: Acting, user: str) -> Reply:
    return await who.rpc("manage/check-topic-subscription", {"topicKey": "news", "subscriberId": user})


async def page(who: Acting, **body: Any) -> Reply:
    return await who.rpc("manage/list-topic-subscribers", {"topicKey": "news", **body})


async def names(who: Acting, **body: Any) -> list[str]:
    return [one["userId"] for one in (await page(who, **body))["subscribers"]]


async def send(who: Acting, **more: Any) -> Reply:
    body = {"title": "Hello", "deliveryType": "NORMAL", "topicKey": "news", **more}
    return await who.call("POST", "/api/v1/messages", body)


async def run_tasks(house: House) -> None:
    while await run_due(house.pieces.db, now=house.clock(), random=house.random, log=house.pieces.log):
        pass


def code(answer: Reply) -> str:
    return str(answer["error"]["code"])


def faults(answer: Reply) -> dict[str, str]:
    return {one["path"]: one["reason"] for one in answer["error"]["details"]}


async def test_adding_makes_the_tenant_the_topic_and_the_users(house: House, acme: Acting) -> None:
    """Who is named twice, or subscribed already, counts once."""
    answer = await add(acme, "ann", "bob", "ann")
    assert (answer.status, answer.json) == (200, {"added": 2})
    house.clock.advance(1)
    assert (await add(acme, "bob", "cid")).json == {"added": 1}
    assert (await names(acme))[2] == "cid"
    assert {*await names(acme)} == {"ann", "bob", "cid"}
    for user in ("ann", "bob", "cid"):
        assert (await check(acme, user)).json == {"subscribed": True}


async def test_a_key_is_one_topics_of_a_tenant(acme: Acting) -> None:
    made = await acme.rpc("manage/create-topic", {"topicKey": "news"})
    assert (made.status, made["topicKey"]) == (200, "news")
    again = await acme.rpc("manage/create-topic", {"topicKey": "news"})
    assert (again.status, code(again)) == (409, "topic_exists")
    assert {*faults(again)} == {"topicKey"}
    elsewhere = await Acting(acme.api, "globex").rpc("manage/create-topic", {"topicKey": "news"})
    assert elsewhere.status == 200
    assert elsewhere["topicId"] != made["topicId"]


async def test_a_hundred_are_added_at_once_and_no_more(house: House, acme: Acting) -> None:
    assert (await add(acme, *HUNDRED)).json == {"added": 100}
    before = await rows_of(house.pieces.db)
    answer = await add(acme, *HUNDRED, "one-more")
    assert (answer.status, code(answer), {*faults(answer)}) == (400, "invalid", {"subscriberIds"})
    assert (await add(acme)).status == 400
    assert await rows_of(house.pieces.db) == before


async def test_all_are_added_or_nobody(house: House, acme: Acting) -> None:
    before = await rows_of(house.pieces.db)
    answer = await add(acme, "ann", "b\nb", "cid", "", "x" * 101)
    assert answer.status == 400
    assert {*faults(answer)} == {"subscriberIds[1]", "subscriberIds[3]", "subscriberIds[4]"}
    assert await rows_of(house.pieces.db) == before


async def test_all_are_removed_or_nobody(acme: Acting) -> None:
    """Who is nobody is named; who is not subscribed is not counted."""
    await add(acme, "ann", "bob")
    await add(acme, "eve", topic="other")
    answer = await remove(acme, "ann", "nobody", "no one")
    assert (answer.status, code(answer)) == (404, "user_not_found")
    assert faults(answer) == {
        "subscriberIds[1]": "no such user: nobody",
        "subscriberIds[2]": "no such user: no one",
    }
    assert {*await names(acme)} == {"ann", "bob"}
    assert (await remove(acme, "ann", "eve", "ann")).json == {"removed": 1}
    assert (await check(acme, "ann")).json == {"subscribed": False}
    assert await names(acme) == ["bob"]


async def test_pages_stay_as_they_are_while_subscribers_are_added(house: House, acme: Acting) -> None:
    """Somebody new comes last, wherever their name would stand: nobody is seen twice or missed."""
    for user in ("m", "z", "k", "y", "a"):
        await add(acme, user)
        house.clock.advance(1)
    seen = []
    async for answer in acme.pages("manage/list-topic-subscribers", {"topicKey": "news"}):
        seen += [one["userId"] for one in answer["subscribers"]]
        assert (answer["pageSize"], answer["total"]) == (2, min(4 + answer["page"], 7))
        if answer["page"] <= 2:
            await add(acme, f"0-{answer['page']}")
            house.clock.advance(1)
    assert seen == ["m", "z", "k", "y", "a", "0-1", "0-2"]
    assert (await page(acme, page=9)).json == {
        "subscribers": [],
        "hasMore": False,
        "page": 9,
        "pageSize": 20,
        "total": 7,
    }


async def test_a_page_is_one_that_there_can_be(acme: Acting) -> None:
    await add(acme, "ann")
    for body in ({"page": 0}, {"pageSize": 0}, {"pageSize": 101}, {"page": "x"}):
        answer = await page(acme, **body)
        assert (answer.status, {*faults(answer)}) == (400, {*body})


async def test_a_deleted_topic_frees_its_key_and_leaves_what_was_sent(house: House, acme: Acting) -> None:
    """What was to be sent later is taken back when it is due; a new topic of the key has no subscribers."""
    await add(acme, "ann")
    ann = acme.for_user("ann")
    assert (await send(acme))["notificationsCount"] == 1
    later = await send(acme, delaySeconds=60)
    assert (await delete(acme)).json == {"deleted": True}
    for answer in (await delete(acme), await page(acme), await check(acme, "ann"), await remove(acme, "ann")):
        assert (answer.status, code(answer)) == (404, "topic_not_found")
    assert (await send(acme)).code == "topic_not_found"
    assert (await add(acme, "bob")).json == {"added": 1}
    house.clock.advance(60_000)
    await run_tasks(house)
    assert await names(acme) == ["bob"]
    assert len((await ann.call("GET", "/api/v1/notifications"))["notifications"]) == 1
    [row] = [one for one in (await rows_of(house.pieces.db))["messages"] if later["id"] in one]
    assert "'content': None" in row
    assert (await house.pieces.db.read(tallies.audit)).holds


async def test_what_is_another_tenants_is_not_there(house: House, acme: Acting) -> None:
    await add(acme, "ann")
    before = await rows_of(house.pieces.db)
    strangers = [Acting(acme.api, "globex"), Acting(acme.api)]
    await strangers[0].rpc("manage/create-subscriber", {"userId": "ann"})
    made = await rows_of(house.pieces.db)
    for stranger in strangers:
        for rpc, body in RPCS_OF_TOPICS.items():
            answer = await stranger.rpc(f"manage/{rpc}", {"topicKey": "news", **body})
            assert (answer.status, code(answer)) == (404, "topic_not_found"), rpc
    assert await rows_of(house.pieces.db) == made
    assert made["buckets"] == before["buckets"]


async def test_who_comes_while_the_topic_is_deleted_is_in_the_next_one_or_in_none(
    house: House, acme: Acting
) -> None:
    """Nobody is left as a member of what is no topic any more, and of two who add the same users neither waits for ever."""
    for _ in range(5):
        await add(acme, *HUNDRED[:20])
        answers = await asyncio.gather(
            *(add(acme, *chosen) for chosen in (HUNDRED, HUNDRED[::-1], HUNDRED[50:])), delete(acme)
        )
        assert [answer.status for answer in answers] == [200] * 4
    stray = "SELECT m.user_id FROM bucket_members m JOIN buckets b ON b.id = m.bucket_id WHERE b.topic_key IS NULL AND b.owner_id IS NULL"
    assert not await house.pieces.db.read(lambda tx: tx.all(stray))
    twice = "SELECT external_id FROM users GROUP BY tenant_id, external_id HAVING COUNT(*) > 1"
    assert not await house.pieces.db.read(lambda tx: tx.all(twice))


async def test_a_large_topic_ends_at_once_and_its_subscriptions_a_few_at_a_time(
    house: House, acme: Acting
) -> None:
    """Nobody else waits for that; and a new topic of its key begins with nobody."""
    topic = await acme.rpc("manage/create-topic", {"topicKey": "news"})

    async def fill(tx: Transaction) -> None:
        row = await tx.one("SELECT id FROM tenants WHERE name = 'acme'")
        assert row is not None
        users = [(f"f{number:05}", row["id"], f"user-{number}") for number in range(2_500)]
        user = "INSERT INTO users (id, tenant_id, external_id, role, profile, created_at)"
        await tx.many(f"{user} VALUES ($1, $2, $3, 'user', '{{}}', 1)", users)
        member = "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at)"
        readers = [(topic["topicId"], one[0]) for one in users]
        await tx.many(f"{member} VALUES ($1, $2, '[\"READ\"]', 1)", readers)

    async def left() -> int:
        return len((await rows_of(house.pieces.db))["bucket_members"])

    before = await left()
    await house.pieces.db.write(fill)
    wakes = house.wakes.count
    assert (await delete(acme)).status == 200
    assert house.wakes.count > wakes
    assert await left() == before + 1_500
    assert (await page(acme)).status == 404
    assert (await add(acme, "user-1")).json == {"added": 1}
    await run_tasks(house)
    assert (await left(), await names(acme)) == (before + 1, ["user-1"])
    assert not [task for task in (await rows_of(house.pieces.db))["tasks"] if "disband" in task]
