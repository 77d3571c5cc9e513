"""Pages of other origins, as their browsers ask for them; and the headers that every answer has."""

from collections.abc import Awaitable, Callable

import aiohttp
import msgspec
import pytest

from server.api.gate import TABLE
from server.api.gate import Open as OpenRoute
from server.app import build_server
from server.commands.derive import first_account_code
from server.config import Settings
from tests.harness.native import Reply
from tests.harness.streams import web_socket
from tests.server.api.test_scopes_table import path_of
from tests.server.conftest import House, Person

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter

Open = Callable[[Settings], Awaitable[House]]
PAGE = "https://app.example.org"
ELSEWHERE = "https://evil.example.org"


def allowing(settings: Settings, *origins: str) -> Settings:
    server = msgspec.structs.replace(settings.server, cors_origins=origins)
    return msgspec.structs.replace(settings, server=server)


def of_cors(reply: Reply) -> list[str]:
    return [name for name in reply.headers if name.lower().startswith("access-control-")]


async def preflight(house: House, path: str, method: str, origin: str = PAGE) -> Reply:
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    return await house.api.call("OPTIONS", path, headers=headers)


async def test_a_page_of_a_listed_origin_may_ask_every_route(open_house: Open, settings: Settings) -> None:
    """Its browser asks first, without a credential, and is told what the path takes."""
    settings = allowing(settings, PAGE)
    house = await open_house(settings)
    for route in build_server(settings, house.pieces_again())[TABLE]:
        answer = await preflight(house, path_of(route), route.method)
        assert answer.status == 204, route.path
        assert answer.body == b""
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        methods = answer.headers["Access-Control-Allow-Methods"].split(", ")
        assert route.method in methods
        assert methods == answer.headers["Allow"].split(", ")
        wanted = {"Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"}
        assert wanted <= set(answer.headers["Access-Control-Allow-Headers"].split(", "))
        assert answer.headers["Access-Control-Max-Age"] == "7200"
        assert answer.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_page_reads_answers_and_refusals(open_house: Open, settings: Settings) -> None:
    """Without the headers it would see neither the status nor what is wrong."""
    house = await open_house(allowing(settings, "https://other.example.org", PAGE))
    admin = await house.register("admin")
    for api, path, status in (
        (admin.api, "/api/v1/users/me", 200),
        (house.api, "/api/v1/users/me", 401),
        (admin.api, "/api/v1/nothing", 404),
        (admin.api, "/api/v1/messages?limit=x", 400),
    ):
        answer = await api.call("GET", path, headers={"Origin": PAGE})
        assert answer.status == status
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers["Vary"] == "Origin"
        readable = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
        assert readable >= {
            "Location",
            "Retry-After",
            "RateLimit",
            "RateLimit-Policy",
            "Idempotency-Replayed",
            "ETag",
        }


async def connecting(house: House, admin: Person, origin: str) -> int:
    """Return the status with which a page of this origin is answered that opens a WebSocket."""
    headers = {"Authorization": f"Bearer {admin.access}", "Origin": origin}
    try:
        async with web_socket(house.api, headers=headers):
            return 101
    except aiohttp.WSServerHandshakeError as refused:
        return refused.status


@pytest.mark.parametrize(
    ("listed", "origins"),
    [
        ((), {"https://push.example.org": 101, PAGE: 403, "null": 403}),
        ((PAGE,), {"https://push.example.org": 101, PAGE: 101, ELSEWHERE: 403, "null": 403}),
        (("*",), {"https://push.example.org": 101, PAGE: 101, ELSEWHERE: 101, "null": 101}),
    ],
)
async def test_a_page_of_a_listed_origin_or_of_the_servers_own_opens_a_web_socket(
    open_house: Open, settings: Settings, listed: tuple[str, ...], origins: dict[str, int]
) -> None:
    """Browsers leave out the port that is the usual one, whatever the operator wrote."""
    settings = allowing(settings, *listed)
    server = msgspec.structs.replace(settings.server, public_url="https://Push.Example.org:443/")
    house = await open_house(msgspec.structs.replace(settings, server=server))
    admin = await house.register("admin", code=first_account_code(house.pieces.secret))
    assert {origin: await connecting(house, admin, origin) for origin in origins} == origins


@pytest.mark.parametrize(
    "origin",
    [ELSEWHERE, "null", "https://app.example.org.evil.example", "http://app.example.org", f"{PAGE}:8443", ""],
)
async def test_no_other_origin_gets_a_header(open_house: Open, settings: Settings, origin: str) -> None:
    """Whatever it resembles; and what a cache keeps for one is not given to another."""
    house = await open_house(allowing(settings, PAGE))
    for answer in (
        await preflight(house, "/api/v1/messages", "POST", origin),
        await house.api.call("GET", "/api/v1/messages", headers={"Origin": origin}),
        await house.api.get("/healthz"),
    ):
        assert of_cors(answer) == []
        assert answer.headers["Vary"] == "Origin"


async def test_every_origin_may_be_listed_as_one_star(open_house: Open, settings: Settings) -> None:
    """Without credentials mode, as ever: what a page may read, it has a token for."""
    house = await open_house(allowing(settings, "*"))
    answer = await house.api.call("GET", "/healthz", headers={"Origin": ELSEWHERE})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in answer.headers


async def test_by_default_there_is_none_of_it(house: House) -> None:
    """OPTIONS is answered all the same, with the methods that there are."""
    answer = await preflight(house, "/api/v1/messages", "POST")
    assert (answer.status, of_cors(answer)) == (204, [])
    assert set(answer.headers["Allow"].split(", ")) >= {"GET", "HEAD", "OPTIONS", "POST"}
    assert (await house.api.call("OPTIONS", "/api/v1/nothing")).status == 404
    assert (await house.api.call("PUT", "/api/v1/messages")).headers["Allow"]


async def test_every_answer_has_the_headers_of_a_server_of_secrets(house: House, settings: Settings) -> None:
    """Each route's, refused or not; and none says what it is made of."""
    for route in build_server(settings, house.pieces_again())[TABLE]:
        if isinstance(route, OpenRoute) and not route.path.startswith(("/api/", "/healthz", "/readyz")):
            continue  # pages and directories for everybody have their own
        headers = (await house.api.call(route.method, path_of(route))).headers
        assert headers["Server"] == "hushpost"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Permissions-Policy"].startswith("camera=()")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert "Strict-Transport-Security" not in headers


async def test_who_has_come_by_https_is_told_to_stay(open_house: Open, settings: Settings) -> None:
    """Where that is how the world reaches the server: the proxy in front ends TLS."""
    server = msgspec.structs.replace(settings.server, public_url="https://push.example.org")
    house = await open_house(msgspec.structs.replace(settings, server=server))
    answer = await house.api.get("/healthz")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
