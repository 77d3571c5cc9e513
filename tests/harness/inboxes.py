"""A client of an inbox's WebSocket: it says who it is in its first frame, and keeps what it is told."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.harness.streams import SECONDS

SOCKET = "/api/v1/notifications/inbox-socket"


@dataclass
class InboxClient:
    """`last` is where it goes on when it comes again, `received` the titles of the messages that came, `counts` the newest."""

    socket: aiohttp.ClientWebSocketResponse
    last: str | None = None
    received: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    async def hello(self, token: str, after: str | None = None) -> None:
        await self.socket.send_json(
            {"type": "auth", "token": token} | ({} if after is None else {"after": after})
        )

    async def next(self) -> dict[str, Any] | None:
        """Return the next event, None at the end."""
        message = await self.socket.receive(SECONDS)
        if message.type is not aiohttp.WSMsgType.TEXT:
            return None
        told: dict[str, Any] = json.loads(message.data)
        self.last = told["id"]
        if told["type"] == "notification_received":
            self.received.append(told["data"]["title"])
        elif told["type"] != "reset":
            self.counts |= told["data"]
        return told

    async def until_counted(self, unseen: int, unread: int) -> None:
        """Take events until it is told that so many are unseen and unread."""
        while self.counts != {"unseenCount": unseen, "unreadCount": unread}:
            assert await self.next() is not None, f"the socket was closed with {self.socket.close_code}"

    async def until_received(self, *titles: str) -> None:
        """Take events until these messages have come, and no others, in any order."""
        while len(self.received) < len(titles):
            assert await self.next() is not None, f"the socket was closed with {self.socket.close_code}"
        assert sorted(self.received) == sorted(titles), self.received

    async def end(self) -> int | None:
        """Take what still comes, and return why the socket was closed."""
        while await self.next() is not None:
            pass
        return self.socket.close_code


@asynccontextmanager
async def opened(
    session: aiohttp.ClientSession, url: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[InboxClient]:
    """Open a socket that has not said yet who it is."""
    async with session.ws_connect(url + SOCKET, headers=headers or {}) as socket:
        yield InboxClient(socket)


@asynccontextmanager
async def following(
    session: aiohttp.ClientSession, url: str, token: str, after: str | None = None
) -> AsyncIterator[InboxClient]:
    """Open a socket with the token of a session."""
    async with opened(session, url) as client:
        await client.hello(token, after)
        yield client
