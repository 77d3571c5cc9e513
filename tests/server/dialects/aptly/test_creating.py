"""Notifications from templates: the documented example as printed, what is filled in, what is refused, and where it all shows."""

import asyncio
from typing import Any

import pytest

from server.domain.times import show_time
from tests.harness.acting import Acting, rows_of
from tests.harness.aptly import PREFIXES, USER, Aptly
from tests.server.conftest import House, Person

PRINTED = {
    "templateKey": "DELEGATION_ISSUED",
    "userId": "550e8400-e29b-41d4-a716-446655440000",
    "tenantId": "550e8400-e29b-41d4-a716-446655440000",
    "entityType": "delegation",
    "entityId": "1387b022-c897-4008-90d9-4e49d78249f8",
    "actionUrl": "https://example.com/delegations/123456",
    "payload": {"delegationName": "Q3 Budget Review", "priority": "high"},
    "placeholders": {"delegation_id": "ABC123", "user_email": "[email protected]"},
}


@pytest.fixture
async def servers(house: House, admin: Person) -> Aptly:
    """The servers of an app."""
    return Aptly(await house.token(admin, "admin"))


@pytest.fixture
async def ann(house: House, admin: Person) -> Aptly:
    """What stands before those servers, calling for the user who gets it all."""
    return Aptly(await house.token(admin, "gateway")).as_user()


def faults(answer: Any) -> str:
    """Hold a refusal to its form, and return what it says."""
    assert answer.status == 400, answer.body
    assert answer.json.keys() == {"statusCode", "timestamp", "message", "error"}
    assert (answer["statusCode"], answer["error"]) == (400, "Bad Request")
    return str(answer["message"])


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_documented_example_works_as_printed(house: House, servers: Aptly, prefix: str) -> None:
    await servers.template()
    house.clock.advance(1000)

    answer = await servers.api.post(f"{prefix}/notifications", PRINTED)

    at = show_time(house.clock())
    assert answer.status == 201
    assert answer.json == {
        "statusCode": 200,
        "timestamp": at,
        "message": "Success",
        "data": {
            "id": answer["data"]["id"],
            "tenantId": PRINTED["tenantId"],
            "templateKey": "DELEGATION_ISSUED",
            "category": "Delegations",
            "title": "Delegation Issued",
            "message": "Delegation ABC123 was issued to you. Click to review.",
            "isActionable": True,
            "status": "UNREAD",
            "createdAt": at,
            "readAt": None,
            "userId": PRINTED["userId"],
            "entityType": "delegation",
            "entityId": PRINTED["entityId"],
            "actionUrl": PRINTED["actionUrl"],
            "payload": PRINTED["payload"],
            "relativeTime": "just now",
        },
    }


async def test_the_inbox_shows_what_was_answered(house: House, servers: Aptly, ann: Aptly) -> None:
    await servers.template()
    made = await servers.made(payload={"a": [1]}, actionUrl="/delegations/1")
    house.clock.advance(7_200_000)

    listed = (await ann.inbox())["data"]
    one = await ann.get(made["id"])

    assert one["data"] == {**made, "relativeTime": "2 hours ago"}
    assert one["timestamp"] == show_time(house.clock())
    assert listed == {"page": 1, "limit": 20, "total": 1, "data": [one["data"]]}


async def test_the_phone_and_the_native_inbox_show_it_too(house: House, servers: Aptly) -> None:
    """One store: a tap leads where the action does, the payload is the app's data, a category nobody knows is a label."""
    await servers.template(title="{{ who }} waits", message="For {{what}}")
    made = await servers.made(
        placeholders={"who": "Ben", "what": 7}, actionUrl="app://plans/1", payload={"plan": 1}
    )

    native = await Acting(servers.api, servers.tenant, USER).call(
        "GET", f"/api/v1/notifications/{made['id']}"
    )
    message = native["message"]
    assert (message["title"], message["body"]) == ("Ben waits", "For 7")
    assert message["data"] == {"plan": 1}
    assert message["tapAction"] == {"type": "NAVIGATE", "value": "app://plans/1"}
    assert (message["category"], message["channels"]) == ("TRANSACTIONAL", ["IN_APP", "PUSH"])
    assert message["senderId"] is None
    feed = await Acting(servers.api, servers.tenant, USER).rpc("get-inbox-feed")
    assert [row["messageId"] for row in feed["messages"]] == [made["id"]]
    assert house.wakes.count > 0


async def test_a_phone_gets_it_by_push(house: House, servers: Aptly) -> None:
    await servers.template()
    acting = Acting(servers.api, servers.tenant, USER)
    device = {"fcmToken": "t", "deviceId": "phone", "platform": "ANDROID", "handle": house.handle()}
    assert (await acting.rpc("register-push-device", device)).status == 200

    await servers.made()

    assert [row["state"] for row in await house.deliveries(channel="PUSH")] == ["queued"]


async def test_what_is_no_json_is_said_of_the_body_with_its_place(servers: Aptly) -> None:
    answer = await servers.api.call("POST", "/v1/notifications", raw=b'{"userId": }')
    assert faults(answer).startswith("the body is not JSON (line 1, column 12: ")
    missing = await servers.api.post("/v1/notifications", {"templateKey": "K"})
    assert "userId is missing: send one like 550e8400-e29b-41d4-a716-446655440000" in faults(missing)


async def test_whoever_is_named_for_the_first_time_is_made_and_the_tenant_is_not(
    house: House, servers: Aptly, ann: Aptly
) -> None:
    before = await rows_of(house.pieces.db)
    refused = await servers.notify()
    assert (refused.status, refused["error"]) == (404, "Not Found")
    assert refused["message"] == (
        "no such template: create it first with POST /v1/templates; GET lists those of a tenant"
    )
    assert await rows_of(house.pieces.db) == before

    await servers.template()
    made = await rows_of(house.pieces.db)
    assert (len(made["tenants"]), len(made["users"])) == (len(before["tenants"]) + 1, len(before["users"]))
    other = await servers.notify(templateKey="OTHER")
    assert (other.status, other.json.keys()) == (404, refused.json.keys())
    assert other["message"] == refused["message"]
    assert await rows_of(house.pieces.db) == made

    await servers.made()
    await servers.made()
    assert len((await rows_of(house.pieces.db))["users"]) == len(made["users"]) + 1
    assert len(await ann.titles()) == 2


async def test_placeholders_that_are_missing_are_all_named_and_others_passed_over(
    house: House, servers: Aptly, ann: Aptly
) -> None:
    await servers.template(title="{{first}}", message="{{ delegation_id }} {{second}}")
    before = await rows_of(house.pieces.db)
    said = faults(await servers.notify(placeholders={"delegation_id": "A", "second": None, "more": 1}))
    assert "placeholders.first is missing" in said
    assert "placeholders.second is missing" in said
    assert "delegation_id" not in said
    assert await rows_of(house.pieces.db) == before
    await servers.made(placeholders={"delegation_id": "A", "second": "{{first}}", "first": True, "more": 1})
    [row] = (await ann.inbox())["data"]["data"]
    assert (row["title"], row["message"]) == ("true", "A {{first}}")


async def test_every_fault_is_named_at_once(servers: Aptly) -> None:
    await servers.template()
    said = faults(
        await servers.notify(
            templateKey="",
            userId="x" * 36,
            tenantId="acme",
            entityType=5,
            entityId=None,
            placeholders={"a": [], "b": {"c": 1}, "d": "\x00"},
            actionUrl="javascript:alert(1)",
            payload="text",
        )
    )
    for place in (
        "templateKey",
        "userId",
        "tenantId",
        "entityType",
        "entityId",
        "placeholders.a",
        "placeholders.b",
        "placeholders.d",
        "actionUrl",
        "payload",
    ):
        assert f"{place} " in said, said
    nothing = faults(await servers.call("POST", "notifications", {}, tenantId=None))
    for place in ("templateKey", "userId", "tenantId", "entityType", "entityId", "placeholders"):
        assert f"{place} is missing" in nothing


@pytest.mark.parametrize("payload", [{"a": "x" * 5_000}, []])
async def test_a_payload_that_is_too_large_or_no_object_is_refused(servers: Aptly, payload: Any) -> None:
    await servers.template()
    assert "payload " in faults(await servers.notify(payload=payload))


async def test_who_wants_none_in_the_inbox_gets_none_and_the_answer_has_the_messages_id(
    servers: Aptly, ann: Aptly
) -> None:
    await servers.template()
    acting = Acting(servers.api, servers.tenant, USER)
    off = {"channel": "IN_APP", "category": "TRANSACTIONAL", "enabled": False}
    assert (await acting.rpc("update-preferences", off)).status == 200

    made = await servers.made()

    assert (made["status"], made["readAt"]) == ("UNREAD", None)
    assert await ann.titles() == []
    assert (await ann.count())["total"] == 0
    assert (await ann.get(made["id"])).status == 404
    assert (
        await servers.api.call(
            "GET", f"/api/v1/messages/{made['id']}", headers={"X-Tenant-ID": servers.tenant}
        )
    ).status == 200


async def test_a_template_that_is_not_for_inboxes_leaves_none_there(servers: Aptly, ann: Aptly) -> None:
    await servers.template(channels=["PUSH"])
    made = await servers.made()
    message = await servers.api.call(
        "GET", f"/api/v1/messages/{made['id']}", headers={"X-Tenant-ID": servers.tenant}
    )
    assert (message.status, message["channels"]) == (200, ["PUSH"])
    assert await ann.titles() == []


async def test_whoever_may_not_manage_the_tenant_makes_nothing(house: House, admin: Person) -> None:
    """Nor does a token that is bound to another one, which learns nothing of it."""
    servers = Aptly(await house.token(admin, "admin"))
    await servers.template()
    person = await house.register("ben")
    others = [await house.token(admin, "gateway"), await house.token(admin, "messages:create"), person.api]
    bound = Aptly(await house.token_of(admin, "other", "admin"))
    before = await rows_of(house.pieces.db)

    for api in others:
        for answer in (await Aptly(api).notify(), await Aptly(api).template()):
            assert (answer.status, answer["error"]) == (403, "Forbidden")
    told = [
        (answer.status, answer["message"].partition(": ")[0])
        for tenant in (servers.tenant, "00000000-0000-4000-8000-000000000000")
        for answer in (
            await bound.notify(tenantId=tenant),
            await bound.template(tenantId=tenant),
            await bound.call("GET", "templates", tenantId=tenant),
            await bound.as_user().call("GET", "notifications", tenantId=tenant),
        )
    ]
    assert told == [(404, "no such tenant")] * 8
    assert await rows_of(house.pieces.db) == before


async def test_a_tenant_in_the_header_has_to_be_the_one_in_the_body(servers: Aptly) -> None:
    await servers.template()
    for method, path, body in (
        ("POST", "templates", {"tenantId": servers.tenant, "key": "k", "title": "t", "message": "m"}),
        ("POST", "notifications", {**PRINTED, "tenantId": servers.tenant}),
    ):
        other = {"X-Tenant-ID": "other"}
        refused = await servers.api.call(method, f"/v1/{path}", body, headers=other)
        assert "tenantId is not the tenant of X-Tenant-ID" in faults(refused)
        same = {"X-Tenant-ID": servers.tenant}
        assert (await servers.api.call(method, f"/v1/{path}", body, headers=same)).status == 201


async def test_what_many_make_at_once_is_all_there(servers: Aptly, ann: Aptly) -> None:
    await servers.template()
    made = await asyncio.gather(*(servers.made(placeholders={"delegation_id": n}) for n in range(10)))
    rows = (await ann.inbox())["data"]["data"]
    assert {row["id"] for row in rows} == {one["id"] for one in made}
    assert {row["message"] for row in rows} == {
        f"Delegation {n} was issued to you. Click to review." for n in range(10)
    }
