"""Passes (PROTOCOL.md, section 5): what an operator signs for a server, and a relay reads.

A pass is a JWT of exactly one form: EdDSA, `typ` `hushpost-pass`, signed by a configured key. Headers that point to other
keys (`jku`, `jwk`, `x5u`) are never read. Times are judged by the relay's clock, not by the library's.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from crypto.encoding import b64u
from crypto.keys import IdentityKey, IdentityPublicKey
from relay.admission import LONGEST_PASS_SECONDS, PASS_HEADER, PASS_TYPE
from relay.errors import Problem

_LARGEST_PASS: Final = 4_096
_CLOCK_LEEWAY: Final = 60
_REMEMBERED: Final = 1_024
# A relay whose clock is behind the signer's would take a pass of 90 days for one that is too long.
_CLOCKS_APART: Final = 300


@dataclass(frozen=True)
class Pass:
    """A verified pass. `quota`: pushes a minute, or None for the relay's own limit. Times in seconds."""

    server: str
    quota: int | None
    not_before: float
    expires: float


class Passes:
    """Checks passes for the relay with this URL, signed by one of these keys."""

    def __init__(self, keys: Sequence[IdentityPublicKey], relay: str) -> None:
        self._relay = relay
        self._keys = [(key.id, Ed25519PublicKey.from_public_bytes(key.raw)) for key in _distinct(keys)]
        # A server sends the same pass for weeks; its signature is checked once. Keyed by digest: a pass is a
        # secret.
        self._verified: OrderedDict[bytes, Pass] = OrderedDict()

    def check(self, keyid: str, token: str | None, now: float) -> Pass:
        """A pass of the server with this key id, good now; raises `pass_invalid`."""
        if token is None:
            raise _invalid(f"this relay wants a pass from its operator in {PASS_HEADER}")
        found = self._verify(token)
        if found.server != keyid:
            raise _invalid("sub is not the key id that signs the request")
        if found.expires <= now:
            raise _invalid("it has expired; ask the operator for a new one")
        if found.expires > now + LONGEST_PASS_SECONDS:
            raise _invalid("exp must be at most 90 days ahead")
        if found.not_before > now + _CLOCK_LEEWAY:
            raise _invalid("it is not valid yet")
        return found

    def _verify(self, token: str) -> Pass:
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()
        found = self._verified.get(digest)
        if found is None:
            found = _read(self._decode(token))
            while len(self._verified) >= _REMEMBERED:
                self._verified.popitem(last=False)
            self._verified[digest] = found
        return found

    def _decode(self, token: str) -> dict[str, Any]:
        if len(token) > _LARGEST_PASS:
            raise _invalid("it is too long")
        header = _header(token)
        for keyid, key in self._keys:
            if header.get("kid", keyid) == keyid:
                try:
                    return self._claims(token, key)
                except jwt.InvalidSignatureError:
                    continue
        raise _invalid("no configured key has signed it")

    def _claims(self, token: str, key: Ed25519PublicKey) -> dict[str, Any]:
        options: Any = {"require": ["sub", "aud", "exp"], "strict_aud": True}
        options |= {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
        try:
            return jwt.decode(token, key, algorithms=["EdDSA"], audience=self._relay, options=options)
        except jwt.InvalidSignatureError:
            raise
        except jwt.InvalidTokenError as error:
            raise _invalid(_rule(error)) from None


def sign_pass(key: IdentityKey, *, server: str, relay: str, quota: int | None, now: int, seconds: int) -> str:
    """A pass for the server with this key id at the relay with this URL. Times in seconds."""
    header = {"alg": "EdDSA", "typ": PASS_TYPE, "kid": key.public.id}
    expires = now + min(seconds, LONGEST_PASS_SECONDS - _CLOCKS_APART)
    claims = {"sub": server, "aud": relay, "iat": now, "exp": expires}
    if quota is not None:
        claims["quota"] = quota
    signed = f"{_part(header)}.{_part(claims)}"
    return f"{signed}.{b64u(key.sign(signed.encode()))}"


def _part(document: Mapping[str, Any]) -> str:
    return b64u(json.dumps(document, separators=(",", ":")).encode())


def read_pass(token: str) -> dict[str, Any] | None:
    """What a pass says, `kid` with it, whoever signed it; None where it is none."""
    try:
        header = jwt.get_unverified_header(token)
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError):
        return None
    return claims | {"kid": header.get("kid")}


def why_refused(token: str, *, keys: Sequence[IdentityPublicKey], relay: str, now: float) -> str | None:
    """Why the relay with this URL and these pass keys would refuse a pass of its own server's; None where it takes it."""
    server = (read_pass(token) or {}).get("sub")
    try:
        Passes(keys, relay).check(str(server), token, now)
    except Problem as problem:
        return problem.detail
    return None


def _rule(error: jwt.InvalidTokenError) -> str:
    if isinstance(error, jwt.InvalidAudienceError):
        return "aud must be this relay's URL"
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"{error.claim} is missing"
    return "it is not a JWT of the right form"


def _header(token: str) -> Mapping[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError):
        raise _invalid("it is not a JWT") from None
    if header.get("alg") != "EdDSA" or header.get("typ") != PASS_TYPE:
        raise _invalid(f'alg must be "EdDSA" and typ "{PASS_TYPE}"')
    if "crit" in header or "b64" in header:
        raise _invalid("crit and b64 are not supported")
    return header


def _read(claims: Mapping[str, Any]) -> Pass:
    quota, expires, not_before = claims.get("quota"), claims["exp"], claims.get("nbf", 0)
    if not isinstance(claims["sub"], str):
        raise _invalid("sub must be the server's key id")
    if not _is_time(expires) or not _is_time(not_before):
        raise _invalid("exp and nbf must be numbers of seconds")
    if quota is not None and (type(quota) is not int or quota < 1):
        raise _invalid("quota must be a whole number of pushes a minute, at least 1")
    return Pass(claims["sub"], quota, float(not_before), float(expires))


def _is_time(value: Any) -> bool:
    return type(value) in {int, float} and 0 <= value < 1 << 53


def _distinct(keys: Sequence[IdentityPublicKey]) -> list[IdentityPublicKey]:
    return list({key.id: key for key in keys}.values())


def _invalid(rule: str) -> Problem:
    return Problem("pass_invalid", f"{PASS_HEADER}: {rule}")
