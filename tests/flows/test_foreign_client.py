"""A phone that somebody else wrote from PROTOCOL.md pairs with `hushpost up` and reads what it is sent."""

import json
import secrets
import time
import zlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import pytest_asyncio

from tests.harness import second, second_http
from tests.harness.conservation import read_books
from tests.harness.foreign_client import (
    PASSWORD,
    Http,
    Link,
    Phone,
    ask_to_pair,
    new_handle,
    new_link,
    pair,
    pairing,
    send,
    server_key,
    sign_up,
)
from tests.harness.foreign_process import Running, running
from tests.harness.ports import free_port
from tests.harness.second import b64u, unb64u
from tests.harness.second_http import Message

pytestmark = pytest.mark.asyncio(loop_scope="module")

SUITES = [pytest.param(1, id="x25519"), pytest.param(2, id="x-wing")]
SIZES = {1: (768, 1536, 2304, 2944), 2: (1536, 2304, 2944)}
ROOM = {1: (608, 1376, 2144, 2784), 2: (288, 1056, 1696)}
DEVICE = "/api/v1/device"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    directory, port = tmp_path_factory.mktemp("up"), free_port()
    command = ("up", "--data", "data", "--listen", f"127.0.0.1:{port}")
    async with running(*command, directory=directory, port=port) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def admin(up: Running, session: aiohttp.ClientSession) -> Http:
    """The first account: it may see the metrics."""
    return await sign_up(session, up.url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def account(up: Running, session: aiohttp.ClientSession) -> Http:
    """One for all tests: how many an address may make in an hour is limited."""
    return await sign_up(session, up.url)


@pytest_asyncio.fixture(loop_scope="module")
async def person(account: Http, admin: Http) -> AsyncIterator[Http]:
    """The account, which has no devices before a test and none after it; conservation holds after each."""
    yield account
    for device in (await account.call("GET", "/api/v1/devices")).json["devices"]:
        assert (await account.call("DELETE", f"/api/v1/devices/{device['id']}")).status == 204
    books = read_books((await admin.call("GET", "/metrics")).body.decode())
    assert books.balanced, books


@pytest_asyncio.fixture(loop_scope="module", params=SUITES)
async def phone(request: pytest.FixtureRequest, person: Http) -> Phone:
    """A phone of the person, in each suite."""
    return await pair(person.session, await new_link(person), suite=request.param)


@pytest_asyncio.fixture(loop_scope="module")
async def small_phone(person: Http) -> Phone:
    return await pair(person.session, await new_link(person), suite=1)


async def test_the_quick_start_works_as_printed(up: Running, session: aiohttp.ClientSession) -> None:
    name = f"user{secrets.token_hex(6)}"
    anyone = Http(session, up.url)
    account = {"email": f"{name}@example.com", "password": PASSWORD}
    registered = await anyone.call("POST", "/api/v1/auth/register", account | {"username": name})
    assert registered.status == 201, registered.body
    entered = await anyone.call("POST", "/api/v1/auth/login", account)
    assert entered.json["user"]["email"] == account["email"]
    assert UUID(entered.json["user"]["id"]).version == 7
    assert entered.json["refreshToken"]
    user = Http(session, up.url, entered.json["accessToken"])
    wanted = {"name": "Marketing", "description": "Marketing campaign bucket"}
    bucket = await user.call("POST", "/api/v1/buckets", wanted)
    assert bucket.status == 201
    assert wanted.items() <= bucket.json.items()
    token = await user.call(
        "POST", "/api/v1/access-tokens", {"name": "CI Pipeline", "scopes": ["messages:create"]}
    )
    assert token.status == 201
    assert token.json["token"].startswith("zat_")
    assert token.json["scopes"] == ["messages:create"]
    _is_time(token.json["createdAt"])
    script = Http(session, up.url, token.json["token"])
    minimal = {"title": "Welcome!", "bucketId": bucket.json["id"], "deliveryType": "NORMAL"}
    for caller in (user, script):
        message = await caller.call("POST", "/api/v1/messages", minimal)
        assert message.status == 201, message.body
        assert (message.json["title"], message.json["bucketId"]) == ("Welcome!", bucket.json["id"])
        _is_time(message.json["createdAt"])
    assert (await script.call("GET", "/api/v1/messages")).status == 403


def _is_time(text: str) -> None:
    assert text.endswith("Z")
    assert len(text.partition(".")[2]) == len("123Z")
    assert abs(datetime.fromisoformat(text).timestamp() - time.time()) < 60


async def test_the_link_names_a_server_that_proves_its_key(person: Http, up: Running) -> None:
    link = await new_link(person)
    assert link.server == up.url
    assert link.relay == up.url + "/relay"
    await server_key(person.session, link)
    for nonce in ("", "short", b64u(bytes(15)), b64u(bytes(17)), b64u(bytes(16)) + "=="):
        refused = await Http(person.session, link.server).call("GET", f"/api/v1/identity?nonce={nonce}")
        assert (refused.status, refused.json["errors"][0]["path"]) == (400, "?nonce")


@pytest.mark.parametrize("base", ["server", "relay"])
async def test_both_parties_publish_signed_directories(person: Http, base: str) -> None:
    link = await new_link(person)
    url = link.server if base == "server" else link.relay
    path = "/.well-known/http-message-signatures-directory"
    reply = await Http(person.session, url).call("GET", path)
    keys = [unb64u(jwk["x"]) for jwk in reply.json["keys"]]
    answer = Message(reply.headers, status=reply.status, request=Message({}, "GET", url + path))
    assert second_http.check_directory(answer, reply.body, keys, int(time.time())) == keys
    if base == "server":
        assert [b64u(second.keyid_raw(key)) for key in keys] == [link.keyid]


async def test_a_paired_device_is_listed_with_the_fingerprint_that_both_sides_show(
    person: Http, phone: Phone
) -> None:
    [listed] = (await person.call("GET", "/api/v1/devices")).json["devices"]
    assert listed["id"] == str(phone.id)
    assert phone.id.version == 7
    assert listed["suite"] == phone.suite
    assert listed["fingerprint"] == second.fingerprint(phone.server, phone.keys[-1].public)
    assert phone.head == 0
    assert await phone.fetch() == {"messages": [], "retracted": [], "read": [], "head": 0, "more": False}


async def test_a_code_pairs_once_and_a_wrong_one_never(person: Http, small_phone: Phone) -> None:
    used = small_phone.link
    wrong = Link(used.server, used.keyid, b64u(secrets.token_bytes(16)), used.relay)
    nonsense = Link(used.server, used.keyid, "nonsense", used.relay)
    for link in (used, wrong, nonsense):
        wanted = pairing(link, 1, secrets.token_bytes(32), small_phone.handle)
        refused = await ask_to_pair(person.session, link, wanted)
        assert (refused.status, refused.code) == (403, "pairing_code_invalid")


async def test_a_faulty_pairing_is_told_its_faults_and_does_not_use_the_code(person: Http) -> None:
    link = await new_link(person)
    handle = await new_handle(person.session, link)
    seed = secrets.token_bytes(32)
    right = pairing(link, 1, seed, handle)
    faults: list[tuple[dict[str, Any], str]] = [
        ({"suite": 3}, "suite"),
        ({"suite": 2}, "publicKey"),
        ({"publicKey": b64u(bytes(32))}, "publicKey"),
        ({"handle": "no handle"}, "handle"),
        ({"name": None}, "name"),
        ({"platform": None}, "platform"),
    ]
    for change, path in faults:
        refused = await ask_to_pair(person.session, link, right | change)
        assert refused.status == 400, (change, refused.body)
        assert [fault["path"] for fault in refused.json["errors"]] == [path]
    undigested = await Http(person.session, link.server).call("POST", "/api/v1/devices/pair", right)
    assert undigested.status == 400
    assert (await ask_to_pair(person.session, link, right)).status == 201


async def test_messages_arrive_sealed_padded_and_numbered_without_gaps(person: Http, phone: Phone) -> None:
    before = time.time() * 1000
    bodies = ["", "Backup finished ✓", secrets.token_hex(200), "the same again " * 33]
    sent = [await send(person, title=f"Message {i}", body=body) for i, body in enumerate(bodies)]
    fetched = await phone.fetch()
    assert (fetched["head"], fetched["more"], fetched["retracted"]) == (4, False, [])
    assert [row["sequence"] for row in fetched["messages"]] == [1, 2, 3, 4]
    for row, id_, body in zip(fetched["messages"], sent, bodies, strict=True):
        assert row.keys() == {"sequence", "envelope"}
        said = phone.open(row["envelope"])
        assert (str(said.message_id), said.sequence, said.kind) == (id_, row["sequence"], 1)
        assert before - 1000 <= said.sent_at <= time.time() * 1000 + 1000
        content = json.loads(said.body)
        assert content.get("body", "") == body
        assert "" not in content.values()
        _has_smallest_size(row["envelope"], said, phone.suite)


def _has_smallest_size(envelope: str, said: second.Said, suite: int) -> None:
    """Compressed only where that reaches a smaller size, and then as small as that makes it."""
    size = SIZES[suite].index(len(unb64u(envelope)))
    plain = _smallest(len(said.body), suite)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = _smallest(len(packer.compress(said.body) + packer.flush()), suite)
    assert size == min(plain, packed)
    assert said.encoding == (1 if packed < plain else 0)


def _smallest(length: int, suite: int) -> int:
    return next((index for index, room in enumerate(ROOM[suite]) if length <= room), len(ROOM[suite]))


async def test_a_message_carries_the_fields_that_were_sent_in_the_apis_names(
    person: Http, small_phone: Phone
) -> None:
    given = {
        "title": "Order Confirmed",
        "subtitle": "Payment received",
        "body": "Your order #12345 has been confirmed",
        "sound": "ping.aiff",
        "locale": "en-EN",
        "groupId": "orders",
        "collapseId": "order-update-123",
    }
    shortcuts = {
        "imageUrl": "https://example.com/image.png",
        "videoUrl": "https://example.com/clip.mp4",
        "gifUrl": "https://example.com/fun.gif",
        "tapUrl": "https://app.zentik.app/orders/123",
    }
    id_ = await send(person, deliveryType="CRITICAL", **given, **shortcuts)
    [row] = (await small_phone.fetch())["messages"]
    said = small_phone.open(row["envelope"])
    content = json.loads(said.body)
    known = {*given, "deliveryType", "bucket", "attachments", "tapAction", "createdAt", "expiresAt"}
    assert content.keys() == known
    assert given.items() <= content.items()
    assert content["deliveryType"] == "CRITICAL"
    assert [(one["mediaType"], one["url"]) for one in content["attachments"]] == [
        ("IMAGE", shortcuts["imageUrl"]),
        ("VIDEO", shortcuts["videoUrl"]),
        ("GIF", shortcuts["gifUrl"]),
    ]
    assert content["tapAction"] == {"type": "NAVIGATE", "value": shortcuts["tapUrl"]}
    shown = (await person.call("GET", f"/api/v1/messages/{id_}")).json
    for name in (*given, "attachments", "tapAction", "createdAt", "expiresAt"):
        assert shown[name] == content[name], name
    assert content["bucket"]["id"] == shown["bucketId"]
    assert content["bucket"]["name"] == "default"


async def test_pages_go_on_where_the_last_one_ended(person: Http, small_phone: Phone) -> None:
    sent = [await send(person, title=f"Number {number}") for number in range(1, 6)]
    seen: list[str] = []
    after, pages = 0, []
    while True:
        page = await small_phone.fetch(after=after, limit=2)
        numbers = [row["sequence"] for row in page["messages"]]
        pages.append((numbers, page["more"]))
        seen += [str(small_phone.open(row["envelope"]).message_id) for row in page["messages"]]
        assert page["head"] == 5
        if not page["more"]:
            break
        after = numbers[-1]
    assert pages == [([1, 2], True), ([3, 4], True), ([5], False)]
    assert seen == sent
    beyond = await small_phone.fetch(after=5)
    assert (beyond["messages"], beyond["head"], beyond["more"]) == ([], 5, False)
    for query, path in [
        ("after=-1", "?after"),
        ("limit=0", "?limit"),
        ("limit=101", "?limit"),
        ("after=x", "?after"),
    ]:
        refused = await small_phone.http.call("GET", f"{DEVICE}/messages?{query}")
        assert (refused.status, refused.json["errors"][0]["path"]) == (400, path)


LARGE = {
    "title": "A long one",
    "body": "€ " + secrets.token_hex(240),
    "tapUrl": f"https://example.com/{secrets.token_urlsafe(1500)}",
    "imageUrl": f"https://example.com/{secrets.token_urlsafe(1500)}",
}


async def test_what_is_too_large_comes_as_a_preview_with_a_claim_on_all_of_it(
    person: Http, phone: Phone
) -> None:
    other = await pair(person.session, await new_link(person), suite=1)
    id_ = await send(person, **LARGE)
    [row] = (await phone.fetch())["messages"]
    said = phone.open(row["envelope"])
    assert len(unb64u(row["envelope"])) == 2944
    preview = json.loads(said.body)
    assert (preview["title"], preview["truncated"]) == (LARGE["title"], True)
    assert LARGE["body"].startswith(preview["body"])
    claim = preview["claim"]
    assert claim.keys() == {"id", "key", "sha256", "size"}
    path = f"{DEVICE}/claims/{claim['id']}"
    fetched = await phone.http.call("GET", path)
    assert (fetched.status, fetched.headers["Content-Type"]) == (200, "application/octet-stream")
    assert len(unb64u(claim["key"])) == 32
    content = json.loads(second.open_claim(fetched.body, claim, said.message_id, phone.id))
    assert (content["title"], content["body"]) == (LARGE["title"], LARGE["body"])
    assert content["tapAction"]["value"] == LARGE["tapUrl"]
    assert content["attachments"][0]["url"] == LARGE["imageUrl"]
    assert "claim" not in content
    assert "truncated" not in content
    [again] = (await phone.fetch())["messages"]
    assert json.loads(phone.open(again["envelope"]).body)["claim"] == claim
    assert (await other.http.call("GET", path)).status == 404
    assert (await person.call("DELETE", f"/api/v1/messages/{id_}")).status == 204
    assert (await phone.http.call("GET", path)).status == 404


async def test_a_retracted_message_is_named_and_its_text_is_gone(person: Http, phone: Phone) -> None:
    ids = [await send(person, title=f"Number {number}") for number in range(1, 4)]
    assert (await person.call("DELETE", f"/api/v1/messages/{ids[1]}")).status == 204
    fetched = await phone.fetch()
    assert fetched["retracted"] == [ids[1]]
    assert fetched["head"] == 3
    first, second_, third = fetched["messages"]
    assert second_ == {"sequence": 2, "messageId": ids[1], "state": "cancelled"}
    opened = [str(phone.open(row["envelope"]).message_id) for row in (first, third)]
    assert opened == [ids[0], ids[2]]
    assert (await person.call("GET", f"/api/v1/messages/{ids[1]}")).status in {404, 410}


async def test_receipts_are_taken_and_faulty_ones_named(person: Http, small_phone: Phone) -> None:
    id_, now = await send(person), int(time.time() * 1000)
    path = f"{DEVICE}/receipts"
    right = [{"messageId": id_, "event": event, "at": now} for event in ("received", "shown", "read")]
    right.append({"messageId": id_, "event": "failed", "reason": "altered", "at": now})
    unknown = [{"event": "failed", "reason": "not_my_key", "at": now}]
    for receipts in (right, right, unknown, []):
        taken = await small_phone.http.call("POST", path, {"receipts": receipts})
        assert (taken.status, taken.body) == (202, b""), taken.body
    wrong = [{"messageId": id_, "event": "eaten", "at": now}, {"messageId": id_, "event": "read"}]
    refused = await small_phone.http.call("POST", path, {"receipts": wrong})
    assert refused.status == 400
    assert [fault["path"] for fault in refused.json["errors"]] == ["receipts[0].event", "receipts[1].at"]
    [listed] = (await person.call("GET", "/api/v1/devices")).json["devices"]
    assert listed["lastFault"] in {"altered", "not_my_key"}


@pytest.mark.parametrize("suite", SUITES)
async def test_a_new_key_is_used_from_then_on_and_the_old_one_never_again(
    person: Http, phone: Phone, suite: int
) -> None:
    await send(person, title="Before")
    new = second.Device(suite, secrets.token_bytes(32), phone.id)
    changed = {"suite": suite, "publicKey": b64u(new.public)}
    replaced = await phone.http.call("PUT", f"{DEVICE}/key", changed)
    assert (replaced.status, replaced.body) == (204, b"")
    await send(person, title="After")
    for row in (await phone.fetch())["messages"]:
        envelope = unb64u(row["envelope"])
        assert (envelope[1], envelope[2:10]) == (suite, new.key_id)
        assert second.open_envelope(envelope, new, phone.server).sequence == row["sequence"]
    [listed] = (await person.call("GET", "/api/v1/devices")).json["devices"]
    assert listed["fingerprint"] == second.fingerprint(phone.server, new.public)
    for bad in ({"suite": 1, "publicKey": b64u(bytes(32))}, {"suite": 2, "publicKey": b64u(bytes(1216))}):
        refused = await phone.http.call("PUT", f"{DEVICE}/key", bad)
        assert refused.status == 400, bad["suite"]


async def test_a_new_handle_is_taken_and_a_faulty_one_named(small_phone: Phone) -> None:
    handle = await new_handle(small_phone.http.session, small_phone.link)
    replaced = await small_phone.http.call("PUT", f"{DEVICE}/handle", {"handle": handle})
    assert (replaced.status, replaced.body) == (204, b"")
    refused = await small_phone.http.call("PUT", f"{DEVICE}/handle", {"handle": "%"})
    assert (refused.status, refused.json["errors"][0]["path"]) == (400, "handle")


async def test_what_is_told_to_another_user_is_not_told_here(person: Http, small_phone: Phone) -> None:
    stranger = await sign_up(person.session, person.url)
    id_ = await send(stranger)
    assert (await small_phone.fetch())["messages"] == []
    assert (await person.call("GET", f"/api/v1/messages/{id_}")).status == 404
    assert (await stranger.call("DELETE", f"/api/v1/devices/{small_phone.id}")).status == 404


async def test_an_unpaired_device_is_not_known_any_more(person: Http, small_phone: Phone) -> None:
    await send(person)
    gone = await small_phone.http.call("DELETE", DEVICE)
    assert (gone.status, gone.body) == (204, b"")
    calls = [("GET", "/messages"), ("POST", "/receipts"), ("PUT", "/key"), ("PUT", "/handle"), ("DELETE", "")]
    for method, path in calls:
        refused = await small_phone.http.call(
            method, DEVICE + path, {} if method in {"POST", "PUT"} else None
        )
        assert (refused.status, refused.code) == (401, "device_token_invalid")
        assert refused.headers["Www-Authenticate"].startswith("Bearer")
    assert (await person.call("GET", "/api/v1/devices")).json["devices"] == []


async def test_the_tokens_of_people_and_devices_do_not_stand_in_for_each_other(
    person: Http, small_phone: Phone
) -> None:
    as_device = await person.call("GET", f"{DEVICE}/messages")
    assert (as_device.status, as_device.code) == (401, "device_token_invalid")
    as_person = await small_phone.http.call("GET", "/api/v1/messages")
    assert as_person.status in {401, 403}


async def test_a_push_that_no_provider_is_configured_for_is_told_with_each_hop(
    person: Http, small_phone: Phone
) -> None:
    tested = await person.call("POST", f"/api/v1/devices/{small_phone.id}/test?wait=10")
    assert tested.status == 200, tested.body
    assert tested.json["state"] == "failed"
    assert [hop["reason"] for hop in tested.json["hops"] if hop["reason"]] == ["not_configured"]
    [row] = (await small_phone.fetch())["messages"]
    assert str(small_phone.open(row["envelope"]).message_id) == tested.json["messageId"]
