"""`/api/v1/live` (WebSocket) and `/api/v1/messages/stream` (server-sent events): what changes in an inbox, as it happens.

Both tell the same (`server/live/hub.py`): `notification`, one item as it is now; `counts`; `reset`, where the position is too old
to go on from. A WebSocket's frames are JSON texts `{"event", "id", "data"}`; it takes none from its client. A stream of events (WHATWG
HTML, section 9.2) ends where a socket would be closed, and its client comes again with `Last-Event-ID`.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, TypedDict

import orjson
from aiohttp import WSMsgType, web

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
from server.api.sockets import (
    Write,
    check_origin,
    check_protocols,
    feed,
    is_gone,
    new_socket,
    serve,
    upgrade_required,
)
from server.domain.account import Caller
from server.domain.errors import Refusal, invalid
from server.domain.inbox import Counts, Position, read_position
from server.domain.ports import Clock, DatabaseError
from server.domain.scopes import Need
from server.live.connection import About
from server.live.hub import Connection, Ended, Event, Hub

LAST_EVENT_ID = "Last-Event-ID"
EVENT_STREAM = "text/event-stream"

_CHECK_EVERY = 60_000  # milliseconds: a credential that has ended is noticed
_LONGEST_FRAME = 1024
_RETRY = b"retry: 2000\n\n"
_STILL_HERE = b":\n\n"
_POSITION = "is no event's id", "give the id of the last event that you have, or leave it out"
_LIMITS = "limited", "connections_exhausted"


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


def say(about: About) -> bytes:
    """Word what is told (`server.live.connection.Say`): an item as it is now, of one that is gone that it is."""
    if isinstance(about, Counts):
        return orjson.dumps(show_counts(about))
    if about is None:
        return b"{}"
    gone = about.deleted_at
    return orjson.dumps(show_item(about) if gone is None else show_deleted(about, gone))


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
        check_origin(request, self.origins)
        check_protocols(request)
        after = read_query(LiveQuery, request).after
        socket = new_socket(_LONGEST_FRAME)
        if not socket.can_prepare(request):
            return problem(upgrade_required("for a stream of events there is /api/v1/messages/stream"))

        async def write(events: Sequence[Event]) -> None:
            for event in events:
                await socket.send_frame(_as_json(event), WSMsgType.TEXT)

        with self.hub.connect(caller.user.id, is_gone(request)) as connection:
            await socket.prepare(request)
            with self.metrics.open("websocket"):
                await serve(socket, self._feed(request, connection, after, write))
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
        with self.hub.connect(caller.user.id, is_gone(request)) as connection:
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)

            async def write(events: Sequence[Event]) -> None:
                await response.write(b"".join(map(_as_text, events)) or _STILL_HERE)

            with self.metrics.open("sse"), suppress(Ended, Refusal):
                await response.write(_RETRY)
                await self._feed(request, connection, after, write)
        return response

    async def _feed(
        self, request: web.Request, connection: Connection, after: Position | None, write: Write[Event]
    ) -> None:
        """Write what changes; Ended, or the Refusal of a credential that is good no more. Returns where the client has gone."""
        checked_at = self.clock()

        async def check() -> None:
            nonlocal checked_at
            if not 0 <= self.clock() - checked_at < _CHECK_EVERY:
                checked_at = self.clock()
                with suppress(DatabaseError):  # not now: the next time will tell
                    await self.gate.user(request, Need.READ)

        async def told(events: Sequence[Event]) -> None:
            await write(events)
            self.metrics.told(event.name for event in events)

        await feed(request, self.hub.follow(connection, after), check=check, write=told)


def _last_event(request: web.Request) -> Position | None:
    text = request.headers.get(LAST_EVENT_ID, "").strip()
    if not text:
        return None
    try:
        return read_position(text)
    except ValueError:
        raise invalid(LAST_EVENT_ID, *_POSITION) from None


def _as_text(event: Event) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (
        event.name.encode(),
        str(event.place).encode(),
        event.news.said(say),
    )


def _as_json(event: Event) -> bytes:
    return b'{"event":"%b","id":"%b","data":%b}' % (
        event.name.encode(),
        str(event.place).encode(),
        event.news.said(say),
    )
