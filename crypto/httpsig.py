"""Signed HTTP messages (RFC 9421, RFC 9530): the requests, answers and key directories of PROTOCOL §1, §4 and §6.

Reading a request's signature, verifying it and checking time and digest are separate calls because the relay must refuse
in a fixed order, with a code for each, and wants to know whose key it is before it spends the time on a verification.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

from crypto.encoding import b64u, unb64u
from crypto.errors import Malformed
from crypto.keys import IdentityKey, IdentityPublicKey, read_jwks
from crypto.signature import (
    LABEL,
    LIFETIME,
    Headers,
    Profile,
    Signature,
    SignatureFault,
    combined,
    read_signatures,
    refuse,
    sign_message,
    unbase64,
    write_params,
)

__all__ = [
    "DIRECTORY",
    "IDENTITY",
    "LIFETIME",
    "OUTCOME",
    "PAIR",
    "PUSH",
    "STATUS",
    "STATUS_ANSWER",
    "Headers",
    "Profile",
    "RequestContext",
    "RequestSignature",
    "SignatureFault",
    "content_digest",
    "read_request",
    "request_context",
    "sign_answer",
    "sign_directory",
    "sign_request",
    "verify_answer",
    "verify_directory",
]

_REQUEST = ('"@method"', '"@target-uri"')
_ANSWER = ('"@status"', '"content-type"', '"content-digest"', '"@method";req', '"@target-uri";req')
_REQUEST_DIGEST = '"content-digest";req'
_REQUEST_SIGNATURE = f'"signature";req;key="{LABEL}"'
_NAMED_BY_URI = ('"@status"', '"content-digest"', '"@target-uri";req')

PUSH = Profile("hushpost-push", (*_REQUEST, '"content-type"', '"content-digest"'), nonce=True)
STATUS = Profile("hushpost-status", _REQUEST, nonce=True)
OUTCOME = Profile("hushpost-outcome", (*_ANSWER, _REQUEST_DIGEST, _REQUEST_SIGNATURE))
STATUS_ANSWER = Profile("hushpost-outcome", (*_ANSWER, _REQUEST_SIGNATURE))
PAIR = Profile("hushpost-pair", (*_ANSWER, _REQUEST_DIGEST))
IDENTITY = Profile("hushpost-identity", _NAMED_BY_URI)
DIRECTORY = Profile("hushpost-directory", _NAMED_BY_URI)

_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


def content_digest(body: bytes) -> str:
    """The `Content-Digest` field (RFC 9530) of a body."""
    return f"sha-256=:{b64encode(sha256(body).digest()).decode('ascii')}:"


def sign_request(
    profile: Profile,
    *,
    key: IdentityKey,
    method: str,
    target_uri: str,
    content_type: str | None,
    body: bytes | None,
    created: int,
    lifetime: int,
    nonce: bytes,
) -> dict[str, str]:
    """Every header that the request needs; `created` and `lifetime` in seconds, `nonce` 16 random bytes."""
    headers = {"Hushpost-Key": b64u(key.public.raw)}
    values = {'"@method"': method, '"@target-uri"': target_uri}
    if content_type is not None and body is not None:
        headers |= {"Content-Type": content_type, "Content-Digest": content_digest(body)}
        values |= {'"content-type"': content_type, '"content-digest"': headers["Content-Digest"]}
    params = write_params(profile, key.public, created=created, lifetime=lifetime, nonce=nonce)
    headers["Signature-Input"], headers["Signature"] = sign_message(profile, key, LABEL, values, params)
    return headers


@dataclass(frozen=True)
class RequestSignature:
    """A request's signature in the right form, with the key that claims to have made it; not yet verified."""

    profile: Profile
    public: IdentityPublicKey
    content_type: str | None
    content_digest: str | None
    _signature: Signature = field(repr=False)
    _member: str = field(repr=False)

    @property
    def keyid(self) -> str:
        return self.public.id

    @property
    def nonce(self) -> str:
        return self._signature.nonce

    @property
    def created(self) -> int:
        return self._signature.created

    @property
    def expires(self) -> int:
        return self._signature.expires

    def verify(self, *, method: str, target_uri: str) -> None:
        """`signature_invalid` unless the key signed this request to this address (as the receiver is configured)."""
        values = {
            '"@method"': method,
            '"@target-uri"': target_uri,
            '"content-type"': self.content_type or "",
            '"content-digest"': self.content_digest or "",
        }
        self._signature.verify(self.public, self.profile, values)

    def context(self, *, method: str, target_uri: str) -> "RequestContext":
        """What the answer's signature will bind it to."""
        return RequestContext(method, target_uri, self.content_digest, self._member)

    def check_time(self, now: float) -> None:
        """`created_skew` or `signature_expired`; `now` in seconds."""
        self._signature.check_time(now)

    def check_digest(self, body: bytes) -> None:
        """`digest_mismatch` unless `body` is what was signed."""
        if content_digest(body) != self.content_digest:
            raise SignatureFault("digest_mismatch", "Content-Digest is not that of the body")


def read_request(profile: Profile, headers: Headers) -> RequestSignature:
    """A request's signature: `signature_missing`, `signature_profile` or `key_mismatch` where it has no right form."""
    fields = combined(headers)
    [signature] = read_signatures(profile, fields)
    if '"content-digest"' in profile.components:
        _check_content(fields)
    try:
        public = _public_key(fields.get("hushpost-key", ""))
    except Malformed:
        raise SignatureFault("key_mismatch", "Hushpost-Key must be b64u of the raw Ed25519 key") from None
    if public.id != signature.keyid:
        raise SignatureFault("key_mismatch", "the thumbprint of Hushpost-Key is not the keyid")
    return RequestSignature(
        profile,
        public,
        fields.get("content-type"),
        fields.get("content-digest"),
        signature,
        _member(fields),
    )


@lru_cache(4096)  # those who push do it again and again: key id and library object are made once
def _public_key(text: str) -> IdentityPublicKey:
    return IdentityPublicKey(unb64u(text, 32))


def _check_content(fields: Mapping[str, str]) -> None:
    if "content-type" not in fields or "content-digest" not in fields:
        raise refuse("Content-Type and Content-Digest are covered and must be there")
    digest = _DIGEST.fullmatch(fields["content-digest"])
    if digest is None:
        raise refuse("Content-Digest must have one value, sha-256")
    unbase64(digest[1], 32)


@dataclass(frozen=True)
class RequestContext:
    """What an answer's signature binds it to: the request as its sender made it."""

    method: str
    target_uri: str
    content_digest: str | None = None
    signature: str | None = None


def request_context(method: str, target_uri: str, headers: Headers) -> RequestContext:
    """The context of a request with these headers; the signature is its `hushpost` member as serialised."""
    fields = combined(headers)
    return RequestContext(method, target_uri, fields.get("content-digest"), _member(fields) or None)


def _member(fields: Mapping[str, str]) -> str:
    return fields.get("signature", "").removeprefix(f"{LABEL}=")


def _answer_values(status: int, fields: Mapping[str, str], request: RequestContext) -> dict[str, str]:
    return {
        '"@status"': str(status),
        '"content-type"': fields.get("content-type", ""),
        '"content-digest"': fields.get("content-digest", ""),
        '"@method";req': request.method,
        '"@target-uri";req': request.target_uri,
        _REQUEST_DIGEST: request.content_digest or "",
        _REQUEST_SIGNATURE: request.signature or "",
    }


def sign_answer(
    profile: Profile,
    *,
    key: IdentityKey,
    status: int,
    content_type: str,
    body: bytes,
    request: RequestContext,
    created: int,
    lifetime: int,
) -> dict[str, str]:
    """`Content-Digest`, `Signature-Input` and `Signature` of an answer; `content_type` is the whole field."""
    digest = content_digest(body)
    values = _answer_values(status, {"content-type": content_type, "content-digest": digest}, request)
    params = write_params(profile, key.public, created=created, lifetime=lifetime)
    signature_input, signature = sign_message(profile, key, LABEL, values, params)
    return {"Content-Digest": digest, "Signature-Input": signature_input, "Signature": signature}


def verify_answer(
    profile: Profile,
    *,
    keys: Sequence[IdentityPublicKey],
    status: int,
    headers: Headers,
    body: bytes,
    request: RequestContext,
    now: float,
) -> None:
    """Raises `SignatureFault` unless one of `keys` signed this answer to this very request, just now (seconds)."""
    fields = combined(headers)
    [signature] = read_signatures(profile, fields)
    _check_body(fields, body)
    key = next((key for key in keys if key.id == signature.keyid), None)
    if key is None:
        raise SignatureFault("key_mismatch", "signed by a key that is not trusted here")
    signature.verify(key, profile, _answer_values(status, fields, request))
    signature.check_time(now)


def _check_body(fields: Mapping[str, str], body: bytes) -> None:
    if content_digest(body) != fields.get("content-digest"):
        raise SignatureFault("digest_mismatch", "Content-Digest is not that of the body")


def sign_directory(
    keys: Sequence[IdentityKey], *, status: int, body: bytes, target_uri: str, created: int, lifetime: int
) -> dict[str, str]:
    """The headers of a key directory: signed by each of its keys, labels k1, k2 and so on."""
    digest = content_digest(body)
    values = _answer_values(status, {"content-digest": digest}, RequestContext("GET", target_uri))
    members = [
        sign_message(
            DIRECTORY,
            key,
            f"k{n}",
            values,
            write_params(DIRECTORY, key.public, created=created, lifetime=lifetime),
        )
        for n, key in enumerate(keys, start=1)
    ]
    inputs, signatures = zip(*members, strict=True)
    return {
        "Content-Digest": digest,
        "Signature-Input": ", ".join(inputs),
        "Signature": ", ".join(signatures),
    }


def verify_directory(
    *,
    trusted: Sequence[IdentityPublicKey],
    status: int,
    headers: Headers,
    body: bytes,
    target_uri: str,
    now: float,
) -> list[IdentityPublicKey]:
    """The keys that a directory lists (PROTOCOL §1): each signed it, and one of them is `trusted` already.

    With nothing trusted yet the first directory is believed; the caller says so to its operator.
    """
    fields = combined(headers)
    signatures = {
        signature.keyid: signature for signature in read_signatures(DIRECTORY, fields, directory=True)
    }
    _check_body(fields, body)
    try:
        listed = read_jwks(json.loads(body))
    except (ValueError, RecursionError, Malformed):
        raise SignatureFault("bad_json", "the directory is not a JWK set") from None
    if not listed or {key.id for key in listed} != signatures.keys():
        raise SignatureFault("key_mismatch", "a directory is signed by every key that it lists and no other")
    if trusted and not {key.id for key in trusted} & signatures.keys():
        raise SignatureFault("key_mismatch", "no key that was trusted before has signed this directory")
    values = _answer_values(status, fields, RequestContext("GET", target_uri))
    for key in listed:
        signatures[key.id].verify(key, DIRECTORY, values)
        signatures[key.id].check_time(now)
    return listed
