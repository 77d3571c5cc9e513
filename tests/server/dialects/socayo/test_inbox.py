"""A user's inbox by RPC: in pages, by topic and category, counted, marked, and the same as the native API has it."""

from typing import Any

import pytest

from server.commands.due import run_due
from server.domain.times import show_time
from tests.harness.acting import Acting, rows_of
from tests.harness.native import Reply
from tests.server.conftest import House, Person

STATES = {  # by which marks a message gets there
    "UNSEEN": [],
    "SEEN": ["SEEN"],
    "READ": ["READ"],
    "SEEN, unread again": ["READ", "UNREAD"],
}
BECOMES = {  # status, unseen and unread of one message, by where it was and how it is marked
    ("UNSEEN", "SEEN"): ("SEEN", 0, 1),
    ("UNSEEN", "READ"): ("READ", 0, 0),
    ("UNSEEN", "UNSEEN"): ("UNSEEN", 1, 1),
    ("UNSEEN", "UNREAD"): ("UNSEEN", 1, 1),
    ("SEEN", "SEEN"): ("SEEN", 0, 1),
    ("SEEN", "READ"): ("READ", 0, 0),
    ("SEEN", "UNSEEN"): ("UNSEEN", 1, 1),
    ("SEEN", "UNREAD"): ("SEEN", 0, 1),
    ("READ", "SEEN"): ("READ", 0, 0),
    ("READ", "READ"): ("READ", 0, 0),
    ("READ", "UNSEEN"): ("UNSEEN", 1, 1),
    ("READ", "UNREAD"): ("SEEN", 0, 1),
    ("SEEN, unread again", "SEEN"): ("SEEN", 0, 1),
    ("SEEN, unread again", "READ"): ("READ", 0, 0),
    ("SEEN, unread again", "UNSEEN"): ("UNSEEN", 1, 1),
    ("SEEN, unread again", "UNREAD"): ("SEEN", 0, 1),
}


@pytest.fixture
async def gateway(house: House, admin: Person) -> Acting:
    """What stands before the servers of a tenant, calling for Ann."""
    return Acting(await house.token(admin, "gateway"), "acme", "ann")


@pytest.fixture
async def acme(house: House, admin: Person) -> Acting:
    """The servers of that tenant."""
    return Acting(await house.token(admin, "admin"), "acme")


async def send(house: House, acme: Acting, *titles: str, user: str = "ann", **more: Any) -> list[str]:
    """Send messages to a user's inbox, a second apart; their transactions."""
    sent = []
    for title in titles:
        house.clock.advance(1000)
        body = {
            "userId": user,
            "channel": "IN_APP",
            "category": more.pop("category", "TRANSACTIONAL"),
            "content": {"title": title, **more},
        }
        answer = await acme.rpc("manage/send", body)
        assert answer.status == 200, answer.body
        sent.append(answer["transactionId"])
    return sent


async def to_topic(acme: Acting, topic: str, title: str) -> None:
    await acme.rpc("manage/add-subscribers-to-topic", {"topicKey": topic, "subscriberIds": ["ann"]})
    body = {
        "topicKey": topic,
        "channel": "IN_APP",
        "category": "PRODUCT",
        "content": {"title": title, "body": "b"},
    }
    answer = await acme.rpc("manage/send-to-topic", body)
    assert answer.status == 200, answer.body


async def feed(who: Acting, **body: Any) -> Reply:
    answer = await who.rpc("get-inbox-feed", body)
    assert answer.status == 200, answer.body
    return answer


async def titles(who: Acting, **body: Any) -> list[str]:
    return [row["title"] for row in (await feed(who, **body))["messages"]]


async def ids(who: Acting) -> dict[str, str]:
    return {row["title"]: row["messageId"] for row in (await feed(who, pageSize=100))["messages"]}


async def mark(who: Acting, message: str, status: str) -> Reply:
    return await who.rpc("mark-inbox-message", {"messageId": message, "status": status})


async def counts(who: Acting) -> tuple[int, int]:
    counted = (await who.rpc("get-inbox-unseen-count")).json
    return counted.pop("unseenCount"), counted.pop("unreadCount")


async def test_a_row_is_a_message_and_what_became_of_it(house: House, acme: Acting, gateway: Acting) -> None:
    data, link = {"screen": "conversation", "deep": {"er": [1]}}, "socayo://conversation/1"
    [plain] = await send(house, acme, "Plain")
    at = show_time(house.clock())
    [whole] = await send(house, acme, "Whole", body="All of it", data=data, deepLink=link, category="PRODUCT")

    first, second = (await feed(gateway))["messages"]

    assert first == {
        "messageId": first["messageId"],
        "notificationId": whole,
        "title": "Whole",
        "body": "All of it",
        "data": data,
        "deepLink": link,
        "status": "UNSEEN",
        "category": "PRODUCT",
        "createdAt": show_time(house.clock()),
    }
    assert second == {
        "messageId": second["messageId"],
        "notificationId": plain,
        "title": "Plain",
        "body": None,
        "data": {},
        "deepLink": None,
        "status": "UNSEEN",
        "category": "TRANSACTIONAL",
        "createdAt": at,
    }


async def test_pages_are_the_newest_first_and_say_how_many_there_are(
    house: House, acme: Acting, gateway: Acting
) -> None:
    await send(house, acme, *"abcde")

    pages = [(await feed(gateway, page=number, pageSize=2)).json for number in (1, 2, 3, 4)]

    shown = [[row["title"] for row in page.pop("messages")] for page in pages]
    assert shown == [["e", "d"], ["c", "b"], ["a"], []]
    assert pages == [
        {"hasMore": number < 3, "page": number, "pageSize": 2, "total": 5} for number in (1, 2, 3, 4)
    ]


async def test_the_total_of_a_long_inbox_is_only_counted_so_far(
    house: House, acme: Acting, gateway: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("server.commands.feeds", "server.dialects.socayo.fields"):
        monkeypatch.setattr(f"{module}.MOST_COUNTED", 2)
    await send(house, acme, "a", "b")
    exact = (await feed(gateway, pageSize=1)).json
    await send(house, acme, "c")
    bounded = (await feed(gateway, pageSize=1)).json

    assert (exact["total"], "totalIsLowerBound" in exact) == (2, False)
    assert (bounded["total"], bounded["totalIsLowerBound"], bounded["hasMore"]) == (2, True, True)


async def test_a_feed_is_everything_or_of_topics_buckets_and_categories(
    house: House, acme: Acting, gateway: Acting
) -> None:
    await send(house, acme, "direct", category="PROMOTIONAL")
    await to_topic(acme, "one", "of one")
    await to_topic(acme, "two", "of two")
    two = (await acme.call("GET", "/api/v1/topics/two"))["id"]

    assert (
        await titles(gateway) == await titles(gateway, feedIds=["default"]) == ["of two", "of one", "direct"]
    )
    assert await titles(gateway, feedIds=["one", "default"]) == ["of two", "of one", "direct"]
    assert await titles(gateway, feedIds=["one"]) == ["of one"]
    assert await titles(gateway, feedIds=[two]) == await titles(gateway, feedIds=["two"]) == ["of two"]
    assert await titles(gateway, feedIds=["two", "one", "two"], pageSize=1, page=2) == ["of one"]
    assert await titles(gateway, categories=["PROMOTIONAL", "SYSTEM"]) == ["direct"]
    assert await titles(gateway, categories=["PRODUCT"], feedIds=["two"]) == ["of two"]
    assert await titles(gateway, categories=["PROMOTIONAL"], feedIds=["two"]) == []
    assert (await feed(gateway, feedIds=["one", "two"], categories=["PRODUCT"]))["total"] == 2


async def test_a_persons_feeds_are_their_buckets_too(house: House, admin: Person) -> None:
    one, two = await house.bucket(admin, "One"), await house.bucket(admin, "Two")
    await house.send(admin.api, one, title="of one")
    await house.send(admin.api, two, title="of two")
    own = Acting(admin.api)

    assert await titles(own, feedIds=["One"]) == await titles(own, feedIds=[one.upper()]) == ["of one"]
    assert await titles(own, feedIds=["One", two]) == ["of two", "of one"]


async def test_every_feed_that_is_not_there_is_named(acme: Acting, gateway: Acting) -> None:
    await to_topic(acme, "one", "of one")
    other = Acting(gateway.api, "other", "ann")
    nowhere = "00000000-0000-7000-8000-000000000000"
    for who, given in ((gateway, ["one", "none", nowhere]), (other, ["default", "one", "none"])):
        for rpc, body in (("get-inbox-feed", {}), ("mark-all-inbox-messages", {"status": "READ"})):
            refused = await who.rpc(rpc, {**body, "feedIds": given})
            assert (refused.status, refused["error"]["code"]) == (404, "feed_not_found")
            assert [one["path"] for one in refused["error"]["details"]] == ["feedIds[1]", "feedIds[2]"]


@pytest.mark.parametrize(("state", "status"), BECOMES)
async def test_read_implies_seen_unseen_implies_unread_and_unread_keeps_seen(
    house: House, acme: Acting, gateway: Acting, state: str, status: str
) -> None:
    await send(house, acme, "a")
    message = (await ids(gateway))["a"]
    for earlier in STATES[state]:
        await mark(gateway, message, earlier)

    marked = await mark(gateway, message, status)

    shown, unseen, unread = BECOMES[state, status]
    assert marked.json == {"messageId": message, "status": shown}
    assert [row["status"] for row in (await feed(gateway))["messages"]] == [shown]
    assert await counts(gateway) == (unseen, unread)


@pytest.mark.parametrize(("state", "status"), BECOMES)
async def test_all_are_marked_as_one_is(
    house: House, acme: Acting, gateway: Acting, monkeypatch: pytest.MonkeyPatch, state: str, status: str
) -> None:
    """However many pages that takes; how many are counted that were not so before."""
    monkeypatch.setattr("server.commands.inbox.AT_ONCE", 2)
    await send(house, acme, *"abc")
    for message in (await ids(gateway)).values():
        for earlier in STATES[state]:
            await mark(gateway, message, earlier)
    before = (await feed(gateway))["messages"]

    marked = await gateway.rpc("mark-all-inbox-messages", {"status": status})

    shown, unseen, unread = BECOMES[state, status]
    after = (await feed(gateway))["messages"]
    assert [row["status"] for row in after] == [shown] * 3
    assert await counts(gateway) == (3 * unseen, 3 * unread)
    assert marked["marked"] == (0 if after == before else 3)
    assert (await gateway.rpc("mark-all-inbox-messages", {"status": status}))["marked"] == 0


async def test_all_of_some_feeds_are_marked(house: House, acme: Acting, gateway: Acting) -> None:
    await send(house, acme, "direct")
    for topic in ("one", "two", "three"):
        await to_topic(acme, topic, topic)

    body = {"status": "SEEN", "feedIds": ["one", "two"]}
    assert (await gateway.rpc("mark-all-inbox-messages", body)).json == {"marked": 2}

    statuses = {row["title"]: row["status"] for row in (await feed(gateway))["messages"]}
    assert statuses == {"direct": "UNSEEN", "one": "SEEN", "two": "SEEN", "three": "UNSEEN"}
    assert (await gateway.rpc("mark-all-inbox-messages", {**body, "feedIds": ["default"]}))["marked"] == 2


async def test_reading_clears_the_devices_and_seeing_does_not(house: House, admin: Person) -> None:
    phone, own = await house.phone(admin), Acting(admin.api)
    await house.send(admin.api, await house.bucket(admin), title="a")
    await house.accept_pushes()
    message = (await ids(own))["a"]

    for status in ("SEEN", "UNSEEN", "UNREAD"):
        await mark(own, message, status)
    assert await house.deliveries(device_id=phone.id, kind=3) == []
    woken = house.wakes.count
    await mark(own, message, "READ")
    assert len(await house.deliveries(device_id=phone.id, kind=3)) == 1
    assert house.wakes.count > woken


async def test_both_apis_have_one_inbox(house: House, admin: Person) -> None:
    own = Acting(admin.api)
    await house.send(admin.api, await house.bucket(admin), title="a")
    message = (await ids(own))["a"]

    await mark(own, message, "SEEN")
    native = await admin.api.get(f"/api/v1/notifications/{message}")
    assert (native["seenAt"], native["readAt"]) == (show_time(house.clock()), None)
    counted = (await admin.api.get("/api/v1/notifications/counts")).json
    assert (counted["unseen"], counted["unread"]) == await counts(own) == (0, 1)

    await admin.api.call("PATCH", f"/api/v1/notifications/{message}/read")
    assert [row["status"] for row in (await feed(own))["messages"]] == ["READ"]
    await own.rpc("delete-inbox-message", {"messageId": message})
    assert (await admin.api.get(f"/api/v1/notifications/{message}")).status == 410


async def test_what_was_postponed_is_new_again_when_it_comes_back(house: House, admin: Person) -> None:
    own = Acting(admin.api)
    await house.send(admin.api, await house.bucket(admin), title="a")
    message = (await ids(own))["a"]
    postponed = await admin.api.post(f"/api/v1/notifications/{message}/postpone", {"minutes": 1})
    assert (postponed.status, await counts(own)) == (200, (0, 0))

    house.clock.advance(60_000)
    while await run_due(house.pieces.db, now=house.clock(), random=house.random, log=house.pieces.log):
        pass

    assert await counts(own) == (1, 1)


async def test_what_is_deleted_is_gone_and_deleting_it_again_does_nothing(
    house: House, acme: Acting, gateway: Acting
) -> None:
    await send(house, acme, "a", "b")
    message = (await ids(gateway))["a"]

    for _ in range(2):
        deleted = await gateway.rpc("delete-inbox-message", {"messageId": message.upper()})
        assert (deleted.status, deleted.json) == (200, {"deleted": True})
    assert await titles(gateway) == ["b"]
    assert await counts(gateway) == (1, 1)
    gone = await mark(gateway, message, "READ")
    assert (gone.status, gone["error"]["code"]) == (410, "notification_gone")


async def test_what_nobody_has_is_not_found(house: House, acme: Acting, gateway: Acting) -> None:
    """Also what another user has, of this tenant or of another one by the same name."""
    await send(house, acme, "a")
    message = (await ids(gateway))["a"]
    strangers = (gateway.for_user("ben"), Acting(gateway.api, "other", "ann"))
    for who, given in ((gateway, "msg_123"), *((stranger, message) for stranger in strangers)):
        for refused in (
            await mark(who, given, "READ"),
            await who.rpc("delete-inbox-message", {"messageId": given}),
        ):
            assert (refused.status, refused["error"]["code"]) == (404, "notification_not_found")
    assert await counts(gateway) == (1, 1)


async def test_reading_as_somebody_who_is_not_there_finds_nothing_and_makes_nobody(
    house: House, gateway: Acting
) -> None:
    before = await rows_of(house.pieces.db)

    assert (await feed(gateway)).json == {
        "messages": [],
        "hasMore": False,
        "page": 1,
        "pageSize": 20,
        "total": 0,
    }
    assert await counts(gateway) == (0, 0)
    assert (await gateway.rpc("mark-all-inbox-messages", {"status": "READ"})).json == {"marked": 0}
    assert await rows_of(house.pieces.db) == before


async def test_every_fault_of_a_request_is_named(gateway: Acting) -> None:
    async def faults(rpc: str, body: object) -> list[str]:
        refused = await gateway.rpc(rpc, body)
        assert refused.status == 400, refused.body
        return [one["path"] for one in refused["error"]["details"]]

    wrong = {"page": 0, "pageSize": 101, "feedIds": ["a", ""], "categories": ["OTHER"]}
    assert await faults("get-inbox-feed", wrong) == ["page", "pageSize", "feedIds[1]", "categories[0]"]
    assert await faults("mark-inbox-message", {"status": "GONE"}) == ["messageId", "status"]
    assert await faults("mark-all-inbox-messages", {}) == ["status"]
    assert await faults("delete-inbox-message", {"messageId": 5}) == ["messageId"]
