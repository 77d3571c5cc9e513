"""`/api/v1/live` (WebSocket) and `/api/v1/messages/stream` (server-sent events): what changes in an inbox, as it happens.

Both tell the same (`server/live/hub.py`): `notification`, one item as it is now; `counts`; `reset`, where the position is too old
to go on from. A WebSocket's frames are JSON texts `{"event", "id", "data"}`; it takes none from its client. A stream of events (WHATWG
HTML, section 9.2) ends where a socket would be closed, and its client comes again with `Last-Event-ID`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, TypedDict

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from server.api.answers import problem
from server.api.bodies import Body, note, own, read_query
from server.api.describe import describes
from server.api.gate import Gate
from server.api.metrics import LiveMetrics
from server.api.notifications import (
    CountsView,
    DeletedView,
    NotificationView,
    show_counts,
    show_deleted,
    show_item,
)
from server.api.reading import Fields
from server.domain.account import Caller
from server.domain.errors import Forbidden, Refusal, invalid
from server.domain.inbox import Counts, InboxItem, Position, read_position
from server.domain.ports import Clock, DatabaseError
from server.domain.scopes import Need
from server.live.hub import Connection, End, Ended, Event, Hub

ANY = "*"
PROTOCOL = "hushpost"
"""The subprotocol that a WebSocket's client asks for, beside `bearer.<token>` where it can set no other header."""
PROTOCOLS = "Sec-WebSocket-Protocol"
LAST_EVENT_ID = "Last-Event-ID"
EVENT_STREAM = "text/event-stream"

# RFC 6455, section 7.4.2: 4000 to 4999 are an application's own.
CLOSE_BEHIND = 4000
CLOSE_CREDENTIAL = 4001

_CHECK_EVERY = 60_000  # milliseconds: a credential that has ended is noticed
_TAKE_WITHIN = 30.0  # seconds for what was written, before a client counts as gone
_CLOSE_WITHIN = 2.0
_PING_EVERY = 30.0
_LONGEST_FRAME = 1024
_RETRY = b"retry: 2000\n\n"
_STILL_HERE = b":\n\n"
_POSITION = "is no event's id", "give the id of the last event that you have, or leave it out"
_LIMITS = "limited", "connections_exhausted"

Write = Callable[[Sequence[Event]], Awaitable[None]]


def _read_after(fields: Fields, name: str) -> Position | None:
    value = fields.value(name)
    try:
        return None if value is None else read_position(value)
    except ValueError:
        fields.fault(name, *_POSITION)
        return None


class LiveQuery(Body, frozen=True, kw_only=True):
    """Where to go on."""

    after: Annotated[
        Position | None,
        own(
            _read_after,
            "The id of the last event that the client has: what has changed since comes first.",
            type="string",
        ),
    ] = None


class NothingView(TypedDict):
    """No data."""


class EventView(TypedDict):
    """One event, as a frame of a WebSocket; in a stream of events its parts are `event`, `id` and `data`."""

    event: Annotated[str, note("`notification`, `counts` or `reset`.")]
    id: Annotated[str, note("Where to go on after it.")]
    data: Annotated[
        NotificationView | DeletedView | CountsView | NothingView,
        note("What is true now, whatever it was before."),
    ]


class LiveViews:
    """How what is told is worded (`server.live.hub.Shows`)."""

    def item(self, item: InboxItem) -> bytes:
        """Show an item as it is now, and of one that is gone that it is."""
        gone = item.deleted_at
        return orjson.dumps(show_item(item) if gone is None else show_deleted(item, gone))

    def counts(self, counts: Counts) -> bytes:
        return orjson.dumps(show_counts(counts))


@dataclass(frozen=True)
class Live:
    """`origins` are those whose pages may open a WebSocket: the server's own and those of `server.cors_origins`."""

    gate: Gate
    hub: Hub
    clock: Clock
    metrics: LiveMetrics
    origins: frozenset[str]

    @describes(
        "Follow one's inbox by WebSocket",
        detail="A browser sends its token as a subprotocol: `new WebSocket(url, ['hushpost', 'bearer.' + token])`."
        " Closed with 4000: come again with `after`; 4001: the credential has ended; 1001: the server goes, come again.",
        query=LiveQuery,
        gives=EventView,
        status=101,
        errors=("origin_forbidden", "upgrade_required", *_LIMITS),
    )
    async def socket(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        self._check_origin(request)
        _check_protocols(request)
        after = read_query(LiveQuery, request).after
        socket = web.WebSocketResponse(
            protocols=(PROTOCOL,),
            timeout=_CLOSE_WITHIN,
            heartbeat=_PING_EVERY,
            max_msg_size=_LONGEST_FRAME,
            compress=False,  # a compressor costs more memory than all else of a connection
        )
        if not socket.can_prepare(request):
            return _upgrade_required()
        with self.hub.connect(caller.user.id, _is_gone(request)) as connection:
            await socket.prepare(request)
            with self.metrics.open("websocket"):
                await self._serve(request, socket, connection, after)
        return socket

    @describes(
        "Follow one's inbox by server-sent events",
        detail="The stream ends when the credential does, when the client falls behind, and when the server goes: come again with"
        " `Last-Event-ID`, as browsers do by themselves.",
        query=LiveQuery,
        gives=EventView,
        produces=EVENT_STREAM,
        errors=_LIMITS,
    )
    async def stream(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        after = _last_event(request) or read_query(LiveQuery, request).after
        headers = {"Content-Type": EVENT_STREAM, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if request.method == "HEAD":
            return web.Response(headers=headers)
        with self.hub.connect(caller.user.id, _is_gone(request)) as connection:
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)

            async def write(events: Sequence[Event]) -> None:
                await response.write(b"".join(map(_as_text, events)) or _STILL_HERE)

            with self.metrics.open("sse"), suppress(Ended, Refusal):
                await response.write(_RETRY)
                await self._feed(request, connection, after, write)
        return response

    async def _serve(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        connection: Connection,
        after: Position | None,
    ) -> None:
        """Tell a socket what changes until either end has had enough, and close it with the reason."""

        async def write(events: Sequence[Event]) -> None:
            for event in events:
                await socket.send_frame(_as_json(event), WSMsgType.TEXT)

        feeding = asyncio.ensure_future(self._feed(request, connection, after, write))
        hearing = asyncio.ensure_future(socket.receive())
        try:
            await asyncio.wait((feeding, hearing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (feeding, hearing):
                task.cancel()
            outcome, _ = await asyncio.gather(feeding, hearing, return_exceptions=True)
        code, reason = _closing(outcome)
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_CLOSE_WITHIN):
                await socket.close(code=code, message=reason)

    async def _feed(
        self, request: web.Request, connection: Connection, after: Position | None, write: Write
    ) -> None:
        """Write what changes; Ended, or the Refusal of a credential that is good no more. Returns where the client has gone."""
        checked_at = self.clock()
        try:
            async for events in self.hub.follow(connection, after):
                if not 0 <= self.clock() - checked_at < _CHECK_EVERY:
                    checked_at = self.clock()
                    await self._check(request)
                async with asyncio.timeout(_TAKE_WITHIN):
                    await write(events)
                self.metrics.told(event.name for event in events)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()

    async def _check(self, request: web.Request) -> None:
        with suppress(DatabaseError):  # not now: the next time will tell
            await self.gate.user(request, Need.READ)

    def _check_origin(self, request: web.Request) -> None:
        origin = request.headers.get("Origin")
        if origin is not None and not self.origins & {origin, ANY}:
            raise Forbidden(
                "pages of this origin may not connect; the operator lists those that may in server.cors_origins",
                code="origin_forbidden",
            )


def _closing(outcome: Any) -> tuple[int, bytes]:
    """Return the code and the reason for which a socket is closed, from what became of its feeding."""
    if isinstance(outcome, Ended):
        if outcome.end is End.CLOSING:
            return WSCloseCode.GOING_AWAY, b"the server goes; connect again"
        return CLOSE_BEHIND, b"you fell behind; connect again after the last id"
    if isinstance(outcome, Refusal):
        return CLOSE_CREDENTIAL, b"the credential has ended"
    if isinstance(outcome, asyncio.CancelledError):  # the client said something, or is closing
        return WSCloseCode.POLICY_VIOLATION, b"this socket takes no messages"
    return WSCloseCode.INTERNAL_ERROR, b"the server failed; connect again"


def _check_protocols(request: web.Request) -> None:
    """Invalid where a client offers other subprotocols than ours: the library would log what it offers, a token too."""
    offered = request.headers.get(PROTOCOLS)
    if offered is not None and PROTOCOL not in map(str.strip, offered.split(",")):
        raise invalid(PROTOCOLS, f"has no {PROTOCOL}", f"offer {PROTOCOL} first, or no subprotocol")


def _last_event(request: web.Request) -> Position | None:
    text = request.headers.get(LAST_EVENT_ID, "").strip()
    if not text:
        return None
    try:
        return read_position(text)
    except ValueError:
        raise invalid(LAST_EVENT_ID, *_POSITION) from None


def _as_text(event: Event) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (event.name.encode(), str(event.place).encode(), event.data)


def _as_json(event: Event) -> bytes:
    return b'{"event":"%b","id":"%b","data":%b}' % (
        event.name.encode(),
        str(event.place).encode(),
        event.data,
    )


def _is_gone(request: web.Request) -> Callable[[], bool]:
    return lambda: request.transport is None or request.transport.is_closing()


def _upgrade_required() -> web.Response:
    return problem(
        HTTPStatus.UPGRADE_REQUIRED,
        "upgrade_required",
        "this path is a WebSocket (RFC 6455); for a stream of events there is /api/v1/messages/stream",
        headers={"Upgrade": "websocket", "Connection": "Upgrade"},
    )
