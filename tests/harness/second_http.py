"""A second implementation of the signed HTTP messages, written from the protocol's text and RFC 9421 alone."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.harness.second import (
    Refused,
    b64u,
    ed25519_holds,
    ed25519_sign,
    identity_public,
    keyid_raw,
    unb64u,
)

REQUEST = ['"@method"', '"@target-uri"']
ANSWER = ['"@status"', '"content-type"', '"content-digest"', '"@method";req', '"@target-uri";req']
BY_URI = ['"@status"', '"content-digest"', '"@target-uri";req']
DIGEST, SIGNATURE = '"content-digest";req', '"signature";req;key="hushpost"'
COMPONENTS = {
    "push": [*REQUEST, '"content-type"', '"content-digest"'],
    "status": REQUEST,
    "outcome": [*ANSWER, DIGEST, SIGNATURE],
    "status_answer": [*ANSWER, SIGNATURE],
    "pair": [*ANSWER, DIGEST],
    "identity": BY_URI,
    "directory": BY_URI,
}
TAGS = {"status_answer": "hushpost-outcome"}
ONCE = ("push", "status")


def tag(profile: str) -> str:
    return TAGS.get(profile, f"hushpost-{profile}")


def digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


@dataclass(frozen=True)
class Message:
    """A request, or an answer with the request that it answers."""

    headers: dict[str, str]
    method: str = ""
    target_uri: str = ""
    status: int = 0
    request: "Message | None" = None

    def value(self, component: str) -> str:
        name, *parameters = component.split(";")
        if "req" in parameters:
            assert self.request is not None
            value = self.request.value(name)
            return value.removeprefix("hushpost=") if 'key="hushpost"' in parameters else value
        parts = urlsplit(self.target_uri)
        derived = {
            '"@method"': self.method,
            '"@target-uri"': self.target_uri,
            '"@authority"': parts.netloc,
            '"@path"': parts.path,
            '"@status"': str(self.status),
        }
        if name in derived:
            return derived[name]
        return {key.lower(): value for key, value in self.headers.items()}[name.strip('"')]


def base(message: Message, components: list[str], params: str) -> bytes:
    lines = [f"{component}: {message.value(component)}" for component in components]
    return "\n".join([*lines, f'"@signature-params": {params}']).encode()


def parameters(profile: str, seed: bytes, created: int, expires: int, nonce: bytes | None) -> dict[str, str]:
    """In the order of the protocol's text, each value as it is written."""
    once = {} if nonce is None else {"nonce": f'"{b64u(nonce)}"'}
    keyid = b64u(keyid_raw(identity_public(seed)))
    head = {"created": str(created), "expires": str(expires), **once}
    return {**head, "keyid": f'"{keyid}"', "alg": '"ed25519"', "tag": f'"{tag(profile)}"'}


def sign(
    message: Message, components: list[str], params: dict[str, str], seed: bytes, label: str = "hushpost"
) -> dict[str, str]:
    """Signature-Input and Signature over any components and parameters."""
    text = f"({' '.join(components)})" + "".join(f";{name}={value}" for name, value in params.items())
    signature = base64.b64encode(ed25519_sign(seed, base(message, components, text))).decode()
    return {"Signature-Input": f"{label}={text}", "Signature": f"{label}=:{signature}:"}


def read(profile: str, headers: dict[str, str], label: str) -> tuple[dict[str, str], str, bytes]:
    """Parameters, their text and the signature, of a header that holds only `label`."""
    fields = {name.lower(): value for name, value in headers.items()}
    if "signature" not in fields or "signature-input" not in fields:
        raise Refused("signature_missing")
    inner = re.escape(f"({' '.join(COMPONENTS[profile])})")
    written = re.fullmatch(rf'{label}=({inner}((?:;[a-z]+=(?:\d+|"[^"\\]*"))*))', fields["signature-input"])
    signature = re.fullmatch(rf"{label}=:([A-Za-z0-9+/]{{86}}==):", fields["signature"])
    if written is None or signature is None:
        raise Refused("signature_profile")
    pairs = re.findall(r';([a-z]+)=(\d+|"[^"]*")', written[2])
    params = dict(pairs)
    expected = {"created", "expires", "keyid", "alg", "tag", *(["nonce"] if profile in ONCE else [])}
    if len(pairs) != len(expected) or params.keys() != expected:
        raise Refused("signature_profile")
    _rules(profile, params)
    return params, written[1], base64.b64decode(signature[1])


def _rules(profile: str, params: dict[str, str]) -> None:
    patterns = {
        "created": r"\d+",
        "expires": r"\d+",
        "nonce": r'"[A-Za-z0-9_-]{21}[AQgw]"',
        "keyid": r'"[A-Za-z0-9_-]{43}"',
        "alg": '"ed25519"',
        "tag": f'"{tag(profile)}"',
    }
    right = all(re.fullmatch(patterns[name], value) for name, value in params.items())
    if not right or not 0 <= int(params["expires"]) - int(params["created"]) <= 60:
        raise Refused("signature_profile")


def _check_time(params: dict[str, str], now: int) -> None:
    if abs(int(params["created"]) - now) > 60:
        raise Refused("created_skew")
    if now > int(params["expires"]):
        raise Refused("signature_expired")


def check_request(profile: str, message: Message, body: bytes | None, now: int) -> bytes:
    """The raw key that signed; the checks in the order of section 4."""
    params, text, signature = read(profile, message.headers, "hushpost")
    if profile == "push" and not re.fullmatch(
        r"sha-256=:[^:,]{44}:", message.headers.get("Content-Digest", "")
    ):
        raise Refused("signature_profile")
    public = unb64u(message.headers.get("Hushpost-Key", ""))
    if f'"{b64u(keyid_raw(public))}"' != params["keyid"]:
        raise Refused("key_mismatch")
    if not ed25519_holds(public, signature, base(message, COMPONENTS[profile], text)):
        raise Refused("signature_invalid")
    _check_time(params, now)
    if body is not None and message.headers["Content-Digest"] != digest(body):
        raise Refused("digest_mismatch")
    return public


def check_answer(profile: str, message: Message, body: bytes, public: bytes, now: int) -> None:
    params, text, signature = read(profile, message.headers, "hushpost")
    if message.headers.get("Content-Digest") != digest(body):
        raise Refused("digest_mismatch")
    if f'"{b64u(keyid_raw(public))}"' != params["keyid"]:
        raise Refused("key_mismatch")
    if not ed25519_holds(public, signature, base(message, COMPONENTS[profile], text)):
        raise Refused("signature_invalid")
    _check_time(params, now)


def check_directory(message: Message, body: bytes, trusted: list[bytes], now: int) -> list[bytes]:
    """The listed keys: every one has signed, and one of them is trusted."""
    if message.headers["Content-Digest"] != digest(body):
        raise Refused("digest_mismatch")
    document: dict[str, Any] = json.loads(body)
    listed = [unb64u(jwk["x"]) for jwk in document["keys"]]
    inputs = message.headers["Signature-Input"].split(", ")
    signatures = message.headers["Signature"].split(", ")
    signed = {}
    for number, (written, signature) in enumerate(zip(inputs, signatures, strict=True), start=1):
        headers = {"Signature-Input": written, "Signature": signature}
        params, text, value = read("directory", headers, f"k{number}")
        signed[params["keyid"]] = (params, text, value)
    if signed.keys() != {f'"{b64u(keyid_raw(public))}"' for public in listed}:
        raise Refused("key_mismatch")
    if not set(trusted) & set(listed):
        raise Refused("key_mismatch")
    for public in listed:
        params, text, value = signed[f'"{b64u(keyid_raw(public))}"']
        if not ed25519_holds(public, value, base(message, BY_URI, text)):
            raise Refused("signature_invalid")
        _check_time(params, now)
    return listed
