"""Access tokens: shown once, scoped, expiring, deletable."""

import base64

from tests.server.conftest import House, Person

TOKENS = "/api/v1/access-tokens"


async def test_a_token_is_shown_once_and_listed_without_it(house: House, admin: Person) -> None:
    """256 bits; afterwards only what is known of it."""
    made = await admin.api.post(TOKENS, {"name": "CI", "scopes": ["messages:read", "messages:read"]})
    assert made.status == 201
    secret = made["token"].removeprefix("zat_")
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    assert made["scopes"] == ["messages:read"]
    listed = await admin.api.get(TOKENS)
    assert secret.encode() not in listed.body
    [token] = listed["accessTokens"]
    assert token == {
        "id": made["id"],
        "name": "CI",
        "scopes": ["messages:read"],
        "tenantId": None,
        "createdAt": made["createdAt"],
        "expiresAt": None,
        "lastUsedAt": None,
    }
    other = await house.register("other")
    assert (await other.api.get(TOKENS))["accessTokens"] == []


async def test_a_deleted_token_is_worthless(house: House, admin: Person) -> None:
    """At once; and only its owner can delete it."""
    made = await admin.api.post(TOKENS, {"name": "CI", "scopes": ["messages:read"]})
    api = house.api.with_token(made["token"])
    assert (await api.get("/api/v1/messages")).status == 200
    other = await house.register("other")
    assert (await other.api.delete(f"{TOKENS}/{made['id']}")).status == 404
    assert (await admin.api.delete(f"{TOKENS}/{made['id'].upper()}")).status == 204
    assert (await api.get("/api/v1/messages")).code == "token_invalid"
    assert (await admin.api.delete(f"{TOKENS}/{made['id']}")).status == 404


async def test_a_token_expires_when_it_says(house: House, admin: Person) -> None:
    """An expiry in the past is refused."""
    body = {"name": "short", "scopes": ["messages:read"], "expiresAt": "2027-01-15T08:10:00Z"}
    made = await admin.api.post(TOKENS, body)
    assert made["expiresAt"] == "2027-01-15T08:10:00.000Z"
    api = house.api.with_token(made["token"])
    assert (await api.get("/api/v1/messages")).status == 200
    house.clock.advance(600_000)
    assert (await api.get("/api/v1/messages")).code == "token_invalid"
    again = await admin.api.post(TOKENS, body)
    assert again.faults == {"expiresAt": "has passed"}


async def test_unknown_scopes_are_all_named(admin: Person) -> None:
    """Near misses, other types and buckets that are no ids."""
    scopes = ["messages:send", "messages:create", 5, "messages:create:Marketing", ""]
    answer = await admin.api.post(TOKENS, {"scopes": scopes, "tenantId": " x", "expiresAt": "tomorrow"})
    assert answer.faults.keys() == {
        "name",
        "scopes[0]",
        "scopes[2]",
        "scopes[3]",
        "scopes[4]",
        "expiresAt",
        "tenantId",
    }


async def test_only_an_admin_makes_operators_tokens(house: House, admin: Person) -> None:
    """With a token of theirs too."""
    user = await house.register("user")
    for scope in ("admin", "gateway", "metrics"):
        answer = await user.api.post(TOKENS, {"name": "x", "scopes": [scope]})
        assert (answer.status, answer.code) == (403, "scope_forbidden")
        assert (await admin.api.post(TOKENS, {"name": "x", "scopes": [scope]})).status == 201
    by_token = await house.token(admin, "admin")
    assert (await by_token.post(TOKENS, {"name": "x", "scopes": ["admin"]})).status == 201


async def test_only_an_admin_makes_a_token_of_a_tenant(house: House, admin: Person) -> None:
    """It makes the tenant, so a token that may nothing in it has none, and neither has one of a user's own scopes."""
    user = await house.register("user")
    for scopes in ([], ["messages:read"], ["admin", "messages:read"]):
        body = {"name": "x", "scopes": scopes, "tenantId": "acme"}
        for person in (user, admin) if "admin" not in scopes else (admin,):
            answer = await person.api.post(TOKENS, body)
            assert (answer.status, {*answer.faults}) == (400, {"tenantId"}), scopes
    tenants = await house.pieces.db.read(lambda tx: tx.all("SELECT name FROM tenants"))
    assert [row["name"] for row in tenants] == ["default"]


async def test_operators_scopes_end_with_their_owners_role(house: House, admin: Person) -> None:
    """What a token may do never exceeds what its owner may."""
    token = await house.token(admin, "admin", "metrics")
    assert (await token.get("/metrics")).status == 200
    await house.pieces.db.write(lambda tx: tx.run("UPDATE users SET role = 'user'"))
    assert (await token.get("/metrics")).code == "scope_missing"
    assert (await token.get("/api/v1/users/me")).code == "scope_missing"


async def test_a_token_can_be_bound_to_a_bucket_that_its_owner_may_write(house: House, admin: Person) -> None:
    """Another's bucket is none of theirs."""
    other = await house.register("other")
    theirs, own = await house.bucket(other), await house.bucket(admin)
    body = {"name": "x", "scopes": [f"messages:create:{own}", f"messages:create:{theirs}"]}
    answer = await admin.api.post(TOKENS, body)
    assert answer.faults == {"scopes[1]": "names no bucket of yours"}
    assert (await admin.api.post(TOKENS, {**body, "scopes": body["scopes"][:1]})).status == 201


async def test_the_last_use_is_written_down_when_there_is_time(house: House, admin: Person) -> None:
    """Not by the request itself; at the latest when the server stops."""
    api = await house.token(admin, "messages:read")
    house.clock.advance(5_000)
    await api.get("/api/v1/messages")
    await house.stop()
    rows = await house.pieces.db.read(lambda tx: tx.all("SELECT last_used_at FROM access_tokens"))
    assert [row["last_used_at"] for row in rows] == [house.clock.now]


async def test_one_token_is_shown_as_the_list_shows_it(house: House, admin: Person) -> None:
    """To its owner alone."""
    made = await admin.api.post(TOKENS, {"name": "CI", "scopes": ["messages:read"]})
    shown = await admin.api.get(f"{TOKENS}/{made['id']}")
    assert [shown.json] == (await admin.api.get(TOKENS))["accessTokens"]
    other = await house.register("other")
    assert (await other.api.get(f"{TOKENS}/{made['id']}")).status == 404


async def test_a_token_is_renamed_and_its_end_is_set_and_taken_away(house: House, admin: Person) -> None:
    """What is left out stays as it is; null is never."""
    made = await admin.api.post(TOKENS, {"name": "CI", "scopes": ["messages:read"]})
    at, api = f"{TOKENS}/{made['id']}", house.api.with_token(made["token"])
    assert (await admin.api.patch(at, {"name": "Nightly"}))["name"] == "Nightly"
    ending = await admin.api.patch(at, {"expiresAt": "2027-01-15T08:10:00Z"})
    assert (ending["name"], ending["expiresAt"]) == ("Nightly", "2027-01-15T08:10:00.000Z")
    assert (await admin.api.patch(at, {"expiresAt": "2020-01-01T00:00:00Z"})).faults == {
        "expiresAt": "has passed"
    }
    house.clock.advance(600_000)
    assert (await api.get("/api/v1/messages")).code == "token_invalid"
    assert (await admin.api.patch(at, {"expiresAt": None}))["expiresAt"] is None
    assert (await api.get("/api/v1/messages")).status == 200
    assert (await (await house.register("other")).api.patch(at, {"name": "mine"})).status == 404


async def test_a_token_can_lose_scopes_and_gets_none(house: House, admin: Person) -> None:
    """At once; one bucket is less than every bucket."""
    bucket = await house.bucket(admin)
    made = await admin.api.post(TOKENS, {"name": "CI", "scopes": ["messages:read", "messages:create"]})
    at, api = f"{TOKENS}/{made['id']}", house.api.with_token(made["token"])
    wider = await admin.api.patch(at, {"scopes": ["messages:read", "admin"]})
    assert (wider.status, wider.code) == (400, "scope_wider")
    assert wider.faults == {"scopes[1]": "is none of the token's"}
    assert (await admin.api.patch(at, {"scopes": ["nonsense"]})).faults == {
        "scopes[0]": "is not a known scope"
    }
    narrower = await admin.api.patch(at, {"scopes": [f"messages:create:{bucket}"]})
    assert narrower["scopes"] == [f"messages:create:{bucket}"]
    assert (await api.get("/api/v1/messages")).code == "scope_missing"
    assert (await admin.api.patch(at, {"scopes": ["messages:create"]})).code == "scope_wider"
    assert (await house.send(api, bucket)).status == 201
