"""Web Push's own encryption (RFC 8291), which hides even ciphertext from the push service.

    body = salt(16) || rs(4) || 65(1) || as_public(65) || AES-128-GCM(plaintext || 0x02)         RFC 8188, one record
    ikm  = HKDF(salt=auth, ECDH(as, ua), "WebPush: info" || 0x00 || ua_public || as_public)
    key, nonce = HKDF(salt=salt, ikm, "Content-Encoding: aes128gcm" | "nonce", || 0x00)

An envelope is sealed already; this layer is what browsers demand, and it binds a push to one subscription. The sender's
key pair is made for one message and forgotten (RFC 8291, section 3.1), so with it the salt could be constant; it is
random all the same, as RFC 8188, section 4.1 asks.
"""

import hmac
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from crypto.errors import Altered, Malformed, TooLarge
from crypto.keys import SEED_LENGTH, Random

POINT_LENGTH: Final = 65
"""A P-256 point, uncompressed (X9.62)."""

AUTH_LENGTH: Final = 16
LARGEST_BODY: Final = 4096
"""What every push service takes (RFC 8030, section 7.2)."""

LARGEST_PLAINTEXT: Final = 3993
"""What is left of it (RFC 8291, section 4)."""

_CURVE: Final = ec.SECP256R1()
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SCALAR_DRAW: Final = 40
_SALT_LENGTH: Final = 16
_KEY_LENGTH: Final = 16
_NONCE_LENGTH: Final = 12
_TAG_LENGTH: Final = 16
_RS_END: Final = _SALT_LENGTH + 4
_HEADER_LENGTH: Final = _RS_END + 1 + POINT_LENGTH
# Any size above the one record's (RFC 8291, section 4); the one that everybody writes.
_RECORD_SIZE: Final = 4096
_LAST_RECORD: Final = b"\x02"


def draw_scalar(random: Random) -> bytes:
    """The 32 bytes of a private P-256 key.

    With 64 bits more than the order has, the remainder is as good as uniform (FIPS 186-5, A.2.1), and unlike trying
    again it takes the same number of bytes each time.
    """
    return (int.from_bytes(random(_SCALAR_DRAW)) % (_ORDER - 1) + 1).to_bytes(SEED_LENGTH)


def private_key(scalar: bytes) -> ec.EllipticCurvePrivateKey:
    """The library's object for a scalar; `Malformed` where it is none."""
    try:
        return ec.derive_private_key(int.from_bytes(scalar), _CURVE)
    except ValueError:
        raise Malformed("not a private key of P-256") from None


def public_point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def read_point(point: bytes) -> ec.EllipticCurvePublicKey:
    """A public key from its 65 bytes; `Malformed` unless it lies on the curve (RFC 8291, section 7)."""
    if len(point) != POINT_LENGTH:
        raise Malformed("a P-256 point has 65 bytes")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, point)
    except ValueError:
        raise Malformed("not a point on P-256") from None


@dataclass(frozen=True)
class SubscriptionKey:
    """The browser's half of a subscription: what opens, and what it gives to those who push (`p256dh` and `auth`)."""

    scalar: bytes = field(repr=False)
    auth: bytes = field(repr=False)

    @classmethod
    def generate(cls, random: Random) -> "SubscriptionKey":
        return cls(draw_scalar(random), random(AUTH_LENGTH))

    @cached_property
    def private(self) -> ec.EllipticCurvePrivateKey:
        return private_key(self.scalar)

    @cached_property
    def p256dh(self) -> bytes:
        return public_point(self.private)


def encrypt(plaintext: bytes, *, p256dh: bytes, auth: bytes, random: Random) -> bytes:
    """The body of a push for the subscription with these two values, with `Content-Encoding: aes128gcm`.

    Raises `TooLarge`, and `Malformed` where `p256dh` or `auth` are none.
    """
    if len(plaintext) > LARGEST_PLAINTEXT:
        raise TooLarge("more than a push service takes")
    receiver = read_point(p256dh)
    sender = private_key(draw_scalar(random))
    point, salt = public_point(sender), random(_SALT_LENGTH)
    shared = sender.exchange(ec.ECDH(), receiver)
    key, nonce = _schedule(shared, auth=auth, ua_public=p256dh, as_public=point, salt=salt)
    header = salt + _RECORD_SIZE.to_bytes(4) + bytes((POINT_LENGTH,)) + point
    return header + AESGCM(key).encrypt(nonce, plaintext + _LAST_RECORD, None)


def decrypt(body: bytes, *, key: SubscriptionKey) -> bytes:
    """What was encrypted for this subscription. Raises `Malformed` (not one such record) and `Altered`."""
    salt, point, record = _read_body(body)
    shared = key.private.exchange(ec.ECDH(), read_point(point))
    secret, nonce = _schedule(shared, auth=key.auth, ua_public=key.p256dh, as_public=point, salt=salt)
    try:
        padded = AESGCM(secret).decrypt(nonce, record, None)
    except InvalidTag:
        raise Altered("the push does not open") from None
    text = padded.rstrip(b"\x00")
    if text[-1:] != _LAST_RECORD:
        raise Malformed("not the last record of a message")
    return text[:-1]


def _read_body(body: bytes) -> tuple[bytes, bytes, bytes]:
    """Salt, the sender's point and the one record (RFC 8188, section 2.1; RFC 8291, section 4)."""
    record, size = body[_HEADER_LENGTH:], int.from_bytes(body[_SALT_LENGTH:_RS_END])
    if body[_RS_END : _RS_END + 1] != bytes((POINT_LENGTH,)) or not _TAG_LENGTH < len(record) < size:
        raise Malformed("not one record of aes128gcm with the sender's key")
    return body[:_SALT_LENGTH], body[_RS_END + 1 : _HEADER_LENGTH], record


def _schedule(
    shared: bytes, *, auth: bytes, ua_public: bytes, as_public: bytes, salt: bytes
) -> tuple[bytes, bytes]:
    """The record's key and nonce (RFC 8291, section 3.4)."""
    if len(auth) != AUTH_LENGTH:
        raise Malformed("a subscription's auth has 16 bytes")
    ikm = _expand(_extract(auth, shared), b"WebPush: info\x00" + ua_public + as_public)
    prk = _extract(salt, ikm)
    key = _expand(prk, b"Content-Encoding: aes128gcm\x00")[:_KEY_LENGTH]
    return key, _expand(prk, b"Content-Encoding: nonce\x00")[:_NONCE_LENGTH]


# HKDF-SHA-256 (RFC 5869) where one block is enough.
def _extract(salt: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt, secret, "sha256")


def _expand(prk: bytes, info: bytes) -> bytes:
    return hmac.digest(prk, info + b"\x01", "sha256")
