"""Calling for others: who may name a user and a tenant, how, and what no such token can do."""

import asyncio
import json
from typing import Any

import pytest
from yarl import URL

from server.api.gate import TABLE, ForDevice, ForEither, ForUser, Open, Route
from server.app import build_server
from server.config import Settings
from server.domain.account import LONGEST_NAME
from tests.harness.acting import RPCS, Acting, rows_of
from tests.harness.native import Native, Reply
from tests.server.api.test_scopes_table import path_of
from tests.server.conftest import House, Person

TOPIC = RPCS + "manage/create-topic"
CHECK = RPCS + "manage/check-topic-subscription"
MESSAGES = "/api/v1/messages"
INBOX = "/api/v1/notifications"
TO_CHECK = {"topicKey": "news", "subscriberId": "ann"}


def code(answer: Reply) -> str:
    """Return the code of a refusal in the form of either API."""
    said = answer.json
    return str(said["error"]["code"] if "error" in said else said["code"])


async def test_only_a_token_of_the_operators_may_name_others(house: House, admin: Person) -> None:
    """Not a person who is signed in, whoever they are, nor a token of other scopes, a device or somebody who is no admin any more."""
    user = await house.register("user")
    others = {
        "admin": admin.api,
        "user": user.api,
        "sends": await house.token(admin, "messages:create", "messages:read"),
        "metrics": await house.token(admin, "metrics"),
        "nothing": await house.token(admin),
    }
    before = await rows_of(house.pieces.db)
    for name, api in others.items():
        for header in ("X-User-ID", "X-Tenant-ID"):
            answer = await api.call("POST", TOPIC, {"topicKey": "news"}, headers={header: "x"})
            assert (answer.status, code(answer)) in ((403, "acting_forbidden"), (403, "scope_missing")), name
            answer = await api.call("GET", INBOX, headers={header: "x"})
            assert answer.status == 403, name
    assert await rows_of(house.pieces.db) == before
    phone = await house.phone(user)
    answer = await phone.api.call("GET", INBOX, headers={"X-User-ID": "x"})
    assert answer.status == 401


async def test_a_token_of_somebody_who_is_no_admin_any_more_names_nobody(house: House, admin: Person) -> None:
    token = Acting(await house.token(admin, "gateway", "admin"), "acme", "ann")
    assert (await token.rpc("manage/create-topic", {"topicKey": "news"})).status == 200
    await house.pieces.db.write(lambda tx: tx.run("UPDATE users SET role = 'user' WHERE id = $1", admin.id))
    refused = await token.rpc("manage/create-topic", {"topicKey": "other"})
    assert refused.status == 403


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine is not asked
@pytest.mark.parametrize("header", ["X-User-ID", "X-Tenant-ID"])
@pytest.mark.parametrize(
    "value", [b"", b" ", b"a\tb", b"a" * (LONGEST_NAME + 1), b"\x80", b"\xff\xfe", b"a\x1fb"]
)
async def test_a_name_that_is_none_is_refused(house: House, admin: Person, header: str, value: bytes) -> None:
    """It says which header and what would be right, and nothing is made."""
    token = await house.token(admin, "admin")
    before = await rows_of(house.pieces.db)
    status, said = await ask_raw(house, token, TOPIC, {"topicKey": "news"}, [(header.encode(), value)])
    assert status == 400
    if said is not None:  # HTTP itself forbids some of them
        [fault] = said["error"]["details"]
        assert fault["path"] == header
        assert str(LONGEST_NAME) in fault["fix"]
    assert await rows_of(house.pieces.db) == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("header", [b"X-User-ID", b"X-Tenant-ID", b"x-user-id"])
async def test_two_names_are_none(house: House, admin: Person, header: bytes) -> None:
    """Also the same one twice: what a client smuggled past a gateway is not chosen from."""
    token = await house.token(admin, "admin")
    for names in ((b"ann", b"ben"), (b"ann", b"ann"), (b"", b"ann")):
        sent = [(header, name) for name in names]
        status, said = await ask_raw(house, token, TOPIC, {"topicKey": "news"}, sent)
        assert (status, said["error"]["code"]) == (400, "invalid")


async def test_the_longest_name_and_any_script_are_names(house: House, admin: Person) -> None:
    token = await house.token(admin, "admin")
    for name in ("a" * LONGEST_NAME, "Ünal Ōé", "渋谷", "user-1"):
        sent = [(b"X-User-ID", name.encode()), (b"X-Tenant-ID", name.encode())]
        status, said = await ask_raw(house, token, TOPIC, {"topicKey": "news"}, sent)
        assert (status, said.get("topicKey")) == (200, "news"), name
        status, _ = await ask_raw(house, token, CHECK, {"topicKey": "news", "subscriberId": name}, sent)
        assert status == 200, name


async def test_reading_makes_nothing(house: House, admin: Person) -> None:
    """Neither the tenant nor the user that are named; not even where the request is right."""
    token = Acting(await house.token(admin, "admin"), "nowhere", "nobody")
    before = await rows_of(house.pieces.db)
    for method, path in (("GET", MESSAGES), ("GET", INBOX), ("GET", f"{INBOX}/counts")):
        answer = await token.call(method, path)
        assert answer.status == 200, (path, answer.body)
    assert (await token.call("GET", INBOX))["notifications"] == []
    assert (await token.call("GET", f"{INBOX}/counts"))["total"] == 0
    answer = await token.rpc("manage/check-topic-subscription", TO_CHECK)
    assert (answer.status, code(answer)) == (404, "topic_not_found")
    assert await rows_of(house.pieces.db) == before


async def test_what_is_refused_makes_nothing(house: House, admin: Person) -> None:
    """A body that is wrong makes neither the tenant nor the user."""
    token = Acting(await house.token(admin, "admin"), "nowhere", "nobody")
    before = await rows_of(house.pieces.db)
    assert (await token.rpc("manage/create-topic", {"topicKey": ""})).status == 400
    assert (await token.call("POST", MESSAGES, {"title": ""})).status == 400
    assert await rows_of(house.pieces.db) == before


async def test_what_writes_makes_the_tenant_and_the_user_once(house: House, admin: Person) -> None:
    """However many requests name them at the same moment."""
    token = Acting(await house.token(admin, "admin"), "acme", "ann")
    answers = await asyncio.gather(
        *(token.rpc("manage/create-topic", {"topicKey": f"t{index}"}) for index in range(8))
    )
    assert {answer.status for answer in answers} == {200}
    rows = await rows_of(house.pieces.db)
    assert len(rows["tenants"]) == 2
    assert sum("'external_id': 'ann'" in row for row in rows["users"]) == 1


async def test_a_message_of_a_named_user_makes_that_user(house: House, admin: Person) -> None:
    """As an RPC does; it is theirs, and nobody's of another tenant."""
    token = Acting(await house.token(admin, "admin"), "acme", "ann")
    body = {"title": "Hello", "userIds": ["ann"], "deliveryType": "NORMAL"}
    sent = await token.call("POST", MESSAGES, body)
    assert sent.status == 201, sent.body
    listed = (await token.call("GET", INBOX))["notifications"]
    assert [one["messageId"] for one in listed] == [sent["id"]]
    assert (await token.call("GET", f"{MESSAGES}/{sent['id']}")).status == 200
    for other in (token.for_user("ben"), Acting(token.api, "other", "ann"), Acting(token.api, None, "ann")):
        assert (await other.call("GET", f"{MESSAGES}/{sent['id']}")).status == 404
        assert (await other.call("DELETE", f"{MESSAGES}/{sent['id']}")).status == 404
        assert (await other.call("GET", INBOX))["notifications"] == []


async def test_the_inbox_is_that_of_the_user_who_is_named(house: House, admin: Person) -> None:
    """Read, unread, all of it and deleted."""
    token = Acting(await house.token(admin, "admin"), "acme", "ann")
    body = {"title": "Hello", "userIds": ["ann", "ben"], "deliveryType": "NORMAL"}
    assert (await token.call("POST", MESSAGES, body)).status == 404  # ben is nobody yet
    for name in ("ann", "ben"):
        own = {**body, "userIds": [name]}
        assert (await token.for_user(name).call("POST", MESSAGES, own)).status == 201
    [item] = (await token.call("GET", INBOX))["notifications"]
    place = f"{INBOX}/{item['id']}"
    ben = token.for_user("ben")
    assert (await ben.call("GET", place)).status == 404
    assert (await ben.call("PATCH", f"{place}/read")).status == 404
    assert (await token.call("PATCH", f"{place}/read"))["readAt"] is not None
    assert (await ben.call("GET", f"{INBOX}/counts"))["unread"] == 1
    assert (await token.call("PATCH", f"{place}/unread"))["readAt"] is None
    assert (await token.call("POST", f"{INBOX}/read-all"))["marked"] == 1
    assert (await token.call("DELETE", place)).status == 204
    assert (await ben.call("GET", f"{INBOX}/counts"))["total"] == 1


async def test_a_gateways_token_names_the_user(house: House, admin: Person) -> None:
    """Nothing of the admin's who made it is reached without; nor by naming the tenant alone."""
    gateway = await house.token(admin, "gateway", "messages:read")
    for acting in (Acting(gateway), Acting(gateway, "default"), Acting(gateway, "acme")):
        answer = await acting.call("GET", INBOX)
        if acting.tenant is None:
            continue  # its own scope reads what is its owner's
        assert (answer.status, answer.faults) == (400, {"X-User-ID": "is missing"})
    only = await house.token_of(admin, "acme", "gateway", "admin")
    answer = await Acting(only).call("GET", INBOX)
    assert (answer.status, answer.faults) == (400, {"X-User-ID": "is missing"})


async def test_a_bound_token_is_good_for_its_tenant_only(house: House, admin: Person) -> None:
    """It need not name that one, and may; another one it cannot name, whether there is one of that name or not."""
    token = await house.token_of(admin, "acme", "admin")
    made = await Acting(token, None, "ann").rpc("manage/create-topic", {"topicKey": "news"})
    assert made.status == 200, made.body
    same = await Acting(token, "acme", "ann").rpc("manage/check-topic-subscription", TO_CHECK)
    assert (same.status, same["subscribed"]) == (200, False)
    await house.token_of(admin, "there", "admin")
    refused = [
        await Acting(token, tenant, "ann").rpc("manage/create-topic", {"topicKey": "x"})
        for tenant in ("default", "there", "nowhere", "ACME")
    ]
    assert {(answer.status, answer.body) for answer in refused} == {(403, refused[0].body)}
    assert code(refused[0]) == "acting_forbidden"


async def test_a_bound_token_does_nothing_that_is_not_a_tenants(
    house: House, admin: Person, settings: Settings
) -> None:
    """At every route that does not act, nor has it in its body: no token is made or widened, no account changed, nothing of the operator's or its owner's seen."""
    tokens = [
        await house.token_of(admin, "acme", "admin"),
        await house.token_of(admin, "default", "admin", "gateway"),
        await house.token_of(admin, "acme", "gateway"),
    ]
    table = build_server(settings, house.pieces_again())[TABLE]
    apart = [route for route in table if not isinstance(route, Open) and not _acts(route)]
    assert {"/metrics", "/api/v1/deliveries", "/api/v1/access-tokens"} <= {route.path for route in apart}
    before = await rows_of(house.pieces.db)
    for route in apart:
        for token in tokens:
            for named in ({}, {"X-User-ID": "admin"}, {"X-Tenant-ID": "acme", "X-User-ID": admin.id}):
                await refused_at(token, route, named)
    assert await rows_of(house.pieces.db) == before


async def refused_at(token: Native, route: Route, named: dict[str, str]) -> None:
    answer = await token.call(route.method, path_of(route), headers=named)
    expected = 401 if isinstance(route, ForDevice) else 403
    assert answer.status == expected, (route.method, route.path, named, answer.status)


async def test_no_route_acts_that_makes_tokens_or_changes_accounts(house: House, settings: Settings) -> None:
    """What is a person's own, or the operator's, is never done in another's name."""
    table = build_server(settings, house.pieces_again())[TABLE]
    acting = {route.path for route in table if isinstance(route, ForUser) and route.acts}
    mine = ("access-tokens", "auth", "users", "devices", "device", "deliveries", "relay", "invitations")
    assert not [path for path in acting if path.removeprefix("/api/v1/").partition("/")[0] in mine]
    assert not [route for route in table if isinstance(route, ForEither) and getattr(route, "acts", False)]


def _acts(route: Route) -> bool:
    """Say whether a request names for whom it is, by its headers or in its body."""
    return bool(getattr(route, "acts", False) or getattr(route, "keys", None))


async def test_an_unbound_token_acts_nowhere_else_either(
    house: House, admin: Person, settings: Settings
) -> None:
    """Headers that would not be honoured are refused, not passed over: the answer would be about somebody else."""
    token = await house.token(admin, "admin", "gateway")
    table = build_server(settings, house.pieces_again())[TABLE]
    for route in table:
        if isinstance(route, ForUser | ForEither) and not _acts(route):
            answer = await token.call(route.method, path_of(route), headers={"X-User-ID": "ann"})
            assert (answer.status, answer.code) == (403, "acting_forbidden"), route.path


async def test_a_tenants_token_reaches_nothing_of_its_owners(house: House, admin: Person) -> None:
    """Whoever made it is nobody in that tenant: their buckets, files and messages are not to be had by it."""
    bucket = await house.bucket(admin)
    file = await admin.api.call(
        "POST", "/api/v1/attachments", raw=b"secret", headers={"Content-Type": "text/plain"}
    )
    assert file.status == 201, file.body
    sent = await house.send(admin.api, bucket)
    tokens = [
        Acting(await house.token_of(admin, "acme", "admin")),
        Acting(await house.token_of(admin, "acme", "admin"), "acme"),
        Acting(await house.token(admin, "admin"), "acme"),
        Acting(await house.token(admin, "admin"), "acme", "ann"),
        Acting(await house.token(admin, "admin"), "acme", admin.id),
        Acting(await house.token(admin, "admin"), "acme", "admin"),
    ]
    before = (await rows_of(house.pieces.db))["messages"]
    for token in tokens:
        for reference in (bucket, "Marketing", "default"):
            body = {"title": "Hello", "bucketId": reference, "deliveryType": "NORMAL"}
            answer = await token.call("POST", MESSAGES, body)
            assert (answer.status, answer.code) == (404, "bucket_not_found"), token
        stolen = {"title": "x", "deliveryType": "NORMAL", "attachments": [attached(file["id"])]}
        assert (await token.rpc("manage/create-topic", {"topicKey": "news"})).status in (200, 409)
        answer = await token.call("POST", MESSAGES, {**stolen, "topicKey": "news"})
        assert (answer.status, answer.code) == (404, "attachment_not_found"), token
        assert (await token.call("GET", f"{MESSAGES}/{sent['id']}")).status in (400, 404)
        assert (await token.call("DELETE", f"{MESSAGES}/{sent['id']}")).status in (400, 404)
    assert (await rows_of(house.pieces.db))["messages"] == before


def attached(file_id: str) -> dict[str, Any]:
    return {"mediaType": "FILE", "attachmentUuid": file_id}


async def test_an_admins_account_is_not_touched_by_who_manages_its_tenant(
    house: House, admin: Person
) -> None:
    """Neither the address that they sign in with, nor the account, nor its role: by RPC, natively, in their own name."""
    token = await house.token_of(admin, "default", "admin")
    before = (await rows_of(house.pieces.db))["users"]
    for acting in (Acting(token), Acting(token, None, "admin"), Acting(token, "default", admin.id)):
        for email in ("mallory@example.org", None):
            data = {"userId": "admin", "subscriberData": {"email": email}}
            for name in ("manage/update-subscriber-data", "manage/create-subscriber"):
                answer = await acting.rpc(name, data)
                assert (answer.status, code(answer)) == (409, "subscriber_admin"), (name, answer.body)
            answer = await acting.call("PATCH", "/api/v1/subscribers/admin", {"email": email})
            assert (answer.status, answer.code) == (409, "subscriber_admin")
        assert (await acting.rpc("manage/delete-subscriber", {"userId": "admin"})).status == 409
        refused = await acting.call("PATCH", f"/api/v1/users/{admin.id}", {"role": "USER"})
        assert refused.status == 403
    assert (await rows_of(house.pieces.db))["users"] == before


async def test_the_same_name_in_two_tenants_is_two_people(house: House, admin: Person) -> None:
    token = await house.token(admin, "admin")
    one, other = Acting(token, "one", "ann"), Acting(token, "other", "ann")
    for acting in (one, other):
        body = {"title": acting.tenant, "userIds": ["ann"], "deliveryType": "NORMAL"}
        assert (await acting.call("POST", MESSAGES, body)).status == 201
    for acting in (one, other):
        [item] = (await acting.call("GET", INBOX))["notifications"]
        assert item["message"]["title"] == acting.tenant


async def test_a_key_of_one_tenant_is_nothing_to_another(house: House, admin: Person) -> None:
    """Of Idempotency-Key: neither the first answer nor that there was one."""
    token = await house.token(admin, "admin")
    made = set()
    for tenant in ("one", "other"):
        body = {"title": tenant, "userIds": ["ann"], "deliveryType": "NORMAL"}
        headers = {"Idempotency-Key": "k", **Acting(token, tenant, "ann").headers}
        answers = [await token.call("POST", MESSAGES, body, headers=headers) for _ in range(2)]
        assert [answer.status for answer in answers] == [201, 201], answers[-1].body
        assert answers[0]["id"] == answers[1]["id"]
        made.add(answers[0]["id"])
    assert len(made) == 2


async def test_files_need_somebody_whose_they_are(house: House, admin: Person) -> None:
    """A tenant has none of its own: the user is to be named."""
    token = Acting(await house.token(admin, "admin"), "acme")
    assert (await token.rpc("manage/create-topic", {"topicKey": "news"})).status == 200
    kind, raw = form({"title": "Hello", "topicKey": "news"}, b"a file")
    for user, expected in ((None, 400), ("ann", 201)):
        headers = {"Content-Type": kind, **token.for_user(user).headers}
        answer = await token.api.call("POST", MESSAGES, raw=raw, headers=headers)
        assert answer.status == expected, answer.body
        if user is None:
            assert answer.faults == {"X-User-ID": "is missing"}


def form(fields: dict[str, str], file: bytes) -> tuple[str, bytes]:
    """Return the type and the bytes of a form with one file."""
    parts = [f'--x\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    head = '--x\r\nContent-Disposition: form-data; name="attachments"; filename="a.txt"\r\n'
    whole = "".join(parts) + head + "Content-Type: text/plain\r\n\r\n"
    return "multipart/form-data; boundary=x", whole.encode() + file + b"\r\n--x--\r\n"


async def ask_raw(
    house: House, api: Native, path: str, body: object, named: list[tuple[bytes, bytes]]
) -> tuple[int, Any]:
    """Send headers as they are written, which no client library would; give status and answer."""
    url, content = URL(house.api.url), json.dumps(body).encode()
    lines = [
        b"POST %b HTTP/1.1" % path.encode(),
        b"Host: x",
        b"Connection: close",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(content),
        b"Authorization: Bearer %b" % (api.token or "").encode(),
        *(name + b": " + value for name, value in named),
    ]
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + content)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, said = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(said) if b"application/json" in head else None
