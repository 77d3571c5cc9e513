"""Sending by RPC: whoever is named gets it, at its time, once, or nobody does."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from server.commands.due import run_due
from server.domain.times import show_time
from tests.harness.acting import RPCS, Acting, rows_of
from tests.harness.native import Reply
from tests.server.conftest import House, Person

CONTENT = {"title": "New Message", "body": "You have a new coaching update"}
SENDS = ("send", "send-scheduled", "send-delayed", "send-bulk", "send-to-topic")
MINUTE = 60_000
TO: dict[str, dict[str, Any]] = {
    "send": {"userId": "ann"},
    "send-scheduled": {"userId": "ann", "scheduledAt": "2027-03-20T09:00:00Z"},
    "send-delayed": {"userId": "ann", "delaySeconds": 60},
    "send-bulk": {"userIds": ["ann", "bob"]},
    "send-to-topic": {"topicKey": "weekly-updates"},
}


@pytest.fixture
async def acme(house: House, admin: Person) -> Acting:
    """The servers of acme, of which nothing is known yet."""
    return Acting(await house.token(admin, "admin"), "acme")


async def send(who: Acting, rpc: str = "send", **more: Any) -> Reply:
    body = {"channel": "IN_APP", "category": "PRODUCT", "content": CONTENT, **TO[rpc], **more}
    return await who.rpc(f"manage/{rpc}", body)


async def sent(who: Acting, rpc: str = "send", **more: Any) -> str:
    answer = await send(who, rpc, **more)
    assert answer.status == 200, answer.body
    assert answer.json == {"transactionId": answer["transactionId"]}
    return str(answer["transactionId"])


async def topic(who: Acting) -> None:
    assert (await who.rpc("manage/create-topic", {"topicKey": "weekly-updates"})).status == 200


async def row(house: House, message: str) -> dict[str, Any]:
    found = await house.pieces.db.read(lambda tx: tx.one("SELECT * FROM messages WHERE id = $1", message))
    assert found is not None
    return dict(found)


async def names(house: House, message: str) -> list[str]:
    """Return the external ids of who has a message in the inbox."""
    rows = await house.pieces.db.read(
        lambda tx: tx.all(
            "SELECT u.external_id FROM inbox_items i JOIN users u ON u.id = i.user_id WHERE i.message_id = $1",
            message,
        )
    )
    return sorted(row["external_id"] for row in rows)


async def pass_by(house: House, milliseconds: int) -> None:
    """Let time go by, and do what has become due."""
    house.clock.now += milliseconds
    pieces = house.pieces
    while await run_due(pieces.db, now=house.clock(), random=pieces.random, log=pieces.log):
        pass


async def test_who_is_named_first_comes_to_be_and_gets_it(house: House, acme: Acting) -> None:
    message = await sent(acme)
    assert await names(house, message) == ["ann"]
    native = await acme.call("GET", f"/api/v1/messages/{message}")
    assert (native["title"], native["body"], native["category"]) == (*CONTENT.values(), "PRODUCT")
    assert (native["channels"], native["deliveryType"]) == (["IN_APP"], "NORMAL")


async def test_everything_that_a_notification_may_say_is_said(acme: Acting) -> None:
    content = {
        **CONTENT,
        "data": {"screen": "conversation", "id": "conv_abc"},
        "deepLink": "socayo://conversation/conv_abc",
        "imageUrl": "https://example.com/a.png",
    }
    message = await sent(acme, content=content)
    native = await acme.call("GET", f"/api/v1/messages/{message}")
    assert (native["data"], native["deepLink"]) == (content["data"], content["deepLink"])
    assert native["attachments"] == [{"mediaType": "IMAGE", "url": content["imageUrl"]}]


async def test_a_category_that_is_left_out_is_transactional(house: House, acme: Acting) -> None:
    message = await sent(acme, category=None)
    assert (await row(house, message))["category"] == "TRANSACTIONAL"


async def test_a_bulk_reaches_each_user_once_however_often_they_are_named(house: House, acme: Acting) -> None:
    """By whichever of their names."""
    first = await sent(acme)
    [item] = await house.pieces.db.read(lambda tx: tx.all("SELECT user_id FROM inbox_items"))
    message = await sent(acme, "send-bulk", userIds=["ann", "bob", "ann", item["user_id"]])
    assert await names(house, message) == ["ann", "bob"]
    assert message != first


@pytest.mark.parametrize(
    ("users", "reason"),
    [([], "has 0 entries"), ([f"u{n}" for n in range(101)], "has 101 entries"), (None, "is missing")],
)
async def test_a_bulk_has_one_to_a_hundred_users(acme: Acting, users: object, reason: str) -> None:
    answer = await send(acme, "send-bulk", userIds=users)
    assert answer.status == 400
    assert [(one["path"], one["reason"]) for one in answer["error"]["details"]] == [("userIds", reason)]
    assert (await send(acme, "send-bulk", userIds=[f"u{n}" for n in range(100)])).status == 200


async def test_a_bulk_in_which_something_is_wrong_reaches_nobody_and_makes_nobody(
    house: House, acme: Acting
) -> None:
    before = await rows_of(house.pieces.db)
    answer = await send(acme, "send-bulk", userIds=["ann", "", "bob\n"], content={"title": "x" * 101})
    assert answer.status == 400
    assert [one["path"] for one in answer["error"]["details"]] == [
        "content.title",
        "userIds[1]",
        "userIds[2]",
    ]
    assert await rows_of(house.pieces.db) == before


async def test_a_topic_reaches_its_subscribers_but_those_who_are_excluded(house: House, acme: Acting) -> None:
    """A name that nobody has excludes nobody, and makes nobody."""
    await topic(acme)
    for name in ("ann", "bob", "eve"):
        await sent(acme, userId=name)
    await house.pieces.db.write(
        lambda tx: tx.run(
            "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at)"
            " SELECT b.id, u.id, '[\"READ\"]', 1 FROM buckets b, users u"
            " WHERE b.topic_key = 'weekly-updates' AND u.external_id IS NOT NULL AND u.tenant_id = b.tenant_id"
        )
    )
    message = await sent(acme, "send-to-topic", excludeUserIds=["bob", "nobody"])
    assert await names(house, message) == ["ann", "eve"]
    assert (await row(house, message))["notifications"] == 2
    users = await house.pieces.db.read(lambda tx: tx.all("SELECT id FROM users WHERE external_id = 'nobody'"))
    assert users == []


async def test_a_topic_that_is_unknown_is_not_made_by_sending_to_it(acme: Acting) -> None:
    answer = await send(acme, "send-to-topic")
    assert (answer.status, answer["error"]["code"]) == (404, "topic_not_found")


async def test_a_topic_of_another_tenant_is_unknown(acme: Acting) -> None:
    await topic(acme)
    answer = await send(Acting(acme.api, "globex"), "send-to-topic")
    assert (answer.status, answer["error"]["code"]) == (404, "topic_not_found")


async def test_the_user_for_whom_a_gateway_calls_is_the_sender(house: House, acme: Acting) -> None:
    message = await sent(acme.for_user("coach"))
    sender = await house.pieces.db.read(
        lambda tx: tx.one(
            "SELECT u.external_id FROM messages m JOIN users u ON u.id = m.sender_id WHERE m.id = $1", message
        )
    )
    assert sender is not None
    assert sender["external_id"] == "coach"


@pytest.mark.parametrize("rpc", SENDS)
async def test_only_who_manages_a_tenant_sends(house: House, admin: Person, rpc: str) -> None:
    """A gateway's token is for what concerns the user that it names."""
    for scopes in (("gateway",), ("messages:create",), ("messages:read",)):
        answer = await send(Acting(await house.token(admin, *scopes)), rpc)
        assert (answer.status, answer["error"]["code"]) == (403, "scope_missing")


# When


@pytest.mark.parametrize("seconds", [1, 3600, 86_400])
async def test_a_delayed_notification_comes_after_its_delay(house: House, acme: Acting, seconds: int) -> None:
    message = await sent(acme, "send-delayed", delaySeconds=seconds)
    await pass_by(house, seconds * 1000 - 1)
    assert await names(house, message) == []
    await pass_by(house, 1)
    assert await names(house, message) == ["ann"]


@pytest.mark.parametrize("seconds", [0, -1, 86_401, 1.5, "60", True])
async def test_a_delay_is_a_second_to_a_day(acme: Acting, seconds: object) -> None:
    answer = await send(acme, "send-delayed", delaySeconds=seconds)
    assert answer.status == 400
    assert [one["path"] for one in answer["error"]["details"]] == ["delaySeconds"]


@pytest.mark.parametrize(
    ("at", "zone", "instant"),
    [
        ("2027-03-20T09:00:00Z", "America/New_York", "2027-03-20T09:00:00.000Z"),
        ("2027-03-20T09:00:00+02:00", None, "2027-03-20T07:00:00.000Z"),
        ("2027-03-20T09:00:00", "America/New_York", "2027-03-20T13:00:00.000Z"),
        ("2027-07-20T09:00", "Europe/Berlin", "2027-07-20T07:00:00.000Z"),
        ("2027-03-14T02:30:00", "America/New_York", "2027-03-14T07:30:00.000Z"),  # is skipped: 03:30
        ("2027-11-07T01:30:00", "America/New_York", "2027-11-07T05:30:00.000Z"),  # comes twice: the first
    ],
)
async def test_a_time_is_an_instant_or_the_one_on_the_wall(
    house: House, acme: Acting, at: str, zone: str | None, instant: str
) -> None:
    message = await sent(acme, "send-scheduled", scheduledAt=at, timezone=zone)
    due = (await row(house, message))["scheduled_at"]
    assert show_time(due) == instant
    await pass_by(house, due - house.clock() - 1)
    assert await names(house, message) == []
    await pass_by(house, 1)
    assert await names(house, message) == ["ann"]


@pytest.mark.parametrize(
    ("at", "zone", "path", "reason"),
    [
        (None, None, "scheduledAt", "is missing"),
        ("2027-01-15T07:59:59Z", None, "scheduledAt", "has passed"),
        ("2027-01-15T08:00:00Z", None, "scheduledAt", "has passed"),
        ("2027-01-15T09:59:59", "Europe/Athens", "scheduledAt", "has passed"),
        ("2027-03-20T09:00:00", None, "scheduledAt", "has no offset"),
        ("2027-03-20", None, "scheduledAt", "is not a time (RFC 3339)"),
        ("2027-02-30T09:00:00Z", None, "scheduledAt", "is not a time (RFC 3339)"),
        (1_800_000_060, None, "scheduledAt", "is not a time (RFC 3339)"),
        ("2029-01-01T00:00:00Z", None, "scheduledAt", "is more than a year ahead"),
        ("2027-03-20T09:00:00Z", "Mars/Olympus", "timezone", "is not a time zone"),
        ("2027-03-20T09:00:00", "Mars/Olympus", "timezone", "is not a time zone"),
    ],
)
async def test_a_time_that_is_none_or_has_passed_is_refused(
    house: House, acme: Acting, at: object, zone: str | None, path: str, reason: str
) -> None:
    before = await rows_of(house.pieces.db)
    answer = await send(acme, "send-scheduled", scheduledAt=at, timezone=zone)
    assert answer.status == 400
    [fault] = answer["error"]["details"]
    assert (fault["path"], fault["reason"]) == (path, reason)
    assert fault["fix"]
    assert await rows_of(house.pieces.db) == before


async def test_the_clock_of_these_tests_is_where_they_say(house: House) -> None:
    assert datetime.fromtimestamp(house.clock() / 1000, UTC).isoformat() == "2027-01-15T08:00:00+00:00"


# Once


@pytest.mark.parametrize("rpc", SENDS)
async def test_a_repeated_call_sends_once_and_is_answered_as_at_first(
    house: House, acme: Acting, rpc: str
) -> None:
    await topic(acme)
    first = await sent(acme, rpc, idempotencyKey="unique-key-123")
    house.clock.now += MINUTE
    assert await sent(acme, rpc, idempotencyKey="unique-key-123") == first
    [one] = await house.pieces.db.read(lambda tx: tx.all("SELECT id FROM messages"))
    assert one["id"] == first


async def test_a_key_of_another_call_is_refused(acme: Acting) -> None:
    await sent(acme, idempotencyKey="k")
    answer = await send(acme, idempotencyKey="k", userId="bob")
    assert (answer.status, answer["error"]["code"]) == (409, "idempotency_key_reused")
    assert [one["path"] for one in answer["error"]["details"]] == ["idempotencyKey"]


async def test_keys_are_of_one_tenant_and_one_rpc(acme: Acting) -> None:
    """And of whichever of the tenant's servers calls, with whichever token."""
    first = await sent(acme, idempotencyKey="k")
    assert await sent(acme, "send-bulk", idempotencyKey="k") != first
    assert await sent(Acting(acme.api, "globex"), idempotencyKey="k") != first
    assert await sent(acme.for_user("coach"), idempotencyKey="k") == first


async def test_a_key_is_free_again_after_a_day(house: House, acme: Acting) -> None:
    first = await sent(acme, idempotencyKey="k")
    house.clock.now += 86_400_000
    assert await sent(acme, idempotencyKey="k", userId="bob") != first


async def test_a_repeat_is_answered_though_the_time_that_it_names_has_passed(
    house: House, acme: Acting
) -> None:
    at = {"scheduledAt": "2027-01-15T09:00:00Z", "idempotencyKey": "k"}
    first = await sent(acme, "send-scheduled", **at)
    house.clock.now += 120 * MINUTE
    assert await sent(acme, "send-scheduled", **at) == first
    other = await send(acme, "send-scheduled", **{**at, "idempotencyKey": "other"})
    assert [one["reason"] for one in other["error"]["details"]] == ["has passed"]


async def test_of_calls_at_the_same_moment_one_is_carried_out(house: House, acme: Acting) -> None:
    await sent(acme, userId="first")
    answers = await asyncio.gather(*(send(acme, idempotencyKey="k") for _ in range(8)))
    made = {answer["transactionId"] for answer in answers if answer.status == 200}
    assert len(made) == 1
    refused = [answer for answer in answers if answer.status != 200]
    assert {(one.status, one["error"]["code"]) for one in refused} <= {(409, "idempotency_key_in_flight")}
    assert all(int(one.headers["Retry-After"]) > 0 for one in refused)
    assert len(await house.deliveries()) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "é", 5])
async def test_a_key_is_visible_ascii(acme: Acting, key: object) -> None:
    answer = await send(acme, idempotencyKey=key)
    assert [one["path"] for one in answer["error"]["details"]] == ["idempotencyKey"]


@pytest.mark.parametrize("levels", [100, 300, 1000])
async def test_what_is_nested_too_deep_is_refused(acme: Acting, levels: int) -> None:
    """Also where nobody reads it: all that was asked for belongs to its key."""
    deep = b"[" * levels + b"]" * levels
    body = (
        b'{"userId": "ann", "channel": "IN_APP", "content": {"title": "Hi"}, "idempotencyKey": "k", "x": %b}'
    )
    answer = await acme.api.call("POST", RPCS + "manage/send", raw=body % deep, headers=acme.headers)
    assert (answer.status, answer["error"]["code"]) == (400, "invalid")


async def test_all_that_is_wrong_is_said_at_once(acme: Acting) -> None:
    answer = await acme.rpc("manage/send", {"channel": "PIGEON", "content": {"deepLink": "javascript:x"}})
    assert answer.status == 400
    assert [one["path"] for one in answer["error"]["details"]] == [
        "channel",
        "content.title",
        "content.deepLink",
        "userId",
    ]
