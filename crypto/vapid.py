"""The key by which a relay names itself to push services (VAPID, RFC 8292): P-256, ES256.

A subscription is made for this key's public half (`applicationServerKey`), and a push service then takes pushes for it
from no other: with the key all subscriptions are lost. Signatures are deterministic (RFC 6979), so that all processes of
a relay say the same without having talked.
"""

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from crypto.encoding import b64u, unb64u
from crypto.errors import Malformed
from crypto.keys import SEED_LENGTH, Random
from crypto.webpush import draw_scalar, private_key, public_point

_ES256: Final = ec.ECDSA(SHA256(), deterministic_signing=True)
_HEADER: Final = b64u(b'{"typ":"JWT","alg":"ES256"}')
_COORDINATE: Final = 32


@dataclass(frozen=True)
class VapidKey:
    """A P-256 key pair, held as its 32-byte scalar."""

    scalar: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.scalar) != SEED_LENGTH:
            raise Malformed("a P-256 scalar has 32 bytes")
        _ = self._key

    @classmethod
    def generate(cls, random: Random) -> "VapidKey":
        return cls(draw_scalar(random))

    @classmethod
    def from_text(cls, text: str) -> "VapidKey":
        """From PEM (PKCS 8 or SEC 1), or from the scalar as b64u, which is how other libraries write it."""
        text = text.strip()
        return cls._from_pem(text) if text.startswith("-----BEGIN") else cls(unb64u(text, SEED_LENGTH))

    @classmethod
    def _from_pem(cls, text: str) -> "VapidKey":
        try:
            key = load_pem_private_key(text.encode(), None)
        except (ValueError, TypeError):  # TypeError: a password is wanted
            raise Malformed("not a private key in PEM without a password") from None
        if not (isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)):
            raise Malformed("not a key of P-256")
        return cls(key.private_numbers().private_value.to_bytes(SEED_LENGTH))

    @property
    def text(self) -> str:
        """PKCS 8 in PEM, which every tool can read."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode().rstrip()

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return private_key(self.scalar)

    @cached_property
    def application_server_key(self) -> str:
        """What a browser subscribes with: b64u of the point's 65 bytes."""
        return b64u(public_point(self._key))

    def token(self, *, audience: str, expires: int, subject: str) -> str:
        """A JWT for one push service's origin (RFC 8292, section 2). `expires`: seconds since the epoch."""
        claims = {"aud": audience, "exp": expires, "sub": subject}
        signed = f"{_HEADER}.{b64u(json.dumps(claims, separators=(',', ':')).encode())}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), _ES256))
        return f"{signed}.{b64u(r.to_bytes(_COORDINATE) + s.to_bytes(_COORDINATE))}"


def is_subject(text: str) -> bool:
    """Whether push services take it for a contact: a mailto: or https: address (RFC 8292, section 2.1)."""
    return re.fullmatch(r"mailto:[^\s@:/<>]+@[^\s@:/<>]+|https://[^\s/@<>]+(/[^\s<>]*)?", text) is not None
