"""Replies on one HTTP/2 connection: header blocks at once, bodies as far as the peer's flow-control windows let them go.

A reply without a body ends in its HEADERS frame, as Apple's do, so a client that waits for DATA hangs here as it would
there. A stream counts as open until its reply has gone out whole.
"""

from collections.abc import Callable
from dataclasses import dataclass

from h2.connection import H2Connection

from simulator.requests import Pairs, Reply


@dataclass
class _Outgoing:
    """What of a body is not sent yet; `whole` once no more of it will come."""

    body: bytearray
    whole: bool
    padding: int = 0
    trailers: Pairs = ()


class Replies:
    """`write` flushes what h2 has to send and then writes what it is given; `ended` is told of each finished stream."""

    def __init__(
        self, http2: H2Connection, *, write: Callable[[bytes], None], ended: Callable[[int], None]
    ) -> None:
        self._http2 = http2
        self._write = write
        self._ended = ended
        self._outgoing: dict[int, _Outgoing] = {}

    def send(self, stream: int, reply: Reply, *, trailers: Pairs = ()) -> None:
        if not reply.body and not trailers:
            self._send_headers(stream, reply, end=True)
            self._ended(stream)
            return
        self.begin(stream, reply)
        self._outgoing[stream].trailers = trailers
        self.add(stream, reply.body, end=True)

    def begin(self, stream: int, reply: Reply) -> None:
        """Send the headers of a reply; its body comes by `add`."""
        self._send_headers(stream, reply, end=False)
        self._outgoing[stream] = _Outgoing(bytearray(), whole=False)

    def add(self, stream: int, data: bytes, *, end: bool) -> None:
        outgoing = self._outgoing[stream]
        outgoing.body += data
        outgoing.whole = end
        self._send_body(stream, outgoing)

    def interim(self, stream: int) -> None:
        self._http2.send_headers(stream, [(":status", "103"), ("link", "</>; rel=preload")])

    def send_reshaped(
        self, stream: int, reply: Reply, shape: Callable[[bytes], bytes], *, padding: int
    ) -> None:
        """Send the HEADERS frame that `shape` makes of h2's, then the body in frames with `padding`."""
        self._write(b"")
        self._send_headers(stream, reply, end=not reply.body)
        self._write(shape(self._http2.data_to_send()))
        if not reply.body:
            self._ended(stream)
            return
        self._outgoing[stream] = _Outgoing(bytearray(), whole=False, padding=padding)
        self.add(stream, reply.body, end=True)

    def drop(self, stream: int) -> None:
        self._outgoing.pop(stream, None)

    def go_on(self) -> None:
        """Send what the windows held back and now let go."""
        for stream, outgoing in tuple(self._outgoing.items()):
            self._send_body(stream, outgoing)

    def _send_headers(self, stream: int, reply: Reply, *, end: bool) -> None:
        self._http2.send_headers(stream, [(":status", str(reply.status)), *reply.headers], end_stream=end)

    def _send_body(self, stream: int, outgoing: _Outgoing) -> None:
        while (size := self._room(stream, outgoing)) is not None:
            last = outgoing.whole and size == len(outgoing.body)
            chunk = bytes(outgoing.body[:size])
            del outgoing.body[:size]
            self._http2.send_data(
                stream,
                chunk,
                end_stream=last and not outgoing.trailers,
                pad_length=outgoing.padding or None,
            )
            if last:
                self._finish(stream, outgoing)
                return

    def _room(self, stream: int, outgoing: _Outgoing) -> int | None:
        """How many bytes may go into the next DATA frame; None where none can be sent."""
        extra = outgoing.padding + 1 if outgoing.padding else 0
        window = self._http2.local_flow_control_window(stream) - extra
        size = min(window, self._http2.max_outbound_frame_size - extra, len(outgoing.body))
        ends = outgoing.whole and not outgoing.body  # a frame without data, which any window lets go
        return size if size > 0 or (ends and window >= 0) else None

    def _finish(self, stream: int, outgoing: _Outgoing) -> None:
        if outgoing.trailers:
            self._http2.send_headers(stream, outgoing.trailers, end_stream=True)
        self._ended(stream)
