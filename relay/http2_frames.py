"""Frames of HTTP/2 as bytes (RFC 9113, sections 4 and 6): how ours are made and what a peer's may look like.

Pure functions; a frame that breaks a rule of form raises `Broken`, which ends the connection (section 5.4.1).
"""

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import Final

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
WITH_PRIORITY: Final = 0x20

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD: Final = Struct(">IBI")
"""The head of a frame: length and type in one number (`length << 8 | type`), flags, stream."""
HEAD_LENGTH: Final = 9
LARGEST_FRAME: Final = 16_384
"""What we accept and what every peer accepts (section 4.2)."""
LARGEST_NUMBER: Final = 2**31 - 1
"""The largest window and the largest stream id."""
DEFAULT_WINDOW: Final = 65_535

_PAIR: Final = Struct(">HI")
_NUMBER: Final = Struct(">I")


class Code(IntEnum):
    """Section 7."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    FLOW_CONTROL_ERROR = 0x3
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    ENHANCE_YOUR_CALM = 0xB


class Setting(IntEnum):
    """Section 6.5.2."""

    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6


class Broken(Exception):
    """The peer broke a rule in a way that ends the connection."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload


def settings(values: dict[Setting, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(_PAIR.pack(*pair) for pair in values.items()))


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, _NUMBER.pack(increment))


def rst_stream(stream: int, code: Code) -> bytes:
    return frame(RST_STREAM, 0, stream, _NUMBER.pack(code))


def goaway(code: Code) -> bytes:
    """Say goodbye; the peer may have opened no stream, so the last one is 0."""
    return frame(GOAWAY, 0, 0, bytes(4) + _NUMBER.pack(code))


def headers(stream: int, block: bytes, *, end: bool, largest: int) -> bytes:
    """HEADERS, and CONTINUATION where the block is longer than the peer's largest frame (section 6.10)."""
    parts = [block[at : at + largest] for at in range(0, len(block), largest)]
    last = len(parts) - 1
    made = [
        frame(CONTINUATION if index else HEADERS, END_HEADERS if index == last else 0, stream, part)
        for index, part in enumerate(parts)
    ]
    if end:
        made[0] = made[0][:4] + bytes([made[0][4] | END_STREAM]) + made[0][5:]
    return b"".join(made)


def read_number(payload: bytes) -> int:
    """Give the 31 bits of WINDOW_UPDATE; the first bit is reserved (section 6.9)."""
    return read_code(payload) & LARGEST_NUMBER


def read_code(payload: bytes) -> int:
    """Give the 32 bits of RST_STREAM (section 6.4)."""
    if len(payload) != _NUMBER.size:
        raise Broken(Code.FRAME_SIZE_ERROR)
    return int(_NUMBER.unpack(payload)[0])


def read_last_stream(payload: bytes) -> int:
    """Give the last stream that GOAWAY says was or may be processed (section 6.8)."""
    if len(payload) < 2 * _NUMBER.size:
        raise Broken(Code.FRAME_SIZE_ERROR)
    return read_number(payload[: _NUMBER.size])


def read_settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """Give the settings in their order, those too that nobody knows. Raises `Broken` for values out of bounds."""
    if len(payload) % _PAIR.size:
        raise Broken(Code.FRAME_SIZE_ERROR)
    for setting, value in _PAIR.iter_unpack(payload):
        # A server may not even say that it allows what we never could do (section 6.5.2).
        if setting == Setting.ENABLE_PUSH and value:
            raise Broken(Code.PROTOCOL_ERROR)
        if setting == Setting.INITIAL_WINDOW_SIZE and value > LARGEST_NUMBER:
            raise Broken(Code.FLOW_CONTROL_ERROR)
        if setting == Setting.MAX_FRAME_SIZE and not LARGEST_FRAME <= value < 2**24:
            raise Broken(Code.PROTOCOL_ERROR)
        yield setting, value


def unpadded(flags: int, payload: bytes) -> bytes:
    """Give what DATA or HEADERS hold besides padding (section 6.1) and the old priorities (section 6.2)."""
    start, end = 0, len(payload)
    if flags & PADDED:
        if not payload:
            raise Broken(Code.FRAME_SIZE_ERROR)
        start, end = 1, end - payload[0]
    if flags & WITH_PRIORITY:
        start += 5
    if start > end:
        raise Broken(Code.PROTOCOL_ERROR)
    return payload[start:end]
