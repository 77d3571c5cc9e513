"""Topics natively: what the RPCs do, by path and method; and as buckets, which their members may mute and leave, and nobody changes."""

from urllib.parse import quote

import pytest

from tests.harness.acting import Acting, rows_of
from tests.harness.native import Native, Reply
from tests.server.conftest import House, Person

TOPICS = "/api/v1/topics"
BUCKETS = "/api/v1/buckets"


@pytest.fixture
async def acme(house: House, admin: Person) -> Acting:
    """The servers of a tenant that there is not yet."""
    return Acting(await house.token(admin, "admin"), "acme")


async def subscribe(who: Acting, *users: str, topic: str = "news") -> Reply:
    return await who.call("POST", f"{TOPICS}/{topic}/subscribers", {"userIds": [*users]})


async def get(who: Acting, path: str = "") -> Reply:
    return await who.call("GET", f"{TOPICS}{path}")


async def delete(who: Acting, path: str) -> Reply:
    return await who.call("DELETE", f"{TOPICS}{path}")


async def test_a_topic_is_made_shown_and_deleted(acme: Acting) -> None:
    assert (await get(acme)).json == {"topics": [], "nextCursor": None}
    made = await acme.call("POST", TOPICS, {"key": "news"})
    assert (made.status, made["key"]) == (201, "news")
    assert (await get(acme, "/news")).json == made.json
    assert (await get(acme)).json == {"topics": [made.json], "nextCursor": None}
    again = await acme.call("POST", TOPICS, {"key": "news"})
    assert (again.status, again.code) == (409, "topic_exists")
    assert (await delete(acme, "/news")).status == 204
    for answer in (await get(acme, "/news"), await delete(acme, "/news")):
        assert (answer.status, answer.code) == (404, "topic_not_found")


async def test_it_leaves_the_rows_that_the_rpcs_leave(house: House, acme: Acting) -> None:
    """Subscribed one way, seen and ended the other."""
    assert (await subscribe(acme, "ann", "bob", "ann")).json == {"added": 2}
    check = {"topicKey": "news", "subscriberId": "ann"}
    assert (await acme.rpc("manage/check-topic-subscription", check)).json == {"subscribed": True}
    await acme.rpc("manage/add-subscribers-to-topic", {"topicKey": "news", "subscriberIds": ["cid"]})
    listed = await get(acme, "/news/subscribers")
    assert {one["userId"] for one in listed["subscribers"]} == {"ann", "bob", "cid"}
    assert (await delete(acme, "/news/subscribers/ann")).status == 204
    assert (await acme.rpc("manage/check-topic-subscription", check)).json == {"subscribed": False}
    before = await rows_of(house.pieces.db)
    for user, code in (("ann", "subscription_not_found"), ("nobody", "user_not_found")):
        answer = await delete(acme, f"/news/subscribers/{user}")
        assert (answer.status, answer.code) == (404, code)
    assert (await delete(acme, "/olds/subscribers/ann")).code == "topic_not_found"
    assert await rows_of(house.pieces.db) == before


async def test_lists_go_on_where_the_page_before_has_ended(acme: Acting) -> None:
    """Topics by key, subscribers by id; what is added meanwhile makes nobody come twice, or be left out."""
    for key in ("d", "b", "e"):
        await acme.call("POST", TOPICS, {"key": key})
    first = await get(acme, "?limit=2")
    await acme.call("POST", TOPICS, {"key": "a"})
    rest = await get(acme, f"?limit=2&cursor={first['nextCursor']}")
    keys = [one["key"] for answer in (first, rest) for one in answer["topics"]]
    assert (keys, rest["nextCursor"]) == (["b", "d", "e"], None)

    await subscribe(acme, "ann", "bob", "cid")
    seen, place = [], ""
    while place is not None:
        answer = await get(acme, f"/news/subscribers?limit=1{place and f'&cursor={place}'}")
        seen += [one["userId"] for one in answer["subscribers"]]
        place = answer["nextCursor"]
    assert sorted(seen) == ["ann", "bob", "cid"]


@pytest.mark.parametrize("key", ["a/b", "ü ber", "%", "?x=1", "default"])
async def test_a_key_is_any_text_of_one_line(acme: Acting, key: str) -> None:
    assert (await acme.call("POST", TOPICS, {"key": key})).status == 201
    path = "/" + quote(key, safe="")
    assert (await subscribe(acme, "ann", topic=path[1:])).json == {"added": 1}
    assert (await get(acme, path))["key"] == key
    assert (await delete(acme, path)).status == 204


async def test_what_is_no_key_is_nobodys(acme: Acting) -> None:
    for key in ("%00", "a%0Ab", "%20", "x" * 101):
        assert (await get(acme, f"/{key}")).code == "topic_not_found"
        assert (await delete(acme, f"/{key}")).code == "topic_not_found"
        answer = await subscribe(acme, "ann", topic=key)
        assert (answer.status, {*answer.faults}) == (400, {"key"})
    assert (await delete(acme, "/news/subscribers/%00")).status == 404
    for body, path in (({"key": ""}, "key"), ({}, "key"), ({"key": "x" * 101}, "key")):
        answer = await acme.call("POST", TOPICS, body)
        assert (answer.status, {*answer.faults}) == (400, {path})


async def test_what_is_another_tenants_is_not_there(house: House, acme: Acting) -> None:
    await subscribe(acme, "ann")
    stranger = Acting(acme.api, "globex")
    before = await rows_of(house.pieces.db)
    assert (await get(stranger))["topics"] == []
    for answer in (
        await get(stranger, "/news"),
        await get(stranger, "/news/subscribers"),
        await delete(stranger, "/news"),
        await delete(stranger, "/news/subscribers/ann"),
    ):
        assert (answer.status, answer.code) == (404, "topic_not_found")
    assert await rows_of(house.pieces.db) == before


async def test_only_who_manages_a_tenants_users_may(house: House, admin: Person) -> None:
    """An admin who is signed in, too: for the tenant that they are of."""
    bob = await house.register("bob")
    for path in (TOPICS, f"{TOPICS}/news", f"{TOPICS}/news/subscribers"):
        assert (await bob.api.get(path)).code == "scope_missing"
    assert (await admin.api.post(f"{TOPICS}/news/subscribers", {"userIds": ["bob"]})).json == {"added": 1}
    assert (await admin.api.get(f"{TOPICS}/news/subscribers"))["subscribers"][0]["userId"] == bob.id


@pytest.fixture
async def bob(house: House, admin: Person) -> Person:
    """Subscribed to a topic, and sent a message by name: a member of both of the tenant's own buckets."""
    bob = await house.register("bob")
    await admin.api.post(f"{TOPICS}/news/subscribers", {"userIds": ["bob", "admin"]})
    sent = {"title": "Hello", "deliveryType": "NORMAL", "userIds": ["bob", "admin"]}
    assert (await admin.api.post("/api/v1/messages", sent)).status == 201
    return bob


async def of_the_tenant(api: Native) -> dict[str, str]:
    """Return the ids of the buckets that are nobody's, by name."""
    listed = (await api.get(BUCKETS))["buckets"]
    return {one["name"]: one["id"] for one in listed if one["name"] in ("news", "direct")}


async def test_a_topics_bucket_is_listed_muted_and_left_by_its_members(
    house: House, admin: Person, bob: Person
) -> None:
    """With READ, and no more; who has left one is subscribed no longer, and may be again."""
    found = await of_the_tenant(bob.api)
    assert {*found} == {"news", "direct"}
    for bucket in found.values():
        assert (await bob.api.get(f"{BUCKETS}/{bucket}"))["permissions"] == ["READ"]
        assert (await bob.api.post(f"{BUCKETS}/{bucket}/snooze", {"minutes": 5})).status == 200
        quiet = {"quietTimes": [{"days": ["MON"], "from": "22:00", "to": "07:00"}]}
        assert (await bob.api.put(f"{BUCKETS}/{bucket}/quiet-times", quiet)).status == 200
        assert (await bob.api.post(f"{BUCKETS}/{bucket}/leave")).status == 204
        assert (await bob.api.get(f"{BUCKETS}/{bucket}")).status == 404
    who = [one["userId"] for one in (await admin.api.get(f"{TOPICS}/news/subscribers"))["subscribers"]]
    assert who == [admin.id]
    sent = {"title": "Again", "deliveryType": "NORMAL", "userIds": ["bob"]}
    assert (await admin.api.post("/api/v1/messages", sent))["notificationsCount"] == 1
    assert (await admin.api.post(f"{TOPICS}/news/subscribers", {"userIds": ["bob"]})).json == {"added": 1}
    assert {*await of_the_tenant(bob.api)} == {"news", "direct"}
    assert house.wakes.count


@pytest.mark.parametrize("name", ["news", "direct"])
async def test_nobody_changes_or_deletes_a_topics_bucket(
    house: House, admin: Person, bob: Person, name: str
) -> None:
    """Not by the bucket API: neither its members, an admin among them, nor whoever manages the tenant."""
    bucket = (await of_the_tenant(bob.api))[name]
    manager = await house.token(admin, "admin")
    before = await rows_of(house.pieces.db)
    for api in (bob.api, admin.api, manager):
        for reference in (bucket, name):
            path = f"{BUCKETS}/{reference}"
            for answer in (
                await api.patch(path, {"name": "Mine", "public": True}),
                await api.patch(path, {"protected": True, "retention": {"days": 1}}),
                await api.delete(path),
                await api.get(f"{path}/members"),
                await api.post(f"{path}/members", {"user": "bob", "permissions": ["ADMIN"]}),
                await api.patch(f"{path}/members/bob", {"permissions": ["ADMIN"]}),
                await api.get(f"{path}/webhook-secret"),
                await api.post(f"{path}/webhook-secret/rotate"),
                await api.post("/api/v1/invitations", {"bucketId": reference}),
                await house.send(api, reference),
            ):
                assert (answer.status, answer.code) == (403, "bucket_forbidden")
    assert (await admin.api.delete(f"{BUCKETS}/{bucket}/members/bob")).code == "bucket_forbidden"
    stranger = await house.register("stranger")
    for answer in (
        await stranger.api.get(f"{BUCKETS}/{bucket}"),
        await stranger.api.post(f"{BUCKETS}/{bucket}/join"),
    ):
        assert answer.code == "bucket_not_found"
    after = await rows_of(house.pieces.db)
    assert after["messages"] == before["messages"]
    assert [row for row in after["bucket_members"] if bucket in row] == [
        row for row in before["bucket_members"] if bucket in row
    ]
    assert [row for row in after["buckets"] if bucket in row] == [
        row for row in before["buckets"] if bucket in row
    ]
