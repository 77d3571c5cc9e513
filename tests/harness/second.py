"""A second implementation of the protocol's bytes, written from its text alone: keys, envelopes, claims and handles.

It imports nothing of the product. It lets a test craft what the product would never make (a wrong pad byte, a
forged length) and check what the product makes without asking the product. Slow and plain on purpose.
"""

import base64
import hashlib
import hmac
import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.harness import hpke

KEM = {1: hpke.DHKEM_X25519, 2: hpke.XWING}
ENC = {1: 32, 2: 1120}
SIZES = (768, 1536, 2304, 2944)
FRAME_HEAD = 64 + 16 + 8 + 8 + 1 + 1 + 4


class Refused(Exception):
    """Why something does not open, in the words of the vectors."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64u(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def identity_public(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def keyid_raw(public: bytes) -> bytes:
    """RFC 7638 over the required members of an OKP key (RFC 8037), in order and without white space."""
    return hashlib.sha256(b'{"crv":"Ed25519","kty":"OKP","x":"' + b64u(public).encode() + b'"}').digest()


def ed25519_sign(seed: bytes, data: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).sign(data)


def ed25519_holds(public: bytes, signature: bytes, data: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def fingerprint(server_public: bytes, device_public: bytes) -> str:
    digest = hashlib.sha256(b"hushpost/1 pairing\0" + keyid_raw(server_public) + device_public).digest()
    text = base64.b32encode(digest[:15]).decode()
    return " ".join(text[i : i + 4] for i in range(0, 24, 4))


def collapse(secret: bytes, device_id: UUID, *, message_id: UUID | None, collapse_id: str | None) -> str:
    """Section 2: by the message's collapseId where it has one, else by its id."""
    if collapse_id is not None:
        said = b"\x01" + device_id.bytes + collapse_id.encode()
    else:
        assert message_id is not None
        said = b"\x00" + device_id.bytes + message_id.bytes
    return b64u(hmac.digest(secret, said, "sha256")[:16])


@dataclass(frozen=True)
class Device:
    suite: int
    seed: bytes
    id: UUID

    @property
    def public(self) -> bytes:
        return hpke.public_key(KEM[self.suite], self.seed)

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.public).digest()[:8]

    def prefix(self) -> bytes:
        return bytes([1, self.suite]) + self.key_id

    def info(self, server_public: bytes) -> bytes:
        return b"hushpost/1 envelope\0" + self.prefix() + self.id.bytes + keyid_raw(server_public)


@dataclass(frozen=True)
class Said:
    """The fields of a frame; `body` as it stands on the wire (compressed where `encoding` is 1)."""

    message_id: UUID
    sequence: int
    sent_at: int
    kind: int
    encoding: int
    body: bytes

    def signed(self, length: int | None = None) -> bytes:
        claimed = len(self.body) if length is None else length
        head = struct.pack(">QQBBI", self.sequence, self.sent_at, self.kind, self.encoding, claimed)
        return self.message_id.bytes + head + self.body


def frame_length(suite: int, size: int) -> int:
    return size - 1 - 1 - 8 - ENC[suite] - 16


def frame_signature(seed: bytes, info: bytes, signed: bytes) -> bytes:
    return ed25519_sign(seed, b"hushpost/1 frame\0" + hashlib.sha256(info).digest() + signed)


def seal_frame(device: Device, server_public: bytes, frame: bytes, ephemeral: bytes) -> bytes:
    """An envelope around any bytes at all."""
    sealed = hpke.seal(KEM[device.suite], device.public, device.info(server_public), frame, ephemeral)
    return device.prefix() + sealed


def seal(
    said: Said,
    *,
    server_seed: bytes,
    device: Device,
    size: int,
    ephemeral: bytes,
    padding: int = 0,
    length: int | None = None,
) -> bytes:
    """An envelope of `size`; `padding` and `length` are there to be wrong."""
    public = identity_public(server_seed)
    signed = said.signed(length)
    frame = frame_signature(server_seed, device.info(public), signed) + signed
    frame = frame.ljust(frame_length(device.suite, size), bytes([padding]))
    return seal_frame(device, public, frame, ephemeral)


def inflate(data: bytes) -> bytes:
    stream = zlib.decompressobj(-15)
    try:
        out = stream.decompress(data, 65_537)
    except zlib.error:
        raise Refused("malformed") from None
    if len(out) > 65_536 or not stream.eof or stream.unused_data:
        raise Refused("malformed")
    return out


def open_frame(frame: bytes, info: bytes, server_public: bytes) -> Said:
    """The frame's fields with the body inflated."""
    message_id, (sequence, sent_at, kind, encoding, length) = (
        frame[64:80],
        struct.unpack(">QQBBI", frame[80:102]),
    )
    if FRAME_HEAD + length > len(frame):
        raise Refused("malformed")
    signed, rest = frame[64 : FRAME_HEAD + length], frame[FRAME_HEAD + length :]
    context = b"hushpost/1 frame\0" + hashlib.sha256(info).digest()
    if not ed25519_holds(server_public, frame[:64], context + signed):
        raise Refused("altered")
    if any(rest) or encoding not in (0, 1):
        raise Refused("malformed")
    body = signed[38:] if encoding == 0 else inflate(signed[38:])
    return Said(UUID(bytes=message_id), sequence, sent_at, kind, encoding, body)


def open_plaintext(envelope: bytes, device: Device, server_public: bytes) -> bytes:
    """The frame in an envelope, before any of it is believed."""
    if len(envelope) not in SIZES or envelope[0] != 1:
        raise Refused("malformed")
    if envelope[1] != device.suite or envelope[2:10] != device.key_id:
        raise Refused("not_my_key")
    try:
        return hpke.open_sealed(KEM[device.suite], device.seed, device.info(server_public), envelope[10:])
    except (InvalidTag, ValueError):
        raise Refused("altered") from None


def open_envelope(envelope: bytes, device: Device, server_public: bytes) -> Said:
    frame = open_plaintext(envelope, device, server_public)
    return open_frame(frame, device.info(server_public), server_public)


def claim_aad(message_id: UUID, device_id: UUID) -> bytes:
    return b"hushpost/1 claim\0" + message_id.bytes + device_id.bytes


def power_of_two(size: int) -> int:
    power = 1
    while power < size:
        power *= 2
    return power


def seal_claim(content: bytes, message_id: UUID, device_id: UUID, key: bytes, nonce: bytes) -> bytes:
    padded = content + bytes(power_of_two(len(content)) - len(content))
    return nonce + AESGCM(key).encrypt(nonce, padded, claim_aad(message_id, device_id))


def open_claim(blob: bytes, claim: dict[str, Any], message_id: UUID, device_id: UUID) -> bytes:
    """`claim` as it stands in the message: key and sha256 in b64u, size."""
    if hashlib.sha256(blob).digest() != unb64u(claim["sha256"]):
        raise Refused("altered")
    try:
        padded = AESGCM(unb64u(claim["key"])).decrypt(blob[:12], blob[12:], claim_aad(message_id, device_id))
    except (InvalidTag, ValueError):
        raise Refused("altered") from None
    size = claim["size"]
    if len(padded) != power_of_two(size) or any(padded[size:]):
        raise Refused("malformed")
    return padded[:size]


def handle_aad(epoch: int) -> bytes:
    return b"hushpost/1 handle\0\x01" + epoch.to_bytes(4, "big")


def seal_handle(text: bytes, epoch: int, key: bytes, nonce: bytes) -> str:
    """A handle around any claims text, which the caller has padded."""
    sealed = AESGCM(key).encrypt(nonce, text, handle_aad(epoch))
    return b64u(b"\x01" + epoch.to_bytes(4, "big") + nonce + sealed)


def handle_text(handle: str, epochs: dict[int, bytes]) -> bytes:
    """The padded claims text."""
    try:
        data = unb64u(handle)
    except ValueError:
        raise Refused("malformed") from None
    if b64u(data) != handle or data[0] != 1 or len(data) - 33 not in (512, 1024):
        raise Refused("malformed")
    epoch = int.from_bytes(data[1:5], "big")
    if epoch not in epochs:
        raise Refused("not_my_key")
    try:
        return AESGCM(epochs[epoch]).decrypt(data[5:17], data[17:], handle_aad(epoch))
    except InvalidTag:
        raise Refused("altered") from None


def open_handle(handle: str, epochs: dict[int, bytes], server: str, now: int) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(handle_text(handle, epochs))
    if claims["server"] != server:
        raise Refused("not_my_key")
    if claims["expiresAt"] <= now:
        raise Refused("expired")
    return claims
