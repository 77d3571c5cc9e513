"""Messages as forms and as addresses: what a browser, curl or a thermostat can send without JSON."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.forms import MOST_FIELDS
from server.api.reading import MAX_BODY
from tests.harness.fuzz import almost, examples
from tests.harness.native import Native, Reply
from tests.server.conftest import House, Person

MESSAGES = "/api/v1/messages"
FORM = "application/x-www-form-urlencoded"
BOUNDARY = "xXx"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
Pairs = Sequence[tuple[str, str]]

ACTIONS = [{"type": "OPEN_URL", "value": "https://example.com", "title": "Open"}, {"type": "DELETE"}]
EVERYTHING: Pairs = [
    ("title", "Order ünïcode"),
    ("body", "two\nlines & more"),
    ("deliveryType", "SILENT"),
    ("attachments", json.dumps([{"mediaType": "DOCUMENT", "url": "https://example.com/a.pdf"}])),
    ("actions", json.dumps(ACTIONS)),
    ("tapAction", '{"type": "NAVIGATE", "value": "/orders/1"}'),
    ("snoozes", "[5, 10]"),
    ("postpones", "15,30"),
    ("tags", "blue"),
    ("tags", "green"),
    ("userIds", "admin,"),
    ("addMarkAsReadAction", "true"),
    ("ephemeral", "false"),
    ("remindEveryMinutes", "20"),
    ("maxReminders", "3"),
    ("sound", ""),
    ("whatever", "is passed over"),
    ("whatever", "however often"),
]
STORED = {
    "title": "Order ünïcode",
    "body": "two\nlines & more",
    "deliveryType": "SILENT",
    "attachments": [{"mediaType": "FILE", "url": "https://example.com/a.pdf"}],
    "actions": [
        {"type": "NAVIGATE", "value": "https://example.com", "title": "Open"},
        {"type": "DELETE"},
        {"type": "MARK_AS_READ"},
    ],
    "tapAction": {"type": "NAVIGATE", "value": "/orders/1"},
    "snoozes": [5, 10],
    "postpones": [15, 30],
    "tags": ["blue", "green"],
    "ephemeral": False,
    "remindEveryMinutes": 20,
    "maxReminders": 3,
    "sound": None,
    "notificationsCount": 1,
}

# Reading does not depend on the engine.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def post_form(api: Native, pairs: Pairs, **headers: str) -> Reply:
    return await post(api, FORM, urlencode(pairs).encode(), **headers)


async def post_parts(api: Native, pairs: Pairs) -> Reply:
    return await post(api, MULTIPART, parts(pairs))


async def get_query(api: Native, pairs: Pairs, method: str = "GET", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.call(method, f"{MESSAGES}?{urlencode(pairs)}", headers=named)


async def post(api: Native, kind: str, raw: bytes, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.call("POST", MESSAGES, raw=raw, headers={"Content-Type": kind, **named})


def parts(pairs: Pairs) -> bytes:
    return b"".join(part(name, text.encode()) for name, text in pairs) + f"--{BOUNDARY}--\r\n".encode()


def part(name: str, content: bytes, *, more: str = "", headers: str = "") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{headers}\r\n'
    return head.encode() + content + b"\r\n"


WAYS = pytest.mark.parametrize("way", [post_form, post_parts, get_query])


@WAYS
async def test_every_field_can_be_written_as_text(house: House, admin: Person, way: Any) -> None:
    bucket = await house.bucket(admin)
    sent = await way(
        admin.api, [*EVERYTHING, ("bucketId", bucket)] if way is not get_query else filled(bucket)
    )
    assert sent.status == 201, sent.body
    assert {name: sent[name] for name in STORED} == STORED
    assert (sent["bucketId"], sent.headers["Cache-Control"]) == (bucket, "no-store")


def filled(bucket: str) -> Pairs:
    """A form's empty fields are passed over; an address has none that nobody filled in."""
    return [pair for pair in EVERYTHING if pair[1]] + [("bucketId", bucket)]


@WAYS
async def test_the_least_is_a_title_and_a_bucket(admin: Person, way: Any) -> None:
    """It is NORMAL where nothing else is said, for everybody in the bucket."""
    sent = await way(admin.api, [("title", "Hi"), ("bucketId", "default")])
    assert (sent.status, sent["deliveryType"], sent["notificationsCount"]) == (201, "NORMAL", 1)


WRONG = [
    ("actions", '[{"type":\n "DELETE",}]', "actions", "is not JSON (line 2, column 10: "),
    ("attachments", '{"mediaType"', "attachments", "is not JSON (line 1, column 13: "),
    ("tapAction", "open", "tapAction", "is not JSON (line 1, column 1: "),
    ("tapAction", "[]", "tapAction", "is a list"),
    ("attachments", "one", "attachments[0]", "is not JSON (line 1, column 1: "),
    ("snoozes", "[5, true]", "snoozes[1]", "is true or false"),
    ("snoozes", "5,ten", "snoozes[1]", "is no such number"),
    ("postpones", "10081", "postpones[0]", "is no such number"),
    ("tags", '["a", 1]', "tags[1]", "is a number"),
    ("userIds", '["a"', "userIds", "is not JSON (line 1, column 5: "),
    ("userIds", ",", "userIds", "names nobody"),
    ("ephemeral", "yes", "ephemeral", "is neither true nor false"),
    ("remindEveryMinutes", "1.5", "remindEveryMinutes", "is no such number"),
    ("actions", '[{"type": "SNOOZE", "value": "0"}]', "actions[0].value", "is out of range"),
]


@pytest.mark.parametrize(("name", "text", "path", "reason"), WRONG)
@WAYS
async def test_what_is_wrong_in_a_text_is_named_with_its_place(
    admin: Person, way: Any, name: str, text: str, path: str, reason: str
) -> None:
    """The field's, and within what is no JSON the line and the column."""
    refused = await way(admin.api, [("title", "Hi"), ("bucketId", "default"), (name, text)])
    mark = "?" if way is get_query else ""
    assert (refused.status, refused.code) == (400, "invalid")
    assert refused.faults[mark + path].startswith(reason), refused.faults


@WAYS
async def test_what_is_no_list_is_given_once(admin: Person, way: Any) -> None:
    refused = await way(admin.api, [("title", "a"), ("title", "b"), ("bucketId", "default")])
    mark = "?" if way is get_query else ""
    assert (refused.status, refused.faults) == (400, {f"{mark}title": "is given more than once"})


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("multipart/form-data", parts([("title", "Hi")])),
        ("multipart/form-data; boundary=", parts([("title", "Hi")])),
        ("multipart/form-data; boundary=other", parts([("title", "Hi")])),
        (f"multipart/form-data; boundary={'x' * 71}", b""),
        (MULTIPART, b""),
        (MULTIPART, b"--xXx"),
        (MULTIPART, b"title=Hi"),
        (MULTIPART, parts([("title", "Hi")])[:-9]),
        (MULTIPART, b"--xXx\r\n\r\nno headers\r\n--xXx--\r\n"),
        (MULTIPART, b'--xXx\r\nContent-Disposition: form-data; name="ti\r\n\r\nHi\r\n--xXx--\r\n'),
        (MULTIPART, b"--xXx\r\nContent-Disposition: =\r\n\r\nHi\r\n--xXx--\r\n"),
        (MULTIPART, b'--xXx\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nHi\r\n--xXx--\r\n'),
        (MULTIPART, b"--xXx\r\nno header\r\n\r\n\r\n--xXx--\r\n"),
        (MULTIPART, b"--xXx\r\n" + b"A: b\r\n" * 1000 + b"\r\n\r\n--xXx--\r\n"),
        (MULTIPART, b"--xXx\r\nA: " + b"b" * 100_000 + b"\r\n\r\n\r\n--xXx--\r\n"),
        (MULTIPART, part("title", b"\xff\xfe") + b"--xXx--\r\n"),
        (MULTIPART, part("title", b"aGk=", headers="Content-Transfer-Encoding: base64\r\n") + b"--xXx--\r\n"),
        (MULTIPART, part("_charset_", b"x" * 40) + b"--xXx--\r\n"),
        (MULTIPART, part("title", b"--y--\r\n", headers="Content-Type: multipart/mixed; boundary=y\r\n")),
        (MULTIPART, parts([("tags", "a")] * 1000)),
        (FORM, urlencode([("tags", "a")] * (MOST_FIELDS + 1)).encode()),
        (FORM, b"title=%FF"),
        (FORM, b"title=\xff"),
    ],
)
async def test_what_is_no_form_is_refused_as_such(admin: Person, kind: str, raw: bytes) -> None:
    """Whatever is wrong with it."""
    refused = await post(admin.api, kind, raw)
    assert (refused.status, refused.code) == (400, "bad_form"), refused.body
    assert refused.headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.parametrize("kind", [FORM, MULTIPART])
async def test_the_texts_of_a_form_have_room_like_json(admin: Person, kind: str) -> None:
    """In one field or in many."""
    for texts in (["x" * (MAX_BODY + 1)], ["x" * (MAX_BODY // 100)] * 101):
        pairs = [("body", text) for text in texts]
        raw = parts(pairs) if kind == MULTIPART else urlencode(pairs).encode()
        refused = await post(admin.api, kind, raw)
        assert (refused.status, refused.code) == (413, "body_too_large")


async def test_a_charset_is_utf_8_whatever_is_said(admin: Person) -> None:
    """As the standard of forms has it; other bytes are refused rather than guessed at."""
    sent = await post(admin.api, f"{FORM}; charset=iso-8859-1", "title=ü&bucketId=default".encode())
    assert (sent.status, sent["title"]) == (201, "ü")


async def test_a_head_never_sends(house: House, admin: Person) -> None:
    """It answers as the list does."""
    answer = await get_query(admin.api, [("title", "Hi")], method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert (await admin.api.get(MESSAGES))["messages"] == []
    assert await house.deliveries() == []


async def test_an_address_sends_with_the_scope_for_it(house: House, admin: Person) -> None:
    """Where it has a title; the list needs the other scope. A bound token leaves the bucket out."""
    bucket = await house.bucket(admin)
    bound, reader = (
        await house.token(admin, f"messages:create:{bucket}"),
        await house.token(admin, "messages:read"),
    )
    assert (await get_query(bound, [("title", "Hi")]))["bucketId"] == bucket
    assert (await get_query(bound, [])).code == "scope_missing"
    assert (await get_query(reader, [("title", "Hi")])).code == "scope_missing"
    assert len((await get_query(reader, []))["messages"]) == 1
    assert (await get_query(bound, [("title", "")])).faults == {"?title": "is empty"}


async def test_bytes_in_an_address_that_are_no_text_make_no_failure(admin: Person) -> None:
    for odd in ("%FF", "%ED%A0%80", "%00", quote("\U0001f600")):
        answer = await admin.api.call("GET", f"{MESSAGES}?bucketId=default&title={odd}")
        assert answer.status in (201, 400), answer.body


@pytest.mark.parametrize("way", [post_form, get_query])
async def test_a_key_makes_one_message_in_each_way_of_its_own(admin: Person, way: Any) -> None:
    """The order of the fields does not matter; what they say does."""
    pairs = [("title", "Hi"), ("bucketId", "default")]
    first = await way(admin.api, pairs, Idempotency_Key="k")
    again = await way(admin.api, pairs[::-1], Idempotency_Key="k")
    assert (first["id"], again.headers["Idempotency-Replayed"]) == (again["id"], "true")
    other = await way(admin.api, [*pairs, ("body", "more")], Idempotency_Key="k")
    assert (other.status, other.code) == (409, "idempotency_key_reused")
    json_key = await admin.api.call(
        "POST",
        MESSAGES,
        {"title": "Hi", "bucketId": "default", "deliveryType": "NORMAL"},
        headers={"Idempotency-Key": "k"},
    )
    assert json_key.status == (201 if way is get_query else 409)  # a route of its own has keys of its own


_RIGHT = part("attachments", b"x" * 99, more='; filename="a"', headers="Content-Type: a/b\r\n") + parts(
    filled("default")
)
_PIECES = [
    *(b"\r\n", b"--", b"--xXx", b"--xXx--\r\n", b'"', b"; ", b"\xff", b"\0"),
    *(
        b"; filename*=utf-8''%ff",
        b'; name="title"',
        b"Content-Length: 5\r\n",
        b"Content-Type: multipart/x\r\n",
    ),
]


@examples(60)
@given(raw=almost(st.just(_RIGHT), st.one_of(st.sampled_from(_PIECES), st.binary(max_size=4))))
async def test_what_is_almost_a_form_is_taken_or_refused(admin: Person, raw: bytes) -> None:
    """And is never a failure."""
    answer = await post(admin.api, MULTIPART, raw)
    assert answer.status in (201, 400, 404), answer.body
