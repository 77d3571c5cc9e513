"""Who may call what: every route there is, from the table that the server installs, against every kind of credential, over HTTP.

What a need lets in is written here once more, without the server's own rules, so that neither can drift by itself. A route
for anyone, or a need, that is not written here fails.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from server.api.gate import TABLE, ForDevice, ForEither, ForUser, Gate, Open, Route
from server.api.limits import UNLIMITED
from server.api.metrics import RequestMetrics
from server.api.outer import Outer
from server.api.routes import install
from server.app import build_server
from server.commands.callers import Callers
from server.commands.derive import SESSIONS, derive
from server.commands.mint import Mint
from server.commands.usage import Usage
from server.config import Settings
from server.domain.scopes import Need
from server.domain.times import show_time
from tests.harness.acting import Acting
from tests.harness.native import Native, listening
from tests.server.conftest import House, Person

PEOPLE = {"user", "admin"}
REFUSED_AS_NOBODY = {"nobody", "garbage", "garbage token", "garbage device", "expired token"}
USERS = PEOPLE | {
    "nothing",
    "create",
    "bound",
    "read",
    "gateway",
    "metrics",
    "admin token",
    "tenant's gateway",
    "tenant's admin token",
    "inbox session",
    "demoted",
    "demoted's token",
    "demoted's metrics",
}
EVERYBODY = USERS | {"device"} | REFUSED_AS_NOBODY

SIGNED_IN = PEOPLE | {"admin token", "demoted"}
LET_IN: dict[Need, set[str]] = {
    Need.SEND: SIGNED_IN | {"create", "bound"},
    Need.READ: SIGNED_IN | {"read"},
    Need.ACCOUNT: SIGNED_IN,
    Need.INBOX: SIGNED_IN | {"gateway", "inbox session"},
    Need.ACT: SIGNED_IN | {"gateway"},
    Need.MANAGE: {"admin", "admin token"},
    Need.METRICS: {"admin", "metrics", "admin token"},
    Need.OPERATE: {"admin", "admin token"},
}

# Where a route acts, or is called with two keys, a token that is bound to a tenant is let in as well; nowhere else.
OF_A_TENANT: dict[Need, set[str]] = {
    Need.SEND: {"tenant's admin token"},
    Need.READ: {"tenant's admin token"},
    Need.ACCOUNT: {"tenant's admin token"},
    Need.INBOX: {"tenant's admin token", "tenant's gateway"},
    Need.ACT: {"tenant's admin token", "tenant's gateway"},
    Need.MANAGE: {"tenant's admin token"},
}
NAMING = {"gateway", "tenant's gateway", "tenant's admin token"}  # these have to name the user

# For anyone. A route stands here because somebody has thought about it.
OPEN = {
    ("POST", "/api/v1/auth/register"),
    ("POST", "/api/v1/auth/login"),
    ("POST", "/api/v1/auth/refresh"),
    ("GET", "/api/v1/identity"),
    ("POST", "/api/v1/devices/pair"),
    ("GET", "/api/v1/notifications/inbox-socket"),  # its first frame has the token
    ("GET", "/.well-known/http-message-signatures-directory"),
    ("GET", "/openapi.json"),
    ("GET", "/scalar"),
    ("GET", "/scalar/standalone.js"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
}


def expected(route: Route) -> set[str]:
    match route:
        case Open():
            return EVERYBODY
        case ForDevice():
            return {"device"}
        case ForEither(need=need):
            return LET_IN[need] | {"device"}
        case ForUser(need=need) if route.acts or route.keys:
            return LET_IN[need] | OF_A_TENANT[need]
        case ForUser(need=need):
            return LET_IN[need]


@pytest.fixture
def table(house: House, settings: Settings) -> list[Route]:
    return build_server(settings, house.pieces_again())[TABLE]


@pytest.fixture
async def credentials(house: House) -> dict[str, Native]:
    admin, user, demoted = [await house.register(name) for name in ("admin", "user", "demoted")]
    bucket = await house.bucket(admin)
    await set_role(house, demoted, "admin")
    made = {
        "nothing": await house.token(admin),
        "create": await house.token(admin, "messages:create"),
        "bound": await house.token(admin, f"messages:create:{bucket}"),
        "read": await house.token(admin, "messages:read"),
        "gateway": await house.token(admin, "gateway"),
        "metrics": await house.token(admin, "metrics"),
        "admin token": await house.token(admin, "admin"),
        "tenant's gateway": await house.token_of(admin, "acme", "gateway"),
        "tenant's admin token": await house.token_of(admin, "acme", "admin"),
        "demoted's token": await house.token(demoted, "admin"),
        "demoted's metrics": await house.token(demoted, "metrics"),
    }
    await set_role(house, demoted, "user")
    session = await Acting(made["gateway"], None, "user").rpc("get-inbox-session")
    ending = {"name": "t", "scopes": ["admin"], "expiresAt": show_time(house.clock() + 1)}
    expired = (await admin.api.post("/api/v1/access-tokens", ending))["token"]
    house.clock.advance(1)
    return {
        **made,
        "inbox session": house.api.with_token(session["sessionToken"]),
        "expired token": house.api.with_token(expired),
        "nobody": house.api,
        "garbage": house.api.with_token("garbage"),
        "garbage token": house.api.with_token("zat_" + "A" * 43),
        "garbage device": house.api.with_token("hpd_" + "A" * 43),
        "user": user.api,
        "admin": admin.api,
        "demoted": demoted.api,
        "device": (await house.phone(user)).api,
    }


async def set_role(house: House, person: Person, role: str) -> None:
    await house.pieces.db.write(
        lambda tx: tx.run("UPDATE users SET role = $1 WHERE id = $2", role, person.id)
    )


@asynccontextmanager
async def only_the_gate(house: House, table: list[Route]) -> AsyncIterator[str]:
    """Serve the same routes behind the same gate, with nothing behind it that a request could change."""

    async def answer(*_asked: object) -> web.Response:
        return web.Response(status=204)

    passed: Any = answer

    pieces = house.pieces_again()
    mint = Mint(derive(pieces.secret, SESSIONS), pieces.identity.public.id, pieces.random)
    outer = Outer(pieces.log, pieces.monotonic, RequestMetrics(pieces.counted), {})
    app = web.Application(middlewares=[outer.middleware])
    gate = Gate(Callers(pieces.db, mint, Usage()), pieces.clock, UNLIMITED)
    install(app, gate, [replace(route, handler=passed) for route in table])
    async with listening(app) as url:
        yield url


_PART = re.compile(r"\{\w+(?::(?P<form>(?:[^{}]|\{[\d,]+\})+))?\}")


def path_of(route: Route) -> str:
    """Return a path that the route takes, and a query where it is for requests with one."""

    def part(found: re.Match[str]) -> str:
        samples = (str(uuid4()), "1", "x")
        return next(sample for sample in samples if re.fullmatch(found["form"] or "[^/]+", sample))

    path = _PART.sub(part, route.path)
    return f"{path}?{route.when}=x" if isinstance(route, ForUser) and route.when else path


def headers_of(name: str, route: Route, credentials: dict[str, Native]) -> dict[str, str]:
    """Return the headers with which a credential calls a route; beside it stands the key of a token that may nothing."""
    if isinstance(route, ForUser) and route.keys is not None:
        keys, token = route.keys, credentials[name].token
        return {keys.key: credentials["nothing"].token or ""} | ({} if token is None else {keys.token: token})
    acts = isinstance(route, ForUser) and route.acts
    return {"X-User-ID": "ann"} if acts and name in NAMING else {}


async def test_every_route_lets_in_exactly_who_may(
    house: House, table: list[Route], credentials: dict[str, Native]
) -> None:
    assert credentials.keys() == EVERYBODY
    wrong = []
    async with only_the_gate(house, table) as url:
        for route in table:
            path, let_in = path_of(route), set()
            for name, api in credentials.items():
                answer = await replace(api, url=url).call(
                    route.method, path, headers=headers_of(name, route, credentials)
                )
                assert answer.status in {204, 401, 403}, (route.method, path, answer.status)
                if answer.status == 204:
                    let_in.add(name)
                elif name in REFUSED_AS_NOBODY:
                    assert answer.status == 401
            if let_in != expected(route):
                wrong.append((route.method, route.path, let_in ^ expected(route)))
    assert wrong == []


async def test_a_head_is_let_in_as_its_get_is(
    house: House, table: list[Route], credentials: dict[str, Native]
) -> None:
    """Also where a GET with a parameter needs more: a HEAD never does what that does."""
    reading = [route for route in table if route.method == "GET" and not getattr(route, "when", None)]
    async with only_the_gate(house, table) as url:
        for route in reading:
            for name, api in credentials.items():
                answer = await replace(api, url=url).call(
                    "HEAD", path_of(route), headers=headers_of(name, route, credentials)
                )
                assert (answer.status == 204) == (name in expected(route)), (route.path, name)


def test_nothing_is_for_anyone_but_what_is_meant_to_be(table: list[Route]) -> None:
    assert {(route.method, route.path) for route in table if isinstance(route, Open)} == OPEN


def test_every_need_says_whom_it_lets_in() -> None:
    assert LET_IN.keys() == set(Need)


def test_the_server_answers_at_no_path_that_is_not_in_its_table(house: House, settings: Settings) -> None:
    """So that what is tested here is all there is."""
    app = build_server(settings, house.pieces_again())
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert len(served) == len({(route.method, route.path) for route in app[TABLE]})
    assert {method for method, _ in served} <= {"GET", "POST", "PUT", "PATCH", "DELETE"}


async def test_the_running_server_has_the_gate_before_each_of_them(house: House, table: list[Route]) -> None:
    """Without a credential nothing is done, so the real handlers can be asked."""
    for route in table:
        if not isinstance(route, Open):
            for api in (house.api, house.api.with_token("zat_" + "A" * 43)):
                assert (await api.call(route.method, path_of(route))).status == 401, route.path
