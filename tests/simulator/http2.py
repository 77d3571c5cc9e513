"""A bare HTTP/2 client over h2: it sends exactly the headers it is given, good or bad."""

import asyncio
import json
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)

Pairs = Iterable[tuple[str, str]]


class Broken(Exception):
    """The connection or the stream ended without an answer."""


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    data_frames: int = 0
    ended: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client(asyncio.Protocol):
    def __init__(self) -> None:
        self.http2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.transport: asyncio.Transport
        self.answers: dict[int, Answer] = {}
        self.waiting: dict[int, asyncio.Future[Answer]] = {}
        self.settings: asyncio.Event = asyncio.Event()
        self.limits: list[int] = []
        self.goodbye: ConnectionTerminated | None = None
        self.lost = asyncio.Event()

    @classmethod
    async def connect(cls, address: str, ca_file: Path, *, protocols: tuple[str, ...] = ("h2",)) -> Self:
        context = ssl.create_default_context(cafile=str(ca_file))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.set_alpn_protocols(list(protocols))
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(cls, host, int(port), ssl=context)
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.http2.initiate_connection()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        for waiting in self.waiting.values():
            if not waiting.done():
                waiting.set_exception(Broken("connection lost"))
        self.lost.set()

    def flush(self) -> None:
        self.transport.write(self.http2.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self.http2.receive_data(data):
            match event:
                case RemoteSettingsChanged():
                    self.limits.append(int(self.http2.remote_settings.max_concurrent_streams))
                    self.settings.set()
                case ResponseReceived(stream_id=int(stream), headers=headers):
                    pairs = dict(cast("list[tuple[str, str]]", headers))
                    self.answers[stream].headers = pairs
                    self.answers[stream].status = int(pairs[":status"])
                case DataReceived(stream_id=int(stream), data=body, flow_controlled_length=int(length)):
                    self.http2.acknowledge_received_data(length, stream)
                    self.answers[stream].body += body or b""
                    self.answers[stream].data_frames += 1
                case StreamEnded(stream_id=int(stream)):
                    self.waiting[stream].set_result(self.answers[stream])
                case StreamReset(stream_id=int(stream)):
                    self.waiting[stream].set_exception(Broken("stream reset"))
                case ConnectionTerminated():
                    self.goodbye = event
                    for stream, waiting in self.waiting.items():
                        if stream > (event.last_stream_id or 0) and not waiting.done():
                            waiting.set_exception(Broken("goaway"))
        self.flush()

    def ask(self, headers: Pairs, body: bytes) -> asyncio.Future[Answer]:
        stream = self.http2.get_next_available_stream_id()
        self.answers[stream] = Answer()
        self.waiting[stream] = asyncio.get_running_loop().create_future()
        self.http2.send_headers(stream, list(headers), end_stream=not body)
        for start in range(0, len(body), 16_384):
            chunk = body[start : start + 16_384]
            self.http2.send_data(stream, chunk, end_stream=start + len(chunk) == len(body))
        self.flush()
        return self.waiting[stream]

    async def close(self) -> None:
        self.transport.close()
        await self.lost.wait()
