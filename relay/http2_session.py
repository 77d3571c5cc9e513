"""What is said on one connection, without any I/O (RFC 9113): bytes in, bytes out, requests begun and ended.

There is no object for a frame or a request. What is to be written gathers in `out`; the commonest answer, a 200 without a
body, is read in the loop over the frames. The peer is allowed no dynamic table, so that no header block depends on another.

A peer that breaks a rule of the connection is `Broken`. What it may make us hold or do is bounded: header blocks, bodies,
its windows, and by `patience` the frames that bring no answer nearer (PING, SETTINGS, empty DATA, unknown ones...): each
costs a little, requests and time earn it back.
"""

from collections.abc import Callable
from typing import ClassVar, Final

from relay.hpack_encoder import Encoder
from relay.http2 import LARGEST_BLOCK, Fault, Request, Response, finish
from relay.http2_answers import STREAM_WINDOW, Fragments, Malformed, check_trailers, read_head
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
    WITH_PRIORITY,
    Broken,
    Code,
    Setting,
    frame,
    headers,
    read_code,
    read_last_stream,
    read_number,
    read_settings,
    settings,
    unpadded,
    window_update,
)
from relay.http2_streams import Streams

STREAMS: Final = 1_000
"""We never have more than this open on one connection, whatever the peer allows."""
WINDOW: Final = 1_048_576
"""How much DATA the peer may have under way on the connection; what is kept of it is far less."""
PATIENCE: Final = 20_000

_EARNED: Final = 10
_UNLIMITED: Final = 2**32 - 1
_ACKNOWLEDGED: Final = frame(SETTINGS, ACK, 0)
_WHOLE: Final = END_STREAM | END_HEADERS
_OK: Final = 0x88  # :status 200 in one byte
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


class Session:
    """`again` takes what was certainly not processed.

    `greeted`: the peer's SETTINGS have come. `leaving`: no request can be begun any more. `out_size` is roughly what waits
    in `out`.
    """

    def __init__(self, again: Callable[[list[Request]], None]) -> None:
        self.out = [_HELLO]
        self.out_size = 0
        self.streams = Streams(self.out.append, again)
        self.greeted = False
        self.leaving = False
        self._encoder = Encoder()
        self._fragments: Fragments | None = None
        self._limit = 0
        self._halted = False
        self._peer_streams = _UNLIMITED
        self._peer_list = _UNLIMITED
        self._rest = b""
        self._received = 0
        self._patience = PATIENCE
        self._earned_at = 1
        self._pings = 0
        self._covered: frozenset[int] | None = None

    @property
    def asked(self) -> bool:
        """Whether a PING of ours has not been answered yet."""
        return self._covered is not None

    def has_room(self) -> bool:
        streams = self.streams
        return len(streams.open) + len(streams.resets) < self._limit and streams.outflow.window > 0

    def halt(self, *, halted: bool) -> None:
        """Begin no request, or begin them again."""
        self._halted = halted
        self._limit = 0 if halted or self.leaving or not self.greeted else min(self._peer_streams, STREAMS)

    def start(self, request: Request) -> None:
        """Begin a request; only where there is room."""
        block = self._encoder.block(request, self._peer_list)
        if block is None:
            finish(request, Fault.PROTOCOL)  # section 6.5.2: the peer would only refuse it
            return
        body = request.body
        length = len(body)
        streams = self.streams
        stream = streams.begin(request)
        outflow = streams.outflow
        if 0 < length <= outflow.whole and length <= outflow.window and len(block) <= LARGEST_FRAME:
            outflow.window -= length
            self.out += (
                HEAD.pack(len(block) << 8 | HEADERS, END_HEADERS, stream),
                block,
                HEAD.pack(length << 8 | DATA, END_STREAM, stream),
                body,
            )
        else:
            self.out.append(headers(stream, block, end=not length, largest=outflow.largest_frame))
            if length:
                self.out.append(outflow.begin(stream, body))
        self.out_size += len(block) + length
        if streams.next > LARGEST_NUMBER:
            self._leave()  # section 5.1.1: numbers are never used again

    def _leave(self) -> None:
        self.leaving = True
        self.halt(halted=True)

    def take_out(self, *, held: bool) -> bytes:
        """Give what is to be written, with the window for what was read, and unless `held` a portion of what waits."""
        if self._received >= WINDOW // 2:
            self.out.append(window_update(0, self._received))
            self._received = 0
        if not held:
            self.out.append(self.streams.outflow.more())
        data = b"".join(self.out)
        self.out.clear()
        self.out_size = 0
        return data

    def ask(self) -> None:
        """Send a PING; its answer also says that the peer knows of our resets so far."""
        self._pings += 1
        self._covered = frozenset(self.streams.resets)
        self.out.append(frame(PING, 0, 0, self._pings.to_bytes(8, "big")))

    def tick(self, now: float) -> None:
        """End what is late, and let the peer have earned some patience."""
        earned = _EARNED + 5 * (self.streams.next - self._earned_at)
        self._patience = min(PATIENCE, self._patience + earned)
        self._earned_at = self.streams.next
        self.streams.expire(now)

    def receive(self, data: bytes) -> None:
        """Take bytes as they come. Raises `Broken`."""
        if self._rest:
            data = self._rest + data
        unpack, streams = HEAD.unpack_from, self.streams
        opened = streams.open
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
                flags == _WHOLE
                and head & 0xFF == HEADERS
                and stream in opened
                and start < following
                and data[start] == _OK
                and stream not in streams.answers
                and stream not in streams.outflow
                and self._fragments is None
            ):
                streams.served += 1
                finish(opened.pop(stream), Response(200, block=data[start:following]))
            else:
                self._take(head & 0xFF, flags, stream & LARGEST_NUMBER, data[start:following])
        self._rest = data[at:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._fragments is not None and kind != CONTINUATION:
            raise Broken(Code.PROTOCOL_ERROR)  # section 6.10: nothing may come in between
        if not self.greeted and (kind != SETTINGS or flags & ACK):
            raise Broken(Code.PROTOCOL_ERROR)  # section 3.4: the peer's preface is its SETTINGS
        handler = self._HANDLERS.get(kind)
        if handler is None:
            self._spend(len(payload))  # section 4.1: unknown types are ignored
        else:
            handler(self, flags, stream, payload)

    def _spend(self, length: int = 0) -> None:
        self._patience -= 1 + (length >> 6)
        if self._patience < 0:
            raise Broken(Code.ENHANCE_YOUR_CALM)

    def _on_data(self, flags: int, stream: int, payload: bytes) -> None:
        streams = self.streams
        streams.check(stream)
        data, end = unpadded(flags & ~WITH_PRIORITY, payload), bool(flags & END_STREAM)
        self._received += len(payload)
        if self._received > WINDOW:
            raise Broken(Code.FLOW_CONTROL_ERROR)
        if stream not in streams.open:
            streams.take_late(stream, end=end)
            self._spend(len(payload))
            return
        if not end:
            self._spend()  # a body may come in a few frames, but not byte by byte for ever
        answer = streams.answers.get(stream)
        if answer is None or not answer.take(data, len(payload)):
            streams.give_up(stream, Code.PROTOCOL_ERROR, Fault.PROTOCOL)
        elif end or answer.is_enough:
            streams.answered(stream, answer.head, ended=end)

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> None:
        self.streams.check(stream)
        block, end = unpadded(flags, payload), bool(flags & END_STREAM)
        if flags & END_HEADERS:
            self._on_block(stream, block, end=end)
        else:
            self._fragments = Fragments(stream, block, end=end)

    def _on_continuation(self, flags: int, stream: int, payload: bytes) -> None:
        fragments = self._fragments
        if fragments is None or fragments.stream != stream:
            raise Broken(Code.PROTOCOL_ERROR)
        fragments.add(payload)
        if flags & END_HEADERS:
            self._fragments = None
            self._on_block(stream, fragments.block, end=fragments.end)

    def _on_block(self, stream: int, block: bytes, *, end: bool) -> None:
        streams = self.streams
        if stream not in streams.open:
            streams.take_late(stream, end=end)
            self._spend(len(block))
            return
        answer = streams.answers.get(stream)
        try:
            if answer is not None:
                check_trailers(block, end=end)
                streams.answered(stream, answer.head, ended=True)
            elif (response := read_head(block, end=end)) is None:
                self._spend(len(block))
            elif end:
                streams.answered(stream, response, ended=True)
            else:
                streams.begin_answer(stream, response)
        except Malformed:
            streams.give_up(stream, Code.PROTOCOL_ERROR, Fault.PROTOCOL)

    def _on_priority(self, _flags: int, stream: int, payload: bytes) -> None:
        if not stream:
            raise Broken(Code.PROTOCOL_ERROR)
        if len(payload) != 5:  # noqa: PLR2004 - section 6.3
            raise Broken(Code.FRAME_SIZE_ERROR)
        self._spend()

    def _on_rst_stream(self, _flags: int, stream: int, payload: bytes) -> None:
        self.streams.check(stream)
        self._spend()
        self.streams.was_reset(stream, read_code(payload))

    def _on_settings(self, flags: int, stream: int, payload: bytes) -> None:
        self._check_connection(stream)
        if flags & ACK and payload:
            raise Broken(Code.FRAME_SIZE_ERROR)
        self._spend(len(payload))
        if flags & ACK:
            return
        for setting, value in read_settings(payload):
            self._set(setting, value)
        self.out.append(_ACKNOWLEDGED)
        self.greeted = True
        self.halt(halted=self._halted)

    def _set(self, setting: int, value: int) -> None:
        match setting:
            case Setting.HEADER_TABLE_SIZE:
                self._encoder.limit(value)
            case Setting.MAX_CONCURRENT_STREAMS:
                self._peer_streams = value
            case Setting.INITIAL_WINDOW_SIZE:
                self.streams.outflow.resize(value)
            case Setting.MAX_FRAME_SIZE:
                self.streams.outflow.reframe(value)
            case Setting.MAX_HEADER_LIST_SIZE:
                self._peer_list = value

    def _on_push_promise(self, _flags: int, _stream: int, _payload: bytes) -> None:
        raise Broken(Code.PROTOCOL_ERROR)  # section 6.6: we do not allow it

    def _on_ping(self, flags: int, stream: int, payload: bytes) -> None:
        self._check_connection(stream)
        if len(payload) != 8:  # noqa: PLR2004 - section 6.7
            raise Broken(Code.FRAME_SIZE_ERROR)
        self._spend()
        if not flags & ACK:
            self.out.append(frame(PING, ACK, 0, payload))
        elif self._covered is not None and payload == self._pings.to_bytes(8, "big"):
            self.streams.resets -= self._covered
            self._covered = None

    def _on_goaway(self, _flags: int, stream: int, payload: bytes) -> None:
        self._check_connection(stream)
        self._spend(len(payload))
        last = read_last_stream(payload)
        self._leave()
        self.streams.go_away(last)

    def _on_window_update(self, _flags: int, stream: int, payload: bytes) -> None:
        increment = read_number(payload)
        self._spend()
        streams = self.streams
        if not stream:
            streams.outflow.widen(increment)
            return
        streams.check(stream)
        if stream not in streams.open:
            return
        if not increment:
            streams.give_up(stream, Code.PROTOCOL_ERROR, Fault.PROTOCOL)
        elif not streams.outflow.widen_stream(stream, increment):
            streams.give_up(stream, Code.FLOW_CONTROL_ERROR, Fault.PROTOCOL)

    def _check_connection(self, stream: int) -> None:
        if stream:
            raise Broken(Code.PROTOCOL_ERROR)

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
