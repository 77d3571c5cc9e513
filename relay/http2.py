"""HTTP/2 as a client that does one thing: POST small bodies to one host, many at a time.

The words that its parts and its callers share. `relay.http2_pool` takes requests and keeps connections,
`relay.http2_connection` is one connection (RFC 9113), `relay.hpack_encoder` its header blocks (RFC 7541).
None of them knows who the peer is or what an answer means.

Every request ends exactly once: with the peer's answer or with a fault. It is sent a second time only where
the first one was certainly not processed: its stream lies beyond the last one that a GOAWAY names (section 6.8),
or the stream was refused (section 8.7).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Final, Protocol

from hpack import Decoder, HPACKError

Field = tuple[bytes, bytes]

LARGEST_ANSWER: Final = 4_096
"""Bytes of an answer's body that are kept: providers' reasons are under a hundred."""

LARGEST_BLOCK: Final = 8_192
"""Bytes of an answer's header block, and of the header list that it stands for as section 6.5.2 counts."""


class Fault(StrEnum):
    """Why there is no answer. After the first four the peer may have acted on the request."""

    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection_lost"
    STREAM_RESET = "stream_reset"
    PROTOCOL = "protocol"
    GOAWAY = "goaway"
    """Certainly not processed, and there was no time, or no attempt, left to send it again."""
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    CLOSED = "closed"


class Response:
    """`headers` are without `:status`; `body` is cut at `LARGEST_ANSWER`.

    Most answers are a 200 whose headers nobody reads, so a `block` is decoded only when they are asked for.
    That is sound because the connection allows the peer no dynamic table: a block means the same at any
    time. One that turns out to be broken has no headers.
    """

    __slots__ = ("_block", "_headers", "body", "status")

    def __init__(
        self, status: int, headers: tuple[Field, ...] = (), body: bytes = b"", *, block: bytes = b""
    ) -> None:
        self.status = status
        self.body = body
        self._headers = headers
        self._block = block

    @property
    def headers(self) -> tuple[Field, ...]:
        if self._block:
            block, self._block = self._block, b""
            with suppress(HPACKError):
                self._headers = tuple(field for field in decode(block) if not field[0].startswith(b":"))
        return self._headers


class Request:
    """One POST.

    `repeating` is the same object for many requests and starts with `:authority`: its fields go into the
    peer's table and then cost a byte each. `path` and `varying` stay out of every table: they hold secrets
    that a neighbour in the table could be used to guess (RFC 7541, section 7.1.3). Names are in lower case.

    `done` is called in the loop. `deadline` is a time of the loop's clock; it ends the request with
    `Fault.TIMEOUT` wherever it is. `sender` and `urgent` are for the queue.
    """

    __slots__ = (
        "attempts",
        "body",
        "deadline",
        "done",
        "path",
        "repeating",
        "sender",
        "urgent",
        "varying",
    )

    def __init__(
        self,
        path: bytes,
        repeating: tuple[Field, ...],
        varying: tuple[Field, ...],
        body: bytes,
        done: Callable[[Response | Fault], None],
        deadline: float,
        sender: str = "",
        urgent: bool = False,  # noqa: FBT001, FBT002 - made a hundred thousand times a second: keywords cost
    ) -> None:
        self.path = path
        self.repeating = repeating
        self.varying = varying
        self.body = body
        self.done = done
        self.deadline = deadline
        self.sender = sender
        self.urgent = urgent
        self.attempts = 0


class Queue(Protocol):
    """What waits for a stream, in the order in which it is to go. How much may wait is for who submits to say."""

    def put(self, request: Request) -> None: ...

    def pop(self) -> Request | None: ...

    def overdue(self, now: float) -> list[Request]:
        """Take out all whose deadline is over."""

    def __len__(self) -> int: ...


def finish(request: Request, result: Response | Fault) -> None:
    """Tell who asked; what they raise costs nobody else their answer."""
    try:
        request.done(result)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other requests must still end
        asyncio.get_running_loop().call_exception_handler(
            {"message": "what was called with the end of a request has failed", "exception": error}
        )


def decode(block: bytes) -> list[Field]:
    """Give the fields of a header block that was made without a dynamic table. Raises `HPACKError`."""
    decoder = Decoder(max_header_list_size=LARGEST_BLOCK)
    decoder.max_allowed_table_size = decoder.header_table_size = 0
    return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]
