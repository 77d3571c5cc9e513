"""Changing notifications: what inboxes and phones show then, who has read them, and that one that fails does so alone."""

import asyncio
from typing import Any

import pytest

from tests.harness.acting import rows_of
from tests.harness.velt import Velt, refusal
from tests.server.conftest import House, Person
from tests.server.dialects.velt.there import MESSAGE, READ, UPDATE, Acme

TEMPLATE = "displayHeadlineMessageTemplate"
VALUES = "displayHeadlineMessageTemplateData"
BODY = "displayBodyMessage"
DATA = "notificationSourceData"


async def title(there: Acme, name: str) -> str:
    [row] = await there.get(notificationIds=[name])
    return str(row["displayHeadlineMessage"])


def done(name: str) -> dict[str, Any]:
    return {name: {"success": True, "id": name, "message": "Notification updated successfully."}}


# What it says


async def test_a_new_text_is_in_every_inbox_and_on_every_phone_that_has_the_old_one(there: Acme) -> None:
    name = await there.add("n-1")
    sent = await there.pushed()
    assert [(user, kind) for user, kind, _ in sent] == [("ben", MESSAGE), ("cleo", MESSAGE)]
    change = {"id": name, TEMPLATE: "{actionUser} is done with {page}", BODY: "Now", DATA: {"a": 1}}
    assert await there.update(change) == done(name)
    told = await there.pushed()
    assert [(user, kind) for user, kind, _ in told] == [("ben", UPDATE), ("cleo", UPDATE)]
    assert {(body["title"], body["body"], body["data"]["a"]) for _, _, body in told} == {
        ("Ann Lee is done with the plan", "Now", 1)
    }
    [item] = await there.feed("ben")
    assert (item["title"], item["body"], item["data"]) == ("Ann Lee is done with the plan", "Now", {"a": 1})
    [row] = await there.get(userId="ben")
    assert row["displayHeadlineMessage"] == "Ann Lee is done with the plan"
    assert row[TEMPLATE] == "{actionUser} is done with {page}"
    assert (row[BODY], row[DATA], row[VALUES]) == ("Now", {"a": 1}, {"page": "the plan"})


async def test_what_still_waits_goes_out_with_the_new_text(there: Acme) -> None:
    name = await there.add("n-1", "ben")
    await there.update({"id": name, BODY: "Now"})
    assert [(user, kind, body["body"]) for user, kind, body in await there.pushed()] == [
        ("ben", MESSAGE, "Now")
    ]


async def test_new_values_are_put_into_the_template_that_is_stored(there: Acme) -> None:
    name = await there.add("n-1")
    await there.update({"id": name, VALUES: {"page": "the budget"}})
    assert await title(there, name) == "Ann Lee has written about the budget"
    await there.update({"id": name, VALUES: None})
    assert await title(there, name) == "Ann Lee has written about {page}"
    await there.update({"id": name, VALUES: {"page": {"userId": "ben", "name": "Ben"}}})
    assert await title(there, name) == "Ann Lee has written about Ben"
    await there.update({"id": name, VALUES: {"actionUser": "Somebody"}})
    assert await title(there, name) == "Somebody has written about {page}"


async def test_what_is_left_out_stays_and_a_null_takes_away(there: Acme) -> None:
    name = await there.add("n-1", **{DATA: {"a": 1}})
    [before] = await there.get()
    await there.update({"id": name, "readByUserIds": []})
    assert await there.get() == [before]
    await there.update({"id": name, BODY: None, DATA: None})
    assert await there.get() == [{**before, BODY: None, DATA: None}]


async def test_what_is_empty_is_none(there: Acme) -> None:
    name = await there.add("n-1", **{DATA: {"a": 1}})
    await there.update({"id": name, DATA: {}, VALUES: {}})
    [row] = await there.get()
    assert (row[DATA], row[VALUES]) == (None, None)


async def test_workers_are_woken(there: Acme) -> None:
    await there.add("n-1")
    before = there.house.wakes.count
    await there.update({"id": "n-1", BODY: "Now"})
    assert there.house.wakes.count > before


async def test_the_same_again_tells_nobody(there: Acme) -> None:
    name = await there.add("n-1")
    await there.pushed()
    await there.update({"id": name, BODY: "Have a look", VALUES: {"page": "the plan"}})
    assert await there.pushed() == []


async def test_what_another_api_has_sent_is_changed_as_well(there: Acme) -> None:
    sent = await there.socayo().send(userId="ben", content={"title": "Hello"}, channel="IN_APP")
    results = await there.update({"id": sent, VALUES: {"who": "Ben"}})
    assert (results[sent]["success"], results[sent]["status"]) == (False, "INVALID_ARGUMENT")
    await there.update({"id": sent, TEMPLATE: "Hello {who}", VALUES: {"who": "Ben"}})
    assert [item["title"] for item in await there.feed("ben")] == ["Hello Ben"]
    [row] = await there.get()
    assert (row["id"], row[TEMPLATE], row["documentId"]) == (sent, "Hello {who}", None)


async def test_texts_that_are_not_kept_here_are_not_taken(there: Acme) -> None:
    await there.add(
        "n-1", isNotificationResolverUsed=True, notificationSource="custom", **{TEMPLATE: None, BODY: None}
    )
    before = await rows_of(there.house.pieces.db)
    for text in ({BODY: "Secret"}, {TEMPLATE: "Secret"}):
        results = await there.update({"id": "n-1", **text})
        assert (results["n-1"]["success"], results["n-1"]["status"]) == (False, "INVALID_ARGUMENT")
        assert "resolver" in results["n-1"]["message"]
    assert await rows_of(there.house.pieces.db) == before
    assert (await there.update({"id": "n-1", DATA: {"a": 1}, "readByUserIds": ["ben"]}))["n-1"]["success"]


async def test_the_request_that_added_it_does_nothing_after_a_change(there: Acme) -> None:
    await there.add("n-1", "ben")
    await there.update({"id": "n-1", BODY: "Now"})
    await there.add("n-1", "ben")
    assert [row[BODY] for row in await there.get()] == ["Now"]


# Who has read it


async def test_what_somebody_has_read_is_cleared_on_their_phone(there: Acme) -> None:
    name = await there.add("n-1")
    await there.pushed()
    [message] = await there.rows("SELECT id FROM messages")
    assert await there.update({"id": name, "readByUserIds": ["ben"]}) == done(name)
    assert await there.pushed() == [("ben", READ, {"ids": [message["id"]]})]
    assert [item["status"] for item in await there.feed("ben")] == ["READ"]
    assert [item["status"] for item in await there.feed("cleo")] == ["UNSEEN"]
    assert [row["readByUserIds"] for row in await there.get()] == [["ben"]]


async def test_nobody_becomes_one_who_has_not_read_it(there: Acme) -> None:
    """What was read meanwhile stays so, with the time when that was."""
    name = await there.add("n-1")
    await there.update({"id": name, "readByUserIds": ["ben"]})
    [first] = await there.get(userId="ben")
    there.house.clock.advance(1000)
    await there.update({"id": name, "readByUserIds": ["cleo", "ben"]})
    await there.update({"id": name, "readByUserIds": []})
    [row] = await there.get(userId="ben")
    assert row["readAt"] == first["readAt"]
    assert sorted(row["readByUserIds"]) == ["ben", "cleo"]


async def test_who_does_not_have_it_is_passed_over(there: Acme) -> None:
    name = await there.add("n-1", "ben")
    assert await there.update({"id": name, "readByUserIds": ["ann", "cleo"]}) == done(name)
    assert [row["readByUserIds"] for row in await there.get()] == [[]]
    assert await there.get(userId="cleo") == []


async def test_an_ephemeral_message_is_gone_for_who_has_read_it(there: Acme) -> None:
    body = {"title": "x", "deliveryType": "NORMAL", "userIds": ["ben", "cleo"], "ephemeral": True}
    sent = (await there.socayo().call("POST", "/api/v1/messages", body))["id"]
    await there.update({"id": sent, "readByUserIds": ["ben"]})
    assert await there.ids(userId="ben") == []
    assert await there.ids(userId="cleo") == [sent]


# One that fails does so alone


async def test_one_that_fails_does_so_alone_and_as_a_whole(there: Acme) -> None:
    for name in ("n-1", "n-2", "n-3"):
        await there.add(name)
    results = await there.update(
        {"id": "n-1", BODY: "Now"},
        {"id": "missing", BODY: "Now"},
        {"id": "n-2", BODY: "Now", "readByUserIds": ["ben", "nobody"]},
        {"id": "n-3", BODY: "Now", TEMPLATE: "{page}", VALUES: {"page": ""}},
    )
    assert {name: (one["success"], one.get("status")) for name, one in results.items()} == {
        "n-1": (True, None),
        "missing": (False, "NOT_FOUND"),
        "n-2": (False, "INVALID_ARGUMENT"),
        "n-3": (False, "INVALID_ARGUMENT"),
    }
    assert results["n-2"]["message"].startswith("data.notifications[2].readByUserIds[1] is nobody")
    assert all(one["id"] == name for name, one in results.items())
    assert {row["id"]: (row[BODY], row["readByUserIds"]) for row in await there.get()} == {
        "n-1": ("Now", []),
        "n-2": ("Have a look", []),
        "n-3": ("Have a look", []),
    }


async def test_only_what_is_about_the_document_is_there_where_one_is_named(there: Acme) -> None:
    await there.add("n-1")
    results = await there.update({"id": "n-1", BODY: "Now"}, documentId="another")
    assert results["n-1"]["status"] == "NOT_FOUND"
    assert (await there.update({"id": "n-1", BODY: "Now"}, documentId="plan"))["n-1"]["success"]


async def test_what_is_taken_back_is_not_there(there: Acme) -> None:
    name = await there.add()
    await there.delete(notificationIds=[name])
    assert (await there.update({"id": name, BODY: "Now"}))[name]["status"] == "NOT_FOUND"


# Whose


async def test_another_organizations_are_not_there(there: Acme) -> None:
    names = ["n-1", await there.add()]
    await there.add("n-1")
    await there.add("theirs", organizationId="globex")
    before = await rows_of(there.house.pieces.db)
    answer = await there.call(
        "update", organizationId="globex", notifications=[{"id": name, BODY: "Now"} for name in names]
    )
    results = answer["result"]["data"]
    assert {one["status"] for one in results.values()} == {"NOT_FOUND"}
    assert await rows_of(there.house.pieces.db) == before


async def test_only_who_manages_the_organization_changes_them(
    there: Acme, house: House, admin: Person
) -> None:
    await there.add("n-1")
    change = {"notifications": [{"id": "n-1", BODY: "Now"}]}
    gateway = there.at(Velt.of(await house.token(admin, "gateway")))
    assert refusal(await gateway.call("update", **change))[:2] == (403, "PERMISSION_DENIED")
    bound = there.at(Velt.of(await house.token_of(admin, "globex", "admin")))
    assert refusal(await bound.call("update", **change))[:2] == (404, "NOT_FOUND")
    answer = await there.call("update", organizationId="nobody", **change)
    assert refusal(answer)[:2] == (404, "NOT_FOUND")


async def test_what_people_write_to_each_other_is_theirs(house: House, admin: Person) -> None:
    ann = await house.register("ann")
    sent = str((await house.send(ann.api, await house.bucket(ann)))["id"])
    servers = Acme(house, Velt.of(await house.token(admin, "admin")))
    results = await servers.update({"id": sent, BODY: "Now"}, organizationId="default")
    assert results[sent]["status"] == "NOT_FOUND"


# At the same moment


async def test_of_many_who_change_one_each_is_carried_out(there: Acme) -> None:
    """Whatever it is that they change: nothing of one is lost by another."""
    name = await there.add("n-1")
    changes: list[dict[str, Any]] = [
        {BODY: "Now"},
        {VALUES: {"page": "B"}},
        {DATA: {"a": 1}},
        {TEMPLATE: "{page}!"},
    ]
    results = await asyncio.gather(*(there.update({"id": name, **change}) for change in changes))
    assert all(result[name]["success"] for result in results)
    [row] = await there.get()
    assert (row[BODY], row[VALUES], row[DATA], row[TEMPLATE]) == ("Now", {"page": "B"}, {"a": 1}, "{page}!")
    assert row["displayHeadlineMessage"] == "B!"


# What is wrong


async def test_every_fault_is_named(there: Acme) -> None:
    given = [
        {"id": "n-1", TEMPLATE: "x" * 1001, BODY: "x" * 4001, DATA: [], VALUES: {"a": 5}},
        {"readByUserIds": [5]},
    ]
    status, word, message = refusal(await there.call("update", notifications=given))
    assert (status, word) == (400, "INVALID_ARGUMENT")
    for place in (f"[0].{TEMPLATE}", f"[0].{BODY}", f"[0].{DATA}", f"[0].{VALUES}.a", "[1].id"):
        assert f"data.notifications{place} " in message, message
    assert "data.notifications[1].readByUserIds[0] " in message


@pytest.mark.parametrize("count", [0, 31])
async def test_up_to_thirty_are_changed_at_once(there: Acme, count: int) -> None:
    changes = [{"id": str(number)} for number in range(count)]
    answer = await there.call("update", notifications=changes)
    assert refusal(answer)[:2] == (400, "INVALID_ARGUMENT")
    assert len(await there.update(*({"id": str(number)} for number in range(30)))) == 30


async def test_one_is_changed_once_in_a_call(there: Acme) -> None:
    answer = await there.call("update", notifications=[{"id": "n-1"}, {"id": "n-1"}])
    status, word, message = refusal(answer)
    assert (status, word) == (400, "INVALID_ARGUMENT")
    assert "data.notifications[1].id is there twice" in message
