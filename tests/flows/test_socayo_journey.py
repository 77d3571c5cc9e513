"""A week of an app that sends with the RPCs: what its phones show, what its inboxes hold, and what its servers are told of it.

The app has two tokens: one that manages (`admin`), and one with which its gateway calls for the user who is signed in there
(`gateway`). Its tenant is acme: ann has an iPhone, ben an Android phone and does not want news of the product on it, cem an Android phone,
dan no phone. In umbrella, another tenant, is eve, with a topic of the same key. All that is asked is asked over HTTP.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from server.domain.times import read_time, show_time
from simulator.phone import now_ms
from tests.harness.acting import Acting
from tests.harness.stack import running
from tests.harness.two_tenants import (
    World,
    counts,
    feed,
    received,
    results,
    said,
    told,
    two_tenants,
    until,
)

TOPIC = "weekly-updates"
DAY = 86_400_000
LONGEST_SECONDS = 240.0  # a phone that shows nothing is waited for no longer
ALL = {"TRANSACTIONAL": True, "PRODUCT": True, "PROMOTIONAL": True}
SUMMARY = "Your weekly health summary is ready"
WEEKLY = {
    "title": "Weekly Update",
    "body": SUMMARY,
    "data": {"screen": "summary", "week": 12},
    "deepLink": "socayo://summary/12",
}


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    url = "" if database_url.startswith("sqlite") else database_url
    async with running(tmp_path, database_url=url) as stack, two_tenants(stack) as world:
        yield world


async def test_a_week(world: World) -> None:
    async with asyncio.timeout(LONGEST_SECONDS):
        await a_week(world)


async def a_week(world: World) -> None:
    await phones_are_registered(world)
    await ben_opts_out(world)
    await a_topic_is_made(world)
    weekly = await a_topic_is_sent_to(world)
    maintenance = await what_is_of_the_system_comes_to_everybody(world)
    news = await what_is_for_inboxes_leaves_phones_alone(world)
    reminder = await what_is_scheduled_comes_at_its_time(world)
    cancelled = await what_is_cancelled_before_its_time_never_comes(world)
    await what_is_cancelled_after_it_came_is_taken_back(world, weekly)
    await inboxes_are_read(world, news)
    sent = {
        "weekly": weekly,
        "maintenance": maintenance,
        "news": news,
        "reminder": reminder,
        "never": cancelled,
    }
    await everything_is_in_the_activity(world, sent)
    await a_stranger_has_seen_nothing(world, weekly)


async def phones_are_registered(world: World) -> None:
    """By the app's gateway, with the push token that the phone was given and the key that it made."""
    await world.install("ann", platform="ios", suite=2)
    await world.install("ben", platform="android", suite=1)
    await world.install("cem", platform="android", suite=2)
    await world.install("eve", platform="android", suite=1)
    assert await channels(world, "ann") == {"PUSH": 1, "IN_APP": 1, "EMAIL": 0, "SMS": 0, "CHAT": 0}
    assert await channels(world, "dan") == {"PUSH": 0, "IN_APP": 0, "EMAIL": 0, "SMS": 0, "CHAT": 0}


async def channels(world: World, name: str) -> dict[str, int]:
    answer = await said(world.users[name].rpc("get-registered-channels"))
    assert all(one["registered"] is (one["credentialCount"] > 0) for one in answer["channels"])
    return {one["channel"]: one["credentialCount"] for one in answer["channels"]}


async def ben_opts_out(world: World) -> None:
    """Of what is about the product, on the phone: nothing else changes, and for nobody else."""
    no_product = {"channel": "PUSH", "category": "PRODUCT", "enabled": False}
    answer = await said(world.users["ben"].rpc("update-preferences", no_product))
    expected = [
        {"channel": channel, "channelEnabled": True, "categories": ALL}
        for channel in ("PUSH", "IN_APP", "EMAIL", "SMS", "CHAT")
    ]
    assert await said(world.users["ann"].rpc("get-preferences")) == {"preferences": expected}
    expected[0] = {**expected[0], "categories": {**ALL, "PRODUCT": False}}
    assert answer == {"preferences": expected}
    assert await said(world.users["ben"].rpc("get-preferences")) == answer


async def a_topic_is_made(world: World) -> None:
    """In either tenant, of the same key."""
    for manage, names in (
        (world.manage, ["ann", "ben", "cem", "dan"]),
        (world.stranger, ["eve"]),
    ):
        assert (await said(manage.rpc("manage/create-topic", {"topicKey": TOPIC})))["topicKey"] == TOPIC
        added = await manage.rpc(
            "manage/add-subscribers-to-topic", {"topicKey": TOPIC, "subscriberIds": names}
        )
        assert added["added"] == len(names)
        listed = await said(manage.rpc("manage/list-topic-subscribers", {"topicKey": TOPIC}))
        assert sorted(one["userId"] for one in listed["subscribers"]) == names
        assert (listed["total"], listed["hasMore"]) == (len(names), False)


async def a_topic_is_sent_to(world: World) -> str:
    """Ann gets it; ben does not want it, cem is left out, dan has no phone, and eve has never heard of it."""
    weekly = await world.sent(
        "send-to-topic",
        {
            "topicKey": TOPIC,
            "channel": "PUSH",
            "category": "PRODUCT",
            "content": WEEKLY,
            "excludeUserIds": ["cem"],
        },
    )
    await world.phones["ann"].shows(SUMMARY)
    card = world.phones["ann"].card(weekly)
    assert (card.title, card.content["data"], card.content["deepLink"]) == (
        WEEKLY["title"],
        WEEKLY["data"],
        WEEKLY["deepLink"],
    )
    await until(lambda: received(world, weekly))
    status = await world.status(weekly)
    assert (status["transactionId"], status["channel"], status["result"]) == (weekly, "PUSH", "DELIVERED")
    assert status["providerMessageId"]
    assert (status["total"], status["hasMore"]) == (3, False)
    found = {one["userId"]: one for one in status["deliveries"]}
    assert {name: (one["channel"], one["result"]) for name, one in found.items()} == {
        "ann": ("PUSH", "DELIVERED"),
        "ben": ("PUSH", "OPTED_OUT"),
        "dan": ("PUSH", "NO_CHANNEL"),
    }
    assert found["ann"]["deviceId"] == "phone of ann"
    assert found["ann"]["queuedAt"] <= found["ann"]["deliveredAt"]
    assert (found["ben"]["deliveredAt"], found["dan"]["receivedAt"]) == (None, None)
    return weekly


async def what_is_of_the_system_comes_to_everybody(world: World) -> str:
    """To ben too. It is the last of what was sent so far: whatever should not have come would have come before."""
    text = "The servers rest from two to three"
    maintenance = await world.sent(
        "send-to-topic",
        {
            "topicKey": TOPIC,
            "channel": "PUSH",
            "category": "SYSTEM",
            "content": {"title": "Maintenance", "body": text},
        },
    )
    for name in ("ann", "ben", "cem"):
        await world.phones[name].shows(text)
    assert world.shown("ann") == [SUMMARY, text]
    assert world.shown("ben") == world.shown("cem") == [text]
    assert await results(world, maintenance) == {
        "ann": "DELIVERED",
        "ben": "DELIVERED",
        "cem": "DELIVERED",
        "dan": "NO_CHANNEL",
    }
    return maintenance


async def what_is_for_inboxes_leaves_phones_alone(world: World) -> str:
    """Ann's app has a session for her inbox, and is told there as it comes."""
    before = {name: world.shown(name) for name in world.phones}
    session = await said(world.users["ann"].rpc("get-inbox-session"))
    async with world.stack.session.ws_connect(session["wsUrl"]) as socket:
        await socket.send_json({"type": "auth", "token": session["sessionToken"]})
        assert await told(socket, 2) == [
            ("unseen_count_changed", {"unseenCount": 0}),
            ("unread_count_changed", {"unreadCount": 0}),
        ]
        news = await world.sent(
            "send-to-topic",
            {
                "topicKey": TOPIC,
                "channel": "IN_APP",
                "category": "PRODUCT",
                "content": {"title": "News", "body": "What is new this week"},
                "excludeUserIds": ["cem"],
            },
        )
        [(event, message), *rest] = await told(socket, 3)
    assert (event, message["notificationId"], message["status"]) == ("notification_received", news, "UNSEEN")
    assert rest == [
        ("unseen_count_changed", {"unseenCount": 1}),
        ("unread_count_changed", {"unreadCount": 1}),
    ]
    own = world.manage.api.with_token(session["sessionToken"])
    assert await feed(Acting(own)) == await feed(world.users["ann"]) == [(news, "News", "UNSEEN")]
    assert (await own.post("/api/v1/notifications/get-preferences", {})).status == 403
    assert await results(world, news) == {"ann": "DELIVERED", "ben": "DELIVERED", "dan": "DELIVERED"}
    assert {name: world.shown(name) for name in world.phones} == before
    return news


async def what_is_scheduled_comes_at_its_time(world: World) -> str:
    at = now_ms() + 3_000
    text = "Your coach is waiting"
    reminder = await world.sent(
        "send-scheduled",
        {
            "userId": "ann",
            "channel": "PUSH",
            "category": "TRANSACTIONAL",
            "content": {"title": "Session", "body": text},
            "scheduledAt": show_time(at),
            "timezone": "America/New_York",
        },
    )
    status = await world.status(reminder)
    assert (status["result"], status["deliveries"]) == ("SENT", [])
    shown = await world.phones["ann"].shows(text)
    assert shown.shown_at >= at
    assert await results(world, reminder) == {"ann": "DELIVERED"}
    return reminder


async def what_is_cancelled_before_its_time_never_comes(world: World) -> str:
    """It says that it was cancelled as often as one asks."""
    never = await world.sent(
        "send-scheduled",
        {
            "userId": "ann",
            "channel": "PUSH",
            "category": "PRODUCT",
            "content": {"title": "Weekly Summary", "body": "Nobody reads this"},
            "scheduledAt": show_time(now_ms() + DAY),
        },
    )
    for _ in range(2):
        answer = await said(world.manage.rpc("manage/cancel", {"transactionId": never}))
        assert answer == {"transactionId": never, "cancelled": True}
    assert (await world.status(never))["result"] == "CANCELLED"
    assert await results(world, never) == {"ann": "CANCELLED"}
    return never


async def what_is_cancelled_after_it_came_is_taken_back(world: World, weekly: str) -> None:
    """It goes from the screen of the one phone that it came to; that it was delivered stays true."""
    for _ in range(2):
        answer = await said(world.manage.rpc("manage/cancel", {"transactionId": weekly}))
        assert answer == {"transactionId": weekly, "cancelled": False, "retracted": 1}
    await world.phones["ann"].until(lambda inbox: weekly not in inbox.cards)
    assert world.standing("ann") == ["The servers rest from two to three", "Your coach is waiting"]
    assert await results(world, weekly) == {"ann": "DELIVERED", "ben": "OPTED_OUT", "dan": "NO_CHANNEL"}


async def inboxes_are_read(world: World, news: str) -> None:
    """What goes to phones only is in no inbox."""
    ann = world.users["ann"]
    late = await world.sent(
        "send-delayed",
        {
            "userId": "ann",
            "channel": "IN_APP",
            "category": "TRANSACTIONAL",
            "content": {"title": "Follow-up", "body": "How did your workout go?"},
            "delaySeconds": 1,
        },
    )

    async def has_come() -> bool:
        return len(await feed(ann)) == 2

    await until(has_come)
    assert await feed(ann) == [(late, "Follow-up", "UNSEEN"), (news, "News", "UNSEEN")]
    assert await feed(ann, categories=["PRODUCT"]) == [(news, "News", "UNSEEN")]
    assert await feed(ann, feedIds=[TOPIC]) == [(news, "News", "UNSEEN")]
    assert await counts(ann) == (2, 2)
    [first, second] = (await said(ann.rpc("get-inbox-feed")))["messages"]
    await said(ann.rpc("mark-inbox-message", {"messageId": first["messageId"], "status": "READ"}))
    assert await counts(ann) == (1, 1)
    await said(ann.rpc("mark-inbox-message", {"messageId": second["messageId"], "status": "SEEN"}))
    assert await counts(ann) == (0, 1)
    assert await feed(ann) == [(late, "Follow-up", "READ"), (news, "News", "SEEN")]
    assert await said(ann.rpc("mark-all-inbox-messages", {"status": "UNSEEN"})) == {"marked": 2}
    assert await counts(ann) == (2, 2)
    await said(ann.rpc("delete-inbox-message", {"messageId": first["messageId"]}))
    await said(ann.rpc("mark-all-inbox-messages", {"status": "READ", "feedIds": ["default"]}))
    assert (await feed(ann), await counts(ann)) == ([(news, "News", "READ")], (0, 0))
    for name in ("ben", "dan"):
        assert await feed(world.users[name]) == [(news, "News", "UNSEEN")]
        assert await counts(world.users[name]) == (1, 1)
    assert await feed(world.users["cem"]) == []
    stolen = {"messageId": second["messageId"], "status": "READ"}
    for name in ("ben", "eve"):
        assert (await world.users[name].rpc("mark-inbox-message", stolen)).status == 404


async def everything_is_in_the_activity(world: World, sent: Mapping[str, str]) -> None:
    """Newest first, and by whatever it is narrowed; natively the same."""
    named = {transaction: name for name, transaction in sent.items()}
    whole = await world.activity()
    entries = whole["activities"]
    found = [
        (
            named.get(one["transactionId"], "late"),
            one["userId"],
            one["channel"],
            one["category"],
            one["result"],
        )
        for one in entries
    ]
    assert Counter(found) == Counter(
        [
            ("weekly", "ann", "PUSH", "PRODUCT", "DELIVERED"),
            ("weekly", "ben", "PUSH", "PRODUCT", "OPTED_OUT"),
            ("weekly", "dan", "PUSH", "PRODUCT", "NO_CHANNEL"),
            ("maintenance", "ann", "PUSH", "SYSTEM", "DELIVERED"),
            ("maintenance", "ben", "PUSH", "SYSTEM", "DELIVERED"),
            ("maintenance", "cem", "PUSH", "SYSTEM", "DELIVERED"),
            ("maintenance", "dan", "PUSH", "SYSTEM", "NO_CHANNEL"),
            ("news", "ann", "IN_APP", "PRODUCT", "DELIVERED"),
            ("news", "ben", "IN_APP", "PRODUCT", "DELIVERED"),
            ("news", "dan", "IN_APP", "PRODUCT", "DELIVERED"),
            ("reminder", "ann", "PUSH", "TRANSACTIONAL", "DELIVERED"),
            ("never", "ann", "PUSH", "PRODUCT", "CANCELLED"),
            ("late", "ann", "IN_APP", "TRANSACTIONAL", "DELIVERED"),
        ]
    )
    assert list(dict.fromkeys(name for name, *_ in found)) == [
        "late",
        "never",
        "reminder",
        "news",
        "maintenance",
        "weekly",
    ]
    assert (whole["total"], whole["hasMore"]) == (13, False)
    assert {one["reason"] for one in entries if one["result"] == "OPTED_OUT"} == {"opted_out"}
    phones = {(one["userId"], one["deviceId"]) for one in entries if "deviceId" in one}
    assert phones == {(name, f"phone of {name}") for name in ("ann", "ben", "cem")}
    assert not [one for one in entries if one["transactionId"] == sent["weekly"] and "title" in one]
    titles = {one["title"] for one in entries if one["transactionId"] == sent["news"]}
    assert titles == {"News"}
    for filters in (
        {"channels": ["IN_APP"]},
        {"categories": ["SYSTEM", "TRANSACTIONAL"]},
        {"channels": ["PUSH"], "categories": ["PRODUCT"]},
    ):
        narrowed = await world.activity(**filters)
        assert narrowed["activities"] == [one for one in entries if is_among(one, filters)]
    middle = entries[6]["queuedAt"]
    later = await world.activity(startTime=middle)
    assert later["activities"] == [one for one in entries if read_time(one["queuedAt"]) >= read_time(middle)]
    native = await said(world.manage.call("GET", "/api/v1/activity?limit=100"))
    assert [(one["messageId"], one["result"], one["queuedAt"]) for one in native["activities"]] == [
        (one["transactionId"], one["result"], one["queuedAt"]) for one in entries
    ]


def is_among(entry: Mapping[str, Any], filters: Mapping[str, list[str]]) -> bool:
    return all(entry[name] in filters.get(plural, [entry[name]]) for name, plural in FILTERS.items())


FILTERS = {"channel": "channels", "category": "categories"}


async def a_stranger_has_seen_nothing(world: World, weekly: str) -> None:
    """Eve's phone shows what umbrella sends her, and it is the first that it shows."""
    eve, stranger = world.users["eve"], world.stranger
    assert await feed(eve) == []
    assert await counts(eve) == (0, 0)
    for rpc in ("cancel", "get-delivery-status"):
        assert (await stranger.rpc(f"manage/{rpc}", {"transactionId": weekly})).status == 404
    assert (await said(stranger.rpc("manage/get-notification-activity")))["activities"] == []
    own = {"topicKey": TOPIC, "channel": "PUSH", "content": {"title": "Umbrella", "body": "Only for us"}}
    sent = (await said(stranger.rpc("manage/send-to-topic", own)))["transactionId"]
    await world.phones["eve"].shows("Only for us")
    assert world.shown("eve") == ["Only for us"]
    [entry] = (await said(stranger.rpc("manage/get-notification-activity")))["activities"]
    assert (entry["transactionId"], entry["userId"]) == (sent, "eve")
    assert (await world.activity())["total"] == 13
