"""Signed requests: accepted as signed, for what they were signed, in their minute; nothing altered is."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.encoding import b64u
from crypto.httpsig import PUSH, STATUS, SignatureFault, read_request
from tests.harness import second_http
from tests.harness.cast import NOW, SERVER, STRANGER
from tests.harness.exchange import (
    BODY,
    NONCE,
    PUSH_COMPONENTS,
    PUSH_FIELDS,
    PUSH_PARAMETERS,
    PUSH_URI,
    STATUS_URI,
    accept_push,
    accept_status,
    forged,
    push_headers,
    status_headers,
)


def test_a_request_of_the_profile_is_accepted_and_told_whose_it_is() -> None:
    assert accept_push(push_headers()) == SERVER.public
    assert accept_push(forged()) == SERVER.public
    assert accept_status(status_headers()) == SERVER.public
    signature = read_request(PUSH, push_headers().items())
    assert (signature.created, signature.expires) == (NOW, NOW + 60)
    assert (signature.keyid, signature.nonce) == (SERVER.public.id, b64u(NONCE))


def test_the_headers_are_those_of_the_protocol() -> None:
    headers = push_headers()
    assert headers["Signature-Input"] == (
        'hushpost=("@method" "@target-uri" "content-type" "content-digest")'
        f';created={NOW};expires={NOW + 60};nonce="{b64u(NONCE)}";keyid="{SERVER.public.id}"'
        ';alg="ed25519";tag="hushpost-push"'
    )
    assert headers["Hushpost-Key"] == b64u(SERVER.public.raw)
    assert set(headers) == {*PUSH_FIELDS, "Signature-Input", "Signature"}
    assert set(status_headers()) == {"Hushpost-Key", "Signature-Input", "Signature"}


def test_header_names_are_read_in_any_case() -> None:
    for changed in (str.lower, str.upper):
        assert accept_push({changed(name): value for name, value in push_headers().items()}) == SERVER.public


def test_parameters_are_read_in_any_order() -> None:
    assert accept_push(forged(parameters=dict(reversed(PUSH_PARAMETERS.items())))) == SERVER.public


@dataclass(frozen=True)
class Case:
    code: str
    method: str = "POST"
    target_uri: str = PUSH_URI
    body: bytes = BODY
    now: float = NOW


@pytest.mark.parametrize(
    "case",
    [
        Case("signature_invalid", method="PUT"),
        Case("signature_invalid", method="post"),
        Case("signature_invalid", target_uri="https://other.example/v1/push"),
        Case("signature_invalid", target_uri="http://relay.example/v1/push"),
        Case("signature_invalid", target_uri=PUSH_URI + "?"),
        Case("signature_invalid", target_uri=PUSH_URI + "/"),
        Case("created_skew", now=NOW + 61),
        Case("created_skew", now=NOW - 61),
        Case("created_skew", now=NOW - 60.5),
        Case("created_skew", now=NOW + 10**6),
        Case("digest_mismatch", body=b""),
        Case("digest_mismatch", body=BODY + b" "),
    ],
    ids=lambda case: case.code,
)
def test_what_was_signed_for_something_else_is_refused(case: Case) -> None:
    with pytest.raises(SignatureFault) as fault:
        accept_push(
            push_headers(), method=case.method, target_uri=case.target_uri, body=case.body, now=case.now
        )
    assert fault.value.code == case.code


@pytest.mark.parametrize("now", [NOW - 60, NOW - 0.5, NOW, NOW + 59.9, NOW + 60])
def test_a_request_is_good_within_a_minute_of_its_creation(now: float) -> None:
    assert accept_push(push_headers(), now=now) == SERVER.public


def test_a_request_is_no_longer_good_once_its_own_expiry_has_passed() -> None:
    headers = push_headers(lifetime=20)
    assert accept_push(headers, now=NOW + 20) == SERVER.public
    with pytest.raises(SignatureFault) as fault:
        accept_push(headers, now=NOW + 21)
    assert fault.value.code == "signature_expired"


def test_a_request_signed_by_another_key_under_this_keyid_is_invalid() -> None:
    message = second_http.Message(dict(PUSH_FIELDS), "POST", PUSH_URI)
    signed = second_http.sign(message, PUSH_COMPONENTS, PUSH_PARAMETERS, STRANGER.seed)
    with pytest.raises(SignatureFault) as fault:
        accept_push({**PUSH_FIELDS, **signed})
    assert fault.value.code == "signature_invalid"


def test_a_push_is_no_status_request_and_the_reverse() -> None:
    for profile, headers in ((PUSH, status_headers()), (STATUS, push_headers())):
        with pytest.raises(SignatureFault) as fault:
            read_request(profile, headers.items())
        assert fault.value.code == "signature_profile"


def test_a_status_request_is_bound_to_its_address() -> None:
    signature = read_request(STATUS, status_headers().items())
    signature.verify(method="GET", target_uri=STATUS_URI)
    with pytest.raises(SignatureFault, match="signature_invalid"):
        signature.verify(method="GET", target_uri=PUSH_URI)


CODES = {
    "Content-Type": {"signature_invalid"},
    "Content-Digest": {"signature_profile", "signature_invalid"},
    "Hushpost-Key": {"key_mismatch"},
    "Signature": {"signature_profile", "signature_invalid"},
    "Signature-Input": {"signature_profile", "signature_invalid", "key_mismatch"},
}


@settings(max_examples=400)
@given(data=st.data())
def test_any_flipped_bit_in_a_header_is_refused(data: st.DataObject) -> None:
    headers = push_headers()
    name = data.draw(st.sampled_from(sorted(headers)))
    at = data.draw(st.integers(0, len(headers[name]) - 1))
    other = chr(ord(headers[name][at]) ^ 1 << data.draw(st.integers(0, 7)))
    headers[name] = headers[name][:at] + other + headers[name][at + 1 :]
    with pytest.raises(SignatureFault) as fault:
        accept_push(headers)
    assert fault.value.code in CODES[name]


@given(data=st.data(), body=st.binary(min_size=1, max_size=300))
def test_any_flipped_bit_in_a_body_is_a_digest_mismatch(data: st.DataObject, body: bytes) -> None:
    headers = push_headers(body=body)
    assert accept_push(headers, body=body) == SERVER.public
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    other = bytearray(body)
    other[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureFault) as fault:
        accept_push(headers, body=bytes(other))
    assert fault.value.code == "digest_mismatch"


def test_a_lone_surrogate_in_a_covered_field_is_a_signature_fault() -> None:
    with pytest.raises(SignatureFault) as fault:
        accept_push({**push_headers(), "Content-Type": "application/json\udcff"})
    assert fault.value.code == "signature_invalid"
