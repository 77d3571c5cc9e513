"""One HTTP/2 connection as a client (RFC 9113): requests in, answers out, by callbacks.

There is no task, future, timer or object for a frame or a request. A request is a number in a dictionary until its answer
comes; what is asked for in one turn of the loop leaves in one write; the commonest answer, a 200 without a body, is read in
the loop over the frames. We allow the peer no dynamic table, so that no header block depends on another.

Invariants: no request leaves before the peer's SETTINGS. Each request is in `_open` exactly until it has ended or gone back
to the owner. A stream that we reset counts against the peer's limit until the peer must know (its own end of the stream, or
a PING that it answered after the reset). Everything is bounded: our streams, what the peer may send (windows, header blocks,
and patience, for frames that bring no answer nearer), and what is written (when the peer reads slowly, no stream is begun).
A connection leaves once: the owner gets one `left`, from then on no request is taken; `closed` follows when all have ended.
"""

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol, cast

from relay.hpack_encoder import Encoder, list_size
from relay.http2 import LARGEST_BLOCK, Fault, Request, Response, finish
from relay.http2_answers import STREAM_WINDOW, Answer, Fragments, Malformed, check_trailers, read_head
from relay.http2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEAD_LENGTH,
    HEADERS,
    LARGEST_FRAME,
    LARGEST_NUMBER,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Broken,
    Code,
    Setting,
    frame,
    goaway,
    headers,
    read_code,
    read_last_stream,
    read_number,
    read_settings,
    rst_stream,
    settings,
    unpadded,
    window_update,
)
from relay.http2_sending import Outflow

STREAMS: Final = 1_000
"""We never have more than this open on one connection, whatever the peer allows."""
WINDOW: Final = 1_048_576
"""How much DATA the peer may have under way on the connection; kept bodies are far smaller."""
PATIENCE: Final = 20_000
"""How many frames that bring no answer nearer a peer may send at once; each request earns it some, and so does time."""

_EARNED: Final = 10
_WRITE_AT: Final = 65_536
_PAUSE_AT: Final = 131_072
_UNLIMITED: Final = 2**32 - 1
_ACKNOWLEDGED: Final = frame(SETTINGS, ACK, 0)
_HELLO: Final = (
    PREFACE
    + settings(
        {
            Setting.HEADER_TABLE_SIZE: 0,
            Setting.ENABLE_PUSH: 0,
            Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            Setting.MAX_HEADER_LIST_SIZE: LARGEST_BLOCK,
        }
    )
    + window_update(0, WINDOW - DEFAULT_WINDOW)
)
_FAST = END_STREAM | END_HEADERS
_OK = 0x88  # :status 200 in one byte


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds.

    A connection from which nothing has come for `silence` while answers are due, or for `keepalive` while none are, is asked
    with a PING. Without an answer no request is begun on it after `doubt`, and it is given up after `patience`.
    """

    tick: float = 0.1
    dial: float = 5.0
    keepalive: float = 60.0
    silence: float = 2.0
    doubt: float = 1.0
    patience: float = 4.0
    first_backoff: float = 0.1
    longest_backoff: float = 10.0
    goodbye: float = 1.0


TIMING: Final = Timing()


class Owner(Protocol):
    def freed(self) -> None:
        """Hear that there may be room for another request."""

    def again(self, requests: list[Request]) -> None:
        """Take back what was certainly not processed."""

    def left(self, connection: "Connection", fault: Fault) -> None:
        """Hear that it takes no request any more; those under way may still end."""

    def closed(self, connection: "Connection") -> None:
        """Hear that its socket is gone."""


class Connection(asyncio.Protocol):
    """`greeted` is done when requests may be sent, or with the fault that came before. `served`: a request was answered."""

    def __init__(self, owner: Owner, timing: Timing) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._timing = timing
        self._transport: asyncio.Transport | None = None
        self._encoder = Encoder()
        self._outflow = Outflow()
        self._open: dict[int, Request] = {}
        self._answers: dict[int, Answer] = {}
        self._resets: set[int] = set()
        self._highest_over = 0
        self._fragments: Fragments | None = None
        self._next = 1
        self._written = 1
        self._limit = 0
        self._peer_limit = _UNLIMITED
        self._peer_list = _UNLIMITED
        self._out: list[bytes] = []
        self._out_size = 0
        self._paused = False
        self._rest = b""
        self._received = 0
        self._patience = PATIENCE
        self._earned_at = 1
        self._heard_at = self._idle_at = self._loop.time()
        self._pings = 0
        self._asked_at: float | None = None
        self._covered: frozenset[int] = frozenset()
        self._left = False
        self._ended = False
        self.served = False
        self.greeted: asyncio.Future[Fault | None] = self._loop.create_future()

    @property
    def in_flight(self) -> int:
        return len(self._open)

    @property
    def has_left(self) -> bool:
        return self._left

    def has_room(self) -> bool:
        return (
            len(self._open) + len(self._resets) < self._limit
            and self._outflow.window > 0
            and not self._paused
        )

    def start(self, request: Request) -> None:
        """Begin a request; only where there is room."""
        if self._peer_list < _UNLIMITED and list_size(request) > self._peer_list:
            finish(request, Fault.PROTOCOL)  # section 6.5.2: it would only be refused
            return
        block = self._encoder.block(request)
        body = request.body
        length = len(body)
        stream = self._next
        self._next = stream + 2
        self._open[stream] = request
        request.attempts += 1
        outflow = self._outflow
        if 0 < length <= outflow.whole and length <= outflow.window and len(block) <= LARGEST_FRAME:
            outflow.window -= length
            self._out += (
                HEAD.pack(len(block) << 8 | HEADERS, END_HEADERS, stream),
                block,
                HEAD.pack(length << 8 | DATA, END_STREAM, stream),
                body,
            )
        else:
            self._out.append(headers(stream, block, end=not length, largest=outflow.largest_frame))
            if length:
                self._out.append(outflow.begin(stream, body))
        self._out_size += len(block) + length
        if self._out_size > _WRITE_AT:
            self.flush()  # now, so that a peer that reads slowly is noticed within this turn
        if self._next > LARGEST_NUMBER:
            self._leave(Fault.GOAWAY)  # section 5.1.1: numbers are never used again

    def flush(self) -> None:
        """Write what was asked for, and give back the window for what was read."""
        if self._ended or self._transport is None:
            return
        if self._received >= WINDOW // 2:
            self._out.append(window_update(0, self._received))
            self._received = 0
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            self._out_size = 0
            self._written = self._next
            self._transport.write(data)

    def tick(self, now: float) -> None:
        """Do what time asks for: deadlines, PINGs, leaving at last."""
        if self._ended:
            return
        self._patience = min(PATIENCE, self._patience + _EARNED + 5 * (self._next - self._earned_at))
        self._earned_at = self._next
        for stream in [stream for stream, request in self._open.items() if request.deadline <= now]:
            self._give_up(stream, Code.CANCEL, Fault.TIMEOUT)
        self._look_after(now)
        self._go_when_done()
        self.flush()

    def close(self) -> None:
        """Say goodbye; what is under way ends as `CLOSED`."""
        self._out.append(goaway(Code.NO_ERROR))
        self.flush()
        self._end(Fault.CLOSED)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is None or tls.selected_alpn_protocol() != "h2":
            self._end(Fault.PROTOCOL)
            return
        self._transport.set_write_buffer_limits(high=_PAUSE_AT)
        self._out.append(_HELLO)
        self.flush()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._owner.freed()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever the reason is
        self._end(Fault.CONNECTION_LOST)
        self._owner.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._heard_at = self._loop.time()
        try:
            self._read(self._rest + data if self._rest else data)
            self._out.append(self._outflow.more())
        except Broken as broken:
            self._out.append(goaway(broken.code))
            self.flush()
            self._end(Fault.PROTOCOL)
            return
        self._go_when_done()
        self.flush()
        self._owner.freed()

    def _read(self, data: bytes) -> None:
        unpack, opened = HEAD.unpack_from, self._open
        at, end = 0, len(data)
        while end - at >= HEAD_LENGTH:
            head, flags, stream = unpack(data, at)
            start = at + HEAD_LENGTH
            following = start + (head >> 8)
            if following - start > LARGEST_FRAME:
                raise Broken(Code.FRAME_SIZE_ERROR)
            if following > end:
                break
            at = following
            if (
                head & 0xFF == HEADERS
                and flags == _FAST
                and start < following
                and data[start] == _OK
                and stream in opened
                and stream not in self._answers
                and stream not in self._outflow
                and self._fragments is None
            ):
                self.served = True
                finish(opened.pop(stream), Response(200, block=data[start:following]))
            else:
                self._take(head & 0xFF, flags, stream & LARGEST_NUMBER, data[start:following])
                if self._ended:
                    return
        self._rest = data[at:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._fragments is not None and kind != CONTINUATION:
            raise Broken(Code.PROTOCOL_ERROR)  # section 6.10: nothing may come in between
        if not self.greeted.done() and (kind != SETTINGS or flags & ACK):
            raise Broken(Code.PROTOCOL_ERROR)  # section 3.4: the peer's preface is its SETTINGS
        handler = self._HANDLERS.get(kind)
        if handler is None:
            self._spend(len(payload))  # section 4.1: unknown types are ignored
        else:
            handler(self, flags, stream, payload)

    # One method for each type of frame.

    def _on_data(self, flags: int, stream: int, payload: bytes) -> None:
        self._check_stream(stream)
        end = bool(flags & END_STREAM)
        self._received += len(payload)
        if self._received > WINDOW:
            raise Broken(Code.FLOW_CONTROL_ERROR)
        data = unpadded(flags & ~0x20, payload)
        if stream not in self._open:
            self._take_late(stream, len(payload), end=end)
            return
        if not data and not end:
            self._spend(0)
        answer = self._answers.get(stream)
        try:
            if answer is None:
                raise Malformed  # noqa: TRY301 - as any other
            enough = answer.take(data, len(payload))
        except Malformed:
            self._give_up(stream, Code.PROTOCOL_ERROR, Fault.PROTOCOL)
            return
        if end or enough:
            self._answered(stream, answer.end(), ended=end)

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> None:
        self._check_stream(stream)
        block, end = unpadded(flags, payload), bool(flags & END_STREAM)
        if flags & END_HEADERS:
            self._on_block(stream, block, end=end)
        else:
            self._fragments = Fragments(stream, end=end)
            self._fragments.add(block)

    def _on_continuation(self, flags: int, stream: int, payload: bytes) -> None:
        fragments = self._fragments
        if fragments is None or fragments.stream != stream:
            raise Broken(Code.PROTOCOL_ERROR)
        block = fragments.add(payload)
        if flags & END_HEADERS:
            self._fragments = None
            self._on_block(stream, block, end=fragments.end)

    def _on_block(self, stream: int, block: bytes, *, end: bool) -> None:
        if stream not in self._open:
            self._take_late(stream, len(block), end=end)
            return
        answer = self._answers.get(stream)
        try:
            if answer is not None:
                check_trailers(block, end=end)
                self._answered(stream, answer.end(), ended=True)
            elif (response := read_head(block, end=end)) is None:
                self._spend(len(block))
            elif end:
                self._answered(stream, response, ended=True)
            else:
                self._answers[stream] = Answer(response)
        except Malformed:
            self._give_up(stream, Code.PROTOCOL_ERROR, Fault.PROTOCOL)

    def _on_priority(self, flags: int, stream: int, payload: bytes) -> None:  # noqa: ARG002 - one form for all
        if not stream:
            raise Broken(Code.PROTOCOL_ERROR)
        if len(payload) != 5:  # noqa: PLR2004 - section 6.3
            raise Broken(Code.FRAME_SIZE_ERROR)
        self._spend(0)

    def _on_rst_stream(self, flags: int, stream: int, payload: bytes) -> None:  # noqa: ARG002 - one form for all
        self._check_stream(stream)
        code = read_code(payload)
        self._spend(0)
        self._resets.discard(stream)
        begun = stream in self._answers
        request = self._forget(stream)
        if request is None:
            return
        if code == Code.REFUSED_STREAM and not begun:
            self._owner.again([request])
        else:
            finish(request, Fault.STREAM_RESET)

    def _on_settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise Broken(Code.PROTOCOL_ERROR)
        if flags & ACK and payload:
            raise Broken(Code.FRAME_SIZE_ERROR)
        self._spend(len(payload))
        if flags & ACK:
            return
        for setting, value in read_settings(payload):
            self._set(setting, value)
        self._out.append(_ACKNOWLEDGED)
        if not self.greeted.done():
            self.greeted.set_result(None)
        self._set_limit()

    def _set(self, setting: int, value: int) -> None:
        match setting:
            case Setting.HEADER_TABLE_SIZE:
                self._encoder.limit(value)
            case Setting.MAX_CONCURRENT_STREAMS:
                self._peer_limit = value
            case Setting.INITIAL_WINDOW_SIZE:
                self._outflow.resize(value)
            case Setting.MAX_FRAME_SIZE:
                self._outflow.reframe(value)
            case Setting.MAX_HEADER_LIST_SIZE:
                self._peer_list = value

    def _on_push_promise(self, flags: int, stream: int, payload: bytes) -> None:  # noqa: ARG002 - one form for all
        raise Broken(Code.PROTOCOL_ERROR)  # section 6.6: we do not allow it

    def _on_ping(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise Broken(Code.PROTOCOL_ERROR)
        if len(payload) != 8:  # noqa: PLR2004 - section 6.7
            raise Broken(Code.FRAME_SIZE_ERROR)
        self._spend(0)
        if not flags & ACK:
            self._out.append(frame(PING, ACK, 0, payload))
        elif self._asked_at is not None and payload == self._pings.to_bytes(8, "big"):
            self._asked_at = None
            self._resets -= self._covered
            self._set_limit()

    def _on_goaway(self, flags: int, stream: int, payload: bytes) -> None:  # noqa: ARG002 - one form for all
        if stream:
            raise Broken(Code.PROTOCOL_ERROR)
        last = read_last_stream(payload)
        self._spend(len(payload))
        self._leave(Fault.GOAWAY)
        gone = [number for number in self._open if number > last]
        if gone:
            self._highest_over = max(self._highest_over, gone[-1])
            self._owner.again([request for number in gone if (request := self._forget(number))])

    def _on_window_update(self, flags: int, stream: int, payload: bytes) -> None:  # noqa: ARG002 - one form for all
        increment = read_number(payload)
        self._spend(0)
        if not stream:
            if not increment:
                raise Broken(Code.PROTOCOL_ERROR)
            self._outflow.widen(increment)
            return
        self._check_stream(stream)
        if stream not in self._open:
            return
        if not increment:
            self._give_up(stream, Code.PROTOCOL_ERROR, Fault.PROTOCOL)
        elif not self._outflow.widen_stream(stream, increment):
            self._give_up(stream, Code.FLOW_CONTROL_ERROR, Fault.PROTOCOL)

    # How streams and the connection end.

    def _check_stream(self, stream: int) -> None:
        """Refuse frames on streams that we never opened, ours or the peer's (section 5.1)."""
        if not stream & 1 or stream >= self._next:
            raise Broken(Code.PROTOCOL_ERROR)

    def _take_late(self, stream: int, length: int, *, end: bool) -> None:
        """Take a frame of a stream that is over: it may have been under way when we ended it, never when the peer did."""
        if stream > self._highest_over:
            raise Broken(Code.STREAM_CLOSED)
        if end:
            self._resets.discard(stream)
        self._spend(length)

    def _spend(self, length: int) -> None:
        self._patience -= 1 + (length >> 6)
        if self._patience < 0:
            raise Broken(Code.ENHANCE_YOUR_CALM)

    def _forget(self, stream: int) -> Request | None:
        self._answers.pop(stream, None)
        self._outflow.forget(stream)
        return self._open.pop(stream, None)

    def _answered(self, stream: int, response: Response, *, ended: bool) -> None:
        # An answer may come before the request was sent whole; then nobody wants the rest (section 8.1).
        if not ended or stream in self._outflow:
            self._reset(stream, Code.CANCEL)
        self.served = True
        request = self._forget(stream)
        if request is not None:
            finish(request, response)

    def _give_up(self, stream: int, code: Code, fault: Fault) -> None:
        self._reset(stream, code)
        request = self._forget(stream)
        if request is not None:
            finish(request, fault)

    def _reset(self, stream: int, code: Code) -> None:
        self._out.append(rst_stream(stream, code))
        self._resets.add(stream)
        self._highest_over = max(self._highest_over, stream)

    def _set_limit(self, *, doubtful: bool = False) -> None:
        unusable = doubtful or self._left or not self.greeted.done()
        self._limit = 0 if unusable else min(self._peer_limit, STREAMS)

    def _look_after(self, now: float) -> None:
        """Ask a silent peer whether it is there, and one that was sent resets whether it knows of them."""
        timing = self._timing
        if not self._open:
            self._idle_at = now
        if self._asked_at is not None:
            silent = now - max(self._asked_at, self._heard_at)
            self._set_limit(doubtful=silent > timing.doubt)
            if silent > timing.patience:
                self._end(Fault.CONNECTION_LOST)
            return
        silent = now - max(self._heard_at, self._idle_at) if self._open else now - self._heard_at
        if self._resets or self._paused or silent > (timing.silence if self._open else timing.keepalive):
            self._pings += 1
            self._asked_at = now
            self._covered = frozenset(self._resets)
            self._out.append(frame(PING, 0, 0, self._pings.to_bytes(8, "big")))

    def _go_when_done(self) -> None:
        if self._left and not self._open and not self._ended:
            self.flush()
            self._end(Fault.GOAWAY)

    def _leave(self, fault: Fault) -> None:
        if not self._left:
            self._left = True
            self._set_limit()
            self._owner.left(self, fault)

    def _end(self, fault: Fault) -> None:
        """End at once: with what was never written given back, all else with the fault."""
        if self._ended:
            return
        self._ended = True
        self._leave(fault)
        if not self.greeted.done():
            self.greeted.set_result(fault)
        opened, self._open = self._open, {}
        unwritten = [request for stream, request in opened.items() if stream >= self._written]
        for request in unwritten:
            request.attempts -= 1
        self._owner.again(unwritten)
        for stream, request in opened.items():
            if stream < self._written:
                finish(request, fault)
        if self._transport is not None:
            # A peer that is lost would never take what is still to be written.
            (self._transport.abort if fault == Fault.CONNECTION_LOST else self._transport.close)()

    _HANDLERS: ClassVar = {
        DATA: _on_data,
        HEADERS: _on_headers,
        PRIORITY: _on_priority,
        RST_STREAM: _on_rst_stream,
        SETTINGS: _on_settings,
        PUSH_PROMISE: _on_push_promise,
        PING: _on_ping,
        GOAWAY: _on_goaway,
        WINDOW_UPDATE: _on_window_update,
        CONTINUATION: _on_continuation,
    }
