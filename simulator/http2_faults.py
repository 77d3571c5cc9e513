"""What each kind of fault does to an HTTP/2 connection (`simulator.faults.Kind` says it in words)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from simulator.faults import Fault, Kind
from simulator.http2_frames import HIGHEST_STREAM, UNKNOWN, WRONG, continued, padded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from h2.connection import H2Connection

    from simulator.http2_connection import Http2Connection
    from simulator.requests import Pairs, Reply, Told

LARGEST_PADDING = 255
FIRST_STREAM = 1
TRAILERS: Pairs = (("x-checked", "yes"),)


@dataclass
class Wire:
    """How far a connection is from an ordinary one.

    `silent` ignores what comes; `last` is the last stream that is processed, after GOAWAY; `closing` closes when nothing
    is open any more; `owed` is what a stalled connection did not give window for.
    """

    silent: bool = False
    last: int | None = None
    closing: bool = False
    owed: list[tuple[int, int]] | None = None

    def took(self, http2: H2Connection, length: int, stream: int) -> None:
        if self.owed is None:
            http2.acknowledge_received_data(length, stream)
        else:
            self.owed.append((length, stream))


def greet(connection: Http2Connection, fault: Fault | None) -> None:
    """Begin a new connection, which a script may meet."""
    if fault is None:
        connection.begin()
    elif fault.kind in {Kind.CLOSE, Kind.HANG_UP, Kind.MUTE}:
        _silence(connection, fault)
    elif fault.kind == Kind.WRONG:
        connection.write(WRONG[fault.form](FIRST_STREAM))
        connection.silence()
    else:
        connection.begin()
        _bend(connection, fault)
        if fault.kind == Kind.GOAWAY:
            _go_away(connection, fault, 0)
            connection.hang_up()


def fail(connection: Http2Connection, stream: int, told: Told) -> None:
    """Do to a request what its script says."""
    fault = told.fault
    match fault.kind:
        case Kind.HANG:
            pass
        case Kind.CLOSE | Kind.HANG_UP | Kind.MUTE:
            _silence(connection, fault)
        case Kind.LOSE:
            told.accept()
            connection.drop()
        case Kind.WRONG:
            connection.write(WRONG[fault.form](stream))
        case Kind.RESET | Kind.REFUSED | Kind.RESET_AFTER:
            _reset(connection, stream, told)
        case Kind.SLOW:
            _drip(connection, stream, told.reply(), fault.delay)
        case kind if kind.startswith("goaway"):
            _leave(connection, stream, told)
        case _:
            _answer(connection, stream, told)


def _answer(connection: Http2Connection, stream: int, told: Told) -> None:
    reply = told.reply()
    match told.fault.kind:
        case Kind.DELAY:
            _answer_later(connection, stream, reply, told.fault.delay)
        case Kind.PADDED:
            connection.replies.send_reshaped(stream, reply, padded, padding=LARGEST_PADDING)
        case Kind.CONTINUED:
            connection.replies.send_reshaped(stream, reply, continued, padding=0)
        case Kind.INTERIM:
            connection.write(UNKNOWN)
            connection.replies.interim(stream)
            connection.replies.send(stream, reply)
        case Kind.TRAILERS:
            connection.replies.send(stream, reply, trailers=TRAILERS)
        case _:
            _bend(connection, told.fault)
            connection.replies.send(stream, reply)


def _answer_later(connection: Http2Connection, stream: int, reply: Reply, delay: float) -> None:
    def answer() -> None:
        if connection.is_open(stream):  # the client may have given it up in the meantime
            connection.replies.send(stream, reply)

    connection.later(delay, answer)


def _drip(connection: Http2Connection, stream: int, reply: Reply, delay: float) -> None:
    body = memoryview(reply.body)

    def go_on(sent: int) -> None:
        if not connection.is_open(stream):
            return
        if sent < 0:
            connection.replies.begin(stream, reply)
        else:
            connection.replies.add(stream, bytes(body[sent : sent + 1]), end=sent == len(body))
        if sent < len(body):
            connection.later(delay, lambda: go_on(sent + 1))

    connection.later(delay, lambda: go_on(-1))


def _silence(connection: Http2Connection, fault: Fault) -> None:
    if fault.kind == Kind.CLOSE:
        connection.drop()
    elif fault.kind == Kind.HANG_UP:
        connection.hang_up()
    else:
        connection.mute()
        if fault.delay:
            connection.later(fault.delay, connection.unmute)


def _reset(connection: Http2Connection, stream: int, told: Told) -> None:
    if told.fault.kind == Kind.RESET_AFTER:
        told.accept()
    refused = told.fault.kind == Kind.REFUSED
    code = ErrorCodes.REFUSED_STREAM if refused else ErrorCodes[told.fault.code or "INTERNAL_ERROR"]
    connection.reset(stream, code)


def _bend(connection: Http2Connection, fault: Fault) -> None:
    """Change the connection, for good or for a while."""
    if fault.kind == Kind.STALL:
        connection.stall()
        if fault.delay:
            connection.later(fault.delay, connection.resume)
    if fault.kind == Kind.SETTINGS:
        before = connection.change({SettingCodes[name]: value for name, value in fault.settings.items()})
        if fault.delay:
            connection.later(fault.delay, lambda: _put_back(connection, before))


def _put_back(connection: Http2Connection, before: Mapping[SettingCodes, int]) -> None:
    connection.change(before)


def _leave(connection: Http2Connection, stream: int, told: Told) -> None:
    fault = told.fault
    excluded = max(stream - 2, connection.processed)  # the client's streams are the odd ones
    match fault.kind:
        case Kind.GOAWAY:
            _go_away(connection, fault, excluded)
            connection.hang_up()
        case Kind.GOAWAY_OPEN:
            _go_away(connection, fault, excluded)
            connection.silence()
        case Kind.GOAWAY_DRAIN:
            _go_away(connection, fault, excluded)
            connection.give_up(stream)
            connection.process_up_to(excluded)
        case Kind.GOAWAY_TAKEN:
            told.accept()
            _go_away(connection, fault, stream)
            connection.hang_up()
        case Kind.GOAWAY_ANSWERED:
            _go_away(connection, fault, stream)
            connection.process_up_to(stream)
            connection.replies.send(stream, told.accept())
        case _:
            _go_away(connection, fault, HIGHEST_STREAM)
            connection.replies.send(stream, told.accept())
            connection.later(fault.delay, lambda: _finish(connection, fault))


def _finish(connection: Http2Connection, fault: Fault) -> None:
    last = connection.highest
    _go_away(connection, fault, last)
    connection.process_up_to(last)
    connection.close_when_done()


def _go_away(connection: Http2Connection, fault: Fault, last: int) -> None:
    debug = json.dumps({"reason": fault.reason or "Shutdown"}).encode()
    connection.go_away(last, ErrorCodes[fault.code or "NO_ERROR"], debug)
