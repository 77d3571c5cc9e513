"""The frame: what an envelope hides (PROTOCOL §2).

    frame  = signature(64) || signed || zeros
    signed = message_id(16) || sequence(8) || sent_at(8) || kind(1) || encoding(1) || length(4) || body(length)

The signature covers the hash of the envelope's `info` before it, so that a frame taken out of one envelope (by the
device that it was for) cannot be sealed again for another device, key, suite or server.
"""

import zlib
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from struct import Struct
from uuid import UUID

from crypto.errors import Malformed
from crypto.keys import SIGNATURE_LENGTH, IdentityKey, IdentityPublicKey

MAX_INFLATED = 65_536
"""A device inflates no more bytes than this; a larger body is a claim."""

_HEADER = Struct(">16sQQBBL")
OVERHEAD = SIGNATURE_LENGTH + _HEADER.size
"""Bytes of a frame that are not body or padding."""

_CONTEXT = b"hushpost/1 frame\x00"
_JSON, _DEFLATED = 0, 1


class Kind(IntEnum):
    """What a frame's body is; a device ignores a kind that it does not know."""

    MESSAGE = 1
    RETRACT = 2
    READ = 3
    UPDATE = 4


@dataclass(frozen=True)
class Frame:
    """One thing said to one device. `sent_at` is in milliseconds; `body` is JSON, not compressed."""

    message_id: UUID
    sequence: int
    sent_at: int
    kind: int
    body: bytes = field(repr=False)


def deflate(body: bytes) -> bytes:
    """`body` as one raw DEFLATE stream (RFC 1951), made as small as zlib can."""
    stream = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


def _inflate(data: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        body = stream.decompress(data, MAX_INFLATED)
        # One byte more shows whether the stream goes on past the limit, without inflating it all.
        overflow = b"" if stream.eof else stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error:
        raise Malformed("the body does not inflate") from None
    if overflow or not stream.eof or stream.unused_data:
        raise Malformed("the body is not one DEFLATE stream within the limit")
    return body


def write_frame(
    frame: Frame, *, payload: bytes, deflated: bool, length: int, signer: IdentityKey, info: bytes
) -> bytes:
    """The frame's bytes, padded to `length`; `payload` is its body as sent, compressed or not."""
    header = _HEADER.pack(
        frame.message_id.bytes,
        frame.sequence,
        frame.sent_at,
        frame.kind,
        _DEFLATED if deflated else _JSON,
        len(payload),
    )
    signed = header + payload
    return (signer.sign(_context(info) + signed) + signed).ljust(length, b"\x00")


def read_frame(data: bytes, *, server: IdentityPublicKey, info: bytes) -> Frame:
    """The frame in an opened envelope, once the server's signature over it is verified (`Altered`, `Malformed`)."""
    if len(data) < OVERHEAD:
        raise Malformed("shorter than a frame")
    message_id, sequence, sent_at, kind, encoding, length = _HEADER.unpack_from(data, SIGNATURE_LENGTH)
    end = OVERHEAD + length
    if end > len(data):
        raise Malformed("the body's length exceeds the frame")
    # Verified before anything in it is acted upon: padding and encoding are the signer's word as well.
    server.verify(data[:SIGNATURE_LENGTH], _context(info) + data[SIGNATURE_LENGTH:end])
    if data.count(0, end) != len(data) - end:
        raise Malformed("padding that is not zero")
    return Frame(UUID(bytes=message_id), sequence, sent_at, kind, _decode(encoding, data[OVERHEAD:end]))


def _decode(encoding: int, payload: bytes) -> bytes:
    if encoding == _JSON:
        return payload
    if encoding == _DEFLATED:
        return _inflate(payload)
    raise Malformed("an unknown encoding")


def _context(info: bytes) -> bytes:
    return _CONTEXT + sha256(info).digest()
