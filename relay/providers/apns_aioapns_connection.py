"""One HTTP/2 connection to APNs: aioapns' protocol with its faults repaired.

Answers are matched by stream, not by apns-id. Received bodies are acknowledged, so that the window never closes. No request leaves
before the peer's SETTINGS, since until then its limit of streams is not known; requests beyond that limit or beyond the send window
wait their turn. What is asked for in one turn of the loop leaves in one write.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aioapns.connection import APNsTLSClientProtocol
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
from hpack import NeverIndexedHeaderTuple

from relay.http2 import LARGEST_ANSWER, Fault, Field, Request, Response
from relay.providers.coroutines import Failed

LARGEST_STREAMS: Final = 1_000

_METHOD: Final = (b":method", b"POST")
_SCHEME: Final = (b":scheme", b"https")


@dataclass(slots=True)
class _Exchange:
    done: asyncio.Future[Response]
    status: int = 0
    headers: tuple[Field, ...] = ()
    body: bytearray = field(default_factory=bytearray, repr=False)


class ApnsConnection(APNsTLSClientProtocol):
    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_closed: Callable[["ApnsConnection", Fault], None]
    ) -> None:
        super().__init__(apns_topic="", loop=loop)
        # Our headers are all of checked forms and in the right order; checking them again costs a sixth of a push.
        self.conn = H2Connection(
            H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self._on_closed = on_closed
        self._open: dict[int, _Exchange] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._streams = 0
        self._greeted = False
        self._closed: Fault | None = None
        self._flushing = False
        self._heard_at = 0.0
        self.ready: asyncio.Future[None] = loop.create_future()

    @property
    def is_ready(self) -> bool:
        return self._greeted and self._closed is None

    @property
    def is_busy(self) -> bool:
        return len(self._open) >= self._streams

    @property
    def load(self) -> int:
        return len(self._open) + len(self._waiters)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        if tls is None or tls.selected_alpn_protocol() != "h2":
            self._fail(Fault.PROTOCOL)
            transport.close()
            return
        super().connection_made(transport)

    def refresh_inactivity_timer(self) -> None:
        # aioapns closes after ten seconds, even under a slow request. Apple wants connections kept.
        return

    async def post(self, request: Request) -> Response:
        """One exchange. Raises `Failed`."""
        await self._room(len(request.body))
        stream = self.conn.get_next_available_stream_id()
        # The path holds the token, which must not stay in a header table.
        path = NeverIndexedHeaderTuple(b":path", request.path)
        authority, *repeating = request.repeating
        self.conn.send_headers(stream, [_METHOD, _SCHEME, authority, path, *repeating, *request.varying])
        self.conn.send_data(stream, request.body, end_stream=True)
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
        if self._closed is not None:
            raise Failed(Fault.GOAWAY if self._closed is Fault.GOAWAY else Fault.CONNECTION_LOST)
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
        if self._closed is not None or stream not in self._open:
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
        if self._closed is not None or self.transport is None:
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
            self.close(Fault.PROTOCOL)
            return
        self.flush()

    def _take(self, event: Event) -> None:
        match event:
            case ResponseReceived():
                self._read_head(event)
            case DataReceived():
                self._read_data(event)
            case StreamEnded(stream_id=int(stream)):
                self._answer(stream)
            case StreamReset(stream_id=int(stream)):
                self._break(stream, Fault.STREAM_RESET)
            case RemoteSettingsChanged():
                self._read_settings()
            case WindowUpdated():
                self._wake_all()
            case ConnectionTerminated(last_stream_id=last):
                for stream in [stream for stream in self._open if stream > (last or 0)]:
                    self._break(stream, Fault.GOAWAY)
                self.close(Fault.GOAWAY)

    def _read_settings(self) -> None:
        self._streams = min(self.conn.remote_settings.max_concurrent_streams, LARGEST_STREAMS)
        self._greeted = True
        if not self.ready.done():
            self.ready.set_result(None)
        self._wake_all()

    def _answer(self, stream: int) -> None:
        exchange = self._open.get(stream)
        if exchange is not None and not exchange.done.done():
            exchange.done.set_result(Response(exchange.status, exchange.headers, bytes(exchange.body)))

    def _break(self, stream: int, fault: Fault) -> None:
        exchange = self._open.get(stream)
        if exchange is not None and not exchange.done.done():
            exchange.done.set_exception(Failed(fault))

    def _read_head(self, event: ResponseReceived) -> None:
        exchange = self._open.get(event.stream_id or 0)
        if exchange is not None:
            headers = tuple((bytes(name), bytes(value)) for name, value in event.headers or ())
            exchange.status = int(dict(headers).get(b":status", b"0"))
            exchange.headers = tuple(pair for pair in headers if not pair[0].startswith(b":"))

    def _read_data(self, event: DataReceived) -> None:
        stream = event.stream_id or 0
        # aioapns never gives the window back: after 64 KiB of error bodies the peer could send no more.
        self.conn.acknowledge_received_data(event.flow_controlled_length or 0, stream)
        exchange = self._open.get(stream)
        if exchange is not None and len(exchange.body) < LARGEST_ANSWER:
            exchange.body += (event.data or b"")[: LARGEST_ANSWER - len(exchange.body)]

    def close(self, fault: Fault = Fault.CONNECTION_LOST) -> None:
        self._fail(fault)
        if self.transport is not None:
            # What is still buffered has been given up, and a dead peer would never take it.
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the protocol's signature
        self._fail(Fault.CONNECTION_LOST)

    def _fail(self, fault: Fault) -> None:
        """End everything that is under way. What a GOAWAY leaves open may have been processed: the connection is lost to it."""
        if self._closed is not None:
            return
        self._closed = fault
        self._on_closed(self, fault)
        if not self.ready.done():
            self.ready.set_exception(Failed(fault))
            self.ready.exception()  # it may be that nobody waits any more
        for stream in tuple(self._open):
            self._break(stream, Fault.CONNECTION_LOST if fault is Fault.GOAWAY else fault)
        self._wake_all()
