"""HPKE base mode (RFC 9180) by hand, for the tests: an oracle that shares nothing with the library's HPKE.

Only primitives come from `cryptography` (X25519, ML-KEM-768, the AEADs); the KEM combiners, the labelled HKDF and
the key schedule are written here from RFC 9180 sections 4, 5 and 7 and the X-Wing draft. The official vectors
prove this module first; after that it may prove the product.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

DHKEM_X25519 = 0x0020
XWING = 0x647A
HKDF_SHA256 = 0x0001
AES_256_GCM = 0x0002
AEAD_KEY_LENGTH = {1: 16, 2: 32, 3: 32}
ENC_LENGTH = {DHKEM_X25519: 32, XWING: 1120}
XWING_LABEL = bytes.fromhex("5c2e2f2f5e5c")  # \.//^\ in ASCII


class Aead(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


def aead(aead_id: int, key: bytes) -> Aead:
    return ChaCha20Poly1305(key) if aead_id == 3 else AESGCM(key)


def extract(salt: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), ikm, "sha256")


def expand(prk: bytes, info: bytes, length: int) -> bytes:
    block, out = b"", b""
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:length]


def labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return extract(salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)


def suite_id(kem_id: int, aead_id: int) -> bytes:
    return b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (kem_id, HKDF_SHA256, aead_id))


@dataclass(frozen=True)
class Schedule:
    """What the key schedule of section 5.1 yields."""

    suite: bytes
    aead_id: int
    key: bytes
    base_nonce: bytes
    exporter_secret: bytes

    def _nonce(self, sequence: int) -> bytes:
        return bytes(a ^ b for a, b in zip(self.base_nonce, sequence.to_bytes(12, "big"), strict=True))

    def seal(self, plaintext: bytes, aad: bytes = b"", sequence: int = 0) -> bytes:
        return aead(self.aead_id, self.key).encrypt(self._nonce(sequence), plaintext, aad)

    def open(self, ciphertext: bytes, aad: bytes = b"", sequence: int = 0) -> bytes:
        return aead(self.aead_id, self.key).decrypt(self._nonce(sequence), ciphertext, aad)

    def export(self, context: bytes, length: int) -> bytes:
        return labeled_expand(self.suite, self.exporter_secret, b"sec", context, length)


def schedule(shared_secret: bytes, info: bytes, kem_id: int, aead_id: int) -> Schedule:
    suite = suite_id(kem_id, aead_id)
    context = (
        b"\x00"
        + labeled_extract(suite, b"", b"psk_id_hash", b"")
        + labeled_extract(suite, b"", b"info_hash", info)
    )
    secret = labeled_extract(suite, shared_secret, b"secret", b"")
    return Schedule(
        suite,
        aead_id,
        labeled_expand(suite, secret, b"key", context, AEAD_KEY_LENGTH[aead_id]),
        labeled_expand(suite, secret, b"base_nonce", context, 12),
        labeled_expand(suite, secret, b"exp", context, 32),
    )


def dhkem_secret(dh: bytes, enc: bytes, public: bytes) -> bytes:
    """ExtractAndExpand of section 4.1."""
    suite = b"KEM" + DHKEM_X25519.to_bytes(2, "big")
    prk = labeled_extract(suite, b"", b"eae_prk", dh)
    return labeled_expand(suite, prk, b"shared_secret", enc + public, 32)


def xwing_parts(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    expanded = hashlib.shake_256(seed).digest(96)
    return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(
        expanded[64:]
    )


def xwing_secret(mlkem: bytes, dh: bytes, enc_x25519: bytes, public_x25519: bytes) -> bytes:
    return hashlib.sha3_256(mlkem + dh + enc_x25519 + public_x25519 + XWING_LABEL).digest()


def public_key(kem_id: int, private: bytes) -> bytes:
    if kem_id == DHKEM_X25519:
        return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    mlkem, x25519 = xwing_parts(private)
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def encapsulate(kem_id: int, public: bytes, ephemeral: bytes) -> tuple[bytes, bytes]:
    """(shared secret, enc). `ephemeral` is the X25519 scalar; ML-KEM takes its own randomness."""
    scalar = X25519PrivateKey.from_private_bytes(ephemeral)
    enc = scalar.public_key().public_bytes_raw()
    dh = scalar.exchange(X25519PublicKey.from_public_bytes(public[-32:]))
    if kem_id == DHKEM_X25519:
        return dhkem_secret(dh, enc, public), enc
    secret, ciphertext = MLKEM768PublicKey.from_public_bytes(public[:1184]).encapsulate()
    return xwing_secret(secret, dh, enc, public[1184:]), ciphertext + enc


def decapsulate(kem_id: int, private: bytes, enc: bytes) -> bytes:
    """Shared secret; ValueError where the DH result is all zero (section 7.1.4)."""
    public = public_key(kem_id, private)
    peer = X25519PublicKey.from_public_bytes(enc[-32:])
    if kem_id == DHKEM_X25519:
        return dhkem_secret(X25519PrivateKey.from_private_bytes(private).exchange(peer), enc, public)
    mlkem, x25519 = xwing_parts(private)
    return xwing_secret(mlkem.decapsulate(enc[:1088]), x25519.exchange(peer), enc[1088:], public[1184:])


def seal(kem_id: int, public: bytes, info: bytes, plaintext: bytes, ephemeral: bytes) -> bytes:
    """Gives enc || ct: base mode, AES-256-GCM, empty aad."""
    secret, enc = encapsulate(kem_id, public, ephemeral)
    return enc + schedule(secret, info, kem_id, AES_256_GCM).seal(plaintext)


def open_sealed(kem_id: int, private: bytes, info: bytes, sealed: bytes) -> bytes:
    """InvalidTag where it does not open."""
    enc, ciphertext = sealed[: ENC_LENGTH[kem_id]], sealed[ENC_LENGTH[kem_id] :]
    return schedule(decapsulate(kem_id, private, enc), info, kem_id, AES_256_GCM).open(ciphertext)
