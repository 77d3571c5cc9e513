"""What the gate says to a credential that is not enough; who may call what is in `test_scopes_table.py`."""

from tests.server.conftest import PASSWORD, House, Person


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
