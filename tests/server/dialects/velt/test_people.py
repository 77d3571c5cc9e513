"""An organization's users: all of its tenant's, made, changed and deleted several at once, each for itself."""

from typing import Any

import pytest

from tests.harness.acting import Acting, give_phones
from tests.harness.velt import Velt, refusal
from tests.server.conftest import House, Person

ORG = {"organizationId": "org1"}
ADDED = "User added successfully."


@pytest.fixture
async def velt(house: House, admin: Person) -> Velt:
    """The servers of an operator, and an organization."""
    made = Velt.of(await house.token(admin, "admin"))
    await made.said("organizations/add", ORG)
    return made


async def add(velt: Velt, *users: dict[str, Any], organization: str = "org1") -> Any:
    return await velt.said("organizations/users/add", {"organizationId": organization, "users": [*users]})


async def remove(velt: Velt, *users: str, organization: str = "org1") -> Any:
    data = {"organizationId": organization, "users": [{"userId": one} for one in users]}
    return await velt.said("organizations/users/remove", data)


async def shown(velt: Velt, *users: str) -> dict[str, tuple[str | None, str | None]]:
    """Return the names and addresses of users, by id."""
    some = {"users": [{"userId": one} for one in users]} if users else {}
    found = await velt.said("organizations/users/get", {**ORG, **some})
    return {user["userId"]: (user["name"], user["email"]) for user in found}


def outcomes(answer: dict[str, Any]) -> dict[str, str | None]:
    """Return why it was not done, by id, None where it was."""
    assert all(name == one["id"] and one["success"] == ("status" not in one) for name, one in answer.items())
    return {name: one.get("status") for name, one in answer.items()}


async def test_users_are_made_as_they_are_described(velt: Velt) -> None:
    answer = await add(
        velt, {"userId": "ann", "name": "Ann Mary Lee", "email": "ann@example.com"}, {"userId": "ben"}
    )
    assert answer == {name: {"success": True, "id": name, "message": ADDED} for name in ("ann", "ben")}
    assert await shown(velt) == {"ann": ("Ann Mary Lee", "ann@example.com"), "ben": (None, None)}


async def test_what_every_api_knows_of_a_user_is_one_thing(house: House, admin: Person, velt: Velt) -> None:
    """What stands before the first space is the first name; what only another API can say of somebody stays."""
    native = Acting(await house.token(admin, "admin"), "org1")
    known = {"locale": "en-GB", "lastName": "Old"}
    await native.rpc("manage/create-subscriber", {"userId": "ann", "subscriberData": known})
    await add(velt, {"userId": "ann", "name": "Ann Mary Lee"})
    answer = await native.rpc("manage/get-subscriber", {"userId": "ann"})
    data = answer["subscriberData"]
    assert (data["firstName"], data["lastName"], data["locale"]) == ("Ann", "Mary Lee", "en-GB")


async def test_who_is_there_keeps_what_is_left_out(velt: Velt) -> None:
    await add(velt, {"userId": "ann", "name": "Ann Lee", "email": "ann@example.com"})
    await add(velt, {"userId": "ann"})
    assert await shown(velt) == {"ann": ("Ann Lee", "ann@example.com")}
    await add(velt, {"userId": "ann", "name": "Ann"})
    assert await shown(velt) == {"ann": ("Ann", "ann@example.com")}
    await add(velt, {"userId": "ann", "email": "new@example.com"})
    assert await shown(velt) == {"ann": ("Ann", "new@example.com")}


async def test_an_address_of_somebody_else_fails_alone(velt: Velt) -> None:
    """Whoever has it keeps it, however it is written; who is refused is not made."""
    await add(velt, {"userId": "ann", "email": "ann@example.com"})
    answer = await add(
        velt,
        {"userId": "ben", "email": "ANN@example.com"},
        {"userId": "cleo", "email": "shared@example.com"},
        {"userId": "dan", "email": "shared@example.com"},
        {"userId": "ann", "name": "Ann", "email": "ann@example.com"},
    )
    taken = "ALREADY_EXISTS"
    assert outcomes(answer) == {"ben": taken, "cleo": None, "dan": taken, "ann": None}
    assert await shown(velt) == {"ann": ("Ann", "ann@example.com"), "cleo": (None, "shared@example.com")}


async def test_the_address_of_an_admin_is_their_own(house: House, admin: Person, velt: Velt) -> None:
    await house.register("jane")
    answer = await add(
        velt,
        {"userId": "admin", "email": "other@example.com"},
        {"userId": "jane", "email": "other@example.com"},
        organization="default",
    )
    assert outcomes(answer)["admin"] == "FAILED_PRECONDITION"
    assert (await house.api.with_token(admin.access).get("/api/v1/users/me"))["email"] == "admin@example.com"


async def test_only_some_users_are_asked_for(velt: Velt) -> None:
    """Who is not there is not in the answer."""
    await add(velt, {"userId": "ann"}, {"userId": "ben"}, {"userId": "cleo"})
    assert set(await shown(velt, "cleo", "ann", "nobody")) == {"ann", "cleo"}


async def test_users_are_listed_in_pages_that_miss_none(house: House, velt: Velt) -> None:
    """Who is made meanwhile comes last."""
    for name in ("ann", "ben", "cleo"):
        house.clock.advance(1)
        await add(velt, {"userId": name})
    first = await velt.call("organizations/users/get", {**ORG, "pageSize": 2})
    house.clock.advance(1)
    await add(velt, {"userId": "dan"})
    token = first["result"]["pageToken"]
    second = await velt.call("organizations/users/get", {**ORG, "pageSize": 2, "pageToken": token})
    pages = [[one["userId"] for one in answer["result"]["data"]] for answer in (first, second)]
    assert pages == [["ann", "ben"], ["cleo", "dan"]]
    assert second["result"]["pageToken"] is None


async def test_who_is_removed_is_gone_with_all_that_is_theirs(house: House, velt: Velt) -> None:
    """Who is not there fails alone; the name may be given again."""
    await add(velt, {"userId": "ann", "email": "ann@example.com"}, {"userId": "ben"})
    await give_phones(house.pieces.db, "org1", "ann", 2, now=house.clock(), random=house.random)
    assert outcomes(await remove(velt, "ann", "nobody", "ann")) == {"ann": None, "nobody": "NOT_FOUND"}
    assert await shown(velt) == {"ben": (None, None)}
    assert await house.pieces.db.read(lambda tx: tx.all("SELECT * FROM devices")) == []
    assert outcomes(await add(velt, {"userId": "cleo", "email": "ann@example.com"})) == {"cleo": None}


async def test_one_user_under_two_names_is_removed_once(house: House, velt: Velt) -> None:
    await add(velt, {"userId": "ann"})
    [row] = await house.pieces.db.read(lambda tx: tx.all("SELECT id FROM users WHERE external_id = 'ann'"))
    assert outcomes(await remove(velt, "ann", row["id"])) == {"ann": None, row["id"]: None}
    ends = await house.pieces.db.read(lambda tx: tx.all("SELECT id FROM tasks WHERE kind = 'erase'"))
    assert len(ends) == 1
    assert await shown(velt) == {}


async def test_the_account_of_an_admin_stays(house: House, admin: Person, velt: Velt) -> None:
    jane = await house.register("jane")
    answer = await remove(velt, "jane", "admin", organization="default")
    assert outcomes(answer) == {"jane": None, "admin": "FAILED_PRECONDITION"}
    assert (await house.api.with_token(admin.access).get("/api/v1/users/me")).status == 200
    assert (await house.api.with_token(jane.access).get("/api/v1/users/me")).status == 401


@pytest.mark.parametrize("call", ["add", "remove", "get"])
async def test_nothing_is_made_in_an_organization_that_is_not_there(velt: Velt, call: str) -> None:
    data = {"organizationId": "nobody's", "users": [{"userId": "ann"}]}
    assert refusal(await velt.call(f"organizations/users/{call}", data))[:2] == (404, "NOT_FOUND")
    assert len(await velt.said("organizations/get", {})) == 2


@pytest.mark.parametrize("call", ["add", "remove", "get"])
async def test_a_hundred_users_at_most_are_named(velt: Velt, call: str) -> None:
    many = [{"userId": f"user-{number}"} for number in range(101)]
    assert (await velt.call(f"organizations/users/{call}", {**ORG, "users": many[:100]})).status == 200
    wrong: list[list[dict[str, str]]] = [many, [], [{"userId": ""}], [{}]]
    for users in wrong:
        answer = await velt.call(f"organizations/users/{call}", {**ORG, "users": users})
        assert refusal(answer)[:2] == (400, "INVALID_ARGUMENT")
