"""Organizations are tenants: made once, listed to who may see them, and their ids are free again once they are deleted."""

import asyncio

import pytest

from server.commands.due import run_due
from tests.harness.velt import Velt, refusal
from tests.server.conftest import House, Person


@pytest.fixture
async def velt(house: House, admin: Person) -> Velt:
    """The servers of an operator, whose token is good for every organization."""
    return Velt.of(await house.token(admin, "admin"))


async def bound(house: House, admin: Person, organization: str) -> Velt:
    """Return the servers of one organization, which is made by that."""
    return Velt.of(await house.token_of(admin, organization, "admin"))


async def names(velt: Velt, **data: object) -> list[str]:
    return [one["organizationId"] for one in await velt.said("organizations/get", data)]


async def test_an_organization_is_as_it_was_added(velt: Velt) -> None:
    answer = await velt.call("organizations/add", {"organizationId": "org1", "name": "Example Analytics"})
    said = "Organization added successfully."
    assert answer.json == {
        "result": {"status": "success", "message": said, "data": {"success": True, "message": said}}
    }
    [shown] = await velt.said("organizations/get", {"organizationId": "org1"})
    assert (shown["organizationId"], shown["name"]) == ("org1", "Example Analytics")
    assert shown["createdAt"] == "2027-01-15T08:00:00.000Z"


async def test_what_is_there_is_not_added(velt: Velt) -> None:
    """Whichever API has made it: what it is called stays."""
    await velt.said("organizations/add", {"organizationId": "org1", "name": "First"})
    answer = await velt.call("organizations/add", {"organizationId": "org1", "name": "Second"})
    assert refusal(answer)[:2] == (409, "ALREADY_EXISTS")
    assert refusal(answer)[2].startswith("data.organizationId is another organization's")
    [shown] = await velt.said("organizations/get", {"organizationId": "org1"})
    assert shown["name"] == "First"
    assert refusal(await velt.call("organizations/add", {"organizationId": "default"}))[0] == 409


async def test_of_many_who_add_an_organization_one_does(velt: Velt) -> None:
    answers = await asyncio.gather(
        *(velt.call("organizations/add", {"organizationId": "org1"}) for _ in range(5))
    )
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409, 409]


async def test_a_name_is_changed_kept_and_cleared(velt: Velt) -> None:
    await velt.said("organizations/add", {"organizationId": "org1", "name": "First"})
    for data, name in (({"name": "Second"}, "Second"), ({}, "Second"), ({"name": None}, None)):
        await velt.said("organizations/update", {"organizationId": "org1", **data})
        [shown] = await velt.said("organizations/get", {"organizationId": "org1"})
        assert shown["name"] == name


@pytest.mark.parametrize("call", ["get", "update", "delete"])
async def test_what_is_not_there_is_not_found(velt: Velt, call: str) -> None:
    answer = await velt.call(f"organizations/{call}", {"organizationId": "nobody's", "name": "A name"})
    status, word, message = refusal(answer)
    assert (status, word) == (404, "NOT_FOUND")
    assert "organizationId" in message


async def test_organizations_are_listed_in_pages_that_miss_none(house: House, velt: Velt) -> None:
    """One that is added meanwhile comes last."""
    for number in range(4):
        house.clock.advance(1)
        await velt.said("organizations/add", {"organizationId": f"org{number}"})
    first = await velt.call("organizations/get", {"pageSize": 3})
    house.clock.advance(1)
    await velt.said("organizations/add", {"organizationId": "late"})
    token = first["result"]["pageToken"]
    second = await velt.call("organizations/get", {"pageSize": 3, "pageToken": token})
    shown = [one["organizationId"] for answer in (first, second) for one in answer["result"]["data"]]
    assert shown == ["default", "org0", "org1", "org2", "org3", "late"]
    assert second["result"]["pageToken"] is None


async def test_who_is_bound_to_an_organization_sees_that_one(house: House, admin: Person, velt: Velt) -> None:
    """Another one looks as if it were not there, whether it is or not; and none is made."""
    await velt.said("organizations/add", {"organizationId": "umbrella"})
    house.clock.advance(1)
    acme = await bound(house, admin, "acme")
    assert await names(acme) == ["acme"]
    assert await names(acme, organizationId="acme") == ["acme"]
    await acme.said("organizations/update", {"organizationId": "acme", "name": "Acme"})
    for call in ("add", "get", "update", "delete"):
        told = {
            refusal(await acme.call(f"organizations/{call}", {"organizationId": name, "name": "Mine"}))
            for name in ("umbrella", "nobody's")
        }
        assert [one[:2] for one in told] == [(404, "NOT_FOUND")], call
    assert sorted(await names(velt)) == ["acme", "default", "umbrella"]
    [shown] = await velt.said("organizations/get", {"organizationId": "umbrella"})
    assert shown["name"] is None


async def test_a_deleted_organization_is_gone_at_once_and_its_id_is_free(house: House, velt: Velt) -> None:
    """Who makes one of that id has an empty one, which stays as it is while the old one is taken down."""
    await velt.said("organizations/add", {"organizationId": "org1", "name": "Old"})
    await velt.said("organizations/users/add", {"organizationId": "org1", "users": [{"userId": "ann"}]})
    await velt.said("organizations/delete", {"organizationId": "org1"})
    for call in ("organizations/get", "organizations/delete", "organizations/users/get", "documents/get"):
        assert refusal(await velt.call(call, {"organizationId": "org1"}))[:2] == (404, "NOT_FOUND")
    assert await names(velt) == ["default"]
    await velt.said("organizations/add", {"organizationId": "org1", "name": "New"})
    assert await velt.said("organizations/users/get", {"organizationId": "org1"}) == []
    await velt.said("organizations/users/add", {"organizationId": "org1", "users": [{"userId": "ben"}]})
    await run_tasks(house)
    users = await velt.said("organizations/users/get", {"organizationId": "org1"})
    assert [user["userId"] for user in users] == ["ben"]


async def test_the_organization_of_a_fresh_server_is_not_deleted(velt: Velt) -> None:
    answer = await velt.call("organizations/delete", {"organizationId": "default"})
    assert refusal(answer)[:2] == (400, "FAILED_PRECONDITION")
    assert await names(velt) == ["default"]


async def test_who_is_bound_to_an_organization_does_not_delete_it(
    house: House, admin: Person, velt: Velt
) -> None:
    """Neither with a token nor behind a key that is bound to it."""
    acme = await bound(house, admin, "acme")
    for caller in (acme, Velt(acme.api, acme.key, velt.token)):
        answer = await caller.call("organizations/delete", {"organizationId": "acme"})
        assert refusal(answer)[:2] == (403, "PERMISSION_DENIED")
    assert await names(velt) == ["default", "acme"]


async def test_tokens_that_are_bound_to_an_organization_end_with_it(
    house: House, admin: Person, velt: Velt
) -> None:
    """Also where another one of its id is made: they were for the one that is gone."""
    acme = await bound(house, admin, "acme")
    assert await names(acme) == ["acme"]
    await velt.said("organizations/delete", {"organizationId": "acme"})
    await velt.said("organizations/add", {"organizationId": "acme"})
    assert refusal(await acme.call("organizations/get", {}))[:2] == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({}, "organizationId is missing"),
        ({"organizationId": "x" * 101}, "organizationId has 101 characters"),
        ({"organizationId": " org1"}, "organizationId begins or ends with a space"),
        ({"organizationId": "org1", "name": "a\nb"}, "name holds a control character"),
    ],
)
async def test_what_is_wrong_is_named(velt: Velt, data: dict[str, object], place: str) -> None:
    status, word, message = refusal(await velt.call("organizations/add", data))
    assert (status, word) == (400, "INVALID_ARGUMENT")
    assert place in message


async def test_only_who_manages_gets_anywhere(house: House, admin: Person, velt: Velt) -> None:
    jane = await house.register("jane")
    gateway = await house.token(admin, "gateway")
    for token in (jane.access, gateway.token):
        for call in ("add", "get", "update", "delete"):
            answer = await velt.with_token(token).call(f"organizations/{call}", {"organizationId": "org1"})
            assert refusal(answer)[:2] == (403, "PERMISSION_DENIED")
    assert await names(velt.with_token(admin.access)) == ["default"]


async def run_tasks(house: House) -> None:
    while await run_due(house.pieces.db, now=house.clock(), random=house.random, log=house.pieces.log):
        pass
