"""The blob behind a claim: what was too large for one push, sealed for one device (PROTOCOL §2).

    blob = nonce(12) || AES-256-GCM(key, nonce, content padded with zeros to a power of two, aad)
    aad  = "hushpost/1 claim" || 0x00 || message_id || device_id

Its key travels only inside the envelope that names the claim, and is used for this one blob. The blob of a file is made piece
by piece, as often as it is asked for: the same key, nonce and content make the same bytes.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256 as sha256_of
from hmac import compare_digest
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import GCM

from crypto.errors import Altered, Malformed

_CONTEXT = b"hushpost/1 claim\x00"
_NONCE_LENGTH = 12
_TAG_LENGTH = 16
_ZEROS = bytes(1 << 16)


def seal_claim(content: bytes, *, message_id: UUID, device_id: UUID, key: bytes, nonce: bytes) -> bytes:
    """The blob for `content`; `key` is 32 random bytes and `nonce` 12, never used for anything else."""
    padded = content.ljust(_power_of_two(len(content)), b"\x00")
    return nonce + AESGCM(key).encrypt(nonce, padded, _aad(message_id, device_id))


def seal_pieces(
    pieces: Iterable[bytes], size: int, *, message_id: UUID, device_id: UUID, key: bytes, nonce: bytes
) -> Iterator[bytes]:
    """The pieces of the blob that `seal_claim` makes, for content of `size` bytes in pieces; `Malformed` where it has others."""
    encryptor = Cipher(AES256(key), GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(_aad(message_id, device_id))
    yield nonce
    left = size
    for piece in pieces:
        left -= len(piece)
        yield encryptor.update(piece)
    if left != 0:
        raise Malformed("content of another size than was said")
    padding = _power_of_two(size) - size
    while padding > 0:
        yield encryptor.update(_ZEROS[:padding])
        padding -= len(_ZEROS)
    yield encryptor.finalize() + encryptor.tag


def sealed_size(size: int) -> int:
    """The length of the blob for content of `size` bytes."""
    return _NONCE_LENGTH + _power_of_two(size) + _TAG_LENGTH


def open_claim(
    blob: bytes, *, message_id: UUID, device_id: UUID, key: bytes, sha256: bytes, size: int
) -> bytes:
    """The content, `size` bytes; `Altered` where the blob is not the one that the envelope named, or does not open."""
    if not compare_digest(sha256_of(blob).digest(), sha256):
        raise Altered("not the blob that was claimed")
    nonce, sealed = blob[:_NONCE_LENGTH], blob[_NONCE_LENGTH:]
    try:
        padded = AESGCM(key).decrypt(nonce, sealed, _aad(message_id, device_id))
    except (InvalidTag, ValueError):
        raise Altered("the claim does not open") from None
    if len(padded) != _power_of_two(size) or padded.count(0, size) != len(padded) - size:
        raise Malformed("padding that is not zero, or not to a power of two")
    return padded[:size]


def _power_of_two(size: int) -> int:
    """The smallest power of two that `size` bytes fit into."""
    return 1 << max(size - 1, 0).bit_length()


def _aad(message_id: UUID, device_id: UUID) -> bytes:
    return _CONTEXT + message_id.bytes + device_id.bytes
