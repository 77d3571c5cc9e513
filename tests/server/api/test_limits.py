"""How many requests there may be: for each credential, for strangers by address, and what is said of it."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from server.config import LimitSettings, Settings
from tests.harness.native import Reply
from tests.server.conftest import House, Person

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter

Open = Callable[[Settings], Awaitable[House]]
ME = "/api/v1/users/me"


async def small(open_house: Open, settings: Settings, *, credential: int = 0, address: int = 0) -> House:
    limits = LimitSettings(credential=credential, address=address)
    return await open_house(msgspec.structs.replace(settings, limits=limits))


def left(reply: Reply) -> tuple[str, int]:
    """Return the policy and what is left of it."""
    name, remaining, _ = reply.headers["RateLimit"].split(";")
    return name.strip('"'), int(remaining.removeprefix("r="))


async def test_every_answer_to_a_credential_says_what_is_left(open_house: Open, settings: Settings) -> None:
    """Of a session, a token and a device, each of its own; whatever the answer is."""
    house = await small(open_house, settings, credential=1_000_000)
    admin = await house.register("admin")
    token = await house.token(admin, "messages:read")
    phone = await house.phone(admin)
    first = await admin.api.get(ME)
    assert first.headers["RateLimit-Policy"] == '"requests";q=1000000;w=10'
    assert left(first)[0] == "requests"
    answers = [
        await token.get("/api/v1/messages"),
        await token.get("/api/v1/messages?limit=x"),
        await token.get(ME),
        await phone.api.get("/api/v1/device/messages"),
        await token.get("/api/v1/messages/0190d1f0-0000-7000-8000-000000000001"),
    ]
    assert [answer.status for answer in answers] == [200, 400, 403, 200, 404]
    assert all(left(answer)[0] == "requests" for answer in answers)


async def test_what_is_too_much_is_refused_until_some_is_left_again(
    open_house: Open, settings: Settings
) -> None:
    """Each credential by itself: another token of the same person goes on."""
    house = await small(open_house, settings, credential=3)
    admin = await house.register("admin")
    one, other = await house.token(admin, "messages:read"), await house.token(admin, "messages:read")
    answers = [await one.get("/api/v1/messages") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [left(answer) for answer in answers] == [("requests", n) for n in (2, 1, 0, 0)]
    limited = answers[-1]
    assert (limited.code, limited.headers["Content-Type"]) == ("limited", "application/problem+json")
    assert 1 <= int(limited.headers["Retry-After"]) <= 4
    assert (await other.get("/api/v1/messages")).status == 200


async def test_a_stranger_is_counted_by_address_and_nobody_else_with_them(
    open_house: Open, settings: Settings
) -> None:
    """Without a credential, with a bad one, at what is for anyone: all the same. Who has a good one is not touched."""
    house = await small(open_house, settings, address=5)
    admin = await house.register("admin")
    phone_like = house.api.with_token("hpd_" + "A" * 43)
    answers = [
        await house.api.get(ME),
        await house.api.with_token("zat_" + "A" * 43).get(ME),
        await phone_like.get("/api/v1/device/messages"),
        await house.api.with_token("garbage").get(ME),
        await house.api.get(ME),
        await house.api.post("/api/v1/auth/login", {"email": "a@b.example", "password": "12345678"}),
    ]
    assert [answer.status for answer in answers] == [401] * 4 + [429] * 2
    assert [left(answer) for answer in answers] == [("requests-address", n) for n in (3, 2, 1, 0, 0, 0)]
    assert (await admin.api.get(ME)).status == 200


async def test_who_watches_the_server_is_never_refused(open_house: Open, settings: Settings) -> None:
    house = await small(open_house, settings, address=1)
    assert [(await house.api.get(ME)).status for _ in range(2)] == [401, 429]
    for path in ("/healthz", "/readyz"):
        answers = [await house.api.get(path) for _ in range(5)]
        assert {answer.status for answer in answers} <= {200, 503}
        assert not any("RateLimit" in answer.headers for answer in answers)


async def test_by_default_a_credential_gets_more_than_a_hundred_requests_a_second(
    admin: Person,
) -> None:
    answer = await admin.api.get(ME)
    assert answer.headers["RateLimit-Policy"] == '"requests";q=5000;w=10'


@pytest.mark.usefixtures("admin")
async def test_a_sign_in_says_what_is_left_of_sign_ins(house: House) -> None:
    """What an answer has to say by itself comes before what every answer says."""
    body = {"email": "admin@example.com", "password": "correct horse battery"}
    answer = await house.api.post("/api/v1/auth/login", body)
    assert left(answer)[0] == "sign-in"
