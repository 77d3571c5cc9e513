"""HTTP/2 frames as bytes (RFC 9113, sections 4 and 6), for what h2 rightly will not send.

That is GOAWAY while streams still go on, header blocks that are padded or split, and bytes that are plainly wrong. Pure.
"""

from collections.abc import Callable

HEAD = 9
DATA, HEADERS, _, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, ACK = 0x1, 0x4, 0x8, 0x1
HIGHEST_STREAM = 2**31 - 1
PIECES = 6
"""CONTINUATION frames of a split header block: nghttp2 and Node take eight at most."""
_OK = b"\x88"
"""`:status: 200` of HPACK's static table."""
_UNKNOWN_TYPE = 0xFE


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def go_away(last: int, code: int, debug: bytes) -> bytes:
    return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + debug)


def padded(headers: bytes) -> bytes:
    """Pad a HEADERS frame by as much as there can be."""
    flags, stream, block = headers[4], int.from_bytes(headers[5:HEAD], "big"), headers[HEAD:]
    return frame(HEADERS, flags | PADDED, stream, b"\xff" + block + bytes(255))


def continued(headers: bytes) -> bytes:
    """Split a HEADERS frame into one without a block and some CONTINUATION frames."""
    flags, stream, block = headers[4], int.from_bytes(headers[5:HEAD], "big"), headers[HEAD:]
    size = -(-len(block) // PIECES)
    pieces = [block[at : at + size] for at in range(0, len(block), size)]
    frames = [frame(HEADERS, flags & ~END_HEADERS, stream)]
    frames += [frame(CONTINUATION, 0, stream, piece) for piece in pieces[:-1]]
    return b"".join((*frames, frame(CONTINUATION, END_HEADERS, stream, pieces[-1])))


def _answer(stream: int, block: bytes) -> bytes:
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, block)


WRONG: dict[str, Callable[[int], bytes]] = {
    "noise": lambda _: bytes(range(255, 0, -1)),
    "http1": lambda _: b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "cut": lambda stream: _answer(stream, _OK)[:5],
    "too_long": lambda stream: frame(DATA, END_STREAM, stream, bytes(2**24 - 1)),
    "settings_length": lambda _: frame(SETTINGS, 0, 0, bytes(5)),
    "settings_ack_length": lambda _: frame(SETTINGS, ACK, 0, bytes(6)),
    "settings_stream": lambda stream: frame(SETTINGS, 0, stream),
    "settings_window": lambda _: frame(SETTINGS, 0, 0, b"\x00\x04\xff\xff\xff\xff"),
    "settings_frame_size": lambda _: frame(SETTINGS, 0, 0, b"\x00\x05\x00\x00\x00\x01"),
    "settings_push": lambda _: frame(SETTINGS, 0, 0, b"\x00\x02\x00\x00\x00\x01"),
    "ping_length": lambda _: frame(PING, 0, 0, bytes(7)),
    "ping_stream": lambda stream: frame(PING, 0, stream, bytes(8)),
    "goaway_length": lambda _: frame(GOAWAY, 0, 0, bytes(7)),
    "reset_length": lambda stream: frame(RST_STREAM, 0, stream, bytes(3)),
    "reset_idle": lambda _: frame(RST_STREAM, 0, HIGHEST_STREAM, bytes(4)),
    "window_length": lambda _: frame(WINDOW_UPDATE, 0, 0, bytes(3)),
    "window_zero": lambda _: frame(WINDOW_UPDATE, 0, 0, bytes(4)),
    "window_overflow": lambda _: frame(WINDOW_UPDATE, 0, 0, HIGHEST_STREAM.to_bytes(4, "big")),
    "hpack_index": lambda stream: _answer(stream, b"\xff\xff\x7f"),
    "hpack_cut": lambda stream: _answer(stream, b"\x88\x00\x05ab"),
    "hpack_table": lambda stream: _answer(stream, b"\x3f\xff\xff\x7f\x88"),
    "no_status": lambda stream: _answer(stream, b"\x00\x01a\x01b"),
    "wrong_status": lambda stream: _answer(stream, b"\x08\x03abc"),
    "capital_name": lambda stream: _answer(stream, b"\x88\x00\x01A\x01b"),
    "data_first": lambda stream: frame(DATA, END_STREAM, stream, b"{}"),
    "data_idle": lambda _: frame(DATA, END_STREAM, HIGHEST_STREAM, b"{}"),
    "data_connection": lambda _: frame(DATA, END_STREAM, 0, b"{}"),
    "padding_too_long": lambda stream: (
        frame(HEADERS, END_HEADERS, stream, _OK) + frame(DATA, PADDED | END_STREAM, stream, b"\x05ab")
    ),
    "headers_even": lambda _: _answer(2, _OK),
    "headers_idle": lambda _: _answer(HIGHEST_STREAM, _OK),
    "continuation_alone": lambda stream: frame(CONTINUATION, END_HEADERS, stream, _OK),
    "interleaved": lambda stream: frame(HEADERS, 0, stream, _OK) + frame(PING, 0, 0, bytes(8)),
    "continuation_flood": lambda stream: (
        frame(HEADERS, 0, stream, _OK) + 4096 * frame(CONTINUATION, 0, stream, b"\x00\x01a\x7d" + 125 * b"a")
    ),
    "push_promise": lambda stream: frame(PUSH_PROMISE, END_HEADERS, stream, b"\x00\x00\x00\x02" + _OK),
}
"""What `form` calls them, each for the stream that asked (1 for a connection that has just begun)."""

UNKNOWN = frame(_UNKNOWN_TYPE, 0xFF, 0, b"unknown frame types are ignored (RFC 9113, section 4.1)")
