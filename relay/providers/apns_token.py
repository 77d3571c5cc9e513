"""The provider token: a JWT that stands for the team, the same bytes in every process that has the key.

Apple refuses a token that is older than an hour, and a provider that makes more than one in twenty minutes. So `iat` is not
when a process happened to start, but the beginning of a period of forty minutes, and the signature is deterministic (RFC 6979):
however many processes and machines have the key, they make one token for each period, and nothing that Apple answers can make
them make another. A token is used from its tenth minute to its fiftieth, so that a clock that is up to ten minutes off, in
either direction, does no harm.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from relay.config import ApnsApp

PERIOD: Final = 40 * 60
YOUNGEST: Final = 10 * 60
OLDEST_TAKEN: Final = 60 * 60
"""Seconds after which Apple calls a token expired."""

# PyJWT signs ES256 with a random nonce only, and gives no way to hand it a signature.
_ES256: Final = ECDSA(SHA256(), deterministic_signing=True)
_COORDINATE_BYTES: Final = 32


class ProviderToken:
    """`clock` in seconds since the epoch."""

    def __init__(self, app: ApnsApp, clock: Callable[[], float]) -> None:
        self._key_id = app.key_id
        self._team_id = app.team_id
        self._clock = clock
        self._key = _load(app.key)
        self._issued_at = 0
        self._header = b""

    @property
    def usable(self) -> bool:
        return self._key is not None

    @property
    def age(self) -> float:
        """Seconds since the token in use was issued, by our clock."""
        return self._clock() - self._issued_at

    def header(self) -> bytes:
        """The value of `authorization`; the same object until it changes."""
        issued_at = int(self._clock() - YOUNGEST) // PERIOD * PERIOD
        if issued_at != self._issued_at and self._key is not None:
            self._issued_at, self._header = issued_at, b"bearer " + self._sign(self._key, issued_at)
        return self._header

    def _sign(self, key: EllipticCurvePrivateKey, issued_at: int) -> bytes:
        head = _part({"alg": "ES256", "kid": self._key_id, "typ": "JWT"})
        signed = head + b"." + _part({"iss": self._team_id, "iat": issued_at})
        # RFC 7518, section 3.4: R and S as 32 bytes each, not DER.
        r, s = decode_dss_signature(key.sign(signed, _ES256))
        signature = r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")
        return signed + b"." + _b64u(signature)


def _part(value: dict[str, str | int]) -> bytes:
    return _b64u(msgspec.json.encode(value))


def _b64u(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _load(text: str) -> EllipticCurvePrivateKey | None:
    try:
        key = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError):
        return None
    return key if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1) else None
