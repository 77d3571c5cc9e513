"""Whatever stands in a signature's headers or in a handle, its reader says one of its own words and nothing else breaks.

What ours takes, the second implementation takes too: it reads the same headers with another parser. For a long search with new examples
each time:

    HUSHPOST_TEST_EXAMPLES=200000 .venv/bin/python -m pytest tests/crypto/test_fuzz.py
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import CryptoError, Malformed
from crypto.handle import HandleClaims, open_handle, seal_handle
from crypto.httpsig import (
    DIRECTORY,
    OUTCOME,
    PUSH,
    STATUS,
    Profile,
    SignatureFault,
    read_request,
    sign_directory,
    verify_answer,
    verify_directory,
)
from crypto.keys import EpochKey
from relay.wire import ERROR_STATUS
from tests.harness import second, second_http
from tests.harness.cast import NOW, RELAY, SERVER
from tests.harness.exchange import (
    ANSWERS,
    DIRECTORY_URI,
    PUSH_URI,
    STATUS_URI,
    push_headers,
    status_headers,
)
from tests.harness.fuzz import almost, examples

PIECES = st.sampled_from(
    [
        *'"();,=:*%.- \t\\\x00\x7f\udc80é0123456789AZaz+/_',
        "hushpost",
        "hushpost=",
        ', hushpost=("@method")',
        ", other=:AAAA:",
        ";req",
        ';key="hushpost"',
        ";created=1",
        ";created=01",
        ";created=-1",
        ";created=1.0",
        f";created={10**15}",
        ";expires=99999999999999999999",
        ';nonce="AAAAAAAAAAAAAAAAAAAAAA"',
        ';alg="ed25519"',
        ';tag="hushpost-push"',
        ';tag="hushpost-status"',
        "?1",
        '"@method"',
        "sha-512=:AAAA:",
        ":A==:",
    ]
) | st.text(max_size=3)


def _check_code(fault: SignatureFault) -> None:
    assert fault.code in ERROR_STATUS


REQUESTS = {
    "push": (PUSH, "POST", PUSH_URI, push_headers()),
    "status": (STATUS, "GET", STATUS_URI, status_headers()),
}


@st.composite
def fields(draw: st.DrawFn, right: dict[str, str]) -> list[tuple[str, str]]:
    """The header lines of a message, some of them almost right, gone, or there twice."""
    lines = []
    for name, value in right.items():
        times = draw(st.sampled_from([1, 1, 1, 1, 1, 1, 0, 2]))
        changed = draw(st.booleans())
        lines += [(name, draw(almost(st.just(value), PIECES)) if changed else value) for _ in range(times)]
    return draw(st.permutations(lines)) if draw(st.booleans()) else lines


@pytest.mark.parametrize("name", list(REQUESTS))
@examples(100)
@given(st.data())
def test_a_request_is_read_as_the_second_implementation_reads_it_or_refused(
    name: str, data: st.DataObject
) -> None:
    profile, method, target_uri, right = REQUESTS[name]
    lines = data.draw(fields(right))
    try:
        found = read_request(profile, lines)
        found.verify(method=method, target_uri=target_uri)
        found.check_time(NOW)
    except SignatureFault as fault:
        _check_code(fault)
        return
    joined = {key: _joined(lines, key) for key, _ in lines}
    message = second_http.Message(joined, method, target_uri)
    assert second_http.check_request(name, message, None, NOW) == SERVER.public.raw == found.public.raw


def _joined(lines: list[tuple[str, str]], name: str) -> str:
    return ", ".join(value.strip() for key, value in lines if key == name)


@examples(80)
@given(st.data())
def test_only_the_very_answer_is_verified(data: st.DataObject) -> None:
    answer = ANSWERS["outcome"]
    lines = data.draw(fields(answer.headers))
    try:
        verify_answer(
            OUTCOME,
            keys=[RELAY.public],
            status=200,
            headers=lines,
            body=answer.body,
            request=answer.context,
            now=NOW,
        )
    except SignatureFault as fault:
        _check_code(fault)
        return
    joined = {key: _joined(lines, key) for key, _ in lines}
    message = second_http.Message(joined, status=200, request=answer.message.request)
    second_http.check_answer("outcome", message, answer.body, RELAY.public.raw, NOW)


@examples(80)
@given(st.data())
def test_a_directory_is_believed_or_refused(data: st.DataObject) -> None:
    jwks = json.dumps({"keys": [key.public.jwk for key in (RELAY, SERVER)]}).encode()
    body = data.draw(almost(st.just(jwks), st.binary(max_size=4)) | st.just(jwks))
    right = sign_directory(
        [RELAY, SERVER], status=200, body=body, target_uri=DIRECTORY_URI, created=NOW, lifetime=60
    )
    lines = data.draw(fields(right))
    try:
        listed = verify_directory(
            trusted=[RELAY.public], status=200, headers=lines, body=body, target_uri=DIRECTORY_URI, now=NOW
        )
    except SignatureFault as fault:
        _check_code(fault)
        return
    assert {key.id for key in listed} == {RELAY.public.id, SERVER.public.id}


@pytest.mark.parametrize("profile", [PUSH, STATUS, OUTCOME, DIRECTORY], ids=lambda profile: profile.tag)
@examples(150)
@given(st.dictionaries(st.sampled_from(list(push_headers())), st.text(max_size=80)))
def test_any_text_in_the_headers_is_refused(profile: Profile, headers: dict[str, str]) -> None:
    with pytest.raises(SignatureFault):
        read_request(profile, headers.items())


EPOCHS = {number: EpochKey(number, bytes([number]) * 32) for number in (1, 2)}
CLAIMS = HandleClaims(
    provider="apns",
    app="org.hushpost.app",
    environment="production",
    token="ab" * 32,
    subscription=None,
    server=SERVER.public.id,
    issued_at=NOW * 1000,
    expires_at=NOW * 1000 + 1,
)
HANDLE = seal_handle(CLAIMS, epoch=EPOCHS[2], nonce=bytes(12))
B64U = st.text(st.sampled_from("ABCDwxyz0189-_=+/% é\n"), max_size=4)


@examples(150)
@given(almost(st.just(HANDLE), B64U) | st.text() | st.binary(max_size=1100).map(second.b64u))
def test_only_the_very_handle_opens(text: str) -> None:
    try:
        claims = open_handle(text, epochs=EPOCHS, server=SERVER.public.id, now=NOW * 1000)
    except CryptoError:
        assert text != HANDLE
        return
    assert (text, claims) == (HANDLE, CLAIMS)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
RIGHT = {
    "provider": "webpush",
    "app": "web",
    "environment": "production",
    "subscription": {"endpoint": "https://a.example/", "keys": {"p256dh": "AA", "auth": "AA"}},
    "server": SERVER.public.id,
    "issuedAt": NOW * 1000,
    "expiresAt": NOW * 1000 + 1,
}


def _spoilt(pair: tuple[str, Any]) -> dict[str, Any]:
    return {**RIGHT, pair[0]: pair[1]}


TEXTS = (
    st.tuples(st.sampled_from([*RIGHT, "token"]), JSON).map(lambda pair: json.dumps(_spoilt(pair)).encode())
    | JSON.map(lambda value: json.dumps(value).encode())
    | almost(st.just(json.dumps(RIGHT).encode()), st.binary(max_size=3))
    | st.binary(max_size=60)
)


@examples(150)
@given(TEXTS)
def test_whatever_claims_a_handle_holds_they_are_of_the_known_form_or_refused(text: bytes) -> None:
    """Sealed rightly: by an older release, or by another relay with the same epoch key."""
    handle = second.seal_handle(text.ljust(1024)[:1024], 1, EPOCHS[1].secret, bytes(12))
    try:
        claims = open_handle(handle, epochs=EPOCHS, server=SERVER.public.id, now=NOW * 1000)
    except CryptoError:
        return
    assert claims.server == SERVER.public.id
    assert claims.expires_at > NOW * 1000
    assert isinstance(claims.issued_at, int)
    assert all(isinstance(one, str) for one in (claims.provider, claims.app, claims.environment))


@pytest.mark.parametrize("text", [b'{"provider":"\x80"}', b"[" * 1024], ids=["no UTF-8", "brackets"])
def test_claims_that_are_no_json_are_malformed(text: bytes) -> None:
    handle = second.seal_handle(text.ljust(1024), 1, EPOCHS[1].secret, bytes(12))
    with pytest.raises(Malformed):
        open_handle(handle, epochs=EPOCHS, server=SERVER.public.id, now=NOW * 1000)


def test_a_handle_that_is_no_ascii_is_malformed() -> None:
    with pytest.raises(Malformed):
        open_handle("é" * 727, epochs=EPOCHS, server=SERVER.public.id, now=NOW * 1000)
