"""The envelope: one message sealed for one device, of one of four sizes (PROTOCOL §2).

    envelope = version(1) || suite(1) || device_key_id(8) || enc(32 | 1120) || ct

HPKE (RFC 9180) in base mode, single-shot, with everything that the two ends must agree on in `info`: another device,
key, suite or server gives another key schedule, and the envelope does not open. The sender is authenticated inside, by
the frame's signature.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM
from cryptography.hazmat.primitives.hpke import Suite as HpkeSuite

from crypto.errors import Altered, Malformed, NotMyKey, TooLarge
from crypto.frame import MAX_INFLATED, OVERHEAD, Frame, deflate, read_frame, write_frame
from crypto.keys import (
    DEVICE_KEY_ID_LENGTH,
    DeviceKey,
    DevicePublicKey,
    IdentityKey,
    IdentityPublicKey,
    Suite,
)

SIZES = (768, 1536, 2304, 2944)
"""Total lengths of an envelope in bytes: all that a provider learns about what is inside."""

LARGEST_WEB_PUSH = 2304
"""The largest size that goes to a Web Push service."""

_VERSION = 1
_PREFIX_LENGTH = 2 + DEVICE_KEY_ID_LENGTH
_TAG_LENGTH = 16
_CONTEXT = b"hushpost/1 envelope\x00"
_HPKE = {
    Suite.X25519: HpkeSuite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
    Suite.XWING: HpkeSuite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
}


def room(suite: Suite, size: int) -> int:
    """Bytes of body that an envelope of `size` has room for; negative where the suite does not fit that size at all."""
    return _frame_length(suite, size) - OVERHEAD


def _frame_length(suite: Suite, size: int) -> int:
    return size - _PREFIX_LENGTH - suite.enc_length - _TAG_LENGTH


@dataclass(frozen=True)
class _Packing:
    size: int
    payload: bytes
    deflated: bool


def _smallest(length: int, suite: Suite, sizes: Sequence[int]) -> int | None:
    return next((size for size in sizes if length <= room(suite, size)), None)


def _pack(body: bytes, suite: Suite, sizes: Sequence[int]) -> _Packing | None:
    """The smallest size that holds `body`, compressed only where that reaches a smaller one; None where none does."""
    size = _smallest(len(body), suite, sizes)
    packing = None if size is None else _Packing(size, body, deflated=False)
    if size == _smallest(0, suite, sizes) or len(body) > MAX_INFLATED:
        return packing
    shrunk = deflate(body)
    smaller = _smallest(len(shrunk), suite, sizes)
    if smaller is None or (size is not None and size <= smaller):
        return packing
    return _Packing(smaller, shrunk, deflated=True)


def fits(body: bytes, suite: Suite, largest: int) -> bool:
    """Whether `body` (JSON bytes) goes into one envelope of at most `largest` bytes."""
    return _pack(body, suite, _sizes(SIZES[0], largest)) is not None


def _sizes(smallest: int, largest: int) -> list[int]:
    return [size for size in SIZES if smallest <= size <= largest]


def _info(device: DevicePublicKey, device_id: UUID, server: IdentityPublicKey) -> bytes:
    return b"".join((_CONTEXT, _prefix(device), device_id.bytes, server.id_raw))


def _prefix(device: DevicePublicKey) -> bytes:
    return bytes((_VERSION, device.suite)) + device.key_id


def seal(
    frame: Frame,
    *,
    signer: IdentityKey,
    device: DevicePublicKey,
    device_id: UUID,
    largest: int,
    smallest: int = SIZES[0],
) -> bytes:
    """The envelope for `device`, of the smallest size from `smallest` to `largest` that holds the body (`TooLarge`)."""
    packing = _pack(frame.body, device.suite, _sizes(smallest, largest))
    if packing is None:
        raise TooLarge("the body does not fit one envelope")
    info = _info(device, device_id, signer.public)
    plaintext = write_frame(
        frame,
        payload=packing.payload,
        deflated=packing.deflated,
        length=_frame_length(device.suite, packing.size),
        signer=signer,
        info=info,
    )
    return _prefix(device) + _HPKE[device.suite].encrypt(plaintext, device.hpke, info=info)


def open_envelope(
    envelope: bytes, *, keys: Sequence[DeviceKey], device_id: UUID, server: IdentityPublicKey
) -> Frame:
    """What `server` sealed for this device under one of its `keys` (the present one and those it still keeps).

    Raises `Malformed` (not an envelope of version 1), `NotMyKey` (no key of that id and suite), `Altered` (does not
    open, or is not the server's) and shows nothing of the content in any of these cases.
    """
    if len(envelope) not in SIZES or envelope[0] != _VERSION:
        raise Malformed("not an envelope of version 1")
    key = next((key for key in keys if envelope.startswith(_prefix(key.public))), None)
    if key is None:
        raise NotMyKey("sealed for another key")
    info = _info(key.public, device_id, server)
    try:
        plaintext = _HPKE[key.suite].decrypt(envelope[_PREFIX_LENGTH:], key.hpke, info=info)
    except (InvalidTag, ValueError):
        # Today the library says InvalidTag of an `enc` of small order as well. Should a release tell the two apart,
        # we still do not: it would say too much.
        raise Altered("the envelope does not open") from None
    return read_frame(plaintext, server=server, info=info)
