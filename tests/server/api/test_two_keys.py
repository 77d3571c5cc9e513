"""Calls that authenticate with two headers: what each has to be, for which tenant both are then, and what a refusal says."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from server.config import LimitSettings, Settings
from tests.harness.acting import Acting
from tests.harness.native import Reply
from tests.harness.velt import Velt
from tests.server.conftest import House, Person

KEY, TOKEN = "x-velt-api-key", "x-velt-auth-token"
READ, MANAGE = "notifications/get", "organizations/users/get"
ACME = {"organizationId": "acme"}
TOKENS = "/api/v1/access-tokens"
Open = Callable[[Settings], Awaitable[House]]
of_any_engine = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # it is not asked


def refused(answer: Reply) -> tuple[int, str]:
    return answer.status, str(answer["error"]["status"])


def said(answer: Reply) -> str:
    return str(answer["error"]["message"])


async def organizations(velt: Velt) -> None:
    """Have there be two of them."""
    for name in ("acme", "globex"):
        await velt.said("organizations/add", {"organizationId": name})


@pytest.fixture
async def velt(house: House, admin: Person) -> Velt:
    """An app's servers with one token in both headers, which is for every tenant."""
    made = Velt.of(await house.token(admin, "admin"))
    await organizations(made)
    return made


@of_any_engine
@pytest.mark.parametrize("header", [KEY, TOKEN])
async def test_each_header_has_to_be_there_once(house: House, velt: Velt, header: str) -> None:
    """The answer names the header of this API that is wrong, and no other."""
    other = {KEY: TOKEN, TOKEN: KEY}[header]
    good = velt.token or ""
    for values in ((), ("",), ("  ",), (good, good), (good, "zat_other")):
        headers = [(header, value) for value in values] + [(other, good)]
        answer = await ask(house, headers)
        assert refused(answer) == (401, "UNAUTHENTICATED"), values
        assert said(answer).startswith(f"{header}: is missing, or there more than once")
        assert answer.headers["WWW-Authenticate"] == f'ApiKey realm="hushpost", header="{header}"'
        assert other not in answer.body.decode()
    bearer = await ask(house, [("Authorization", f"Bearer {good}")])
    assert said(bearer).startswith(f"{KEY}: is missing")


async def ask(house: House, headers: list[tuple[str, str]]) -> Reply:
    """Call with headers as they are, one of them twice too."""
    async with house.api.session.post(
        f"{house.api.url}/v2/{MANAGE}", json={"data": ACME}, headers=headers
    ) as answer:
        return Reply(answer.status, answer.headers, await answer.read())


@pytest.mark.parametrize("header", [KEY, TOKEN])
async def test_each_is_a_token_that_is_good(house: House, admin: Person, velt: Velt, header: str) -> None:
    """Not one that is unknown, has expired or was deleted, nor a device's, nor two in one header."""
    ending = await admin.api.post(
        TOKENS, {"name": "x", "scopes": ["admin"], "expiresAt": "2027-01-15T08:00:10Z"}
    )
    deleted = await admin.api.post(TOKENS, {"name": "x", "scopes": ["admin"]})
    for made in (ending, deleted):
        assert (await with_one(velt, header, made["token"])).status == 200
    house.clock.advance(60_000)
    await admin.api.delete(f"{TOKENS}/{deleted['id']}")
    phone = await house.phone(admin)
    for bad in (
        ending["token"],
        deleted["token"],
        "zat_unknown",
        "nothing of the kind",
        phone.token,
        f"{velt.token}, {velt.token}",
        f"Bearer {velt.token}",
    ):
        answer = await with_one(velt, header, bad)
        assert refused(answer) == (401, "UNAUTHENTICATED"), bad
        assert said(answer).startswith(f"{header}: ")
        challenge = f'ApiKey realm="hushpost", header="{header}", error="invalid_token"'
        assert answer.headers["WWW-Authenticate"] == challenge
        assert bad not in answer.body.decode()


async def with_one(velt: Velt, header: str, value: str) -> Reply:
    """Call with something else in one header."""
    key, token = (value, velt.token) if header == KEY else (velt.key, value)
    return await Velt(velt.api, key, token).call(MANAGE, ACME)


async def test_a_person_signed_in_is_a_token_and_no_key(house: House, admin: Person, velt: Velt) -> None:
    """The admin may do everything by it, somebody else read what is theirs."""
    assert (await Velt(velt.api, velt.key, admin.access).call(MANAGE, ACME)).status == 200
    answer = await Velt(velt.api, admin.access, admin.access).call(MANAGE, ACME)
    assert refused(answer) == (401, "UNAUTHENTICATED")
    assert said(answer) == f"{KEY}: this is no access token, which begins with zat_"
    user = await house.register("user")
    mine = Velt(velt.api, velt.key, user.access)
    here = {"organizationId": "default"}
    assert (await mine.call(READ, here)).status == 200
    assert (await mine.call(READ, {**here, "userId": "user"})).status == 200
    assert refused(await mine.call(READ, {**here, "userId": "admin"})) == (404, "NOT_FOUND")
    assert refused(await mine.call(READ, ACME)) == (404, "NOT_FOUND")
    answer = await mine.call(MANAGE, here)
    assert (refused(answer), said(answer)) == (
        (403, "PERMISSION_DENIED"),
        f"{TOKEN}: only an admin may do this",
    )


@pytest.mark.parametrize(
    ("scopes", "reads", "manages"),
    [
        ((), False, False),
        (("messages:create",), False, False),
        (("messages:read", "messages:create", "metrics"), False, False),
        (("gateway",), True, False),
        (("admin",), True, True),
    ],
)
@of_any_engine
async def test_a_key_needs_no_scope_and_a_token_the_one_of_the_call(
    house: House, admin: Person, velt: Velt, scopes: tuple[str, ...], *, reads: bool, manages: bool
) -> None:
    """A gateway reads for the user that it names, and for nobody who is not named."""
    token = (await house.token(admin, *scopes)).token
    calls = Velt(velt.api, token, token)
    named = {**ACME, "userId": "ann"}
    assert (await calls.call(READ, named)).status == (200 if reads else 403)
    answer = await calls.call(MANAGE, ACME)
    assert answer.status == (200 if manages else 403)
    if not manages:
        assert said(answer) == f"{TOKEN}: this access token lacks the scope admin"
        assert (await calls.call(READ, ACME)).status == (400 if reads else 403)
    assert (await Velt(velt.api, token, velt.token).call(MANAGE, ACME)).status == 200


@of_any_engine
async def test_an_inbox_session_reads_that_inbox(house: House, admin: Person, velt: Velt) -> None:
    await velt.said("organizations/users/add", {**ACME, "users": [{"userId": "ann"}, {"userId": "ben"}]})
    gateway = Acting(await house.token(admin, "gateway"), "acme", "ann")
    session = (await gateway.rpc("get-inbox-session"))["sessionToken"]
    ann = Velt(velt.api, velt.key, session)
    for whose in ({}, {"userId": "ann"}):
        assert (await ann.call(READ, {**ACME, **whose})).status == 200
    for data in ({**ACME, "userId": "ben"}, {"organizationId": "globex"}, {"organizationId": "default"}):
        assert refused(await ann.call(READ, data)) == (404, "NOT_FOUND")
    assert refused(await ann.call(MANAGE, ACME)) == (403, "PERMISSION_DENIED")
    assert refused(await Velt(velt.api, session, velt.token).call(READ, ACME)) == (401, "UNAUTHENTICATED")


async def test_a_token_of_an_ordinary_user_is_a_key_at_most(house: House, admin: Person, velt: Velt) -> None:
    """So is one of somebody who was an admin when they made it."""
    user = await house.register("user")
    theirs = (await house.token(user, "messages:read", "messages:create")).token
    for name in (READ, MANAGE):
        answer = await Velt(velt.api, velt.key, theirs).call(name, {"organizationId": "default"})
        assert refused(answer) == (403, "PERMISSION_DENIED")
    assert (await Velt(velt.api, theirs, velt.token).call(MANAGE, ACME)).status == 200
    await house.pieces.db.write(lambda tx: tx.run("UPDATE users SET role = 'user' WHERE id = $1", admin.id))
    for name in (READ, MANAGE):
        for data in (ACME, {"organizationId": "default"}):
            assert refused(await velt.call(name, data)) == (403, "PERMISSION_DENIED")


async def test_both_are_for_the_tenant_that_either_is_for(house: House, admin: Person, velt: Velt) -> None:
    """Of another one nothing is there, whether it is or not; two of two tenants are none."""
    free = velt.token
    acme = (await house.token_of(admin, "acme", "admin")).token
    globex = (await house.token_of(admin, "globex", "admin")).token
    pairs = [(acme, free), (free, acme), (acme, acme), (acme, admin.access)]
    for key, token in pairs:
        bound = Velt(velt.api, key, token)
        assert (await bound.call(MANAGE, ACME)).status == 200
        for name in (READ, MANAGE, "organizations/add", "notifications/delete"):
            for other in ("globex", "nowhere", "default"):
                answer = await bound.call(name, {"organizationId": other, "notificationIds": ["x"]})
                assert refused(answer) == (404, "NOT_FOUND"), (name, other)
    for key, token in ((acme, globex), (globex, acme)):
        answer = await Velt(velt.api, key, token).call(MANAGE, ACME)
        assert (refused(answer), said(answer)) == (
            (403, "PERMISSION_DENIED"),
            f"{KEY} and {TOKEN} are for two tenants",
        )
    tenants = await house.pieces.db.read(lambda tx: tx.all("SELECT name FROM tenants"))
    assert sorted(row["name"] for row in tenants) == ["acme", "default", "globex"]


async def test_a_key_for_a_tenant_keeps_a_user_of_another_out(
    house: House, admin: Person, velt: Velt
) -> None:
    acme = (await house.token_of(admin, "acme", "admin")).token
    user = await house.register("user")
    answer = await Velt(velt.api, acme, user.access).call(READ, {"organizationId": "default"})
    assert refused(answer) == (404, "NOT_FOUND")


async def test_a_token_ends_with_its_tenant(house: House, admin: Person, velt: Velt) -> None:
    """It is not good for another one of the same name, let alone for every one."""
    acme = (await house.token_of(admin, "acme", "admin")).token
    bound = Velt(velt.api, acme, acme)
    assert (await bound.call(MANAGE, ACME)).status == 200
    await velt.said("organizations/delete", ACME)
    await velt.said("organizations/add", ACME)
    for data in (ACME, {"organizationId": "default"}):
        assert refused(await bound.call(MANAGE, data)) == (401, "UNAUTHENTICATED")
        answer = await Velt(velt.api, acme, velt.token).call(MANAGE, data)
        assert refused(answer) == (401, "UNAUTHENTICATED")


@of_any_engine
async def test_the_body_says_for_whom_and_no_header_does(velt: Velt) -> None:
    for header in ("X-User-ID", "X-Tenant-ID"):
        answer = await velt.call(READ, ACME, headers={header: "acme"})
        assert refused(answer) == (403, "PERMISSION_DENIED")
        assert said(answer) == f"{header} is not honoured here; leave it out"


@of_any_engine
async def test_who_calls_has_the_quota_of_the_token(open_house: Open, settings: Settings) -> None:
    """Whatever the key is, and whatever the answer."""
    limits = LimitSettings(credential=3, address=0)
    house = await open_house(msgspec.structs.replace(settings, limits=limits))
    admin = await house.register("admin")
    one, key = (await house.token(admin, "admin")).token, (await house.token(admin)).token
    answers = [
        await Velt(house.api, key, one).call(MANAGE, {"organizationId": "default"}),
        await Velt(house.api, one, one).call(READ, ACME, headers={"X-User-ID": "ann"}),
        await Velt(house.api, key, one).call(MANAGE, {}),
        await Velt(house.api, key, one).call(MANAGE, {"organizationId": "default"}),
    ]
    assert [answer.status for answer in answers] == [200, 403, 400, 429]
    assert refused(answers[-1]) == (429, "RESOURCE_EXHAUSTED")
    other = (await house.token(admin, "admin")).token  # made by a session: a quota of its own
    assert (await Velt(house.api, one, other).call(MANAGE, {"organizationId": "default"})).status == 200


@of_any_engine
async def test_strangers_are_counted_by_their_address(open_house: Open, settings: Settings) -> None:
    """Whichever of the two is no good; who has two good ones is not touched."""
    limits = LimitSettings(credential=0, address=4)
    house = await open_house(msgspec.structs.replace(settings, limits=limits))
    admin = await house.register("admin")
    good = (await house.token(admin, "admin")).token
    here: dict[str, Any] = {"organizationId": "default"}
    pairs = [(None, good), (good, None), ("zat_guess", good), (good, "zat_guess")]
    answers = [await Velt(house.api, *pair).call(MANAGE, here) for pair in pairs]
    assert [answer.status for answer in answers] == [401, 401, 401, 429]
    assert (await Velt(house.api, good, good).call(MANAGE, here)).status == 200


async def test_no_token_is_ever_logged(house: House, admin: Person, velt: Velt) -> None:
    """Neither a good one nor what was sent in the place of one."""
    acme = (await house.token_of(admin, "acme", "gateway")).token
    for key, token in (
        (velt.key, velt.token),
        (acme, velt.token),
        ("zat_guess-of-a-key", velt.token),
        (velt.key, "zat_guess-of-a-token"),
        (admin.access, admin.access),
    ):
        await Velt(velt.api, key, token).call(MANAGE, ACME)
    logged = repr(house.log.entries)
    for secret in (*house.secrets, "zat_guess"):
        assert secret not in logged
