"""Clients of the live streams: one that reads server-sent events, one that holds a WebSocket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from tests.harness.native import Native

SECONDS = 20.0


@dataclass(frozen=True)
class Told:
    event: str
    id: str
    data: dict[str, Any]


class Stream(Protocol):
    async def next(self) -> Told | None:
        """Return the next event, None at the end."""
        ...


class EventStream:
    """Server-sent events, read as WHATWG HTML, section 9.2.6, has it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.comments = 0

    async def next(self) -> Told | None:
        fields: dict[str, str] = {}
        async with asyncio.timeout(SECONDS):
            async for raw in self.response.content:
                line = raw.decode().rstrip("\n")
                name, _, value = line.partition(": ")
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    fields[name] = value
                elif "data" in fields:
                    return Told(fields["event"], fields["id"], json.loads(fields["data"]))
        return None

    async def comment(self) -> None:
        """Wait for a heartbeat."""
        async with asyncio.timeout(SECONDS):
            async for raw in self.response.content:
                if raw.startswith(b":"):
                    return


class Socket:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def next(self) -> Told | None:
        message = await self.socket.receive(SECONDS)
        if message.type is not aiohttp.WSMsgType.TEXT:
            return None
        return Told(**json.loads(message.data))


@asynccontextmanager
async def event_stream(
    api: Native, after: str | None = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[EventStream]:
    sent = {"Authorization": f"Bearer {api.token}", **(headers or {})}
    query = {} if after is None else {"after": after}
    url = f"{api.url}/api/v1/messages/stream"
    async with api.session.get(url, headers=sent, params=query) as response:
        assert response.status == 200, await response.read()
        yield EventStream(response)


@asynccontextmanager
async def web_socket(
    api: Native, after: str | None = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Socket]:
    sent = {"Authorization": f"Bearer {api.token}"} if headers is None else headers
    query = {} if after is None else {"after": after}
    async with api.session.ws_connect(f"{api.url}/api/v1/live", headers=sent, params=query) as socket:
        yield Socket(socket)


class Known:
    """What a client of a stream knows: the newest state of each item, and the counts. The two come in no order."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.items: dict[str, Any] = {}
        self.counts: tuple[int, int] | None = None  # total, unread

    async def until(self, condition: Callable[["Known"], bool]) -> None:
        """Take events until what is known is so."""
        while not condition(self):
            told = await self._stream.next()
            assert told is not None, "the stream ended"
            if told.event == "counts":
                self.counts = told.data["total"], told.data["unread"]
            else:
                self.items[told.data["id"]] = told.data


async def until(stream: Stream, event: str) -> Told:
    """Return the next event of that name."""
    while True:
        told = await stream.next()
        assert told is not None, f"the stream ended before {event}"
        if told.event == event:
            return told
