"""One HTTP/2 connection to APNs: aioapns' protocol with its faults repaired.

Answers are matched by stream, not by apns-id, and an exchange ends whatever the peer does: with its answer, a
reset, GOAWAY, a lost connection, or the caller's deadline, which resets the stream. Received bodies are
acknowledged, so that the window never closes. A connection that was told to go away, or from which nothing
came while a deadline passed, is left at once. Nothing is ever sent again from here: whoever sends decides
that. No request leaves before the peer's SETTINGS, since until then its limit of streams is not known;
requests beyond that limit or beyond the send window wait their turn. What is asked for in one turn of the
loop leaves in one write.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from aioapns.connection import APNsTLSClientProtocol
from aioapns.exceptions import ConnectionClosed
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

LARGEST_ANSWER: Final = 4_096
LARGEST_STREAMS: Final = 1_000

HeaderList = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class Answer:
    """`body` is cut at `LARGEST_ANSWER`: Apple's are under a hundred bytes."""

    status: int = 0
    retry_after: str | None = None
    body: bytearray = field(default_factory=bytearray, repr=False)


@dataclass(slots=True)
class _Exchange:
    done: asyncio.Future[Answer]
    answer: Answer = field(default_factory=Answer)


class ApnsConnection(APNsTLSClientProtocol):
    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_closed: "Callable[[ApnsConnection], None]"
    ) -> None:
        super().__init__(apns_topic="", loop=loop)
        # Our headers are all of checked forms and in the right order; checking them again costs a sixth of a
        # push.
        self.conn = H2Connection(
            H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self._on_closed = on_closed
        self._open: dict[int, _Exchange] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._streams = 0
        self._closed = False
        self._flushing = False
        self._heard_at = 0.0
        self.ready: asyncio.Future[None] = loop.create_future()

    @property
    def usable(self) -> bool:
        return not self._closed

    @property
    def is_busy(self) -> bool:
        return len(self._open) >= self._streams

    @property
    def load(self) -> int:
        return len(self._open) + len(self._waiters)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        if tls is None or tls.selected_alpn_protocol() != "h2":
            self._fail(ConnectionClosed("the peer does not speak HTTP/2"))
            transport.close()
            return
        super().connection_made(transport)

    def refresh_inactivity_timer(self) -> None:
        # aioapns closes after ten seconds, even under a slow request. Apple wants connections kept.
        return

    async def post(self, headers: HeaderList, body: bytes) -> Answer:
        """One request. Raises `ConnectionClosed` where it cannot be known what became of it."""
        await self._room(len(body))
        stream = self.conn.get_next_available_stream_id()
        self.conn.send_headers(stream, headers)
        self.conn.send_data(stream, body, end_stream=True)
        exchange = self._open[stream] = _Exchange(self.loop.create_future())
        sent_at = self.loop.time()
        self._flush_soon()
        try:
            return await exchange.done
        except asyncio.CancelledError:
            self._give_up(stream, sent_at)
            raise
        finally:
            self._open.pop(stream, None)
            self._wake_one()

    async def _room(self, length: int) -> None:
        """Wait until the peer lets another stream with this much data begin."""
        while not self._has_room(length):
            waiter = self.loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                self._wake_one()  # the turn that may have come is passed on
                raise

    def _has_room(self, length: int) -> bool:
        if self._closed:
            raise ConnectionClosed("closed")
        window = min(self.conn.outbound_flow_control_window, self.conn.remote_settings.initial_window_size)
        return len(self._open) < self._streams and window >= length

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _wake_all(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def _give_up(self, stream: int, sent_at: float) -> None:
        if self._closed or stream not in self._open:
            return
        if self._heard_at < sent_at:
            # Nothing at all since this was sent: the connection is dead, whatever TCP believes.
            self.close()
            return
        try:
            self.conn.reset_stream(stream, ErrorCodes.CANCEL)
        except ProtocolError:
            return  # it ended in this very moment
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        self._flushing = False
        if self._closed or self.transport is None:
            return
        data = self.conn.data_to_send()
        if data:
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        try:
            for event in self.conn.receive_data(data):
                self._take(event)
        except (ProtocolError, ValueError):
            self.close()
            return
        self.flush()

    def _take(self, event: Event) -> None:
        match event:
            case ResponseReceived():
                self._read_head(event)
            case DataReceived():
                self._read_data(event)
            case StreamEnded(stream_id=int(stream)) | StreamReset(stream_id=int(stream)):
                self._end(stream, answered=isinstance(event, StreamEnded))
            case RemoteSettingsChanged():
                self._read_settings()
            case WindowUpdated():
                self._wake_all()
            case ConnectionTerminated():
                self.close()

    def _read_settings(self) -> None:
        self._streams = min(self.conn.remote_settings.max_concurrent_streams, LARGEST_STREAMS)
        if not self.ready.done():
            self.ready.set_result(None)
        self._wake_all()

    def _end(self, stream: int, *, answered: bool) -> None:
        exchange = self._open.get(stream)
        if exchange is None or exchange.done.done():
            return
        if answered:
            exchange.done.set_result(exchange.answer)
        else:
            exchange.done.set_exception(ConnectionClosed("the stream was reset"))

    def _read_head(self, event: ResponseReceived) -> None:
        exchange = self._open.get(event.stream_id or 0)
        if exchange is None:
            return
        headers = {bytes(name): bytes(value) for name, value in event.headers or ()}
        exchange.answer.status = int(headers.get(b":status", b"0"))
        if b"retry-after" in headers:
            exchange.answer.retry_after = headers[b"retry-after"].decode("latin-1")

    def _read_data(self, event: DataReceived) -> None:
        stream = event.stream_id or 0
        # aioapns never gives the window back: after 64 KiB of error bodies the peer could send no more.
        self.conn.acknowledge_received_data(event.flow_controlled_length or 0, stream)
        exchange = self._open.get(stream)
        if exchange is not None and len(exchange.answer.body) < LARGEST_ANSWER:
            exchange.answer.body += (event.data or b"")[:LARGEST_ANSWER]

    def close(self) -> None:
        self._fail(ConnectionClosed("closed"))
        if self.transport is not None:
            # What is still buffered has been given up, and a dead peer would never take it.
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionClosed("lost" if exc is None else type(exc).__name__))

    def _fail(self, error: ConnectionClosed) -> None:
        if self._closed:
            return
        self._closed = True
        self._on_closed(self)
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # it may be that nobody waits any more
        for exchange in self._open.values():
            if not exchange.done.done():
                exchange.done.set_exception(error)
        self._wake_all()
