"""Invitations: to a bucket and to an account, each good once and for a while, for as long as whoever invites may."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from server.config import Settings
from server.domain.account import Registration
from server.domain.bucket import Permission
from tests.harness.native import Reply
from tests.server.conftest import PASSWORD, House, Person

Open = Callable[[Settings], Awaitable[House]]
INVITATIONS, ACCEPT, REGISTER = (
    "/api/v1/invitations",
    "/api/v1/invitations/accept",
    "/api/v1/auth/register",
)
BUCKETS = "/api/v1/buckets"
HOUR = 3_600_000


@pytest.fixture
async def bob(house: House, admin: Person) -> Person:
    assert admin.id
    return await house.register("bob")


@pytest.fixture
async def closed_house(open_house: Open, settings: Settings) -> House:
    """A server where registration is by invitation."""
    accounts = msgspec.structs.replace(settings.accounts, registration=Registration.INVITE)
    return await open_house(msgspec.structs.replace(settings, accounts=accounts))


async def invited(house: House, person: Person, **more: object) -> str:
    answer = await person.api.post(INVITATIONS, more)
    assert answer.status == 201, answer.body
    house.secrets.append(answer["code"])
    return str(answer["code"])


async def register(house: House, username: str, code: str | None) -> Reply:
    body = {"email": f"{username}@example.com", "username": username, "password": PASSWORD, "code": code}
    return await house.api.post(REGISTER, body)


async def test_an_invitation_makes_a_member_once(house: House, admin: Person, bob: Person) -> None:
    """Its code may be typed in any case, with or without hyphens."""
    bucket, carol = await house.bucket(admin, "Team"), await house.register("carol")
    code = await invited(house, admin, bucketId="Team", permissions=["READ", "WRITE"])
    joined = await bob.api.post(ACCEPT, {"code": code.lower().replace("-", "")})
    assert (joined.status, joined["id"], joined["permissions"]) == (200, bucket, ["READ", "WRITE"])
    late = await carol.api.post(ACCEPT, {"code": code})
    assert (late.status, late.code) == (403, "invitation_invalid")
    [shown] = (await admin.api.get(INVITATIONS))["invitations"]
    assert (shown["acceptedBy"], shown["acceptedAt"]) == (bob.id, "2027-01-15T08:00:00.000Z")
    assert "code" not in shown


async def test_of_two_who_accept_at_once_one_wins(house: House, admin: Person, bob: Person) -> None:
    bucket, carol = await house.bucket(admin), await house.register("carol")
    for _ in range(5):
        code = await invited(house, admin, bucketId=bucket)
        answers = await asyncio.gather(*(who.api.post(ACCEPT, {"code": code}) for who in (bob, carol)))
        assert sorted(answer.status for answer in answers) == [200, 403]
        for who in (bob, carol):
            await who.api.post(f"{BUCKETS}/{bucket}/leave")


@pytest.mark.usefixtures("bob")
@pytest.mark.parametrize("hours", [1, 720, None])
async def test_an_invitation_ends_at_its_time(house: House, admin: Person, hours: int | None) -> None:
    """After three days where nothing is said."""
    codes = [await invited(house, admin, bucketId="default", expiresInHours=hours) for _ in range(2)]
    house.clock.advance((hours or 72) * HOUR - 1)
    signed_in = await house.api.post("/api/v1/auth/login", {"username": "bob", "password": PASSWORD})
    bob = house.api.with_token(signed_in["accessToken"])
    house.clock.advance(1)
    assert (await bob.post(ACCEPT, {"code": codes[0]})).code == "invitation_invalid"
    house.clock.advance(-1)
    assert (await bob.post(ACCEPT, {"code": codes[1]})).status == 200


async def test_whoever_has_lost_what_they_gave_has_invited_in_vain(
    house: House, admin: Person, bob: Person
) -> None:
    bucket, carol = await house.bucket(admin), await house.register("carol")
    await house.join(bob, bucket, Permission.ADMIN)
    code = await invited(house, bob, bucketId=bucket)
    await admin.api.patch(f"{BUCKETS}/{bucket}/members/bob", {"permissions": ["READ"]})
    assert (await carol.api.post(ACCEPT, {"code": code})).code == "invitation_invalid"
    await admin.api.patch(f"{BUCKETS}/{bucket}/members/bob", {"permissions": ["ADMIN"]})
    assert (await carol.api.post(ACCEPT, {"code": code})).status == 200


async def test_a_member_does_not_use_an_invitation_up(house: House, admin: Person, bob: Person) -> None:
    code = await invited(house, admin, bucketId="default")
    again = await admin.api.post(ACCEPT, {"code": code})
    assert (again.status, again.code) == (409, "member_exists")
    assert (await bob.api.post(ACCEPT, {"code": code})).status == 200


async def test_a_deleted_invitation_is_worthless(house: House, admin: Person, bob: Person) -> None:
    """Only who made it deletes it."""
    code = await invited(house, admin, bucketId="default")
    [shown] = (await admin.api.get(INVITATIONS))["invitations"]
    at = f"{INVITATIONS}/{shown['id']}"
    assert ((await bob.api.delete(at)).status, (await bob.api.delete(at)).code) == (
        404,
        "invitation_not_found",
    )
    assert (await admin.api.delete(at.upper().replace("/API/V1/INVITATIONS", INVITATIONS))).status == 204
    assert (await bob.api.post(ACCEPT, {"code": code})).code == "invitation_invalid"
    assert (await admin.api.get(INVITATIONS)).json == {"invitations": [], "nextCursor": None}


async def test_ones_invitations_are_listed_in_pages_the_newest_first(
    house: House, admin: Person, bob: Person
) -> None:
    for _ in range(3):
        await invited(house, admin, bucketId="default")
        house.clock.advance(1)
    first = await admin.api.get(f"{INVITATIONS}?limit=2")
    second = await admin.api.get(f"{INVITATIONS}?limit=2&cursor={first['nextCursor']}")
    made = [one["createdAt"] for one in first["invitations"] + second["invitations"]]
    assert (len(made), made, second["nextCursor"]) == (3, sorted(made, reverse=True), None)
    assert (await bob.api.get(INVITATIONS))["invitations"] == []


async def test_faults_of_an_invitation_are_all_named(admin: Person, bob: Person) -> None:
    """And only an admin invites to the server."""
    body = {"bucketId": 5, "permissions": ["OWN"], "expiresInHours": 721}
    faults = (await admin.api.post(INVITATIONS, body)).faults
    assert faults.keys() == {"bucketId", "permissions[0]", "expiresInHours"}
    assert (await bob.api.post(ACCEPT, {})).faults == {"code": "is missing"}
    refused = await bob.api.post(INVITATIONS, {})
    assert (refused.status, refused.code) == (403, "scope_missing")


async def test_an_admins_invitation_is_good_for_one_account(closed_house: House) -> None:
    house = closed_house
    admin = await house.register("admin")
    missing = await register(house, "ann", None)
    assert (missing.status, missing.code) == (403, "registration_invite")
    code = await invited(house, admin)
    assert (await register(house, "ann", code)).status == 201
    for spent in (code, "00000-00000-00000-00000"):
        answer = await register(house, "ben", spent)
        assert (answer.status, answer.code) == (403, "invitation_invalid")
    answers = [register(house, f"user{n}", code) for code in [await invited(house, admin)] for n in range(2)]
    assert sorted(answer.status for answer in await asyncio.gather(*answers)) == [201, 403]


async def test_who_registers_by_an_invitation_to_a_bucket_is_in_it(closed_house: House) -> None:
    """If an admin of the server has made it."""
    house = closed_house
    admin = await house.register("admin")
    bucket = await house.bucket(admin)
    joined = await register(house, "ann", await invited(house, admin, bucketId=bucket))
    api = house.api.with_token(joined["accessToken"])
    assert (await api.get(f"{BUCKETS}/{bucket}"))["permissions"] == ["READ"]
    theirs = await api.post(INVITATIONS, {"bucketId": "default"})
    refused = await register(house, "ben", theirs["code"])
    assert (refused.status, refused.code) == (403, "invitation_invalid")


async def test_a_name_that_is_taken_does_not_use_an_invitation_up(closed_house: House) -> None:
    house = closed_house
    admin = await house.register("admin")
    code = await invited(house, admin)
    assert (await register(house, "admin", code)).status == 409
    assert (await register(house, "ann", code)).status == 201


async def test_an_invitation_to_an_account_is_nothing_to_who_has_one(
    house: House, admin: Person, bob: Person
) -> None:
    code = await invited(house, admin)
    assert (await bob.api.post(ACCEPT, {"code": code})).code == "invitation_invalid"


async def test_no_code_is_stored(house: House, admin: Person) -> None:
    code = await invited(house, admin, bucketId="default")
    rows = await house.pieces.db.read(lambda tx: tx.all("SELECT * FROM invitations"))
    stored = str([dict(row) for row in rows])
    assert code not in stored
    assert code.replace("-", "") not in stored


async def test_an_operator_invites_to_no_bucket_that_they_were_taken_out_of(
    closed_house: House,
) -> None:
    """Nor does the code make an account then: what it promised is not theirs to give."""
    admin = await closed_house.register("admin")
    assert (await register(closed_house, "bob", await invited(closed_house, admin))).status == 201
    login = await closed_house.api.post("/api/v1/auth/login", {"username": "bob", "password": PASSWORD})
    bob = closed_house.api.with_token(login["accessToken"])
    bucket = (await bob.post(BUCKETS, {"name": "Bob's own"}))["id"]
    await bob.post(f"{BUCKETS}/{bucket}/members", {"user": "admin", "permissions": ["ADMIN"]})
    code = await invited(closed_house, admin, bucketId=bucket, permissions=["ADMIN"])
    await bob.delete(f"{BUCKETS}/{bucket}/members/admin")
    refused = await register(closed_house, "mallory", code)
    assert (refused.status, refused.code) == (403, "invitation_invalid")
