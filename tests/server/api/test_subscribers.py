"""Subscribers natively: what the RPCs do, by path and method."""

import asyncio

import pytest

from tests.harness.acting import JANE, Acting, rows_of
from tests.harness.native import Reply
from tests.server.conftest import House, Person

SUBSCRIBERS = "/api/v1/subscribers"


@pytest.fixture
async def acme(house: House, admin: Person) -> Acting:
    """The servers of a tenant that there is not yet."""
    return Acting(await house.token(admin, "admin"), "acme")


async def put(who: Acting, user: str, **data: str | None) -> Reply:
    return await who.call("POST", SUBSCRIBERS, {"userId": user, **data})


async def get(who: Acting, path: str = "") -> Reply:
    return await who.call("GET", f"{SUBSCRIBERS}{path}")


async def test_what_one_api_writes_the_other_shows(acme: Acting) -> None:
    made = await put(acme, "ann", **JANE)
    assert made.status == 200
    by_rpc = await acme.rpc("manage/get-subscriber", {"userId": "ann"})
    assert (by_rpc["userId"], by_rpc["subscriberData"], by_rpc["createdAt"]) == (
        "ann",
        JANE,
        made["createdAt"],
    )
    update = {"userId": "ann", "subscriberData": {"locale": "en-GB", "phone": None}}
    await acme.rpc("manage/update-subscriber-data", update)
    expected = {**made.json, "locale": "en-GB", "phone": None}
    assert (await get(acme, "/ann")).json == expected
    assert (await get(acme, f"/{made['id']}")).json == expected
    changed = await acme.call("PATCH", f"{SUBSCRIBERS}/ann", {"lastName": None, "phone": "+491511234"})
    assert changed.json == {**expected, "lastName": None, "phone": "+491511234"}
    gone = await acme.call("DELETE", f"{SUBSCRIBERS}/ann")
    assert (gone.status, gone.json) == (200, {"devices": 0, "inboxMessages": 0, "preferences": 0})
    assert (await acme.rpc("manage/get-subscriber", {"userId": "ann"})).status == 404


async def test_concurrent_upserts_lose_nothing(acme: Acting) -> None:
    """Made, and changed, in both APIs at once."""
    await asyncio.gather(
        put(acme, "ann", firstName="Jane"),
        put(acme, "ann", lastName="Doe"),
        acme.rpc("manage/create-subscriber", {"userId": "ann", "subscriberData": {"locale": "en-US"}}),
        put(acme, "ann", timezone=JANE["timezone"], phone=JANE["phone"]),
    )
    await put(acme, "ann", email=JANE["email"])
    assert JANE.items() <= (await get(acme, "/ann")).json.items()


async def test_every_fault_is_named(house: House, acme: Acting) -> None:
    before = await rows_of(house.pieces.db)
    wrong = {"email": "jane", "phone": "123", "locale": "?", "timezone": "here", "firstName": ""}
    answer = await put(acme, "", **wrong)
    assert (answer.status, {*answer.faults}) == (400, {"userId", *wrong})
    answer = await acme.call("PATCH", f"{SUBSCRIBERS}/ann", wrong)
    assert (answer.status, {*answer.faults}) == (400, {*wrong})
    assert await rows_of(house.pieces.db) == before
    await put(acme, "ann", email=JANE["email"])
    taken = await put(acme, "bob", email=JANE["email"])
    assert (taken.status, taken.code, {*taken.faults}) == (409, "email_taken", {"email"})


@pytest.mark.parametrize("phone", ["+1", "+01234567", "1234567890", "+1234567890123456", "+12 34", "+١٢٣"])
async def test_a_telephone_number_is_an_international_one(acme: Acting, phone: str) -> None:
    answer = await put(acme, "ann", phone=phone)
    assert (answer.status, {*answer.faults}) == (400, {"phone"})


async def test_a_list_goes_on_where_the_page_before_has_ended(house: House, acme: Acting) -> None:
    """Who is made meanwhile comes last."""
    for user in ("m", "a", "z"):
        await put(acme, user)
        house.clock.advance(1)
    first = await get(acme, "?limit=2")
    await put(acme, "0")
    rest = await get(acme, f"?limit=2&cursor={first['nextCursor']}")
    seen = [one["userId"] for answer in (first, rest) for one in answer["subscribers"]]
    assert (seen, rest["nextCursor"]) == (["m", "a", "z", "0"], None)
    wrong = await get(acme, "?limit=0&cursor=x")
    assert (wrong.status, {*wrong.faults}) == (400, {"?limit", "?cursor"})


async def test_who_is_nobody_or_another_tenants_is_not_there(house: House, acme: Acting) -> None:
    made = await put(acme, "ann", **JANE)
    stranger = Acting(acme.api, "globex")
    before = await rows_of(house.pieces.db)
    assert (await get(stranger)).json == {"subscribers": [], "nextCursor": None}
    for who, name in (
        (stranger, "ann"),
        (stranger, made["id"]),
        (acme, "nobody"),
        (acme, "%00"),
        (acme, "%20"),
    ):
        for answer in (
            await get(who, f"/{name}"),
            await who.call("PATCH", f"{SUBSCRIBERS}/{name}", {"firstName": "X"}),
            await who.call("DELETE", f"{SUBSCRIBERS}/{name}"),
        ):
            assert (answer.status, answer.code) == (404, "user_not_found")
    assert await rows_of(house.pieces.db) == before


async def test_who_is_deleted_is_not_set_by_an_admin(house: House, admin: Person) -> None:
    """What is left of them has no name, and is given none."""
    bob = await house.register("bob")
    assert (await admin.api.delete(f"{SUBSCRIBERS}/bob")).status == 200
    answer = await admin.api.patch(f"/api/v1/users/{bob.id}", {"externalId": "bob", "role": "admin"})
    assert (answer.status, answer.code) == (404, "user_not_found")
    assert (await admin.api.delete(f"{SUBSCRIBERS}/admin")).code == "subscriber_admin"
