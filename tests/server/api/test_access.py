"""Who may call what: the table of routes against every kind of credential, over HTTP."""

from uuid import uuid4

from aiohttp import web

from server.app import build_server
from server.config import Settings
from tests.harness.native import Native
from tests.server.conftest import PASSWORD, House, Person

# What the gate says to a credential that is not enough; anything else comes from behind it.
REFUSED = {"unauthenticated", "token_invalid", "device_token_invalid", "scope_missing", "session_ended"}

ANYONE = {
    "nobody",
    "user",
    "admin",
    "nothing",
    "create",
    "bound",
    "read",
    "metrics",
    "gateway",
    "admin token",
    "device",
}
PEOPLE = {"user", "admin", "admin token"}
DEVICE = {"device"}
ID = "{id}"

EXPECTED: dict[tuple[str, str], set[str]] = {
    ("POST", "/api/v1/auth/register"): ANYONE,
    ("POST", "/api/v1/auth/login"): ANYONE,
    ("POST", "/api/v1/auth/refresh"): ANYONE,
    ("GET", "/api/v1/users/me"): PEOPLE,
    ("POST", "/api/v1/access-tokens"): PEOPLE,
    ("GET", "/api/v1/access-tokens"): PEOPLE,
    ("GET", f"/api/v1/access-tokens/{ID}"): PEOPLE,
    ("PATCH", f"/api/v1/access-tokens/{ID}"): PEOPLE,
    ("DELETE", f"/api/v1/access-tokens/{ID}"): PEOPLE,
    ("POST", "/api/v1/buckets"): PEOPLE,
    ("GET", "/api/v1/buckets"): PEOPLE,
    ("GET", "/api/v1/buckets/{bucket}"): PEOPLE,
    ("POST", "/api/v1/messages"): PEOPLE | {"create", "bound"},
    ("GET", "/api/v1/messages"): PEOPLE | {"read"},
    ("GET", f"/api/v1/messages/{ID}"): PEOPLE | {"read"},
    ("DELETE", f"/api/v1/messages/{ID}"): PEOPLE,
    ("GET", f"/api/v1/messages/{ID}/deliveries"): PEOPLE | {"read"},
    ("GET", "/api/v1/deliveries"): {"admin", "admin token"},
    ("POST", "/api/v1/deliveries/retry"): {"admin", "admin token"},
    ("GET", "/api/v1/relay"): {"admin", "admin token"},
    ("POST", "/api/v1/devices/pairing-codes"): PEOPLE,
    ("GET", "/api/v1/devices"): PEOPLE,
    ("DELETE", f"/api/v1/devices/{ID}"): PEOPLE,
    ("POST", f"/api/v1/devices/{ID}/test"): PEOPLE,
    ("GET", "/api/v1/identity"): ANYONE,
    ("POST", "/api/v1/devices/pair"): ANYONE,
    ("GET", "/api/v1/device/messages"): DEVICE,
    ("GET", f"/api/v1/device/claims/{ID}"): DEVICE,
    ("POST", "/api/v1/device/receipts"): DEVICE,
    ("PUT", "/api/v1/device/handle"): DEVICE,
    ("PUT", "/api/v1/device/key"): DEVICE,
    ("GET", "/.well-known/http-message-signatures-directory"): ANYONE,
    ("GET", "/healthz"): ANYONE,
    ("GET", "/readyz"): ANYONE,
    ("GET", "/metrics"): {"admin", "metrics", "admin token"},
    # last, because they end what they are called with
    ("POST", "/api/v1/auth/logout"): PEOPLE,
    ("DELETE", "/api/v1/device"): DEVICE,
}


async def _credentials(house: House, admin: Person) -> dict[str, Native]:
    user = await house.register("user")
    bucket = await house.bucket(admin)
    return {
        "nobody": house.api,
        "user": user.api,
        "admin": admin.api,
        "nothing": await house.token(admin),
        "create": await house.token(admin, "messages:create"),
        "bound": await house.token(admin, f"messages:create:{bucket}"),
        "read": await house.token(admin, "messages:read"),
        "metrics": await house.token(admin, "metrics"),
        "gateway": await house.token(admin, "gateway"),
        "admin token": await house.token(admin, "admin"),
        "device": (await house.phone(admin)).api,
    }


async def test_every_route_lets_in_exactly_who_may(house: House, admin: Person) -> None:
    """Whatever is behind the gate answers in its own way; the gate has its own codes."""
    credentials = await _credentials(house, admin)
    passed: dict[tuple[str, str], set[str]] = {}
    for route in EXPECTED:
        passed[route] = set()
        for name, api in credentials.items():
            answer = await api.call(route[0], route[1].replace(ID, str(uuid4())))
            if answer.status < 400 or answer.code not in REFUSED:
                passed[route].add(name)
    assert passed == EXPECTED


def test_the_table_above_has_every_route(house: House, settings: Settings) -> None:
    """A new route must say here who may call it."""
    app = build_server(settings, house.pieces_again())
    assert {(method, path) for method, path in _routes(app) if method != "HEAD"} == set(EXPECTED)


def _routes(app: web.Application) -> set[tuple[str, str]]:
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }


async def test_what_a_credential_is_not_for_is_said_in_its_own_way(house: House, admin: Person) -> None:
    """A missing token, a bad one, one without the scope and one of the wrong kind differ."""
    missing = await house.api.get("/api/v1/users/me")
    assert (missing.status, missing.code) == (401, "unauthenticated")
    assert missing.headers["WWW-Authenticate"] == 'Bearer realm="hushpost"'

    bad = await house.api.with_token("zat_" + "A" * 43).get("/api/v1/users/me")
    assert (bad.status, bad.code) == (401, "token_invalid")
    assert 'error="invalid_token"' in bad.headers["WWW-Authenticate"]

    lacking = await (await house.token(admin, "messages:read")).post("/api/v1/messages", {})
    assert (lacking.status, lacking.code) == (403, "scope_missing")
    assert "messages:create" in lacking["detail"]

    phone = await house.phone(admin)
    wrong_kind = await phone.api.get("/api/v1/users/me")
    assert (wrong_kind.status, wrong_kind.code) == (401, "token_invalid")

    unknown = await house.api.with_token("hpd_" + "A" * 43).get("/api/v1/device/messages")
    assert (unknown.status, unknown.code) == (401, "device_token_invalid")


async def test_a_token_travels_in_its_header_only(house: House, admin: Person) -> None:
    """Not in a URL, not with another scheme, not twice."""
    path = f"/api/v1/users/me?access_token={admin.access}"
    assert (await house.api.get(path)).code == "unauthenticated"
    for value in ("", "Bearer", f"Basic {admin.access}", f"Bearer{admin.access}"):
        answer = await house.api.call("GET", "/api/v1/users/me", headers={"Authorization": value})
        assert (answer.status, answer.code) == (401, "unauthenticated")
    answer = await house.api.call(
        "GET", "/api/v1/users/me", headers={"Authorization": f"bearer {admin.access}"}
    )
    assert answer.status == 200


async def test_acting_for_others_is_refused(house: House, admin: Person) -> None:
    """A header that would change whose call it is must not be passed over."""
    gateway = await house.token(admin, "admin")
    for api in (admin.api, gateway):
        for header in ("X-User-ID", "X-Tenant-ID"):
            answer = await api.call("GET", "/api/v1/users/me", headers={header: "default"})
            assert (answer.status, answer.code) == (403, "acting_forbidden")


async def test_signing_in_again_gives_a_session_of_its_own(house: House, admin: Person) -> None:
    """Ending one leaves the other."""
    login = await house.api.post("/api/v1/auth/login", {"email": "admin@example.com", "password": PASSWORD})
    assert (await admin.api.post("/api/v1/auth/logout")).status == 204
    assert (await admin.api.get("/api/v1/users/me")).code == "session_ended"
    assert (await house.api.with_token(login["accessToken"]).get("/api/v1/users/me")).status == 200
