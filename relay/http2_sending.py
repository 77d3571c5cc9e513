"""What the peer lets us send: windows of connection and streams, the size of frames, bodies that wait (RFC 9113, 5.2).

A body that fits leaves whole, in the same bytes as its head. One that does not waits here in the order in which it was
begun, and goes out in portions, so that a wide window is no reason to write more than a peer reads. A stream's window is
counted only while something of its body is left: afterwards nobody asks for it.
"""

from typing import Final

from relay.http2_frames import (
    DATA,
    DEFAULT_WINDOW,
    END_STREAM,
    LARGEST_FRAME,
    LARGEST_NUMBER,
    Broken,
    Code,
    frame,
)

AT_ONCE: Final = 65_536
"""How much is written before it is looked at whether the peer reads."""


class _Body:
    __slots__ = ("left", "window")

    def __init__(self, left: bytes, window: int) -> None:
        self.left = left
        self.window = window


class Outflow:
    """`window` is the connection's; `whole` is what fits a fresh stream in one frame."""

    def __init__(self) -> None:
        self.window = DEFAULT_WINDOW
        self.whole = LARGEST_FRAME
        self.largest_frame = LARGEST_FRAME
        self._initial = DEFAULT_WINDOW
        self._waiting: dict[int, _Body] = {}
        self._may_send = False

    def __contains__(self, stream: int) -> bool:
        return stream in self._waiting

    def begin(self, stream: int, body: bytes) -> bytes:
        """Give what may be sent of a body at once; the rest waits."""
        waiting = self._waiting[stream] = _Body(body, self._initial)
        self._may_send = True
        return self._send(stream, waiting, AT_ONCE)

    def forget(self, stream: int) -> None:
        self._waiting.pop(stream, None)

    def more(self) -> bytes:
        """Give a portion of what waits, empty if nothing of it may be sent now."""
        if not self._may_send or self.window <= 0:
            return b""
        made, left = [], AT_ONCE
        for stream, body in tuple(self._waiting.items()):
            made.append(self._send(stream, body, left))
            left -= len(made[-1])
            if left <= 0 or self.window <= 0:
                break
        else:
            self._may_send = False  # each waits for its own window
        return b"".join(made)

    def _send(self, stream: int, body: _Body, most: int) -> bytes:
        made, sent = [], 0
        while body.left and sent < most and (length := self._length(body)) > 0:
            part, body.left = body.left[:length], body.left[length:]
            self.window -= length
            body.window -= length
            sent += length
            made.append(frame(DATA, 0 if body.left else END_STREAM, stream, part))
        if not body.left:
            del self._waiting[stream]
        return b"".join(made)

    def _length(self, body: _Body) -> int:
        return min(len(body.left), self.window, body.window, self.largest_frame)

    def resize(self, initial: int) -> None:
        """Take INITIAL_WINDOW_SIZE, also for the streams there are; their windows may become negative (6.9.2)."""
        for body in self._waiting.values():
            body.window += initial - self._initial
            if body.window > LARGEST_NUMBER:
                raise Broken(Code.FLOW_CONTROL_ERROR)
        self._initial = initial
        self.whole = min(initial, self.largest_frame)
        self._may_send = True

    def reframe(self, largest: int) -> None:
        """Take MAX_FRAME_SIZE."""
        self.largest_frame = min(largest, AT_ONCE)
        self.whole = min(self._initial, self.largest_frame)

    def widen(self, increment: int) -> None:
        """Take WINDOW_UPDATE of the connection."""
        if not increment:
            raise Broken(Code.PROTOCOL_ERROR)
        self.window += increment
        if self.window > LARGEST_NUMBER:
            raise Broken(Code.FLOW_CONTROL_ERROR)

    def widen_stream(self, stream: int, increment: int) -> bool:
        """Take WINDOW_UPDATE of a stream; False if it is more than a window can be, an error of that stream."""
        body = self._waiting.get(stream)
        if body is None:
            return True
        body.window += increment
        self._may_send = True
        return body.window <= LARGEST_NUMBER
