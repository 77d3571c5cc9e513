"""One's own account: names, profile, password, and where one is signed in; and what an admin sets for others."""

import asyncio
from typing import Any

import pytest

from tests.server.conftest import PASSWORD, House, Person

ME, SECRET, SESSIONS, LOGIN = (
    "/api/v1/users/me",
    "/api/v1/users/me/password",
    "/api/v1/users/me/sessions",
    "/api/v1/auth/login",
)
NEW = "another long password"


async def sign_in(house: House, name: str, password: str = PASSWORD) -> Any:
    answer = await house.api.post(LOGIN, {"username": name, "password": password})
    assert answer.status == 200, answer.body
    house.secrets += [answer["accessToken"], answer["refreshToken"]]
    return answer


async def test_a_profile_is_changed_field_by_field(admin: Person) -> None:
    """What is left out stays, null clears."""
    profile = {
        "firstName": "Ada",
        "lastName": "Lovelace",
        "phone": "+44 20 7946 0000",
        "locale": "en-GB",
        "timezone": "Europe/London",
    }
    changed = await admin.api.patch(ME, profile)
    assert (changed.status, profile.items() <= changed.json.items()) == (200, True)
    cleared = await admin.api.patch(ME, {"phone": None, "lastName": "King", "email": None})
    assert cleared.json == {**changed.json, "phone": None, "lastName": "King"}
    assert (await admin.api.get(ME)).json == cleared.json


async def test_faults_of_a_profile_are_all_named(admin: Person) -> None:
    body = {
        "username": "a b",
        "email": "nobody",
        "locale": "en_GB",
        "timezone": "Mars/Base",
        "phone": "1" * 41,
        "firstName": 5,
    }
    answer = await admin.api.patch(ME, body)
    assert answer.faults == {
        "username": "has characters that a username cannot have",
        "email": "is not an email address",
        "locale": "is not a language tag (BCP 47)",
        "timezone": "is not a time zone",
        "phone": "has 41 characters",
        "firstName": "is a number",
    }


async def test_one_signs_in_by_the_new_names(house: House, admin: Person) -> None:
    renamed = await admin.api.patch(ME, {"username": "root", "email": "root@example.org"})
    assert (renamed["username"], renamed["email"]) == ("root", "root@example.org")
    assert (await sign_in(house, "ROOT"))["user"]["id"] == admin.id
    old = await house.api.post(LOGIN, {"email": "admin@example.com", "password": PASSWORD})
    assert old.code == "credentials_invalid"


async def test_a_name_of_another_account_is_taken(house: House, admin: Person) -> None:
    await house.register("bob")
    name = await admin.api.patch(ME, {"username": "BOB"})
    assert (name.status, name.code, name.faults) == (409, "username_taken", {"username": "is taken"})
    email = await admin.api.patch(ME, {"email": "Bob@example.com"})
    assert (email.status, email.code) == (409, "email_taken")
    assert (await admin.api.patch(ME, {"username": "Admin"})).status == 200


async def test_a_new_password_ends_the_other_sessions(house: House, admin: Person) -> None:
    """And is the only one that is good."""
    other = house.api.with_token((await sign_in(house, "admin"))["accessToken"])
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    assert (await admin.api.post(SECRET, body)).status == 204
    assert (await other.get(ME)).code == "session_ended"
    assert (await admin.api.get(ME)).status == 200
    refused = await house.api.post(LOGIN, {"username": "admin", "password": PASSWORD})
    assert refused.code == "credentials_invalid"
    await sign_in(house, "admin", NEW)


async def test_an_access_token_sets_a_password_only_with_the_old_one(house: House, admin: Person) -> None:
    """Then every session ends."""
    token = await house.token(admin, "admin")
    wrong = await token.post(SECRET, {"currentPassword": NEW, "newPassword": NEW})
    assert (wrong.status, wrong.code) == (403, "password_wrong")
    assert (await token.post(SECRET, {"currentPassword": PASSWORD, "newPassword": NEW})).status == 204
    assert (await admin.api.get(ME)).code == "session_ended"


async def test_guessing_the_current_password_is_limited_as_signing_in_is(house: House, admin: Person) -> None:
    """Those at the same moment are counted too."""
    body = {"currentPassword": "not the password", "newPassword": NEW}
    answers = await asyncio.gather(*(admin.api.post(SECRET, body) for _ in range(12)))
    assert sorted(answer.status for answer in answers) == [403] * 10 + [429] * 2
    right = await admin.api.post(SECRET, {**body, "currentPassword": PASSWORD})
    assert (right.status, right.headers["Retry-After"]) == (429, "30")
    login = await house.api.post(LOGIN, {"email": "admin@example.com", "password": PASSWORD})
    assert login.status == 429


async def test_faults_of_a_password_do_not_repeat_it(admin: Person) -> None:
    answer = await admin.api.post(SECRET, {"currentPassword": "", "newPassword": "short"})
    assert answer.faults == {"currentPassword": "is empty", "newPassword": "has 5 characters"}
    assert b"short" not in answer.body


async def test_sessions_are_listed_and_ended(house: House, admin: Person) -> None:
    """The newest first; of each it says when it was last refreshed."""
    house.clock.advance(1000)
    second = await sign_in(house, "admin")
    house.clock.advance(1000)
    await house.api.post("/api/v1/auth/refresh", {"refreshToken": admin.refresh})
    other = house.api.with_token(second["accessToken"])
    listed = (await other.get(SESSIONS))["sessions"]
    assert [one["current"] for one in listed] == [True, False]
    assert [(one["createdAt"][17:19], one["refreshedAt"][17:19]) for one in listed] == [
        ("01", "01"),
        ("00", "02"),
    ]
    assert listed[1]["expiresAt"] == "2027-02-14T08:00:02.000Z"
    at = f"{SESSIONS}/{listed[1]['id']}"
    assert (await other.delete(at)).status == 204
    assert (await admin.api.get(ME)).code == "session_ended"
    again = await other.delete(at)
    assert (again.status, again.code) == (404, "session_not_found")


async def test_nobody_ends_anothers_session(house: House, admin: Person) -> None:
    bob = await house.register("bob")
    [theirs] = (await admin.api.get(SESSIONS))["sessions"]
    assert (await bob.api.delete(f"{SESSIONS}/{theirs['id']}")).code == "session_not_found"
    assert (await admin.api.get(ME)).status == 200


async def test_an_admin_sets_external_ids_and_roles(house: House, admin: Person) -> None:
    """An external id names its user from then on; without one the id does."""
    bob = await house.register("bob")
    at = f"/api/v1/users/{bob.id}"
    named = await admin.api.patch(at, {"externalId": "crm-17"})
    assert (named.status, named["externalId"], named["role"]) == (200, "crm-17", "user")
    bucket = await house.bucket(admin)
    added = await admin.api.post(f"/api/v1/buckets/{bucket}/members", {"user": "crm-17"})
    assert added["userId"] == bob.id
    taken = await admin.api.patch(f"/api/v1/users/{admin.id}", {"externalId": "crm-17"})
    assert (taken.status, taken.code) == (409, "external_id_taken")
    assert (await admin.api.patch(at, {"externalId": None}))["externalId"] == bob.id
    assert (await bob.api.get("/api/v1/deliveries")).status == 403
    assert (await admin.api.patch(at, {"role": "admin"}))["role"] == "admin"
    assert (await bob.api.get("/api/v1/deliveries")).status == 200


async def test_admins_do_not_take_the_role_from_themselves(admin: Person) -> None:
    """So that there is always one."""
    own = await admin.api.patch(f"/api/v1/users/{admin.id}", {"role": "user"})
    assert (own.status, own.code) == (409, "own_role")
    assert (await admin.api.patch(f"/api/v1/users/{admin.id}", {"role": "admin"})).status == 200


@pytest.mark.parametrize("body", [{"role": "owner"}, {"externalId": ""}, {"externalId": "a\nb"}])
async def test_what_an_admin_sets_is_checked(admin: Person, body: dict[str, str]) -> None:
    answer = await admin.api.patch(f"/api/v1/users/{admin.id}", body)
    assert (answer.status, answer.faults.keys()) == (400, body.keys())


async def test_a_user_that_nobody_is_cannot_be_set(admin: Person) -> None:
    answer = await admin.api.patch("/api/v1/users/00000000-0000-7000-8000-000000000000", {"role": "user"})
    assert (answer.status, answer.code) == (404, "user_not_found")
