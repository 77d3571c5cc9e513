"""Signed answers: an outcome counts only for the very request that it answers; identity and pairing likewise."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.httpsig import (
    IDENTITY,
    OUTCOME,
    PAIR,
    STATUS_ANSWER,
    RequestContext,
    SignatureFault,
    request_context,
)
from tests.harness import second_http
from tests.harness.cast import NOW, RELAY, RELAY_SEED, SERVER, STRANGER
from tests.harness.exchange import (
    ANSWER_BODY,
    ANSWERS,
    BODY,
    IDENTITY_URI,
    PUSH_URI,
    Answer,
    push_headers,
)

every = pytest.mark.parametrize("answer", list(ANSWERS.values()), ids=list(ANSWERS))
bound = pytest.mark.parametrize(
    "answer",
    [ANSWERS[name] for name in ("outcome", "status_answer", "pair")],
    ids=["outcome", "status", "pair"],
)


def code(answer: Answer, now: float = NOW) -> str:
    with pytest.raises(SignatureFault) as fault:
        answer.verify(now=now)
    return fault.value.code


@every
def test_an_answer_verifies_for_its_request(answer: Answer) -> None:
    answer.verify()
    answer.verify(STRANGER.public, RELAY.public)
    assert set(answer.headers) == {"Content-Type", "Content-Digest", "Signature-Input", "Signature"}


def test_the_components_and_tags_are_those_of_the_protocol() -> None:
    answer = '"@status" "content-type" "content-digest" "@method";req "@target-uri";req'
    inner = {
        OUTCOME: f'({answer} "content-digest";req "signature";req;key="hushpost")',
        STATUS_ANSWER: f'({answer} "signature";req;key="hushpost")',
        PAIR: f'({answer} "content-digest";req)',
        IDENTITY: '("@status" "content-digest" "@target-uri";req)',
    }
    tags = {OUTCOME: "outcome", STATUS_ANSWER: "outcome", PAIR: "pair", IDENTITY: "identity"}
    for each in ANSWERS.values():
        assert each.headers["Signature-Input"] == (
            f"hushpost={inner[each.profile]};created={NOW};expires={NOW + 60}"
            f';keyid="{RELAY.public.id}";alg="ed25519";tag="hushpost-{tags[each.profile]}"'
        )


def test_a_context_is_what_the_request_said() -> None:
    headers = push_headers()
    context = request_context("POST", PUSH_URI, headers.items())
    signature = headers["Signature"].removeprefix("hushpost=")
    assert context == RequestContext("POST", PUSH_URI, second_http.digest(BODY), signature)
    assert signature.startswith(":")
    assert signature.endswith(":")


@every
def test_another_status_is_invalid(answer: Answer) -> None:
    assert code(replace(answer, status=202)) == "signature_invalid"


@every
def test_another_address_is_invalid(answer: Answer) -> None:
    assert code(replace(answer, target_uri=answer.target_uri + "0")) == "signature_invalid"


@bound
def test_another_method_is_invalid(answer: Answer) -> None:
    assert code(replace(answer, method="PUT")) == "signature_invalid"


@bound
@pytest.mark.parametrize("value", ["text/plain", "application/json; charset=utf-8", ""])
def test_another_content_type_is_invalid(answer: Answer, value: str) -> None:
    assert code(replace(answer, headers={**answer.headers, "Content-Type": value})) == "signature_invalid"


@every
@pytest.mark.parametrize("body", [b"", ANSWER_BODY + b" ", ANSWER_BODY[:-1]])
def test_another_body_is_a_digest_mismatch(answer: Answer, body: bytes) -> None:
    assert code(replace(answer, body=body)) == "digest_mismatch"
    headers = {name: value for name, value in answer.headers.items() if name != "Content-Digest"}
    assert code(replace(answer, headers=headers)) == "digest_mismatch"


@every
def test_another_body_with_its_own_digest_is_invalid(answer: Answer) -> None:
    headers = {**answer.headers, "Content-Digest": second_http.digest(b"{}")}
    assert code(replace(answer, body=b"{}", headers=headers)) == "signature_invalid"


def test_an_outcome_for_another_request_is_invalid() -> None:
    """The next attempt of the same pushes differs in nonce and time, so in its signature; its answer is its own."""
    answer = ANSWERS["outcome"]
    for other in (push_headers(nonce=bytes(16)), push_headers(created=NOW + 1), push_headers(body=b"{}")):
        assert code(replace(answer, request_headers=other)) == "signature_invalid"


def test_an_outcome_does_not_verify_for_a_request_without_signature_or_digest() -> None:
    answer = ANSWERS["outcome"]
    for name in ("Signature", "Content-Digest"):
        headers = {key: value for key, value in answer.request_headers.items() if key != name}
        assert code(replace(answer, request_headers=headers)) == "signature_invalid"


def test_an_identity_is_bound_to_its_nonce() -> None:
    other = IDENTITY_URI[:-1] + "g"
    assert code(replace(ANSWERS["identity"], target_uri=other)) == "signature_invalid"


@every
def test_a_key_that_is_not_trusted_is_a_mismatch(answer: Answer) -> None:
    with pytest.raises(SignatureFault, match="key_mismatch"):
        answer.verify(SERVER.public, STRANGER.public)
    assert code(answer.signed(STRANGER)) == "key_mismatch"


@every
def test_a_signature_by_another_key_under_a_trusted_keyid_is_invalid(answer: Answer) -> None:
    forged = answer.signed(STRANGER).headers
    named = forged["Signature-Input"].replace(STRANGER.public.id, RELAY.public.id)
    assert code(replace(answer, headers={**forged, "Signature-Input": named})) == "signature_invalid"


@every
def test_an_answer_is_good_for_a_minute(answer: Answer) -> None:
    answer.verify(now=NOW + 60)
    answer.verify(now=NOW - 60)
    assert code(answer, NOW + 61) == "created_skew"
    assert code(answer, NOW - 61) == "created_skew"
    assert code(answer.signed(lifetime=10), NOW + 11) == "signature_expired"


@every
@pytest.mark.parametrize("name", ["Signature", "Signature-Input"])
def test_an_answer_without_a_signature_is_refused(answer: Answer, name: str) -> None:
    headers = {key: value for key, value in answer.headers.items() if key != name}
    assert code(replace(answer, headers=headers)) == "signature_missing"


@pytest.mark.parametrize("profile", [OUTCOME, STATUS_ANSWER, PAIR, IDENTITY])
@every
def test_an_answer_is_of_its_own_profile_only(answer: Answer, profile: object) -> None:
    if answer.profile == profile:
        return
    assert isinstance(profile, type(OUTCOME))
    assert code(replace(answer, profile=profile)) == "signature_profile"


@every
def test_an_answer_with_a_nonce_or_a_second_signature_is_refused(answer: Answer) -> None:
    once = answer.headers["Signature-Input"] + ';nonce="AAAAAAAAAAAAAAAAAAAAAA"'
    assert code(replace(answer, headers={**answer.headers, "Signature-Input": once})) == "signature_profile"
    second_label = {
        "Signature-Input": f"{answer.headers['Signature-Input']}, b=()",
        "Signature": f"{answer.headers['Signature']}, b=::",
    }
    assert code(replace(answer, headers={**answer.headers, **second_label})) == "signature_profile"


def test_an_expiry_of_more_than_a_minute_is_refused() -> None:
    answer = ANSWERS["outcome"]
    params = second_http.parameters("outcome", RELAY_SEED, NOW, NOW + 61, None)
    signed = second_http.sign(answer.message, second_http.COMPONENTS["outcome"], params, RELAY_SEED)
    assert code(replace(answer, headers={**answer.headers, **signed})) == "signature_profile"


@every
@settings(max_examples=100)
@given(data=st.data())
def test_any_flipped_bit_in_what_is_signed_is_refused(answer: Answer, data: st.DataObject) -> None:
    covered = [name for name in answer.headers if name != "Content-Type" or answer.profile is not IDENTITY]
    name = data.draw(st.sampled_from(covered))
    value = answer.headers[name]
    at = data.draw(st.integers(0, len(value) - 1))
    other = value[:at] + chr(ord(value[at]) ^ 1 << data.draw(st.integers(0, 7))) + value[at + 1 :]
    assert code(replace(answer, headers={**answer.headers, name: other}))


@every
@given(bit=st.integers(0, len(ANSWER_BODY) * 8 - 1))
def test_any_flipped_bit_in_an_answers_body_is_a_digest_mismatch(answer: Answer, bit: int) -> None:
    other = bytearray(ANSWER_BODY)
    other[bit // 8] ^= 1 << bit % 8
    assert code(replace(answer, body=bytes(other))) == "digest_mismatch"
