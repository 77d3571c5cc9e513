"""What is refused below the RPCs' paths, in their own form: `{"error": {"code", "message", "details"}}`."""

import json

import pytest

from server.api.reading import MAX_BODY
from tests.harness.acting import RPCS, Acting
from tests.harness.native import Reply
from tests.server.conftest import House, Person

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the engine does not matter

OF_USER, MANAGED = RPCS + "get-inbox-feed", RPCS + "manage/send"
BOTH = pytest.mark.parametrize("path", [OF_USER, MANAGED])


@pytest.fixture
async def acting(house: House, admin: Person) -> Acting:
    return Acting(await house.token(admin, "admin"), "acme", "ann")


def refused(answer: Reply, status: int, code: str) -> dict[str, str]:
    """Hold a refusal to its form, and return the reasons by field."""
    assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (status, "application/json")
    assert answer.json.keys() == {"error"}
    error = answer["error"]
    assert error.keys() == {"code", "message", "details"}
    assert error["code"] == code
    assert error["message"]
    return {fault["path"]: fault["reason"] for fault in error["details"]}


async def test_an_rpc_that_there_is_not(house: House, acting: Acting) -> None:
    """Below manage/ whatever is called, also without a credential; beside it the native API answers."""
    for api in (acting, Acting(house.api)):
        for name in ("manage/", "manage/nothing", "manage/send/", "manage/send/more", "manage/Send"):
            refused(await api.rpc(name), 404, "not_found")
    other = await acting.rpc("get-inbox-feeds")
    assert (other.status, other.headers["Content-Type"]) == (404, "application/problem+json")


@BOTH
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD"])
async def test_a_method_that_is_not_post(acting: Acting, path: str, method: str) -> None:
    answer = await acting.call(method, path)
    assert answer.headers["Allow"] == "POST"
    if method == "HEAD":
        assert (answer.status, answer.body) == (405, b"")
    else:
        refused(answer, 405, "method_not_allowed")


@BOTH
async def test_options_says_what_there_is(house: House, path: str) -> None:
    answer = await house.api.call("OPTIONS", path)
    assert (answer.status, answer.headers["Allow"]) == (204, "OPTIONS, POST")


@BOTH
async def test_a_caller_who_is_nobody(house: House, path: str) -> None:
    """A 401 says how to call, in its header too."""
    refused(await house.api.post(path, {}), 401, "unauthenticated")
    answer = await house.api.with_token("zat_" + "A" * 43).post(path, {})
    refused(answer, 401, "token_invalid")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="hushpost", error="invalid_token"'


@BOTH
async def test_a_caller_who_may_not(house: House, admin: Person, path: str) -> None:
    """The scope that is said to be missing is one that can be had."""
    token = await house.token(admin, "messages:create", "messages:read")
    answer = await token.post(path, {})
    refused(answer, 403, "scope_missing")
    scope = "gateway" if path == OF_USER else "admin"
    assert answer["error"]["message"] == f"this access token lacks the scope {scope}"


async def test_a_user_who_is_not_named(house: House, admin: Person) -> None:
    gateway = await house.token(admin, "gateway")
    assert refused(await gateway.post(OF_USER, {}), 400, "invalid") == {"X-User-ID": "is missing"}


@BOTH
@pytest.mark.parametrize("raw", [b"{", b"[]", b'"text"', b"\xff", b'{"a": NaN}', b"{} {}", b"7"])
async def test_a_body_that_is_no_object_of_json(acting: Acting, path: str, raw: bytes) -> None:
    answer = await acting.api.call("POST", path, raw=raw, headers=acting.headers)
    code = answer["error"]["code"]
    assert code in ("bad_json", "invalid")
    refused(answer, 400, code)


async def test_where_json_ends_is_said(acting: Acting) -> None:
    answer = await acting.api.call("POST", MANAGED, raw=b'{"userId":\n "ann",,}', headers=acting.headers)
    refused(answer, 400, "bad_json")
    assert "line 2" in answer["error"]["message"]


@BOTH
async def test_a_body_of_another_kind(acting: Acting, path: str) -> None:
    for sent, code in (
        ({"Content-Type": "text/plain"}, "media_type_unsupported"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "media_type_unsupported"),
        ({"Content-Encoding": "gzip"}, "encoding_unsupported"),
    ):
        answer = await acting.api.call("POST", path, raw=b"{}", headers={**acting.headers, **sent})
        refused(answer, 415, code)


@BOTH
async def test_a_body_that_is_too_large(acting: Acting, path: str) -> None:
    raw = json.dumps({"content": "x" * MAX_BODY}).encode()
    refused(await acting.api.call("POST", path, raw=raw, headers=acting.headers), 413, "body_too_large")


async def test_no_body_is_an_empty_one_where_nothing_is_needed(acting: Acting) -> None:
    for name in ("get-inbox-feed", "get-inbox-unseen-count", "get-preferences", "get-registered-channels"):
        for raw in (None, b""):
            answer = await acting.api.call("POST", RPCS + name, raw=raw, headers=acting.headers)
            assert answer.status == 200, (name, raw, answer.body)
    answer = await acting.api.call("POST", MANAGED, raw=b"", headers=acting.headers)
    assert {"userId", "channel", "content"} <= refused(answer, 400, "invalid").keys()


async def test_every_fault_is_named_at_once(acting: Acting) -> None:
    """With its place, and what would be right; a field that nobody knows is passed over."""
    body = {"userId": "", "channel": "PIGEON", "category": 5, "content": {"title": "x" * 101}, "what": "ever"}
    answer = await acting.rpc("manage/send", body)
    faults = refused(answer, 400, "invalid")
    assert faults.keys() == {"userId", "channel", "category", "content.title"}
    assert all(fault["fix"] for fault in answer["error"]["details"])
