"""Our signed messages and those of `http-message-sig` (npm) verify one another, in our exact profile.

The library of PyPI, `http-message-signatures`, is held to the same in `tests/crypto/test_httpsig_oracle.py`.
"""

from base64 import b64decode
from typing import Any

import pytest

from crypto.encoding import b64u
from crypto.keys import IdentityKey
from tests.harness import second_http
from tests.harness.cast import NOW, RELAY, SERVER
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
from tests.harness.others import node

SCRIPT = "message_signatures.js"
CONTENT = {"Content-Type": JSON, "Content-Digest": second_http.digest(BODY)}


def _profile(name: str) -> str:
    return name.removesuffix(" error")


def _request(method: str, uri: str, headers: dict[str, str]) -> dict[str, Any]:
    return {"method": method, "targetUri": uri, "headers": headers}


def _answer(answer: Answer) -> dict[str, Any]:
    request = _request(answer.method, answer.target_uri, answer.request_headers)
    return {"status": answer.status, "headers": answer.headers, "request": request}


async def _verified(message: dict[str, Any], key: IdentityKey, profile: str) -> Any:
    given = {"message": message, "jwk": key.public.jwk, "components": second_http.COMPONENTS[profile]}
    return await node(SCRIPT, {"work": "verify", "now": NOW, **given})


async def _signed(
    message: dict[str, Any], key: IdentityKey, profile: str, nonce: str | None
) -> dict[str, str]:
    once = {} if nonce is None else {"nonce": nonce}
    parameters = {
        "created": NOW,
        "expires": NOW + 60,
        **once,
        "keyid": key.public.id,
        "alg": "ed25519",
        "tag": second_http.tag(profile),
    }
    given = {
        "message": message,
        "jwk": {**key.public.jwk, "d": b64u(key.seed)},
        "components": second_http.COMPONENTS[profile],
        "parameters": parameters,
    }
    made = await node(SCRIPT, {"work": "sign", **given})
    return {"Signature-Input": made["signatureInput"], "Signature": made["signature"]}


async def test_the_library_verifies_our_requests() -> None:
    push = await _verified(_request("POST", PUSH_URI, push_headers()), SERVER, "push")
    assert (push["label"], push["parameters"]["tag"]) == ("hushpost", "hushpost-push")
    status = await _verified(_request("GET", STATUS_URI, status_headers()), SERVER, "status")
    assert (status["label"], status["parameters"]["tag"]) == ("hushpost", "hushpost-status")


async def test_the_library_refuses_ours_for_another_address_and_of_another_key() -> None:
    elsewhere = _request("POST", "https://other.example/v1/push", push_headers())
    assert (await _verified(elsewhere, SERVER, "push"))["error"] == "VerificationFailed"
    message = _request("POST", PUSH_URI, push_headers())
    assert (await _verified(message, RELAY, "push"))["error"] == "VerificationFailed"


@pytest.mark.parametrize("name", list(ANSWERS))
async def test_the_library_verifies_our_answers(name: str) -> None:
    verified = await _verified(_answer(ANSWERS[name]), RELAY, _profile(name))
    assert verified["parameters"]["tag"] == second_http.tag(_profile(name))


async def test_we_accept_the_librarys_requests() -> None:
    headers = {**CONTENT, "Hushpost-Key": b64u(SERVER.public.raw)}
    headers |= await _signed(_request("POST", PUSH_URI, headers), SERVER, "push", b64u(NONCE))
    assert accept_push(headers) == SERVER.public
    headers = {"Hushpost-Key": b64u(SERVER.public.raw)}
    headers |= await _signed(_request("GET", STATUS_URI, headers), SERVER, "status", b64u(NONCE))
    assert accept_status(headers) == SERVER.public


async def test_the_library_signs_as_we_do() -> None:
    """Ed25519 is deterministic: with the same parameters in the same order nothing may differ."""
    headers = {**CONTENT, "Hushpost-Key": b64u(SERVER.public.raw)}
    made = await _signed(_request("POST", PUSH_URI, headers), SERVER, "push", b64u(NONCE))
    ours = push_headers()
    assert made == {name: ours[name] for name in made}
    assert len(b64decode(made["Signature"].split(":")[1])) == 64


@pytest.mark.parametrize("name", list(ANSWERS))
async def test_we_accept_the_librarys_answers(name: str) -> None:
    ours = ANSWERS[name]
    headers = {"Content-Type": JSON, "Content-Digest": second_http.digest(ANSWER_BODY)}
    answer = Answer(
        ours.profile, ours.request_headers, ours.method, ours.target_uri, ours.status, headers=headers
    )
    headers |= await _signed(_answer(answer), RELAY, _profile(name), None)
    answer.verify()
