"""Registration, signing in, staying signed in."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import jwt
import msgspec
import pytest

from server.commands.derive import SESSIONS, derive, first_account_code
from server.config import Settings
from server.domain.account import Registration
from tests.server.conftest import PASSWORD, House, Person

Open = Callable[[Settings], Awaitable[House]]
REGISTER, LOGIN, REFRESH, ME, PASSWORD_PATH = (
    "/api/v1/auth/register",
    "/api/v1/auth/login",
    "/api/v1/auth/refresh",
    "/api/v1/users/me",
    "/api/v1/users/me/password",
)


def account(username: str = "ann", **more: Any) -> dict[str, Any]:
    """Return the body of a registration."""
    return {"email": f"{username}@example.com", "username": username, "password": PASSWORD, **more}


def behind_proxies(settings: Settings) -> Settings:
    server = msgspec.structs.replace(settings.server, trusted_proxies=("127.0.0.0/8", "10.0.0.0/8"))
    return msgspec.structs.replace(settings, server=server)


async def test_the_first_account_is_the_admin_with_a_default_bucket(house: House) -> None:
    """The second one is a user, with a default bucket too."""
    for username, role in (("first", "admin"), ("second", "user")):
        person = await house.register(username)
        me = (await person.api.get(ME)).json
        assert me["role"] == role
        assert me["externalId"] == me["id"]
        [bucket] = (await person.api.get("/api/v1/buckets"))["buckets"]
        assert bucket["name"] == "default"
        assert bucket["permissions"] == ["READ", "WRITE", "DELETE", "ADMIN"]


async def test_of_many_that_are_first_exactly_one_is_the_admin(house: House) -> None:
    """However close they come."""
    answers = await asyncio.gather(*(house.api.post(REGISTER, account(f"user{n}")) for n in range(8)))
    assert [answer.status for answer in answers] == [201] * 8
    assert sorted(answer["user"]["role"] for answer in answers) == ["admin"] + ["user"] * 7


@pytest.mark.parametrize("reached", [{"listen": "0.0.0.0:8080"}, {"public_url": "https://push.example.org"}])
async def test_elsewhere_the_first_account_needs_the_code_in_the_log(
    open_house: Open, settings: Settings, reached: dict[str, str]
) -> None:
    """On a server that others reach, by its listener or through a proxy, nobody may be quicker than the operator."""
    server = msgspec.structs.replace(settings.server, **reached)
    house = await open_house(msgspec.structs.replace(settings, server=server))
    code = first_account_code(house.pieces.secret)
    assert any(line.get("code") == code for line in house.log.entries)

    missing = await house.api.post(REGISTER, account())
    assert (missing.status, missing.code) == (403, "first_account_code_required")
    wrong = await house.api.post(REGISTER, account(code="00000-00000-00000-00000"))
    assert (wrong.status, wrong.code) == (403, "first_account_code_invalid")
    right = await house.api.post(REGISTER, account(code=f" {code.lower()} "[1:-1]))
    assert (right.status, right["user"]["role"]) == (201, "admin")


@pytest.mark.parametrize(
    "headers", [{"X-Forwarded-For": "203.0.113.9"}, {"Forwarded": "for=x"}, {"Host": "evil.example"}]
)
async def test_through_a_proxy_or_a_foreign_name_loopback_is_not_local(
    house: House, headers: dict[str, str]
) -> None:
    """Whoever is behind it is not on this machine."""
    answer = await house.api.call("POST", REGISTER, account(), headers=headers)
    assert (answer.status, answer.code) == (403, "first_account_code_required")


@pytest.mark.parametrize(
    ("registration", "code"),
    [(Registration.CLOSED, "registration_closed"), (Registration.INVITE, "registration_invite")],
)
async def test_registration_is_as_configured_after_the_first_account(
    open_house: Open, settings: Settings, registration: Registration, code: str
) -> None:
    """The first one is made in any case."""
    accounts = msgspec.structs.replace(settings.accounts, registration=registration)
    house = await open_house(msgspec.structs.replace(settings, accounts=accounts))
    await house.register("first")
    answer = await house.api.post(REGISTER, account("second"))
    assert (answer.status, answer.code) == (403, code)


@pytest.mark.usefixtures("admin")
async def test_names_that_are_taken_are_said_so_whatever_their_case(house: House) -> None:
    """One person, one address."""
    email = await house.api.post(REGISTER, account("other", email="ADMIN@Example.com"))
    assert (email.status, email.code, email.faults) == (409, "email_taken", {"email": "is taken"})
    name = await house.api.post(REGISTER, account("Admin", email="x@example.com"))
    assert (name.status, name.code) == (409, "username_taken")


async def test_faults_of_a_registration_are_clear(house: House) -> None:
    """All of them, and none repeats the password."""
    answer = await house.api.post(REGISTER, {"email": "nobody", "username": "a b", "password": "short"})
    assert answer.faults == {
        "email": "is not an email address",
        "username": "has characters that a username cannot have",
        "password": "has 5 characters",
    }
    assert b"short" not in answer.body


async def test_one_signs_in_by_email_or_username(house: House, admin: Person) -> None:
    """In any case."""
    for body in ({"email": "ADMIN@example.com"}, {"username": "Admin"}, {"email": "admin"}):
        answer = await house.api.post(LOGIN, {**body, "password": PASSWORD})
        assert answer.status == 200
        assert answer["user"]["id"] == admin.id
        assert answer["expiresIn"] == 900


@pytest.mark.usefixtures("admin")
async def test_a_wrong_password_and_an_unknown_account_look_the_same(house: House) -> None:
    """To the letter."""
    answers = [
        await house.api.post(LOGIN, {"email": email, "password": "not the password"})
        for email in ("admin@example.com", "nobody@example.com")
    ]
    assert [(answer.status, answer.code) for answer in answers] == [(401, "credentials_invalid")] * 2
    assert answers[0].body == answers[1].body


@pytest.mark.usefixtures("admin")
async def test_sign_ins_at_an_account_are_throttled_and_come_back(house: House) -> None:
    """A right password too, until the time has passed; for an account that does not exist as well."""
    for email in ("admin@example.com", "nobody@example.com"):
        wrong = {"email": email, "password": "not the password"}
        for _ in range(10):
            assert (await house.api.post(LOGIN, wrong)).status == 401
        limited = await house.api.post(LOGIN, {**wrong, "password": PASSWORD})
        assert (limited.status, limited.code) == (429, "limited")
        assert limited.headers["Retry-After"] == "30"
        assert limited.headers["RateLimit-Policy"] == '"sign-in";q=10;w=300'
        assert limited.headers["RateLimit"] == '"sign-in";r=0;t=30'
    house.clock.advance(30_000)
    right = await house.api.post(LOGIN, {"email": "admin@example.com", "password": PASSWORD})
    assert right.status == 200
    assert right.headers["RateLimit"].startswith('"sign-in";r=10;')


async def test_what_strangers_guess_leaves_the_owner_free(open_house: Open, settings: Settings) -> None:
    """To sign in and to change the password, from another address; what the stranger writes as theirs is not believed."""
    house = await open_house(behind_proxies(settings))
    owner = await house.register("ann")
    stranger, elsewhere = "203.0.113.9", {"X-Forwarded-For": "198.51.100.7"}
    wrong, right = account(password="not the password"), account()

    async def sign_in(body: dict[str, Any], forwarded: str) -> int:
        headers = {"X-Forwarded-For": forwarded}
        return (await house.api.call("POST", LOGIN, body, headers=headers)).status

    guesses = [await sign_in(wrong, f"192.0.2.{number}, {stranger}") for number in range(11)]
    assert guesses == [401] * 10 + [429]
    assert await sign_in(right, stranger) == 429
    answer = await house.api.call("POST", LOGIN, right, headers=elsewhere)
    assert (answer.status, answer.headers["RateLimit"]) == (200, '"sign-in";r=10;t=1')
    change = {"currentPassword": PASSWORD, "newPassword": PASSWORD + "!"}
    assert (await owner.api.call("POST", PASSWORD_PATH, change, headers=elsewhere)).status == 204


@pytest.mark.usefixtures("admin")
async def test_without_trusted_proxies_nobody_comes_from_elsewhere(house: House) -> None:
    """Otherwise each attempt would be an address's first."""
    body = {"email": "admin@example.com", "password": "not the password"}
    statuses = [
        (await house.api.call("POST", LOGIN, body, headers={"X-Forwarded-For": f"192.0.2.{number}"})).status
        for number in range(11)
    ]
    assert statuses == [401] * 10 + [429]


async def test_sign_ins_are_throttled_by_address(house: House) -> None:
    """Many accounts from one place are one attempt each at that place."""
    bodies = [{"email": f"user{n}@example.com", "password": "not the password"} for n in range(61)]
    statuses = [(await house.api.post(LOGIN, body)).status for body in bodies]
    assert statuses == [401] * 60 + [429]


async def test_behind_a_trusted_proxy_the_address_is_the_clients(
    open_house: Open, settings: Settings
) -> None:
    """What the client itself wrote into the header is not believed; IPv6 counts by network."""
    house = await open_house(behind_proxies(settings))

    async def statuses(number: int, forwarded: str) -> set[int]:
        bodies = [{"email": f"u{n}@{number}.example", "password": "not the password"} for n in range(61)]
        headers = {"X-Forwarded-For": forwarded}
        return {(await house.api.call("POST", LOGIN, body, headers=headers)).status for body in bodies}

    assert await statuses(1, "203.0.113.9, 10.1.2.3") == {401, 429}
    assert await statuses(2, "198.51.100.7, 203.0.113.9") == {429}
    assert await statuses(3, "2001:db8::1") == {401, 429}
    assert await statuses(4, "2001:db8::ffff") == {429}


@pytest.mark.usefixtures("admin")
async def test_attempts_at_one_moment_are_all_counted(house: House) -> None:
    """The count comes before the password is looked at."""
    body = {"email": "admin@example.com", "password": "not the password"}
    answers = await asyncio.gather(*(house.api.post(LOGIN, body) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [401] * 10 + [429] * 10


async def test_too_many_passwords_at_once_are_told_to_come_back(open_house: Open, settings: Settings) -> None:
    """The queue is bounded; nobody waits without end."""
    accounts = msgspec.structs.replace(settings.accounts, argon2_threads=1, argon2_waiting=1)
    house = await open_house(msgspec.structs.replace(settings, accounts=accounts))
    answers = await asyncio.gather(*(house.api.post(REGISTER, account(f"user{n}")) for n in range(12)))
    statuses = {answer.status for answer in answers}
    assert 201 in statuses
    assert statuses <= {201, 503}
    for answer in answers:
        if answer.status == 503:
            assert answer.code == "unavailable"
            assert answer.headers["Retry-After"] == "2"


async def test_refreshing_rotates_and_reuse_ends_the_family(house: House, admin: Person) -> None:
    """Whoever used the spent one, thief or owner: both are signed out."""
    second = await house.api.post(REFRESH, {"refreshToken": admin.refresh})
    assert second.status == 200
    assert second["refreshToken"] != admin.refresh
    third = await house.api.post(REFRESH, {"refreshToken": second["refreshToken"]})
    assert (await house.api.with_token(third["accessToken"]).get(ME)).status == 200

    reused = await house.api.post(REFRESH, {"refreshToken": admin.refresh})
    assert (reused.status, reused.code) == (401, "session_ended")
    assert (await house.api.post(REFRESH, {"refreshToken": third["refreshToken"]})).status == 401
    assert (await house.api.with_token(third["accessToken"]).get(ME)).code == "session_ended"


async def test_of_two_refreshes_at_once_one_wins_and_the_family_ends(house: House, admin: Person) -> None:
    """A race cannot make two families of one."""
    answers = await asyncio.gather(
        *(house.api.post(REFRESH, {"refreshToken": admin.refresh}) for _ in range(2))
    )
    assert sorted(answer.status for answer in answers) == [200, 401]
    won = next(answer for answer in answers if answer.status == 200)
    assert (await house.api.post(REFRESH, {"refreshToken": won["refreshToken"]})).status == 401


async def test_tokens_expire_by_the_servers_clock(house: House, admin: Person) -> None:
    """Access after fifteen minutes, refresh after thirty days."""
    house.clock.advance(900_000 - 1)
    assert (await admin.api.get(ME)).status == 200
    house.clock.advance(1)
    assert (await admin.api.get(ME)).code == "token_expired"
    assert (await house.api.post(REFRESH, {"refreshToken": admin.refresh})).status == 200
    other = await house.api.post(LOGIN, {"email": "admin", "password": PASSWORD})
    house.clock.advance(30 * 86_400_000)
    late = await house.api.post(REFRESH, {"refreshToken": other["refreshToken"]})
    assert (late.status, late.code) == (401, "token_expired")


async def test_signing_out_ends_the_session_at_once(house: House, admin: Person) -> None:
    """Both of its tokens."""
    assert (await admin.api.post("/api/v1/auth/logout")).status == 204
    assert (await admin.api.get(ME)).status == 401
    assert (await house.api.post(REFRESH, {"refreshToken": admin.refresh})).status == 401


@pytest.mark.parametrize(
    "change", ["alg none", "alg HS512", "other key", "no expiry", "audience", "type", "issuer"]
)
async def test_a_jwt_that_is_not_exactly_ours_is_refused(house: House, admin: Person, change: str) -> None:
    """One algorithm, one audience, one issuer, one type, an expiry."""
    key = derive(house.pieces.secret, SESSIONS)
    claims = jwt.decode(admin.access, options={"verify_signature": False})
    header = {"typ": "hushpost-access"}
    forged = {
        "alg none": lambda: jwt.encode(claims, "", algorithm="none", headers=header),
        "alg HS512": lambda: jwt.encode(claims, key * 2, algorithm="HS512", headers=header),
        "other key": lambda: jwt.encode(claims, b"k" * 32, algorithm="HS256", headers=header),
        "no expiry": lambda: jwt.encode(
            {name: value for name, value in claims.items() if name != "exp"}, key, headers=header
        ),
        "audience": lambda: jwt.encode({**claims, "aud": "hushpost-refresh"}, key, headers=header),
        "type": lambda: jwt.encode(claims, key, headers={"typ": "JWT"}),
        "issuer": lambda: jwt.encode({**claims, "iss": "another"}, key, headers=header),
    }[change]()
    assert (await house.api.with_token(jwt.encode(claims, key, headers=header)).get(ME)).status == 200
    answer = await house.api.with_token(forged).get(ME)
    assert (answer.status, answer.code) == (401, "token_invalid")


async def test_a_refresh_token_is_no_access_token_and_the_other_way_round(
    house: House, admin: Person
) -> None:
    """Each is good for one thing."""
    assert (await house.api.with_token(admin.refresh).get(ME)).status == 401
    assert (await house.api.post(REFRESH, {"refreshToken": admin.access})).status == 401


async def test_a_password_hashed_with_other_parameters_is_hashed_again(
    open_house: Open, settings: Settings
) -> None:
    """At the next sign-in, without anybody noticing."""
    house = await open_house(settings)
    await house.register("ann")
    before = await _stored(house)
    accounts = msgspec.structs.replace(settings.accounts, argon2_time=2)
    stronger = await open_house(msgspec.structs.replace(settings, accounts=accounts))
    again = {"username": "ann", "password": PASSWORD}
    assert (await stronger.api.post(LOGIN, again)).status == 200
    after = await _stored(house)
    assert "t=1" in before
    assert "t=2" in after
    assert (await house.api.post(LOGIN, again)).status == 200


async def _stored(house: House) -> str:
    row = await house.pieces.db.read(lambda tx: tx.one("SELECT password_hash FROM users"))
    assert row is not None
    return str(row["password_hash"])


def test_pieces_do_not_show_their_secrets(house: House) -> None:
    """What is logged by accident is harmless."""
    shown = repr(replace(house.pieces, log=None)) + str(Registration.OPEN)
    assert repr(house.pieces.secret) not in shown
