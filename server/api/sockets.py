"""What the WebSockets of all APIs have in common: from which pages they are opened, how they are fed, and why they are closed.

A socket tells what changes until either end has had enough. Who does not take what was written counts as gone, who talks out of turn
is shown out, and whoever is closed is told why.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import WSCloseCode, web

from server.api.answers import Refused
from server.domain.errors import Forbidden, Refusal, invalid
from server.live.hub import End, Ended

T = TypeVar("T")
Write = Callable[[Sequence[T]], Awaitable[None]]

PROTOCOL = "hushpost"
"""The subprotocol that a WebSocket's client may ask for, beside `bearer.<token>` where a path takes that."""
PROTOCOLS = "Sec-WebSocket-Protocol"
ANY = "*"

# RFC 6455, section 7.4.2: 4000 to 4999 are an application's own.
CLOSE_BEHIND = 4000
CLOSE_CREDENTIAL = 4001

TAKE_WITHIN = 30.0  # seconds for what was written, before a client counts as gone
_CLOSE_WITHIN = 2.0
_PING_EVERY = 30.0


def new_socket(longest_frame: int) -> web.WebSocketResponse:
    """Return a socket that takes frames of at most so many bytes."""
    return web.WebSocketResponse(
        protocols=(PROTOCOL,),
        timeout=_CLOSE_WITHIN,
        heartbeat=_PING_EVERY,
        max_msg_size=longest_frame,
        compress=False,  # a compressor costs more memory than all else of a connection
    )


async def feed(
    request: web.Request,
    told: AsyncIterator[Sequence[T]],
    *,
    check: Callable[[], Awaitable[None]],
    write: Write[T],
) -> None:
    """Write what is told, `check` having raised nothing; returns where the client has gone."""
    try:
        async for events in told:
            await check()
            async with asyncio.timeout(TAKE_WITHIN):
                await write(events)
    except (TimeoutError, ConnectionError):
        if request.transport is not None:
            request.transport.abort()


async def serve(socket: web.WebSocketResponse, feeding: Coroutine[Any, Any, None]) -> None:
    """Feed a socket until that ends or its client does, and close it with the reason."""
    tasks = asyncio.ensure_future(feeding), asyncio.ensure_future(socket.receive())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcome, _ = await asyncio.gather(*tasks, return_exceptions=True)
    await close(socket, *_closing(outcome))


async def close(socket: web.WebSocketResponse, code: int, reason: bytes) -> None:
    """Close a socket, whether or not its client still answers."""
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(_CLOSE_WITHIN):
            await socket.close(code=code, message=reason)


def check_origin(request: web.Request, origins: frozenset[str]) -> None:
    """Forbidden for a page of an origin that is not among these: of sockets browsers do not ask first."""
    origin = request.headers.get("Origin")
    if origin is not None and not origins & {origin, ANY}:
        raise Forbidden(
            "pages of this origin may not connect; the operator lists those that may in server.cors_origins",
            code="origin_forbidden",
        )


def check_protocols(request: web.Request) -> None:
    """Invalid where a client offers other subprotocols than ours: the library would log what it offers, a token too."""
    offered = request.headers.get(PROTOCOLS)
    if offered is not None and PROTOCOL not in map(str.strip, offered.split(",")):
        raise invalid(PROTOCOLS, f"has no {PROTOCOL}", f"offer {PROTOCOL} first, or no subprotocol")


def is_gone(request: web.Request) -> Callable[[], bool]:
    """Return what says whether the other end has closed its connection."""
    return lambda: request.transport is None or request.transport.is_closing()


def upgrade_required(elsewhere: str) -> Refused:
    """Return why a plain request is refused; `elsewhere` says what there is instead."""
    return Refused(
        HTTPStatus.UPGRADE_REQUIRED,
        "upgrade_required",
        f"this path is a WebSocket (RFC 6455); {elsewhere}",
        headers={"Upgrade": "websocket", "Connection": "Upgrade"},
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
