"""Passes (PROTOCOL.md, section 5): what an operator signs for a server, and reads again.

Whether one is good is not said twice: the gate that servers meet is asked.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt

from crypto.encoding import b64u
from crypto.keys import EpochKey, IdentityKey, IdentityPublicKey
from relay.admission import LONGEST_PASS_SECONDS, PASS_TYPE, Gate
from relay.config import Admission, RelayConfig
from relay.errors import Problem

# A relay whose clock is behind the signer's would take one of 90 days for one that is too long.
_CLOCKS_APART: Final = 300
# The gate is built from a whole relay's configuration, and looks at neither.
_NO_IDENTITY: Final = IdentityKey.from_seed(bytes(32))
_NO_EPOCH: Final = EpochKey(1, bytes(32))


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
    config = RelayConfig(
        public_url=relay,
        identities=(_NO_IDENTITY,),
        epochs={_NO_EPOCH.number: _NO_EPOCH},
        admission=Admission.PASS,
        pass_keys=tuple(keys),
    )
    server = (read_pass(token) or {}).get("sub")
    try:
        Gate(config).admit(str(server), token, now)
    except Problem as problem:
        return problem.detail
    return None
