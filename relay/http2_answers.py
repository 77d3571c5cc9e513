"""Answers as they come in: heads, interim heads, bodies and trailers (RFC 9113, section 8.1).

What is wrong with one answer is `Malformed` and costs that request alone (section 8.1.1); a header block that cannot be
decoded ends the connection (section 4.3). Of a body only the start is kept.
"""

from typing import Final

from hpack import HPACKError, OversizedHeaderListError

from relay.http2 import LARGEST_ANSWER, LARGEST_BLOCK, Field, Response, decode
from relay.http2_frames import Broken, Code

STREAM_WINDOW: Final = 16_384
"""How much of a body a peer may send. It is never widened: an answer that needs more is one whose rest nobody wants."""
ENOUGH: Final = STREAM_WINDOW // 2
"""With this much of a body an answer is taken as it is, and the stream is cancelled."""

_OK: Final = b"\x88"  # :status 200, the whole field
_FRAGMENTS: Final = 8


class Malformed(Exception):
    """The answer to one request breaks a rule."""


class Answer:
    """An answer whose head has come and whose end has not; `head` is filled with what is kept of the body."""

    __slots__ = ("_received", "head")

    def __init__(self, head: Response) -> None:
        self.head = head
        self._received = 0

    def take(self, data: bytes, flow: int) -> bool:
        """Keep the start of the body; False if it is more than the window. `flow` counts padding too."""
        self._received += flow
        head = self.head
        if data and len(head.body) < LARGEST_ANSWER:
            head.body = (head.body + data)[:LARGEST_ANSWER]
        return self._received <= STREAM_WINDOW

    @property
    def is_enough(self) -> bool:
        return self._received >= ENOUGH


def read_head(block: bytes, *, end: bool) -> Response | None:
    """Read an answer's head; None for an interim one. Raises `Malformed` or `Broken`."""
    if block[:1] == _OK:
        return Response(200, block=block)
    fields = _decode(block)
    status = _status(fields)
    if status >= 200:  # noqa: PLR2004 - final
        return Response(status, tuple(fields[1:]))
    # 101 has no meaning in HTTP/2 (section 8.6), and nothing ends with an interim answer (section 8.1).
    if end or status == 101:  # noqa: PLR2004 - Switching Protocols
        raise Malformed
    return None


def check_trailers(block: bytes, *, end: bool) -> None:
    """Trailers end the stream and have no pseudo fields (section 8.1). Raises `Malformed` or `Broken`."""
    if any(name.startswith(b":") for name, _ in _decode(block)) or not end:
        raise Malformed


def _status(fields: list[Field]) -> int:
    if not fields or any(name.startswith(b":") for name, _ in fields[1:]):
        raise Malformed
    name, value = fields[0]
    if name != b":status" or len(value) != 3 or not value.isdigit() or value[:1] == b"0":  # noqa: PLR2004 - digits
        raise Malformed
    return int(value)


def _decode(block: bytes) -> list[Field]:
    try:
        return decode(block)
    except OversizedHeaderListError:
        # The table stays empty whatever a block says, so the blocks after one that was not read are sound.
        raise Malformed from None
    except HPACKError:
        raise Broken(Code.COMPRESSION_ERROR) from None


class Fragments:
    """A header block that comes in more than one frame (section 6.10); bounded in bytes and in frames."""

    def __init__(self, stream: int, first: bytes, *, end: bool) -> None:
        self.stream = stream
        self.end = end
        self.block = first
        self._frames = 1

    def add(self, part: bytes) -> None:
        """Take the next fragment. Raises `Broken` for what only a flood would be."""
        self._frames += 1
        self.block += part
        if self._frames > _FRAGMENTS or len(self.block) > LARGEST_BLOCK:
            raise Broken(Code.ENHANCE_YOUR_CALM)
