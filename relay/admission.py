"""Who may push (PROTOCOL.md, section 5): anybody, the servers on a list, or those with a pass from the operator.

Admission is asked about a key id before the signature is verified: it says whether that key may push, not
that the caller holds it. A pass is a JWT of exactly one form: EdDSA, `typ` `hushpost-pass`, signed by a
configured key. Headers that point to other keys (`jku`, `jwk`, `x5u`) are never read. Times are judged by the
relay's clock, not by the library's.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from crypto.keys import IdentityPublicKey
from relay.config import Admission, RelayConfig
from relay.errors import Problem

PASS_HEADER: Final = "Hushpost-Pass"  # noqa: S105  a header's name
PASS_TYPE: Final = "hushpost-pass"  # noqa: S105  a media type
LONGEST_PASS_SECONDS: Final = 90 * 86_400
_LARGEST_PASS: Final = 4_096
_CLOCK_LEEWAY: Final = 60
_REMEMBERED: Final = 1_024


@dataclass(frozen=True)
class Pass:
    """A verified pass. `quota`: pushes a minute, or None for the relay's own limit. Times in seconds."""

    server: str
    quota: int | None
    not_before: float
    expires: float


class Gate:
    """Admits key ids by the configured rule."""

    def __init__(self, config: RelayConfig) -> None:
        self._config = config
        self._keys = [
            (key.id, Ed25519PublicKey.from_public_bytes(key.raw)) for key in _distinct(config.pass_keys)
        ]
        # A server sends the same pass for weeks; its signature is checked once. Keyed by digest: a pass is a
        # secret.
        self._verified: OrderedDict[bytes, Pass] = OrderedDict()

    def admit(self, keyid: str, token: str | None, now: float) -> int | None:
        """The caller's own quota, if a pass gives one. Raises `key_denied`, `key_not_admitted`, `pass_invalid`."""
        if keyid in self._config.denied:
            raise Problem("key_denied", "this relay's operator has denied this key")
        if self._config.admission is Admission.ALLOWLIST and keyid not in self._config.allowlist:
            raise Problem(
                "key_not_admitted", "this relay serves listed keys; ask its operator to add the key id"
            )
        if self._config.admission is not Admission.PASS:
            return None
        return self._check_pass(keyid, token, now).quota

    def _check_pass(self, keyid: str, token: str | None, now: float) -> Pass:
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
            return jwt.decode(
                token, key, algorithms=["EdDSA"], audience=self._config.public_url, options=options
            )
        except jwt.InvalidSignatureError:
            raise
        except jwt.InvalidTokenError as error:
            raise _invalid(_rule(error)) from None


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


def _distinct(keys: tuple[IdentityPublicKey, ...]) -> list[IdentityPublicKey]:
    return list({key.id: key for key in keys}.values())


def _invalid(rule: str) -> Problem:
    return Problem("pass_invalid", f"{PASS_HEADER}: {rule}")
