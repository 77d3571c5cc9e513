"""What becomes of bytes that are no HTTP request, and of a head that does not end.

What is no HTTP is answered with that it is none, and not a byte of it.
The library would quote the line that it could not read, which may hold a token in its clear form or half an envelope, to whoever
is behind the connection. No application is asked: it never sees such a request.

Of a head the library keeps up to 128 fields of 8 KiB, a MiB for each connection of anybody's. Nobody needs so much: where that
much has come and no request yet, the connection is closed.

An expectation other than 100-continue is passed over (RFC 9110, section 10.1.1): the library refuses it before it asks the
application, quotes it, and fails where it is no text.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict, CIMultiDictProxy

_PROBLEM = "application/problem+json"
_LARGEST_HEAD = 32_768
_CONTINUE = "100-continue"


class NoQuotes(web.AppRunner):
    """In place of `web.AppRunner`."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=_without_odd_expectations(made.request_factory),
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,  # noqa: SLF001 - the library has no other way to choose who speaks on a connection
            **made._kwargs,  # noqa: SLF001 - as above
        )


def _without_odd_expectations(make: Callable[..., web.BaseRequest]) -> Callable[..., web.BaseRequest]:
    def made(message: Any, *others: Any) -> web.BaseRequest:
        if message.headers.get("Expect", _CONTINUE).lower() != _CONTINUE:
            kept = CIMultiDict(message.headers)
            del kept["Expect"]
            message = message._replace(headers=CIMultiDictProxy(kept))
        return make(message, *others)

    return made


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    __slots__ = ("_head",)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        no_request_yet = self._waiter is not None and not self._waiter.done()
        self._head = self._head + len(data) if no_request_yet else 0
        if self._head > _LARGEST_HEAD:
            self.force_close()

    def handle_error(self, *arguments: Any, **named: Any) -> web.StreamResponse:
        """Log as the library does, and answer with its status alone."""
        theirs = super().handle_error(*arguments, **named)
        status = HTTPStatus(theirs.status)
        document = {"type": "about:blank", "title": status.phrase, "status": status}
        response = web.Response(body=msgspec.json.encode(document), status=status, content_type=_PROBLEM)
        response.force_close()
        return response
