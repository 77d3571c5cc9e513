"""The signed HTTP messages of `hushpost-v1.json`: a request or answer of each profile, made by the product."""

import json
from typing import Any

from crypto.httpsig import sign_directory
from crypto.keys import jwks
from tests.harness import second_http
from tests.harness.cast import NOW, RELAY, STRANGER
from tests.harness.exchange import (
    ANSWER_BODY,
    ANSWERS,
    BODY,
    DIRECTORY_URI,
    PUSH_URI,
    STATUS_URI,
    Answer,
    push_headers,
    status_headers,
)


def _base(profile: str, message: second_http.Message, signature_input: str) -> str:
    """The signature base, so that whoever differs can see where."""
    params = signature_input.split("=", 1)[1]
    return second_http.base(message, second_http.COMPONENTS[profile], params).decode()


def requests() -> list[dict[str, Any]]:
    return [
        _request("push", "POST", PUSH_URI, push_headers(), BODY.decode()),
        _request("status", "GET", STATUS_URI, status_headers(), None),
    ]


def _request(
    profile: str, method: str, target_uri: str, headers: dict[str, str], body: str | None
) -> dict[str, Any]:
    message = second_http.Message(headers, method, target_uri)
    return {
        "name": profile,
        "profile": profile,
        "key": "server",
        "now": NOW,
        "method": method,
        "targetUri": target_uri,
        "headers": headers,
        "body": body,
        "base": _base(profile, message, headers["Signature-Input"]),
    }


def answers() -> list[dict[str, Any]]:
    return [_answer(name, answer) for name, answer in ANSWERS.items()]


def _answer(name: str, answer: Answer) -> dict[str, Any]:
    profile = name.removesuffix(" error")
    return {
        "name": name,
        "profile": profile,
        "key": "relay",
        "now": NOW,
        "request": {
            "method": answer.method,
            "targetUri": answer.target_uri,
            "headers": answer.request_headers,
        },
        "status": answer.status,
        "headers": answer.headers,
        "body": ANSWER_BODY.decode(),
        "base": _base(profile, answer.message, answer.headers["Signature-Input"]),
    }


def directories() -> list[dict[str, Any]]:
    body = json.dumps(jwks([RELAY.public, STRANGER.public]), separators=(",", ":")).encode()
    headers = sign_directory(
        [RELAY, STRANGER], status=200, body=body, target_uri=DIRECTORY_URI, created=NOW, lifetime=60
    )
    request = second_http.Message({}, "GET", DIRECTORY_URI)
    message = second_http.Message(headers, status=200, request=request)
    inputs = headers["Signature-Input"].split(", ")
    return [
        {
            "name": "a directory of two keys",
            "profile": "directory",
            "trusted": ["relay"],
            "keys": ["relay", "stranger"],
            "now": NOW,
            "targetUri": DIRECTORY_URI,
            "status": 200,
            "headers": headers,
            "body": body.decode(),
            "bases": [_base("directory", message, each) for each in inputs],
        }
    ]
