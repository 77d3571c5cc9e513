"""One HTTP message signature (RFC 9421): its only accepted spelling, its base, its checks.

Strategy: a signature is accepted in exactly one spelling. The covered components are compared as text with the
profile's, the parameters must be the profile's and no others, in any order; what is left to parse is one regular
expression. The signature base (RFC 9421 §2.5) is then built from the very text that was received, so that no second
reading of it can differ from the first.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as BinasciiError
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from crypto.encoding import b64u, unb64u
from crypto.errors import Altered, Malformed
from crypto.keys import SIGNATURE_LENGTH, IdentityKey, IdentityPublicKey

Headers: TypeAlias = Iterable[tuple[str, str]]
"""Field lines as they were received, such as aiohttp's `headers.items()`; names in any case."""

LABEL = "hushpost"
LIFETIME = 60
"""Seconds: the most between `created` and `expires`, and the most that `created` may differ from the reader's clock."""

_NONCE_LENGTH = 16


class SignatureFault(Exception):
    """A signature that is not accepted: `code` from the table in PROTOCOL §4, `detail` says which rule."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class Profile:
    """One kind of signature: its tag, and its covered components as they are written in the inner list."""

    tag: str
    components: tuple[str, ...]
    nonce: bool = False

    @property
    def inner_list(self) -> str:
        return f"({' '.join(self.components)})"

    @property
    def parameters(self) -> set[str]:
        return {"created", "expires", "keyid", "alg", "tag"} | ({"nonce"} if self.nonce else set())


# One dictionary member of Signature-Input (RFC 8941 §3.2), in its canonical spelling only.
_PARAMETER = r';[a-z]+=(?:0|[1-9][0-9]{0,14}|"[ !#-\[\]-~]*")'
_MEMBER = rf"([a-z][a-z0-9]*)=(\([^()]*\))((?:{_PARAMETER})*)"
_INPUT = re.compile(rf"{_MEMBER}(?:, *{_MEMBER})*")
_MEMBERS = re.compile(_MEMBER)
_PARAMETERS = re.compile(r';([a-z]+)=(?:([0-9]+)|"([^"]*)")')
_SIGNATURES = re.compile(r"([a-z][a-z0-9]*)=:([A-Za-z0-9+/]*={0,2}):")


@dataclass(frozen=True)
class Signature:
    """A signature that has the profile's form; nothing about it is verified."""

    label: str
    keyid: str
    created: int
    expires: int
    nonce: str
    params: str
    value: bytes

    def check_time(self, now: float) -> None:
        if abs(self.created - now) > LIFETIME:
            raise SignatureFault("created_skew", f"created is more than {LIFETIME} s away from this clock")
        if now > self.expires:
            raise SignatureFault("signature_expired", "expires has passed")

    def verify(self, key: IdentityPublicKey, profile: Profile, values: Mapping[str, str]) -> None:
        try:
            key.verify(self.value, _base(profile, values, self.params))
        except Altered:
            raise SignatureFault("signature_invalid", "the signature does not match the message") from None


def _base(profile: Profile, values: Mapping[str, str], params: str) -> bytes:
    """The signature base (RFC 9421 §2.5)."""
    lines = [f"{component}: {values[component]}" for component in profile.components]
    # Field values come as HTTP libraries decode them: bytes that are not UTF-8 as lone surrogates.
    return "\n".join([*lines, f'"@signature-params": {params}']).encode("utf-8", "surrogateescape")


def combined(headers: Headers) -> dict[str, str]:
    """Field values by lower-case name; several lines of one name are joined (RFC 9110 §5.3)."""
    fields: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        fields[key] = f"{fields[key]}, {value.strip()}" if key in fields else value.strip()
    return fields


def refuse(rule: str) -> SignatureFault:
    return SignatureFault("signature_profile", rule)


def read_signatures(
    profile: Profile, fields: Mapping[str, str], *, directory: bool = False
) -> list[Signature]:
    """Every signature of a message, each in the profile's form: one, labelled `hushpost`, unless it is a directory."""
    if "signature" not in fields or "signature-input" not in fields:
        raise SignatureFault("signature_missing", "Signature and Signature-Input are both required")
    if _INPUT.fullmatch(fields["signature-input"]) is None:
        raise refuse("Signature-Input is not of the form that the profile gives it")
    members = _MEMBERS.findall(fields["signature-input"])
    values = _read_values(fields["signature"])
    labels = [label for label, _, _ in members]
    expected = [f"k{n}" for n in range(1, len(members) + 1)] if directory else [LABEL]
    if labels != expected or list(values) != expected:
        raise refuse(f"the labels must be {', '.join(expected)}")
    return [_read_member(profile, label, inner, params, values[label]) for label, inner, params in members]


def _read_values(text: str) -> dict[str, bytes]:
    values: dict[str, bytes] = {}
    for member in re.split(", *", text):
        match = _SIGNATURES.fullmatch(member)
        if match is None or match[1] in values:
            raise refuse("Signature is not of the form label=:base64:")
        values[match[1]] = unbase64(match[2], SIGNATURE_LENGTH)
    return values


def unbase64(text: str, length: int) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except BinasciiError:
        data = b""
    if len(data) != length or b64encode(data).decode("ascii") != text:
        raise refuse(f"a signature or digest that is not canonical base64 of {length} bytes")
    return data


def _read_member(profile: Profile, label: str, inner: str, params: str, value: bytes) -> Signature:
    if inner != profile.inner_list:
        raise refuse(f"the covered components must be {profile.inner_list}")
    pairs = _PARAMETERS.findall(params)
    numbers = {name: int(number) for name, number, _ in pairs if number}
    texts = {name: text for name, number, text in pairs if not number}
    if len(pairs) != len(profile.parameters) or numbers.keys() | texts.keys() != profile.parameters:
        raise refuse(f"the parameters must be {', '.join(sorted(profile.parameters))}, each once")
    if numbers.keys() != {"created", "expires"}:
        raise refuse("created and expires are integers, the other parameters strings")
    _check_parameters(profile, numbers, texts)
    return Signature(
        label,
        texts["keyid"],
        numbers["created"],
        numbers["expires"],
        texts.get("nonce", ""),
        inner + params,
        value,
    )


def _check_parameters(profile: Profile, numbers: Mapping[str, int], texts: Mapping[str, str]) -> None:
    if texts["alg"] != "ed25519":
        raise refuse('alg must be "ed25519"')
    if texts["tag"] != profile.tag:
        raise refuse(f'tag must be "{profile.tag}"')
    if not 0 <= numbers["expires"] - numbers["created"] <= LIFETIME:
        raise refuse(f"expires must be at most {LIFETIME} s after created")
    try:
        unb64u(texts["keyid"], 32)
        unb64u(texts.get("nonce", b64u(bytes(_NONCE_LENGTH))), _NONCE_LENGTH)
    except Malformed:
        raise refuse(f"keyid must be b64u of 32 bytes, and a nonce of {_NONCE_LENGTH}") from None


def write_params(
    profile: Profile, key: IdentityPublicKey, *, created: int, lifetime: int, nonce: bytes | None = None
) -> str:
    once = "" if nonce is None else f';nonce="{b64u(nonce)}"'
    return (
        f"{profile.inner_list};created={created};expires={created + lifetime}{once}"
        f';keyid="{key.id}";alg="ed25519";tag="{profile.tag}"'
    )


def sign_message(
    profile: Profile, key: IdentityKey, label: str, values: Mapping[str, str], params: str
) -> tuple[str, str]:
    """The members of Signature-Input and Signature."""
    signature = b64encode(key.sign(_base(profile, values, params))).decode("ascii")
    return f"{label}={params}", f"{label}=:{signature}:"
