"""Documents of an organization: made once, listed by their ids, and what was sent about one outlives it."""

import asyncio

import pytest

from server.commands import documents
from server.commands.due import run_due
from tests.harness.velt import Velt, refusal
from tests.server.conftest import House, Person

ORG = {"organizationId": "org1"}
PLAN = {**ORG, "documentId": "plan"}
NEWS = {
    "actionUser": {"userId": "dan"},
    "displayHeadlineMessageTemplate": "News",
    "displayBodyMessage": "There are some",
    "notifyUsers": [{"userId": "ann"}],
    "notifyAll": False,
}


@pytest.fixture
async def velt(house: House, admin: Person) -> Velt:
    """The servers of an operator, and an organization."""
    made = Velt.of(await house.token(admin, "admin"))
    await made.said("organizations/add", ORG)
    return made


async def test_a_document_is_as_it_was_added(velt: Velt) -> None:
    await velt.said("documents/add", {**PLAN, "name": "The plan"})
    shown = {"documentId": "plan", "name": "The plan", "createdAt": "2027-01-15T08:00:00.000Z"}
    assert await velt.said("documents/get", PLAN) == [shown]
    assert await velt.said("documents/get", ORG) == [shown]


async def test_what_is_there_is_not_added(velt: Velt) -> None:
    """In another organization there may be one of the same id."""
    answers = await asyncio.gather(*(velt.call("documents/add", PLAN) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409]
    assert {refusal(answer)[1] for answer in answers if answer.status != 200} == {"ALREADY_EXISTS"}
    await velt.said("organizations/add", {"organizationId": "org2"})
    await velt.said("documents/add", {"organizationId": "org2", "documentId": "plan"})


async def test_a_name_is_changed_kept_and_cleared(velt: Velt) -> None:
    await velt.said("documents/add", PLAN)
    for data, name in (({"name": "Second"}, "Second"), ({}, "Second"), ({"name": None}, None)):
        await velt.said("documents/update", {**PLAN, **data})
        [shown] = await velt.said("documents/get", PLAN)
        assert shown["name"] == name


@pytest.mark.parametrize("call", ["get", "update", "delete", "access/add", "access/remove", "access/get"])
async def test_what_is_not_there_is_not_found(velt: Velt, call: str) -> None:
    """Nor is anything made for an organization that is not there, or is somebody else's."""
    data = {"documentId": "nobody's", "name": "A name", "users": [{"userId": "ann"}]}
    for organization, place in (("org1", "documentId"), ("nobody's", "organizationId")):
        answer = await velt.call(f"documents/{call}", {**data, "organizationId": organization})
        status, word, message = refusal(answer)
        assert (status, word) == (404, "NOT_FOUND")
        assert place in message
    assert await velt.said("organizations/users/get", ORG) == []


async def test_documents_are_listed_in_pages_that_repeat_none(velt: Velt) -> None:
    for name in ("e", "a", "c", "g"):
        await velt.said("documents/add", {**ORG, "documentId": name})
    first = await velt.call("documents/get", {**ORG, "pageSize": 2})
    for name in ("b", "f"):
        await velt.said("documents/add", {**ORG, "documentId": name})
    token = first["result"]["pageToken"]
    second = await velt.call("documents/get", {**ORG, "pageSize": 3, "pageToken": token})
    pages = [[one["documentId"] for one in answer["result"]["data"]] for answer in (first, second)]
    assert pages == [["a", "c"], ["e", "f", "g"]]
    assert second["result"]["pageToken"] is None


async def test_a_deleted_document_takes_its_access_list_with_it_and_leaves_what_was_sent(
    house: House, velt: Velt
) -> None:
    """One of the same id begins anew: it has nobody with access, and nothing was sent about it."""
    await velt.said("documents/add", PLAN)
    await velt.said("documents/access/add", {**PLAN, "users": [{"userId": "ann"}], "access": {"team": "a"}})
    await velt.said("notifications/add", {**PLAN, **NEWS})
    await velt.said("documents/delete", PLAN)
    assert refusal(await velt.call("documents/get", PLAN))[0] == 404
    await velt.said("documents/add", PLAN)
    assert await velt.said("documents/access/get", PLAN) == []

    assert [subject["document_id"] for subject in await left(house, "subjects")] == [None]
    assert len(await left(house, "inbox_items")) == 1
    assert await left(house, "document_access") == await left(house, "document_fields") == []


async def test_of_very_much_the_rest_goes_by_and_by(
    house: House, velt: Velt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document is gone at once, for whoever looks at what was sent about it too."""
    monkeypatch.setattr(documents, "_DETACHED_AT_ONCE", 1)
    await velt.said("documents/add", PLAN)
    users = [{"userId": name} for name in ("ann", "ben", "cleo")]
    await velt.said("documents/access/add", {**PLAN, "users": users, "access": {"team": "a"}})
    for _ in range(2):
        await velt.said("notifications/add", {**PLAN, **NEWS})
    await velt.said("documents/delete", PLAN)
    assert await velt.said("documents/get", ORG) == []
    assert refusal(await velt.call("documents/access/get", PLAN))[0] == 404
    sent = await velt.said("notifications/get", ORG)
    assert [one.get("documentId") for one in sent] == [None, None]
    await velt.said("documents/add", PLAN)
    await run_tasks(house)
    assert [one["documentId"] for one in await velt.said("documents/get", ORG)] == ["plan"]
    assert await left(house, "document_access") == await left(house, "document_fields") == []
    assert [one["document_id"] for one in await left(house, "subjects")] == [None, None]
    assert len(await left(house, "documents")) == 1
    assert await left(house, "tasks") == []


async def left(house: House, table: str) -> list[dict[str, object]]:
    rows = await house.pieces.db.read(lambda tx: tx.all(f"SELECT * FROM {table}"))  # noqa: S608 - ours
    return [dict(row) for row in rows]


async def run_tasks(house: House) -> None:
    while await run_due(house.pieces.db, now=house.clock(), random=house.random, log=house.pieces.log):
        pass
