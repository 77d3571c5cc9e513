"""One HTTP/2 connection to a simulated provider, whichever: requests go in, replies go out, faults are in `http2_faults`.

It is driven by h2, which judges the client, but for the number of its streams: one too many is refused, as RFC 9113,
section 5.1.2 wants it, and does not end the connection. All answers to what came in one read
leave in one write.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from simulator.exchange import Exchange
from simulator.http2_faults import Wire, fail, greet
from simulator.http2_frames import go_away
from simulator.http2_judge import Judge, Streams
from simulator.http2_replies import Replies
from simulator.requests import Outcome, Pairs, Request, Told


@dataclass
class _Incoming:
    headers: Pairs
    body: bytearray = field(default_factory=bytearray)


class Http2Connection(asyncio.Protocol, ABC):
    """`provider` is whose scripts meet its requests; of a body, more than `largest` bytes are counted but not kept.

    `processed` is the highest stream that was answered or failed so far: no GOAWAY may deny it.
    """

    def __init__(
        self,
        exchange: Exchange,
        provider: str,
        streams: Streams,
        connections: "set[Http2Connection]",
        *,
        largest: int,
    ) -> None:
        self._exchange = exchange
        self._provider = provider
        self._streams = streams
        self._connections = connections
        self._largest = largest
        self._http2 = Judge()
        self._incoming: dict[int, _Incoming] = {}
        self.replies = Replies(self._http2, write=self.write, ended=self._forget)
        self._open: set[int] = set()
        self._wire = Wire()
        self._timers: set[asyncio.TimerHandle] = set()
        self._transport: asyncio.Transport
        self._lost: asyncio.Future[None]
        self.number = next(exchange.connections)
        self.processed = 0

    @abstractmethod
    def answer(self, request: Request) -> Outcome:
        """Judge a whole request, and record it."""

    @abstractmethod
    def pass_over(self, request: Request, reason: str) -> None:
        """Record a request that the connection does not process."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._lost = asyncio.get_running_loop().create_future()
        self._connections.add(self)
        tls = self._transport.get_extra_info("ssl_object")
        if tls is None or tls.selected_alpn_protocol() != "h2":
            self._transport.abort()
            return
        greet(self, self._exchange.scripts.take_connection(self._provider, handshake=False))
        self.flush()

    def begin(self) -> None:
        """Send the first SETTINGS."""
        self._http2.begin(self._streams.before_token or self._streams.limit)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._connections.discard(self)
        for timer in self._timers:
            timer.cancel()
        self._lost.set_result(None)

    async def goodbye(self) -> None:
        if self._wire.silent:
            self._transport.abort()
        else:
            self.go_away(self.highest, ErrorCodes.NO_ERROR, b'{"reason": "Shutdown"}')
            self._transport.close()
        await asyncio.wait([self._lost], timeout=1)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._wire.silent:
            return
        try:
            for event in self._http2.receive_data(data):
                self._take(event)
                if self._wire.silent:
                    return
        except ProtocolError as error:
            self._exchange.violations.append(f"{type(error).__name__}: {error}")
            self.hang_up()
            return
        self.flush()

    def flush(self) -> None:
        self.write(b"")

    def write(self, data: bytes) -> None:
        """Write past h2, after what it has to send."""
        data = self._http2.data_to_send() + data
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(stream), headers=headers):
                self._admit(stream, tuple(cast("list[tuple[str, str]]", headers)))
            case DataReceived(stream_id=int(stream), data=data, flow_controlled_length=int(length)):
                self._wire.took(self._http2, length, stream)
                self._keep(stream, data or b"")
            case StreamEnded(stream_id=int(stream)):
                self._respond(stream)
            case StreamReset(stream_id=int(stream)):
                self._forget(stream)
            case WindowUpdated() | RemoteSettingsChanged():
                self.replies.go_on()
            case ConnectionTerminated():
                self.flush()
                self._transport.close()

    def _admit(self, stream: int, headers: Pairs) -> None:
        if self._wire.last is not None and stream > self._wire.last:
            self.pass_over(Request(headers, b"", self.number), "after_goaway")
        elif len(self._open) >= self._http2.local_settings.max_concurrent_streams:
            self.pass_over(Request(headers, b"", self.number), "over_limit")
            self._http2.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
        else:
            self._open.add(stream)
            self._incoming[stream] = _Incoming(headers)

    def _keep(self, stream: int, data: bytes) -> None:
        incoming = self._incoming.get(stream)
        if incoming is not None and len(incoming.body) <= self._largest:
            incoming.body += data

    def _respond(self, stream: int) -> None:
        incoming = self._incoming.pop(stream, None)
        if incoming is None:
            return  # it was passed over
        outcome = self.answer(Request(incoming.headers, bytes(incoming.body), self.number))
        if isinstance(outcome, Told):
            fail(self, stream, outcome)
        else:
            self.replies.send(stream, outcome)
        self.processed = max(self.processed, stream)

    def is_open(self, stream: int) -> bool:
        return stream in self._open

    def _forget(self, stream: int) -> None:
        self._open.discard(stream)
        self._incoming.pop(stream, None)
        self.replies.drop(stream)
        if self._wire.closing and not self._open:
            self.hang_up()

    def give_up(self, stream: int) -> None:
        """Never answer it."""
        self._forget(stream)

    def reset(self, stream: int, code: ErrorCodes) -> None:
        self._http2.reset_stream(stream, code)
        self._forget(stream)

    def go_away(self, last: int, code: int, debug: bytes) -> None:
        """Write GOAWAY past h2, which would take nothing more in after it."""
        self.write(go_away(max(last, 0), code, debug))

    def process_up_to(self, last: int) -> None:
        """Ignore the streams after this one, those too that have begun."""
        self._wire.last = last
        for stream in [one for one in self._incoming if one > last]:
            incoming = self._incoming.pop(stream)
            self._open.discard(stream)
            self.pass_over(Request(incoming.headers, b"", self.number), "after_goaway")

    @property
    def highest(self) -> int:
        return int(self._http2.highest_inbound_stream_id)

    def close_when_done(self) -> None:
        self._wire.closing = True
        if not self._open:
            self.hang_up()

    def change(self, settings: Mapping[SettingCodes, int]) -> Mapping[SettingCodes, int]:
        """Send new SETTINGS; gives what they were."""
        before = {code: self._http2.local_settings[code] for code in settings}
        self._http2.update_settings({int(code): value for code, value in settings.items()})
        return before

    def stall(self) -> None:
        self._wire.owed = []

    def resume(self) -> None:
        """Read and give window again."""
        owed, self._wire.owed = self._wire.owed or [], None
        for length, stream in owed:
            self._http2.acknowledge_received_data(length, stream)

    def mute(self) -> None:
        self.flush()
        self._wire.silent = True
        self._transport.pause_reading()

    def unmute(self) -> None:
        self._wire.silent = False
        self._transport.resume_reading()

    def silence(self) -> None:
        """Say nothing more."""
        self.flush()
        self._wire.silent = True

    def hang_up(self) -> None:
        self.silence()
        self._transport.close()

    def drop(self) -> None:
        self._wire.silent = True
        self._transport.abort()

    def later(self, delay: float, action: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            if not self._transport.is_closing():
                action()
                self.flush()

        timer = asyncio.get_running_loop().call_later(delay, run)
        self._timers.add(timer)
