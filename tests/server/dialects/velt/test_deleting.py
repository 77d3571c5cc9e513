"""Deleting notifications: from everybody, or from one user, by ids or page by page."""

from typing import Any

import pytest

from tests.harness.acting import rows_of
from tests.harness.velt import Velt, refusal
from tests.server.conftest import House, Person
from tests.server.dialects.velt.there import DOCUMENT, MESSAGE, RETRACT, Acme


def done(*names: str) -> dict[str, dict[str, Any]]:
    return {
        name: {"success": True, "id": name, "message": "Notification deleted successfully."} for name in names
    }


async def message_id(there: Acme, name: str) -> str:
    [row] = await there.rows("SELECT message_id FROM subjects WHERE name = $1", name)
    return str(row["message_id"])


# From everybody


async def test_it_goes_from_every_inbox_and_every_phone(there: Acme) -> None:
    await there.add("n-1")
    await there.pushed()
    message = await message_id(there, "n-1")
    assert await there.delete(notificationIds=["n-1"]) == done("n-1")
    assert await there.pushed() == [
        ("ben", RETRACT, {"ids": [message]}),
        ("cleo", RETRACT, {"ids": [message]}),
    ]
    assert await there.feed("ben") == await there.feed("cleo") == []
    assert await there.get() == await there.get(userId="ben") == await there.get(documentId=DOCUMENT) == []
    assert await there.get(notificationIds=["n-1", message]) == []
    assert await there.rows("SELECT id FROM messages WHERE content IS NOT NULL") == []


async def test_how_much_had_gone_out_is_known_to_the_other_apis(there: Acme) -> None:
    name = await there.add()
    await there.pushed()
    await there.delete(notificationIds=[name])
    assert await there.rows("SELECT handed_over FROM messages") == [{"handed_over": 4}]
    answer = await there.socayo().rpc("manage/cancel", {"transactionId": name})
    assert (answer["cancelled"], answer["retracted"]) == (False, 4)  # two inboxes, two phones


async def test_what_still_waits_never_goes_out(there: Acme) -> None:
    await there.add("n-1")
    await there.add("n-2")
    for user in ({"userId": "ben"}, {"userId": "cleo"}):
        await there.delete(notificationIds=["n-2"], **user)
    await there.delete(notificationIds=["n-1"])
    assert await there.pushed() == []


async def test_what_another_api_has_sent_is_deleted_as_well(there: Acme) -> None:
    sent = await there.socayo().send(userId="ben", channel="IN_APP")
    assert await there.delete(notificationIds=[sent]) == done(sent)
    assert await there.feed("ben") == []


@pytest.mark.parametrize("user", [{}, {"userId": "ben"}])
async def test_workers_are_woken(there: Acme, user: dict[str, Any]) -> None:
    await there.add("n-1")
    before = there.house.wakes.count
    await there.delete(notificationIds=["n-1"], **user)
    assert there.house.wakes.count > before


async def test_its_id_is_free_then(there: Acme) -> None:
    await there.add("n-1", "ben")
    await there.delete(notificationIds=["n-1"])
    await there.add("n-1", "ben", displayBodyMessage="Another one")
    assert [row["displayBodyMessage"] for row in await there.get()] == ["Another one"]


# From one user


async def test_with_a_user_it_goes_from_their_inbox_and_phone_alone(there: Acme) -> None:
    await there.add("n-1")
    await there.pushed()
    message = await message_id(there, "n-1")
    assert await there.delete(notificationIds=["n-1"], userId="ben") == done("n-1")
    assert await there.pushed() == [("ben", RETRACT, {"ids": [message]})]
    assert (await there.ids(userId="ben"), await there.ids(userId="cleo")) == ([], ["n-1"])
    assert await there.ids() == ["n-1"]
    again = await there.delete(notificationIds=["n-1"], userId="ben")
    assert again["n-1"]["status"] == "NOT_FOUND"


async def test_who_does_not_have_it_or_is_nobody_has_nothing_to_delete(there: Acme) -> None:
    await there.add("n-1", "ben")
    for user in ("cleo", "nobody"):
        results = await there.delete(notificationIds=["n-1"], userId=user)
        assert results["n-1"]["status"] == "NOT_FOUND"
        assert await there.delete(userId=user) == {}
    assert await there.ids(userId="ben") == ["n-1"]


# Page by page


async def test_a_documents_go_page_by_page(there: Acme) -> None:
    names = [await there.add(f"n-{number}") for number in range(5)]
    await there.add("other", documentId="another")
    sent = await there.socayo().send(userId="ben", channel="IN_APP")
    assert await there.read_through("delete", documentId=DOCUMENT) == names[::-1]
    assert await there.ids() == [sent, "other"]


async def test_a_users_go_page_by_page(there: Acme) -> None:
    names = [await there.add(f"n-{number}") for number in range(4)]
    sent = await there.socayo().send(userId="ben", channel="IN_APP")
    assert await there.read_through("delete", userId="ben") == [sent, *names[::-1]]
    assert await there.ids(userId="ben") == []
    assert await there.ids(userId="cleo") == names[::-1]


async def test_a_users_about_a_document_go_page_by_page(there: Acme) -> None:
    names = [await there.add(f"n-{number}") for number in range(3)]
    await there.add("other", documentId="another")
    assert await there.read_through("delete", userId="ben", documentId=DOCUMENT) == names[::-1]
    assert await there.ids(userId="ben") == ["other"]
    assert await there.ids(userId="cleo") == ["other", *names[::-1]]


async def test_what_comes_while_pages_go_stays(there: Acme) -> None:
    for number in range(3):
        await there.add(f"n-{number}")
    page = (await there.call("delete", documentId=DOCUMENT, pageSize=2))["result"]
    await there.add("new")
    rest = await there.call("delete", documentId=DOCUMENT, pageSize=2, pageToken=page["pageToken"])
    assert list(rest["result"]["data"]) == ["n-0"]
    assert rest["result"]["pageToken"] is None
    assert await there.ids() == ["new"]


# Which


async def test_one_that_is_missing_fails_alone(there: Acme) -> None:
    ours = await there.add()
    await there.add("n-1")
    results = await there.delete(notificationIds=["n-1", "missing", ours.upper(), "n-1"])
    assert {name: (one["success"], one.get("status")) for name, one in results.items()} == {
        "n-1": (True, None),
        "missing": (False, "NOT_FOUND"),
        ours.upper(): (True, None),
    }
    assert await there.get() == []
    again = await there.delete(notificationIds=["n-1", ours])
    assert {one["status"] for one in again.values()} == {"NOT_FOUND"}


async def test_only_what_is_about_the_document_is_there_where_one_is_named(there: Acme) -> None:
    await there.add("n-1")
    for user in ({}, {"userId": "ben"}):
        results = await there.delete(notificationIds=["n-1"], documentId="another", **user)
        assert results["n-1"]["status"] == "NOT_FOUND"
    assert await there.delete(notificationIds=["n-1"], documentId=DOCUMENT) == done("n-1")


async def test_another_organizations_are_not_there(there: Acme) -> None:
    await there.add("n-1")
    await there.add("theirs", "ben", organizationId="globex")
    before = await rows_of(there.house.pieces.db)
    message = await message_id(there, "n-1")
    globex = {"organizationId": "globex"}
    results = await there.delete(notificationIds=["n-1", message], **globex)
    results |= await there.delete(notificationIds=["n-1", message], userId="ben", **globex)
    assert {one["status"] for one in results.values()} == {"NOT_FOUND"}
    assert await rows_of(there.house.pieces.db) == before
    assert await there.delete(documentId=DOCUMENT, **globex) == done("theirs")
    assert await there.ids() == ["n-1"]


async def test_what_people_write_to_each_other_is_theirs(house: House, admin: Person) -> None:
    ann = await house.register("ann")
    sent = str((await house.send(ann.api, await house.bucket(ann)))["id"])
    servers = Acme(house, Velt.of(await house.token(admin, "admin")))
    default = {"organizationId": "default"}
    assert (await servers.delete(notificationIds=[sent], **default))[sent]["status"] == "NOT_FOUND"
    assert await servers.delete(notificationIds=[sent], userId=ann.id, **default) == done(sent)
    assert (await ann.api.get(f"/api/v1/messages/{sent}")).status == 200  # she has sent it


async def test_only_who_manages_the_organization_deletes_them(
    there: Acme, house: House, admin: Person
) -> None:
    await there.add("n-1")
    gateway = there.at(Velt.of(await house.token(admin, "gateway")))
    answer = await gateway.call("delete", notificationIds=["n-1"], userId="ben")
    assert refusal(answer)[:2] == (403, "PERMISSION_DENIED")
    bound = there.at(Velt.of(await house.token_of(admin, "globex", "admin")))
    assert refusal(await bound.call("delete", notificationIds=["n-1"]))[:2] == (404, "NOT_FOUND")
    assert await there.ids() == ["n-1"]


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({}, "data.notificationIds is missing"),
        ({"notificationIds": []}, "data.notificationIds has 0 entries"),
        ({"notificationIds": ["n"] * 31}, "data.notificationIds has 31 entries"),
        ({"notificationIds": [5]}, "data.notificationIds[0] "),
        ({"documentId": DOCUMENT, "pageSize": 101}, "data.pageSize "),
        ({"documentId": DOCUMENT, "pageToken": "n-1"}, "data.pageToken "),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_deleted(
    there: Acme, given: dict[str, Any], place: str
) -> None:
    await there.add("n-1")
    status, word, message = refusal(await there.call("delete", **given))
    assert (status, word) == (400, "INVALID_ARGUMENT")
    assert message.startswith(place)
    assert await there.ids() == ["n-1"]
    assert [kind for _, kind, _ in await there.pushed()] == [MESSAGE, MESSAGE]
