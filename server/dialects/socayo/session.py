"""Inbox sessions: a short-lived token for one user's inbox, and the WebSocket that tells what comes into it.

A client opens the socket and says who it is in its first frame: no token stands in a URL. It is told of each message that comes, once, and
of how much is unseen and unread, when that is something else than it was told last. Who comes again `after` the last event that
they have is told what came in between. When the token expires the socket is closed: with a new session it goes on.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Annotated, Any, NotRequired, TypedDict

import orjson
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from server.api.address import Proxies, client_address
from server.api.answers import JSON
from server.api.bodies import note
from server.api.describe import describes, description_of
from server.api.gate import Open
from server.api.metrics import LiveMetrics
from server.api.sockets import (
    CLOSE_CREDENTIAL,
    check_origin,
    check_protocols,
    close,
    feed,
    is_gone,
    new_socket,
    serve,
    upgrade_required,
)
from server.commands.callers import Callers
from server.commands.mint import Mint
from server.dialects.socayo.errors import ErrorView, show_error
from server.dialects.socayo.fields import Nothing
from server.dialects.socayo.inbox import InboxMessageView, show_inbox_message
from server.dialects.socayo.rpc import ROOT, TAG, Call
from server.domain.errors import Refusal, Unauthenticated, Unavailable
from server.domain.inbox import Counts, InboxItem
from server.domain.ports import Clock, Database, DatabaseError
from server.live.arrivals import Arrival, Told, follow_arrivals, read_told
from server.live.connection import About
from server.live.hub import Connection, Hub

SOCKET = ROOT + "inbox-socket"
_AUTH_WITHIN = 10.0  # seconds
_MOST_STRANGERS = 1_000  # sockets that have not said who they are
_MOST_OF_AN_ADDRESS = 100  # of them: nobody holds the places of all others
_CHECK_EVERY = 60_000  # milliseconds: a user who was deleted is noticed
_LONGEST_FRAME = 4096
_AGAIN = 1  # seconds
_RECEIVED = "notification_received"


class InboxSessionView(TypedDict):
    """Access to one inbox for a quarter of an hour."""

    sessionToken: Annotated[str, note("For the inbox's RPCs at `apiUrl`, as `Bearer`, and for the socket.")]
    apiUrl: Annotated[str, note("Where the RPCs are: this server.")]
    wsUrl: Annotated[str, note("The socket; its first frame has the token.")]


class InboxCountView(TypedDict):
    """How much in an inbox is new: the one number that has changed."""

    unseenCount: NotRequired[Annotated[int, note("How many are neither seen nor read.")]]
    unreadCount: NotRequired[Annotated[int, note("How many are unread.")]]


class InboxEventView(TypedDict):
    """One frame of an inbox's socket."""

    type: Annotated[
        str, note("`notification_received`, `unseen_count_changed`, `unread_count_changed`, `reset`.")
    ]
    id: Annotated[str, note("Where to go on after it.")]
    data: Annotated[
        InboxMessageView | InboxCountView, note("The message, or the count; nothing of a `reset`.")
    ]


@dataclass(frozen=True)
class InboxSessions:
    """`public_url` is the server's own, without a slash at its end."""

    mint: Mint
    public_url: str

    @describes(
        "Get a session for a user's inbox",
        detail="For an app or a page that is to read an inbox by itself. It may do nothing else, not even renew itself, and ends after 15 minutes.",
        takes=Nothing,
        gives=InboxSessionView,
    )
    async def get(self, call: Call[Nothing]) -> InboxSessionView:
        caller = call.caller
        return InboxSessionView(
            sessionToken=self.mint.inbox(caller.user.id, caller.session_id, call.now),
            apiUrl=self.public_url,
            wsUrl="ws" + self.public_url.removeprefix("http") + SOCKET,
        )


@dataclass(frozen=True)
class _Hello:
    """A client's first frame."""

    token: str = field(repr=False)
    after: Told | None


@dataclass
class InboxSocket:
    """`origins` are those whose pages may open it: the server's own and those of `server.cors_origins`; `proxies` are believed."""

    db: Database
    clock: Clock
    callers: Callers
    hub: Hub
    metrics: LiveMetrics
    origins: frozenset[str]
    proxies: Proxies
    _strangers: Counter[str] = field(default_factory=Counter, init=False)  # by address

    @property
    def route(self) -> Open:
        description = description_of(self.socket)
        if description is None:
            raise TypeError("the socket does not say what it is")

        @wraps(self.socket)
        async def handler(request: web.Request) -> web.StreamResponse:
            return await self.socket(request)

        handler.description = replace(  # type: ignore[attr-defined] # functions have attributes
            description, tag=TAG, refuses=ErrorView, refuses_as=JSON
        )
        return Open("GET", SOCKET, handler)

    @describes(
        "Follow an inbox by WebSocket",
        detail='The first frame of the client, within 10 seconds: `{"type": "auth", "token": …, "after": …}`, the token of an inbox session'
        " and the id of the last event that it has, if any. `reset`: that is too old, read the feed again. Closed with 4000: come again with"
        " `after`; 4001: get another session and come again with `after`; 1001: the server goes, come again; 1013: no room, come again later.",
        gives=InboxEventView,
        status=101,
        errors=("origin_forbidden", "upgrade_required", "connections_exhausted"),
    )
    async def socket(self, request: web.Request) -> web.StreamResponse:
        check_origin(request, self.origins)
        check_protocols(request)
        socket = new_socket(_LONGEST_FRAME)
        if not socket.can_prepare(request):
            return show_error(upgrade_required("its first frame has the token of an inbox session"))
        with self._stranger(client_address(request, self.proxies)):
            await socket.prepare(request)
            hello = await self._hear(socket)
        if hello is not None:
            await self._serve(request, socket, hello)
        return socket

    @contextmanager
    def _stranger(self, address: str) -> Iterator[None]:
        """Take a place for a socket that has not said who it is; Unavailable."""
        if self._strangers.total() >= _MOST_STRANGERS or self._strangers[address] >= _MOST_OF_AN_ADDRESS:
            raise Unavailable("too many live connections", retry_after=_AGAIN, code="connections_exhausted")
        self._strangers[address] += 1
        try:
            yield
        finally:
            self._strangers[address] -= 1
            if not self._strangers[address]:
                del self._strangers[address]

    async def _hear(self, socket: web.WebSocketResponse) -> _Hello | None:
        """Wait for the first frame; a socket that does not say who it is is closed."""
        hearing = asyncio.ensure_future(socket.receive())
        closing = asyncio.ensure_future(self.hub.closing.wait())
        try:
            await asyncio.wait((hearing, closing), timeout=_AUTH_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (hearing, closing):
                task.cancel()
            heard, _ = await asyncio.gather(hearing, closing, return_exceptions=True)
        if self.hub.closing.is_set():
            await close(socket, WSCloseCode.GOING_AWAY, b"the server goes; connect again")
            return None
        try:
            return _read_hello(heard)
        except ValueError as error:
            await close(socket, WSCloseCode.POLICY_VIOLATION, str(error).encode())
            return None

    async def _serve(self, request: web.Request, socket: web.WebSocketResponse, hello: _Hello) -> None:
        """Tell whoever has a good token what comes; others are shown out."""
        try:
            caller, _ = await self.callers.inbox(hello.token, self.clock())
            with (
                self.hub.connect(caller.user.id, is_gone(request)) as connection,
                self.metrics.open("inbox"),
            ):
                await serve(socket, self._feed(request, socket, connection, hello))
        except Unauthenticated as refusal:
            await close(socket, CLOSE_CREDENTIAL, refusal.detail.encode())
        except (Refusal, DatabaseError):
            await close(socket, WSCloseCode.TRY_AGAIN_LATER, b"no room just now; come again later")

    async def _feed(
        self, request: web.Request, socket: web.WebSocketResponse, connection: Connection, hello: _Hello
    ) -> None:
        words = _Words()

        async def write(arrivals: Sequence[Arrival]) -> None:
            for arrival in arrivals:
                for name, frame in words.of(arrival):
                    await socket.send_frame(frame, WSMsgType.TEXT)
                    self.metrics.told((name,))

        told = follow_arrivals(self.hub, self.db, self.clock, connection, hello.after)
        await feed(request, told, check=_Check(self.callers, self.clock, hello.token), write=write)


class _Check:
    """Whether a token is still good: whether it has expired each time, and whether its user is there now and then."""

    def __init__(self, callers: Callers, clock: Clock, token: str) -> None:
        self._callers = callers
        self._clock = clock
        self._token = token
        self._checked_at: int | None = None
        self._expires_at = 0

    async def __call__(self) -> None:
        now = self._clock()
        if (
            self._checked_at is None
            or not 0 <= now - self._checked_at < _CHECK_EVERY
            or now >= self._expires_at
        ):
            with suppress(DatabaseError):  # not now: the next time will tell
                _, self._expires_at = await self._callers.inbox(self._token, now)
                self._checked_at = now


class _Words:
    """How one client is told: counts only where they are others than it was told last."""

    def __init__(self) -> None:
        self._counted: dict[str, int] = {}

    def of(self, arrival: Arrival) -> list[tuple[str, bytes]]:
        """Return (type, frame) of what is to be said."""
        about = arrival.news.about
        if isinstance(about, Counts):
            return [
                (name, _frame(name, arrival.place, orjson.dumps({key: count})))
                for name, key, count in (
                    ("unseen_count_changed", "unseenCount", about.unseen),
                    ("unread_count_changed", "unreadCount", about.unread),
                )
                if self._is_news(key, count)
            ]
        name = "reset" if about is None else _RECEIVED
        return [(name, _frame(name, arrival.place, arrival.news.said(_say)))]

    def _is_news(self, key: str, count: int) -> bool:
        known, self._counted[key] = self._counted.get(key), count
        return known != count


def _say(about: About) -> bytes:
    return orjson.dumps(show_inbox_message(about) if isinstance(about, InboxItem) else {})


def _frame(name: str, place: Told, data: bytes) -> bytes:
    return b'{"type":"%b","id":"%b","data":%b}' % (name.encode(), str(place).encode(), data)


def _read_hello(heard: WSMessage | BaseException) -> _Hello:
    """Return what a first frame says; ValueError says what is wrong with it, in few words and none of the client's."""
    if isinstance(heard, BaseException):
        raise ValueError("send a frame with the token within 10 seconds")  # noqa: TRY004 - it is what the client did
    said: Any = None
    if heard.type is WSMsgType.TEXT:
        with suppress(orjson.JSONDecodeError):
            said = orjson.loads(heard.data)
    if not isinstance(said, dict) or said.get("type") != "auth" or not isinstance(said.get("token"), str):
        raise ValueError('the first frame is {"type": "auth", "token": "…"}')
    after = said.get("after")
    try:
        return _Hello(said["token"], None if after is None else read_told(str(after)))
    except ValueError:
        raise ValueError("after is no event's id") from None
