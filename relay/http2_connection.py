"""One HTTP/2 connection as a client: a `Session` on a transport of the loop, by callbacks.

No task, future or timer for a request: what is asked for in one turn of the loop leaves in one write, and deadlines are
looked at in the owner's tick. When the peer reads slowly, no request is begun, so that what waits to be written is bounded.
A connection leaves once: the owner hears `left`, and from then on it takes no request; what is under way may still
end; `closed` follows when its socket is gone.
"""

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol, cast

from relay.http2 import Fault, Request
from relay.http2_frames import Broken, Code, goaway
from relay.http2_sending import AT_ONCE
from relay.http2_session import Session

_PAUSE_AT: Final = 131_072
_LARGEST_BACKLOG: Final = 1_048_576
"""Bytes that wait to be written; a peer that makes us owe it more, and does not read, is left."""


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds.

    A connection from which nothing has come for `silence` while answers are due, or for `keepalive` while none are, is asked
    with a PING. Without an answer no request is begun on it after `doubt`, and it is given up after `patience`. One that
    answers PINGs alone, as what stands before a dead server does, is left after `barren`: less than a request's time, so
    that requests one at a time are enough.
    """

    tick: float = 0.1
    dial: float = 5.0
    keepalive: float = 60.0
    silence: float = 2.0
    doubt: float = 1.0
    patience: float = 4.0
    barren: float = 6.0
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
    """`greeted` is done when requests may be sent, or with the fault that came before."""

    def __init__(self, owner: Owner, timing: Timing) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._timing = timing
        self._session = Session(owner.again)
        self._streams = self._session.streams
        self._transport: asyncio.Transport | None = None
        self._answers = 0
        self._heard_at = self._idle_at = self._asked_at = self._answered_at = self._loop.time()
        self._paused = False
        self._ended = False
        self.has_left = self.is_doubted = False
        self.greeted: asyncio.Future[Fault | None] = self._loop.create_future()
        self.has_room = self._session.has_room

    @property
    def in_flight(self) -> int:
        return len(self._streams.open)

    @property
    def served(self) -> bool:
        """Whether it has brought an answer."""
        return self._streams.served > 0

    def start(self, request: Request) -> None:
        """Begin a request; only where there is room."""
        session = self._session
        session.start(request)
        if session.out_size > AT_ONCE:
            self.flush()  # now, so that a peer that reads slowly is noticed within this turn
        if session.leaving:
            self._leave(Fault.GOAWAY)

    def flush(self) -> None:
        if self._ended or self._transport is None:
            return
        while data := self._session.take_out(held=self._paused):
            self._transport.write(data)  # which may call `pause_writing`

    def tick(self, now: float, *, worried: bool = False) -> None:
        """Do what time asks for: deadlines, PINGs, going when all has ended. `worried`: another one is in doubt."""
        if self._ended:
            return
        self._session.tick(now)
        self._look_after(now, worried=worried)
        self._go_when_done()
        self.flush()

    def close(self) -> None:
        """Say goodbye; what is under way ends as `CLOSED`."""
        self._session.out.append(goaway(Code.NO_ERROR))
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
        self.flush()

    def pause_writing(self) -> None:
        self._paused = True
        self._session.halt(halted=True)

    def resume_writing(self) -> None:
        self._paused = False
        self._session.halt(halted=self.has_left)
        self.flush()
        self._owner.freed()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever the reason is
        self._end(Fault.CONNECTION_LOST)
        self._owner.closed(self)
        # It holds this in turn, and the collector, which would find that, comes by seldom: a quarter of a MiB each.
        self._transport = None

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._heard_at = self._loop.time()
        session, is_broken = self._session, False
        try:
            session.receive(data)
        except Broken as broken:
            session.out.append(goaway(broken.code))
            is_broken = True
        if session.leaving:
            self._leave(Fault.GOAWAY)
        if is_broken:
            self.flush()
            self._end(Fault.PROTOCOL)
            return
        if session.greeted and not self.greeted.done():
            self.greeted.set_result(None)
        self._go_when_done()
        self.flush()
        self._owner.freed()

    # How it is looked after, and how it ends.

    def _look_after(self, now: float, *, worried: bool) -> None:
        """Ask a silent peer whether it is there, and one that was sent resets whether it knows of them; leave a barren one."""
        timing, session, busy = self._timing, self._session, bool(self._streams.open)
        if not busy:
            self._idle_at = now
        if not busy or self._answers != self._streams.served:
            self._answered_at, self._answers = now, self._streams.served
        unanswered = now - max(self._asked_at, self._heard_at) if session.asked else 0
        self.is_doubted = unanswered > timing.doubt
        session.halt(halted=self.is_doubted or self._paused or self.has_left)
        if unanswered > timing.patience or self._backlog() > _LARGEST_BACKLOG:
            self._end(Fault.CONNECTION_LOST)
            return
        if now - self._answered_at > timing.barren:
            self._leave(Fault.TIMEOUT)
        silent = now - (max(self._heard_at, self._idle_at) if busy else self._heard_at)
        due = self._streams.resets or silent > (timing.silence if busy else timing.keepalive)
        # What one has died of, a NAT that forgot or a machine that slept, the others may have died of too.
        due = due or (worried and now - self._heard_at > timing.doubt)
        if due and not session.asked:
            self._asked_at = now
            session.ask()

    def _backlog(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None and self._paused else 0

    def _go_when_done(self) -> None:
        if self.has_left and not self._streams.open and not self._ended:
            self.flush()
            self._end(Fault.GOAWAY)

    def _leave(self, fault: Fault) -> None:
        if not self.has_left:
            self.has_left = True
            self._session.halt(halted=True)
            self._owner.left(self, fault)

    def _end(self, fault: Fault) -> None:
        """End at once, and with it all that is under way: what was begun has been written in the same turn."""
        if self._ended:
            return
        self._ended = True
        self._leave(fault)
        if not self.greeted.done():
            self.greeted.set_result(fault)
        self._streams.end(fault)
        if self._transport is None:
            return
        if fault == Fault.CONNECTION_LOST:
            self._transport.abort()  # nobody would take what is still to be written
        else:
            self._transport.close()
