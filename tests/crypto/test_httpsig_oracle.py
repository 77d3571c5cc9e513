"""Our signatures, an established RFC 9421 library's and the second implementation's all verify one another."""

import datetime as dt
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import ED25519

from crypto.encoding import b64u
from tests.harness import second_http
from tests.harness.cast import NOW, RELAY, RELAY_SEED, SERVER, SERVER_SEED
from tests.harness.exchange import (
    ANSWER_BODY,
    ANSWERS,
    BODY,
    JSON,
    NONCE,
    PUSH_URI,
    STATUS_URI,
    Answer,
    accept_push,
    accept_status,
    push_headers,
    status_headers,
)

PRIVATE = {key.public.id: Ed25519PrivateKey.from_private_bytes(key.seed) for key in (SERVER, RELAY)}
RESOLVER = MappingKeyResolver(
    public_keys={keyid: private.public_key() for keyid, private in PRIVATE.items()}, private_keys=PRIVATE
)
UTC = dt.UTC


class TimelessVerifier(HTTPMessageVerifier):
    """The library reads the machine's clock; these messages are of a fixed day."""

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        """Leave the time to the product's own checks."""


class Request:
    def __init__(self, method: str, url: str, headers: dict[str, str]) -> None:
        self.method, self.url, self.headers = method, url, headers


class Response:
    def __init__(self, answer: Answer) -> None:
        self.status_code, self.headers = answer.status, answer.headers
        self.request = Request(answer.method, answer.target_uri, answer.request_headers)


def library_accepts(message: Request | Response, tag: str) -> None:
    verifier = TimelessVerifier(signature_algorithm=ED25519, key_resolver=RESOLVER)
    [result] = verifier.verify(message, max_age=None, expect_tag=tag)
    assert result.label == "hushpost"


def library_signs(message: Request | Response, profile: str, keyid: str, nonce: str | None) -> None:
    HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=RESOLVER).sign(
        message,
        key_id=keyid,
        created=dt.datetime.fromtimestamp(NOW, UTC),
        expires=dt.datetime.fromtimestamp(NOW + 60, UTC),
        nonce=nonce,
        label="hushpost",
        tag=second_http.tag(profile),
        covered_component_ids=second_http.COMPONENTS[profile],
        use_existing_digest="Content-Digest" in message.headers,
    )


def library_profile(name: str) -> str:
    return name.removesuffix(" error")


def test_the_library_verifies_our_requests() -> None:
    library_accepts(Request("POST", PUSH_URI, push_headers()), "hushpost-push")
    library_accepts(Request("GET", STATUS_URI, status_headers()), "hushpost-status")


def test_the_library_refuses_ours_for_another_address() -> None:
    with pytest.raises(InvalidSignature):
        library_accepts(Request("POST", "https://other.example/v1/push", push_headers()), "hushpost-push")


@pytest.mark.parametrize("name", list(ANSWERS))
def test_the_library_verifies_our_answers(name: str) -> None:
    library_accepts(Response(ANSWERS[name]), second_http.tag(library_profile(name)))


def test_we_accept_the_librarys_requests() -> None:
    headers = {
        "Content-Type": JSON,
        "Content-Digest": second_http.digest(BODY),
        "Hushpost-Key": b64u(SERVER.public.raw),
    }
    library_signs(Request("POST", PUSH_URI, headers), "push", SERVER.public.id, b64u(NONCE))
    assert accept_push(headers) == SERVER.public
    headers = {"Hushpost-Key": b64u(SERVER.public.raw)}
    library_signs(Request("GET", STATUS_URI, headers), "status", SERVER.public.id, b64u(NONCE))
    assert accept_status(headers) == SERVER.public


@pytest.mark.parametrize("name", list(ANSWERS))
def test_we_accept_the_librarys_answers(name: str) -> None:
    ours = ANSWERS[name]
    headers = {"Content-Type": JSON, "Content-Digest": second_http.digest(ANSWER_BODY)}
    answer = Answer(
        ours.profile, ours.request_headers, ours.method, ours.target_uri, ours.status, headers=headers
    )
    library_signs(Response(answer), library_profile(name), RELAY.public.id, None)
    answer.verify()


def test_a_second_implementation_makes_the_same_request() -> None:
    headers = {"Content-Type": JSON, "Content-Digest": second_http.digest(BODY)}
    message = second_http.Message(headers, "POST", PUSH_URI)
    params = second_http.parameters("push", SERVER_SEED, NOW, NOW + 60, NONCE)
    signed = second_http.sign(message, second_http.COMPONENTS["push"], params, SERVER_SEED)
    assert push_headers() == {**headers, **signed, "Hushpost-Key": b64u(SERVER.public.raw)}
    params = second_http.parameters("status", SERVER_SEED, NOW, NOW + 60, NONCE)
    signed = second_http.sign(
        second_http.Message({}, "GET", STATUS_URI), second_http.COMPONENTS["status"], params, SERVER_SEED
    )
    assert status_headers() == {**signed, "Hushpost-Key": b64u(SERVER.public.raw)}


@pytest.mark.parametrize("name", list(ANSWERS))
def test_a_second_implementation_makes_the_same_answer(name: str) -> None:
    answer, profile = ANSWERS[name], library_profile(name)
    params = second_http.parameters(profile, RELAY_SEED, NOW, NOW + 60, None)
    signed = second_http.sign(answer.message, second_http.COMPONENTS[profile], params, RELAY_SEED)
    assert signed == {key: answer.headers[key] for key in signed}
    assert answer.headers["Content-Digest"] == second_http.digest(ANSWER_BODY)
    second_http.check_answer(profile, answer.message, ANSWER_BODY, RELAY.public.raw, NOW)
