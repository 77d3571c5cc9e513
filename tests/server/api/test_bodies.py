"""What is wrong with a request is said where it is, all at once, and never with a trace."""

from typing import Any

import pytest

from server.api.reading import MAX_BODY
from tests.server.conftest import House, Person

PATH = "/api/v1/messages"

# Nothing here depends on the engine.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_all_faults_of_a_body_are_named_at_once(admin: Person) -> None:
    """Each with its path, the reason and what would be right."""
    body = {
        "title": "x" * 101,
        "subtitle": 5,
        "body": "x" * 501,
        "deliveryType": "LOUD",
        "sound": "a\nb",
        "collapseId": "",
        "locale": "en_US",
        "tapUrl": "javascript:alert(1)",
        "imageUrl": "ftp://example.com/a.png",
        "userIds": ["a", 7],
        "actions": [{"type": "NAVIGATE", "value": "/"}, {"type": "WEBHOOK", "value": "/"}],
        "unknown": "is passed over",
    }
    answer = await admin.api.post(PATH, body)
    assert answer.status == 400
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.code == "invalid"
    assert answer.faults == {
        "title": "has 101 characters",
        "subtitle": "is a number",
        "body": "has 501 characters",
        "deliveryType": "is none of the known words",
        "sound": "holds a control character or a line break",
        "collapseId": "is empty",
        "locale": "is not a language tag (BCP 47)",
        "tapUrl": "has a scheme that a tap must not open",
        "imageUrl": "is not an http or https URL",
        "userIds[1]": "is a number",
        "actions[1].value": "is not an http or https URL",
    }
    assert all(fault["fix"] for fault in answer["errors"])


async def test_limits_count_characters_and_not_bytes(house: House, admin: Person) -> None:
    """A hundred four-byte characters are a hundred."""
    bucket = await house.bucket(admin)
    answer = await house.send(admin.api, bucket, title="🎉" * 100, subtitle="é" * 100, body="漢" * 500)
    assert answer.status == 201
    assert answer["title"] == "🎉" * 100


async def test_what_asks_for_nothing_is_as_good_as_left_out(house: House, admin: Person) -> None:
    """Nulls, empty lists and flags that are not set."""
    bucket = await house.bucket(admin)
    nothing: dict[str, Any] = {
        "attachments": [],
        "actions": None,
        "snoozes": [],
        "addDeleteAction": False,
        "tapAction": None,
    }
    sent = await house.send(admin.api, bucket, **nothing)
    assert (sent.status, sent["attachments"], sent["actions"], sent["tapAction"]) == (201, [], [], None)


async def test_an_empty_subtitle_or_body_is_as_good_as_none(house: House, admin: Person) -> None:
    """A script's `"body": "$OUTPUT"` must not lose the message where there was no output."""
    bucket = await house.bucket(admin)
    sent = await house.send(admin.api, bucket, subtitle="", body="")
    assert (sent.status, sent["subtitle"], sent["body"]) == (201, None, None)
    assert (await house.send(admin.api, bucket, title="")).faults == {"title": "is empty"}


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b'{"title": "a",\n "body": }', "line 2, column 10"),
        (b'{"title": "a"', "line 1"),
        (b'{"title": NaN}', "line 1, column 11"),
        (b'{"title": "\xff"}', "line 1"),
        (b'{"title": "\\ud800"}', "line 1"),
        (b"[" * 5000, "line 1"),
    ],
)
async def test_what_is_not_json_is_told_where(admin: Person, raw: bytes, place: str) -> None:
    """Line and column, and not what stands there."""
    answer = await admin.api.call("POST", PATH, raw=raw)
    assert (answer.status, answer.code) == (400, "bad_json")
    assert place in answer["detail"]


@pytest.mark.parametrize("raw", [b"[]", b'"text"', b"1", b"null", b"true"])
async def test_a_body_is_an_object(admin: Person, raw: bytes) -> None:
    """Other JSON is refused as what it is."""
    answer = await admin.api.call("POST", PATH, raw=raw)
    assert (answer.status, answer.code) == (400, "invalid")


async def test_other_types_and_encodings_are_refused(admin: Person) -> None:
    """Before the body is looked at."""
    for other in ("text/plain", ";0*"):
        form = await admin.api.call("POST", PATH, raw=b"title=x", headers={"Content-Type": other})
        assert (form.status, form.code) == (415, "media_type_unsupported")
        assert "application/json" in form["detail"]
    for encoding in ("gzip", "br", "unheard-of"):
        packed = await admin.api.call("POST", PATH, raw=b"{}", headers={"Content-Encoding": encoding})
        assert (packed.status, packed.code) == (415, "encoding_unsupported")
    charset = await admin.api.call(
        "POST", PATH, raw=b"{}", headers={"Content-Type": "application/json; charset=utf-8"}
    )
    assert charset.status == 400


async def test_an_empty_body_is_an_empty_object(admin: Person) -> None:
    """Where nothing is needed nothing need be sent, not even a type."""
    assert (await admin.api.call("POST", "/api/v1/devices/pairing-codes")).status == 201
    assert (await admin.api.call("POST", PATH)).faults.keys() == {"title", "bucketId", "deliveryType"}


async def test_a_body_that_is_too_large_is_refused(admin: Person) -> None:
    """At the limit, without reading the rest of it."""
    answer = await admin.api.call("POST", PATH, raw=b'{"title": "' + b"x" * MAX_BODY + b'"}')
    assert (answer.status, answer.code) == (413, "body_too_large")


async def test_unknown_paths_and_methods_are_problems_too(house: House, admin: Person) -> None:
    """405 says what would be allowed."""
    for path in ("/", "/api/v1/nothing", "/api/v1/messages/not-a-uuid", "/api/v1/messages/"):
        answer = await admin.api.get(path)
        assert (answer.status, answer.code) == (404, "not_found")
    wrong = await house.api.put(PATH, {})
    assert (wrong.status, wrong.code) == (405, "method_not_allowed")
    assert set(wrong.headers["Allow"].split(",")) == {"GET", "HEAD", "POST"}


async def test_every_answer_has_the_security_headers(house: House, admin: Person) -> None:
    """Good ones and bad ones."""
    answers = [
        await house.api.get("/healthz"),
        await house.api.get("/nothing"),
        await admin.api.get("/api/v1/users/me"),
        await house.api.get("/api/v1/users/me"),
    ]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Server"] == "hushpost"


async def test_head_answers_where_get_does(admin: Person) -> None:
    """Without a body, and without sending anything."""
    answer = await admin.api.call("HEAD", "/api/v1/messages")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "?limit"),
        ("limit=101", "?limit"),
        ("limit=ten", "?limit"),
        ("limit=" + "9" * 5000, "?limit"),
        ("limit=1&limit=2", "?limit"),
        ("cursor=abc", "?cursor"),
        ("bucketId=" + "x" * 101, "?bucketId"),
    ],
)
async def test_faults_of_a_query_are_named_like_those_of_a_body(admin: Person, query: str, path: str) -> None:
    """With a question mark in front."""
    answer = await admin.api.get(f"/api/v1/messages?{query}")
    assert answer.status == 400
    assert path in answer.faults


async def test_a_failure_nobody_expected_shows_nothing_of_itself(house: House, admin: Person) -> None:
    """The client is told that the log knows more; the log has the place and not the words."""
    await house.pieces.db.write(lambda tx: tx.run("UPDATE users SET profile = 'SECRET-WORDS'"))
    answer = await admin.api.get("/api/v1/users/me")
    assert (answer.status, answer.code) == (500, "internal")
    assert b"SECRET" not in answer.body
    assert b"Traceback" not in answer.body
    failed = next(line for line in house.log.entries if line["event"] == "request failed")
    assert failed["error"] == "JSONDecodeError"
    assert "accounts.py" in failed["at"]
    assert "SECRET" not in str(house.log.entries)
