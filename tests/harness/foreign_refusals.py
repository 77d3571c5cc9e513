"""Requests to push that a relay must refuse: the code and the status of PROTOCOL.md, section 4, and how to come by them."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

from tests.harness.foreign_server import EMPTY, Request, Server, altered, push, seed
from tests.harness.second import b64u, identity_public
from tests.harness.second_http import COMPONENTS, digest

DENIED = seed()
"""The key of a server whose operator asked once too often."""

Fault = Callable[[Server], Request]

ELSEWHERE = "http://relay.example"
UNVERIFIED: list[tuple[str, int, Fault]] = [
    ("signature_missing", 401, lambda s: s.push_request().with_headers(Signature=None)),
    ("signature_missing", 401, lambda s: s.push_request().with_headers(Signature_Input=None)),
    ("signature_missing", 401, lambda s: s.push_request().with_headers(Signature=None, Signature_Input=None)),
    ("key_mismatch", 401, lambda s: s.push_request().with_headers(Hushpost_Key=None)),
    ("key_mismatch", 401, lambda s: s.push_request().with_headers(Hushpost_Key="%")),
    (
        "key_mismatch",
        401,
        lambda s: s.push_request().with_headers(Hushpost_Key=b64u(identity_public(seed()))),
    ),
    ("signature_invalid", 401, lambda s: s.push_request(url=ELSEWHERE)),
    ("signature_invalid", 401, lambda s: _with_altered_signature(s.push_request())),
    ("signature_invalid", 401, lambda s: s.push_request().with_headers(Content_Type="application/json;a=b")),
    ("signature_profile", 400, lambda s: s.push_request(lifetime=61)),
    ("signature_profile", 400, lambda s: s.push_request(nonce=bytes(15))),
    ("signature_profile", 400, lambda s: s.push_request(label="sig1")),
    ("signature_profile", 400, lambda s: s.push_request(components=COMPONENTS["push"][::-1])),
    ("signature_profile", 400, lambda s: s.push_request(components=COMPONENTS["push"][:-1])),
    ("signature_profile", 400, lambda s: s.push_request(changed={"tag": '"hushpost-status"'})),
    ("signature_profile", 400, lambda s: s.push_request(changed={"alg": '"hmac-sha256"'})),
    (
        "signature_profile",
        400,
        lambda s: s.push_request(order=("created", "expires", "nonce", "keyid", "tag")),
    ),
    ("signature_profile", 400, lambda s: _with_second_signature(s.push_request())),
    ("signature_profile", 400, lambda s: s.push_request().with_headers(Content_Digest=None)),
    ("signature_profile", 400, lambda s: _with_second_digest(s.push_request())),
    ("encoding_unsupported", 415, lambda s: s.push_request().with_headers(Content_Encoding="gzip")),
    ("key_denied", 403, lambda s: Server(s.http, DENIED, s.relay).push_request()),
]
VERIFIED: list[tuple[str, int, Fault]] = [
    ("created_skew", 401, lambda s: s.push_request(age=62)),
    ("created_skew", 401, lambda s: s.push_request(age=-75)),
    ("signature_expired", 401, lambda s: s.push_request(age=5, lifetime=1)),
    ("digest_mismatch", 400, lambda s: replace(s.push_request(), body=EMPTY + b" ")),
    ("bad_json", 400, lambda s: s.push_request(b"{")),
    ("bad_json", 400, lambda s: s.push_request(b'{"pushes":[],"pushes":[]}')),
    ("bad_request", 400, lambda s: s.push_request(b"[]")),
    ("bad_request", 400, lambda s: s.push_request(b"{}")),
    ("bad_request", 400, lambda s: s.push_request(content_type="text/plain")),
    ("body_too_large", 413, lambda s: s.push_request(b" " * (4 * 1024 * 1024 + 1))),
    ("too_many_pushes", 413, lambda s: s.push_request(json.dumps({"pushes": [{}] * 501}).encode())),
]


def _with_altered_signature(request: Request) -> Request:
    return request.with_headers(Signature=altered(request.message.headers["Signature"]))


def _with_second_signature(request: Request) -> Request:
    headers = request.message.headers
    named = {name: headers[name] for name in ("Signature", "Signature-Input")}
    return request.with_headers(
        **{
            name.replace("-", "_"): f"{value}, {value.replace('hushpost=', 'other=')}"
            for name, value in named.items()
        }
    )


def _with_second_digest(request: Request) -> Request:
    return request.with_headers(Content_Digest=f"{digest(EMPTY)}, sha-512=:AAAA:")


def malformed(handle: str) -> list[tuple[Any, bool]]:
    """Pushes that are rejected for themselves, and whether their outcome can name them."""
    return [
        *((push(handle, envelope=b64u(bytes(length))), True) for length in (0, 767, 769, 1535, 2945, 4096)),
        (push(handle, envelope="%%%"), True),
        (push(handle, envelope=b64u(bytes(768)) + "="), True),
        (push(handle, envelope=7), True),
        (push(handle) | {"envelope": None}, True),
        *((push(handle, collapse=b64u(bytes(length))), True) for length in (0, 15, 17)),
        (push(handle, collapse=None), True),
        *((push(handle, ttl=ttl), True) for ttl in (-1, 2_419_201, 1.5, "60")),
        (push(handle, ttl=None), True),
        (push(handle, ttl=True), True),
        (push(handle, priority="urgent"), True),
        (push(handle, priority=None), True),
        (push(handle, type="voip"), True),
        (push(handle, type=None), True),
        (push(handle, handle=None), True),
        (push(handle, handle=7), True),
        (push(handle, title="in the clear"), True),
        (push(handle, id=None), False),
        (push(handle, id=7), False),
        (push(handle, id="7"), False),
        (push(handle, id=str(uuid4()).upper()), False),
        (push(handle, id="0190163d-8694-7e4b-9f0b-000000000000"), False),
        (None, False),
        ("push", False),
        ([], False),
        ({}, False),
    ]
