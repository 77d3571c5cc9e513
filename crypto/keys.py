"""Key pairs, their ids and their text forms (PROTOCOL §1).

A private key is held as its seed (what its text form carries) beside the library's object for it, since building that
object is most of the cost of an operation. Seeds and texts never show in `repr`.
"""

import json
import re
from base64 import b32encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from hashlib import sha256, shake_256
from typing import Any, ClassVar, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto.encoding import b64u, unb64u
from crypto.errors import Altered, CryptoError, Malformed

Random: TypeAlias = Callable[[int], bytes]
"""A source of n random bytes: `secrets.token_bytes` outside tests."""

SEED_LENGTH = 32
SIGNATURE_LENGTH = 64
DEVICE_KEY_ID_LENGTH = 8
_MLKEM768_PUBLIC_LENGTH = 1184

_HpkePublic: TypeAlias = X25519PublicKey | hpke.MLKEM768X25519PublicKey
_HpkePrivate: TypeAlias = X25519PrivateKey | hpke.MLKEM768X25519PrivateKey


class Suite(IntEnum):
    """The HPKE suites of PROTOCOL §1; both use HKDF-SHA256 and AES-256-GCM."""

    X25519 = 1
    XWING = 2

    @property
    def public_length(self) -> int:
        return 32 if self is Suite.X25519 else _MLKEM768_PUBLIC_LENGTH + 32

    @property
    def enc_length(self) -> int:
        return 32 if self is Suite.X25519 else 1120


def _typed(prefix: str, secret: bytes) -> str:
    return f"{prefix}{b64u(secret)}"


def _untyped(prefix: str, line: str) -> bytes:
    if not line.startswith(prefix):
        raise Malformed(f"not a key of the type {prefix}")
    return unb64u(line.removeprefix(prefix), SEED_LENGTH)


@dataclass(frozen=True)
class IdentityPublicKey:
    """A server's or relay's Ed25519 public key: 32 raw bytes."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 32:  # noqa: PLR2004 - RFC 8032's length
            raise Malformed("an Ed25519 public key has 32 bytes")

    @cached_property
    def jwk(self) -> dict[str, str]:
        """The public JWK of RFC 8037: exactly the members that its thumbprint covers."""
        return {"crv": "Ed25519", "kty": "OKP", "x": b64u(self.raw)}

    @cached_property
    def id_raw(self) -> bytes:
        """RFC 7638 thumbprint: SHA-256 over the members in lexicographic order without white space."""
        return sha256(json.dumps(self.jwk, separators=(",", ":"), sort_keys=True).encode()).digest()

    @cached_property
    def id(self) -> str:
        """The `keyid`: b64u of the thumbprint, 43 characters."""
        return b64u(self.id_raw)

    @cached_property
    def _key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.raw)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises `Altered` unless `signature` is this key's over `data`."""
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            raise Altered("the signature does not match") from None


@dataclass(frozen=True)
class IdentityKey:
    """A server's or relay's Ed25519 key pair, held as its 32-byte seed."""

    PREFIX: ClassVar = "hushpost-identity-1:"

    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _require_seed(self.seed)

    @classmethod
    def generate(cls, random: Random) -> "IdentityKey":
        return cls(random(SEED_LENGTH))

    @classmethod
    def from_seed(cls, seed: bytes) -> "IdentityKey":
        return cls(seed)

    @classmethod
    def from_text(cls, line: str) -> "IdentityKey":
        return cls(_untyped(cls.PREFIX, line))

    @property
    def text(self) -> str:
        return _typed(self.PREFIX, self.seed)

    def __reduce__(self) -> tuple[type["IdentityKey"], tuple[bytes]]:
        # A sealing process is given the seed; the library's key objects, once made, do not travel.
        return IdentityKey, (self.seed,)

    @cached_property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @cached_property
    def public(self) -> IdentityPublicKey:
        return IdentityPublicKey(self._key.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """The 64-byte Ed25519 signature (RFC 8032, deterministic)."""
        return self._key.sign(data)


@dataclass(frozen=True)
class DevicePublicKey:
    """A device's HPKE public key: 32 bytes (X25519) or ML-KEM-768's 1184 followed by X25519's 32 (X-Wing).

    Building one refuses what no honest device makes: a wrong length, an ML-KEM key that is not reduced, and the
    X25519 points of small order, with which every shared secret is zero (RFC 9180 §7.1.4, RFC 7748 §6.1).
    """

    suite: Suite
    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != self.suite.public_length:
            raise Malformed(f"a public key of suite {self.suite.value} has {self.suite.public_length} bytes")
        _refuse_small_order(self.raw[-32:])
        try:
            _ = self.hpke
        except ValueError:
            raise Malformed("not an ML-KEM-768 encapsulation key (FIPS 203 §7.2)") from None

    @cached_property
    def key_id(self) -> bytes:
        return sha256(self.raw).digest()[:DEVICE_KEY_ID_LENGTH]

    @cached_property
    def hpke(self) -> _HpkePublic:
        x25519 = X25519PublicKey.from_public_bytes(self.raw[-32:])
        if self.suite is Suite.X25519:
            return x25519
        mlkem = MLKEM768PublicKey.from_public_bytes(self.raw[:_MLKEM768_PUBLIC_LENGTH])
        return hpke.MLKEM768X25519PublicKey(mlkem, x25519)


# Any scalar does: a point of small order gives zero with all of them, since clamping makes each a multiple of 8.
_PROBE = X25519PrivateKey.from_private_bytes(b"\x40" + bytes(30) + b"\x40")


def _refuse_small_order(point: bytes) -> None:
    try:
        _PROBE.exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:  # the library refuses an all-zero secret
        raise Malformed("an X25519 point of small order") from None


@dataclass(frozen=True)
class DeviceKey:
    """A device's HPKE key pair, held as 32 bytes: the X25519 scalar, or the X-Wing seed."""

    PREFIX: ClassVar = "hushpost-device-"

    suite: Suite
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _require_seed(self.seed)

    @classmethod
    def generate(cls, suite: Suite, random: Random) -> "DeviceKey":
        return cls(suite, random(SEED_LENGTH))

    @classmethod
    def from_seed(cls, suite: Suite, seed: bytes) -> "DeviceKey":
        return cls(suite, seed)

    @classmethod
    def from_text(cls, line: str) -> "DeviceKey":
        for suite in Suite:
            prefix = f"{cls.PREFIX}{suite.value}:"
            if line.startswith(prefix):
                return cls(suite, _untyped(prefix, line))
        raise Malformed("not a device key of a known suite")

    @property
    def text(self) -> str:
        return _typed(f"{self.PREFIX}{self.suite.value}:", self.seed)

    @cached_property
    def hpke(self) -> _HpkePrivate:
        if self.suite is Suite.X25519:
            return X25519PrivateKey.from_private_bytes(self.seed)
        mlkem, x25519 = self._xwing
        return hpke.MLKEM768X25519PrivateKey(mlkem, x25519)

    @cached_property
    def _xwing(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        """draft-connolly-cfrg-xwing-kem §5.2: SHAKE256 expands the seed to ML-KEM's 64 bytes and X25519's 32."""
        expanded = shake_256(self.seed).digest(96)
        return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(
            expanded[64:]
        )

    @cached_property
    def public(self) -> DevicePublicKey:
        if self.suite is Suite.X25519:
            raw = X25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        else:
            mlkem, x25519 = self._xwing
            raw = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        return DevicePublicKey(self.suite, raw)


@dataclass(frozen=True)
class EpochKey:
    """An AES-256 key under which a relay seals handles; `number` (32 bits) is written in each handle."""

    PREFIX: ClassVar = "hushpost-epoch-1:"

    number: int
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _require_seed(self.secret)
        if not 0 <= self.number < 1 << 32:
            raise Malformed("an epoch's number has 32 bits")

    @cached_property
    def cipher(self) -> AESGCM:
        return AESGCM(self.secret)

    @classmethod
    def generate(cls, number: int, random: Random) -> "EpochKey":
        return cls(number, random(SEED_LENGTH))

    @classmethod
    def from_text(cls, line: str) -> "EpochKey":
        number, _, _ = line.removeprefix(cls.PREFIX).partition(":")
        # Ten digits hold 32 bits; `int` itself raises on thousands.
        if not (re.fullmatch("[0-9]{1,10}", number) and str(int(number)) == number):
            raise Malformed("an epoch key is written hushpost-epoch-1:<number>:<key>")
        return cls(int(number), _untyped(f"{cls.PREFIX}{number}:", line))

    @property
    def text(self) -> str:
        return _typed(f"{self.PREFIX}{self.number}:", self.secret)


def _require_seed(seed: bytes) -> None:
    if len(seed) != SEED_LENGTH:
        raise Malformed("a key's secret has 32 bytes")


AnyKey: TypeAlias = IdentityKey | DeviceKey | EpochKey
_TYPES: tuple[type[AnyKey], ...] = (IdentityKey, DeviceKey, EpochKey)


def read_keys(text: str) -> list[AnyKey]:
    """The keys in a key file's text: one on each line; blank lines and lines that begin with # are left out."""
    lines = enumerate((line.strip() for line in text.splitlines()), start=1)
    return [_read_key(number, line) for number, line in lines if line and not line.startswith("#")]


def _read_key(number: int, line: str) -> AnyKey:
    kind = next((kind for kind in _TYPES if line.startswith(kind.PREFIX)), None)
    if kind is None:
        raise Malformed(f"line {number}: not a known type of key")
    try:
        return kind.from_text(line)
    except CryptoError as error:
        raise Malformed(f"line {number}: {error}") from None


def jwks(keys: Iterable[IdentityPublicKey]) -> dict[str, list[dict[str, str]]]:
    """The JWK set (RFC 7517 §5) that a key directory serves."""
    return {"keys": [{**key.jwk, "kid": key.id, "alg": "EdDSA", "use": "sig"} for key in keys]}


def read_jwks(document: Any) -> list[IdentityPublicKey]:
    """The Ed25519 keys of a decoded JWK set, in its order; others are passed over (RFC 7517 §5)."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise Malformed("a JWK set is an object with a list of keys")
    return [
        IdentityPublicKey(unb64u(str(jwk.get("x")), 32))
        for jwk in keys
        if isinstance(jwk, dict) and jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519"
    ]


def fingerprint(server: IdentityPublicKey, device: DevicePublicKey) -> str:
    """What both ends of a pairing can show for people to compare: six groups of four base32 characters (PROTOCOL §6)."""
    digest = sha256(b"hushpost/1 pairing\x00" + server.id_raw + device.raw).digest()
    text = b32encode(digest[:15]).decode("ascii")
    return " ".join(text[i : i + 4] for i in range(0, 24, 4))
