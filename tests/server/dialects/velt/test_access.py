"""Who has access to a document, and to which values of its fields: given, taken away and shown."""

from typing import Any

import pytest

from server.domain.ports import Database
from tests.harness.velt import Velt, refusal
from tests.server.conftest import House, Person

PLAN = {"organizationId": "org1", "documentId": "plan"}


@pytest.fixture
async def velt(house: House, admin: Person) -> Velt:
    """The servers of an operator, and a document."""
    made = Velt.of(await house.token(admin, "admin"))
    await made.said("organizations/add", {"organizationId": "org1"})
    await made.said("documents/add", PLAN)
    return made


async def call(velt: Velt, what: str, *users: str, **more: Any) -> Any:
    data = {**PLAN, "users": [{"userId": one} for one in users], **more}
    return await velt.said(f"documents/access/{what}", data)


async def shown(velt: Velt) -> dict[str, dict[str, list[str]]]:
    """Return who has access, and to what."""
    found = await velt.said("documents/access/get", {**PLAN, "pageSize": 100})
    return {one["userId"]: one["access"] for one in found}


async def test_access_adds_up(velt: Velt) -> None:
    """A value is a text or a number, which are compared as texts, or a list of these."""
    await call(velt, "add", "ann", "ben")
    assert await shown(velt) == {"ann": {}, "ben": {}}
    await call(velt, "add", "ann", access={"team": ["b", "a", "a"], "floor": 5})
    await call(velt, "add", "ann", "cleo", access={"floor": ["5", 7], "rate": 2.5})
    assert await shown(velt) == {
        "ann": {"team": ["a", "b"], "floor": ["5", "7"], "rate": ["2.5"]},
        "ben": {},
        "cleo": {"floor": ["5", "7"], "rate": ["2.5"]},
    }


async def test_who_is_named_is_made(velt: Velt) -> None:
    """With the name that is given; who is there already stays as they are."""
    users = [{"userId": "ann", "name": "Ann Lee", "email": "ann@example.com"}]
    await velt.said("documents/access/add", {**PLAN, "users": users})
    await velt.said("documents/access/add", {**PLAN, "users": [{"userId": "ann", "name": "Another"}]})
    [ann] = await velt.said("organizations/users/get", {"organizationId": "org1"})
    assert (ann["userId"], ann["name"], ann["email"]) == ("ann", "Ann Lee", "ann@example.com")


async def test_only_some_values_are_taken_away(velt: Velt) -> None:
    """Who has none left is still on the list."""
    await call(velt, "add", "ann", "ben", access={"team": ["a", "b"], "floor": [5, 6]})
    await call(velt, "remove", "ann", access={"team": "a", "floor": [5, 6], "other": "a"})
    everything = {"team": ["a", "b"], "floor": ["5", "6"]}
    assert await shown(velt) == {"ann": {"team": ["b"]}, "ben": everything}
    await call(velt, "remove", "ann", access={"team": "b"})
    assert await shown(velt) == {"ann": {}, "ben": everything}
    await call(velt, "remove", "ben", access={})
    assert await shown(velt) == {"ann": {}, "ben": everything}


async def test_all_access_is_taken_away(velt: Velt) -> None:
    """And is not there again with the next one that is given."""
    await call(velt, "add", "ann", "ben", access={"team": "a"})
    await call(velt, "remove", "ann")
    assert await shown(velt) == {"ben": {"team": ["a"]}}
    await call(velt, "add", "ann")
    assert await shown(velt) == {"ann": {}, "ben": {"team": ["a"]}}


async def test_from_who_has_none_it_cannot_be_taken(velt: Velt) -> None:
    """They fail alone, and nobody is made by that."""
    await call(velt, "add", "ann")
    await velt.said("organizations/users/add", {"organizationId": "org1", "users": [{"userId": "ben"}]})
    answer = await call(velt, "remove", "ann", "ben", "nobody")
    assert {name: (one["success"], one.get("status")) for name, one in answer.items()} == {
        "ann": (True, None),
        "ben": (False, "NOT_FOUND"),
        "nobody": (False, "NOT_FOUND"),
    }
    users = await velt.said("organizations/users/get", {"organizationId": "org1"})
    assert {user["userId"] for user in users} == {"ann", "ben"}


async def test_who_has_access_is_listed_in_pages_that_repeat_nobody(house: House, velt: Velt) -> None:
    for name in ("ann", "ben", "cleo"):
        house.clock.advance(1)
        await call(velt, "add", name, access={"team": name})
    first = await velt.call("documents/access/get", {**PLAN, "pageSize": 2})
    house.clock.advance(1)
    await call(velt, "add", "dan")
    token = first["result"]["pageToken"]
    second = await velt.call("documents/access/get", {**PLAN, "pageSize": 2, "pageToken": token})
    pages = [
        [(one["userId"], one["access"]) for one in answer["result"]["data"]] for answer in (first, second)
    ]
    ann, ben, cleo = ((name, {"team": [name]}) for name in ("ann", "ben", "cleo"))
    assert pages == [[ann, ben], [cleo, ("dan", {})]]
    assert second["result"]["pageToken"] is None


async def test_who_is_deleted_has_no_access(velt: Velt) -> None:
    await call(velt, "add", "ann", "ben", access={"team": "a"})
    await velt.said("organizations/users/remove", {"organizationId": "org1", "users": [{"userId": "ann"}]})
    assert await shown(velt) == {"ben": {"team": ["a"]}}


async def test_access_decides_who_gets_a_notification(house: House, velt: Velt) -> None:
    """Of all users only those with every value, once permissions are verified only those on the list."""
    await call(velt, "add", "ann", access={"team": ["a", "b"]})
    await call(velt, "add", "ben", access={"team": "a"})
    await velt.said("organizations/users/add", {"organizationId": "org1", "users": [{"userId": "cleo"}]})
    both = {"access": {"team": ["a", "b"]}}
    await velt.said("notifications/add", {**notification("0"), "context": both})
    await velt.said("notifications/add", {**notification("1"), "verifyUserPermissions": True})
    assert await received(house.pieces.db) == {"0": ["ann"], "1": ["ann", "ben"]}
    await call(velt, "remove", "ann", access={"team": "b"})
    await velt.said("notifications/add", {**notification("2"), "context": both})
    assert "2" not in await received(house.pieces.db)


@pytest.mark.parametrize(
    ("access", "place"),
    [
        ({"team": True}, "access.team"),
        ({"team": {"a": 1}}, "access.team"),
        ({"team": None}, "access.team"),
        ({"team": []}, "access.team"),
        ({"team": ["a", None]}, "access.team[1]"),
        ({"team": ""}, "access.team"),
        ("team", "access"),
        ({"team": list(range(101))}, "access"),
    ],
)
async def test_what_is_no_value_is_refused(velt: Velt, access: Any, place: str) -> None:
    for what in ("add", "remove"):
        data = {**PLAN, "users": [{"userId": "ann"}], "access": access}
        status, word, message = refusal(await velt.call(f"documents/access/{what}", data))
        assert (status, word) == (400, "INVALID_ARGUMENT")
        assert f"data.{place} " in message
    assert await shown(velt) == {}


@pytest.mark.parametrize("what", ["add", "remove"])
async def test_a_hundred_users_at_most_are_named(velt: Velt, what: str) -> None:
    many = [f"user-{number}" for number in range(101)]
    await call(velt, what, *many[:100])
    for users in (many, []):
        data = {**PLAN, "users": [{"userId": one} for one in users]}
        answer = await velt.call(f"documents/access/{what}", data)
        assert refusal(answer)[:2] == (400, "INVALID_ARGUMENT")


def notification(name: str) -> dict[str, Any]:
    return {
        **PLAN,
        "notificationId": name,
        "actionUser": {"userId": "dan"},
        "displayHeadlineMessageTemplate": "News",
        "displayBodyMessage": "There are some",
        "notifyUsers": [],
    }


async def received(db: Database) -> dict[str, list[str]]:
    """Return who has received each notification, by its id."""
    sql = (
        "SELECT s.name, u.external_id FROM inbox_items i JOIN subjects s ON s.message_id = i.message_id"
        " JOIN users u ON u.id = i.user_id ORDER BY u.external_id"
    )
    found: dict[str, list[str]] = {}
    for row in await db.read(lambda tx: tx.all(sql)):
        found.setdefault(row["name"], []).append(row["external_id"])
    return found
