"""Whatever is sent, the relay answers with a refusal of its table and never with a fault of its own."""

import asyncio
import json
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.encoding import b64u
from relay.config import LimitSettings
from relay.errors import Problem
from relay.strictjson import decode, decode_pushes
from relay.wire import ERROR_STATUS, HANDLES_PATH, MAX_BYTES, MAX_PUSHES, PUSH_PATH, Push
from tests.harness.fuzz import examples
from tests.relay.conftest import StartRelay
from tests.relay.running import SERVER_KEY, Relay, body_of, push

NAMES = [
    "Content-Type",
    "Content-Digest",
    "Signature-Input",
    "Signature",
    "Hushpost-Key",
    "Hushpost-Pass",
    "X-Forwarded-For",
    "Content-Encoding",
]
FIELD = st.binary(max_size=60).map(lambda data: data.translate(None, b"\r\n\0"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
MANY = examples(150)


async def _raw(relay: Relay, head: bytes, body: bytes) -> bytes:
    """The whole answer to a request that no client library would send."""
    host, _, port = relay.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def _is_refusal(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if b"application/problem+json" not in head:
        return False
    code = json.loads(body).get("code")
    if code is None:
        return status == 400  # what is no HTTP: no application was asked
    return code != "internal" and ERROR_STATUS[code] == status


@pytest.mark.parametrize("path", [PUSH_PATH, HANDLES_PATH])
async def test_random_headers_and_bodies_are_refused(start_relay: StartRelay, path: str) -> None:
    relay = await start_relay(issue_unconfigured=True)
    loop = asyncio.get_running_loop()

    @MANY
    @given(st.dictionaries(st.sampled_from(NAMES), FIELD, max_size=6), st.binary(max_size=200))
    def check(fields: dict[str, bytes], body: bytes) -> None:
        head = b"POST %s HTTP/1.1\r\nHost: relay.test\r\n" % path.encode()
        head += b"".join(b"%s: %s\r\n" % (name.encode(), value) for name, value in fields.items())
        future = asyncio.run_coroutine_threadsafe(_raw(relay, head, body), loop)
        assert _is_refusal(future.result(10))

    await asyncio.to_thread(check)


async def test_a_signed_request_with_any_one_header_spoilt_is_refused(relay: Relay) -> None:
    loop = asyncio.get_running_loop()
    body = b'{"pushes":[]}'

    @MANY
    @given(st.sampled_from(NAMES[:5]), FIELD)
    def check(name: str, value: bytes) -> None:
        fields = {key: text.encode() for key, text in relay.sign(body).items()} | {name: value}
        head = b"POST %s HTTP/1.1\r\nHost: relay.test\r\n" % PUSH_PATH.encode()
        head += b"".join(b"%s: %s\r\n" % (key.encode(), text) for key, text in fields.items())
        future = asyncio.run_coroutine_threadsafe(_raw(relay, head, body), loop)
        assert _is_refusal(future.result(10))

    await asyncio.to_thread(check)


@pytest.mark.parametrize("name", NAMES)
async def test_bytes_that_are_no_text_are_refused(relay: Relay, name: str) -> None:
    body = b'{"pushes":[]}'
    fields = {key: text.encode() for key, text in relay.sign(body).items()} | {name: b"\xff\xfe"}
    head = b"POST %s HTTP/1.1\r\nHost: relay.test\r\n" % PUSH_PATH.encode()
    head += b"".join(b"%s: %s\r\n" % (key.encode(), text) for key, text in fields.items())
    answer = await _raw(relay, head, body)
    assert _is_refusal(answer) or (name in {"X-Forwarded-For", "Hushpost-Pass"} and b" 200 OK" in answer)


async def test_any_signed_json_gets_an_outcome_for_each_item_or_a_refusal(relay: Relay) -> None:
    loop = asyncio.get_running_loop()
    item = msgspec.to_builtins(push(relay.handle("ab" * 32)))
    spoilt = st.tuples(st.sampled_from([*item, "more"]), JSON).map(lambda pair: {**item, pair[0]: pair[1]})

    @MANY
    @given(st.lists(JSON | spoilt, max_size=4))
    def check(items: list[object]) -> None:
        future = asyncio.run_coroutine_threadsafe(relay.post(json.dumps({"pushes": items}).encode()), loop)
        assert len(future.result(10).outcomes) == len(items)

    await asyncio.to_thread(check)


async def test_any_json_for_a_handle_is_refused(start_relay: StartRelay) -> None:
    relay = await start_relay(issue_unconfigured=True, limits=LimitSettings(handles=1_000))
    loop = asyncio.get_running_loop()
    good = {
        "provider": "fcm",
        "app": "a",
        "environment": "production",
        "token": "x" * 20,
        "server": SERVER_KEY.public.id,
        "subscription": {"endpoint": "https://a.example/", "keys": {"p256dh": "", "auth": b64u(bytes(16))}},
    }
    pairs = st.tuples(st.sampled_from([*good]), JSON).filter(lambda pair: pair != ("subscription", None))
    spoilt = pairs.map(lambda pair: {**good, pair[0]: pair[1]})

    @MANY
    @given(JSON | spoilt)
    def check(document: object) -> None:
        sent = {"Content-Type": "application/json"}
        body = json.dumps(document).encode()
        future = asyncio.run_coroutine_threadsafe(
            relay.send("POST", HANDLES_PATH, headers=sent, body=body), loop
        )
        assert future.result(10).status == 400

    await asyncio.to_thread(check)


async def test_a_body_that_breaks_off_is_refused(relay: Relay) -> None:
    body = b'{"pushes":[]}'
    fields = b"".join(b"%s: %s\r\n" % (key.encode(), text.encode()) for key, text in relay.sign(body).items())
    host, _, port = relay.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = b"POST %s HTTP/1.1\r\nHost: relay.test\r\nTransfer-Encoding: chunked\r\n" % PUSH_PATH.encode()
    writer.write(head + fields + b"\r\nzz\r\nnonsense")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.split(b" ", 2)[1] == b"400"


async def test_parameters_of_a_content_type_are_nobodys_fault(relay: Relay) -> None:
    answer = await relay.post(b'{"pushes":[]}', content_type=";0*")
    assert (answer.status, answer.code) == (400, "bad_request")


@pytest.mark.parametrize("path", [PUSH_PATH, "/v1/nothing"])
@pytest.mark.parametrize("expectation", [b"\x80", b"a miracle"])
async def test_what_is_expected_beyond_100_continue_changes_nothing(
    relay: Relay, path: str, expectation: bytes
) -> None:
    head = b"POST %s HTTP/1.1\r\nHost: relay.test\r\nExpect: %s\r\n" % (path.encode(), expectation)
    answer = await _raw(relay, head, b"{}")
    assert _is_refusal(answer)
    assert b"problem+json" in answer


async def test_who_waits_for_leave_to_send_its_body_is_given_it(relay: Relay) -> None:
    body = b'{"pushes":[]}'
    fields = b"".join(b"%s: %s\r\n" % (key.encode(), text.encode()) for key, text in relay.sign(body).items())
    head = b"POST %s HTTP/1.1\r\nHost: relay.test\r\nExpect: 100-Continue\r\n" % PUSH_PATH.encode()
    answer = await _raw(relay, head + fields, body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


@MANY
@given(st.lists(st.builds(lambda text, wake: (text, wake), st.text(max_size=20), st.booleans()), max_size=5))
def test_pushes_read_the_same_by_the_fast_and_the_thorough_way(handles: list[tuple[str, bool]]) -> None:
    pushes = [
        push(text, number, **({"envelope": msgspec.UNSET} if wake else {}))
        for number, (text, wake) in enumerate(handles)
    ]
    body = body_of(pushes)
    assert list(decode_pushes(body)) == pushes
    assert list(decode_pushes(body.replace(b'":"', b'" : "').replace(b'":[', b'":\n['))) == pushes


@MANY
@given(st.sampled_from(Push.__struct_fields__), st.sampled_from(["", " ", "\\u0070"]))
def test_a_repeated_key_is_found_however_it_is_spelt(name: str, space: str) -> None:
    body = body_of([push("handle")])
    twice = body.replace(b'{"id"', f'{{"{name}"{space.strip(chr(92) + "u0070")}:"a","id"'.encode())
    for decoder in (decode_pushes, decode):
        with pytest.raises(Problem, match="bad_json"):
            decoder(twice)


def test_a_key_repeated_in_another_spelling_is_found() -> None:
    with pytest.raises(Problem, match="bad_json"):
        decode_pushes(b'{"pushes":[],"pu\\u0073hes":[]}')


@pytest.mark.parametrize("item", [b"1", b"{}", b'{"id":"x"}', b"[[]]"])
@pytest.mark.parametrize("ends", [(b"", b""), (b'{"more":[', b"]}")])
def test_values_without_end_are_refused_before_they_are_read(item: bytes, ends: tuple[bytes, bytes]) -> None:
    """As many as a request can hold, one beside the other or within one push: they would be a hundred MiB, for half a second."""
    items = b",".join([item] * (MAX_BYTES // (len(item) + 2)))
    body = b'{"pushes":[' + ends[0] + items + ends[1] + b"]}"
    tracemalloc.start()
    with pytest.raises(Problem, match="too_many_pushes"):
        decode_pushes(body)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < len(body)


def test_values_without_end_that_are_no_json_are_said_to_be_none() -> None:
    for end in (b"", b"]", b"]}}", b"NaN]}"):
        with pytest.raises(Problem, match="bad_json"):
            decode_pushes(b'{"pushes":[' + b"{}," * 100_000 + b"{}" + end)


def test_a_full_batch_is_read_however_it_is_spelt() -> None:
    pushes = [msgspec.to_builtins(push("handle", number)) | {"more": [1, 2]} for number in range(MAX_PUSHES)]
    assert decode_pushes(json.dumps({"pushes": pushes}).encode()) == pushes
