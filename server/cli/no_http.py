"""What is answered to bytes that are no HTTP request: that they are none, and not a byte of them.

The library would quote the line that it could not read, which may hold a token in its clear form or half an envelope, to whoever
is behind the connection. No application is asked: it never sees such a request.
"""

from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

_PROBLEM = "application/problem+json"


class NoQuotes(web.AppRunner):
    """In place of `web.AppRunner`."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,  # noqa: SLF001 - the library has no other way to choose who speaks on a connection
            **made._kwargs,  # noqa: SLF001 - as above
        )


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    __slots__ = ()

    def handle_error(self, *arguments: Any, **named: Any) -> web.StreamResponse:
        """Log as the library does, and answer with its status alone."""
        theirs = super().handle_error(*arguments, **named)
        status = HTTPStatus(theirs.status)
        document = {"type": "about:blank", "title": status.phrase, "status": status}
        response = web.Response(body=msgspec.json.encode(document), status=status, content_type=_PROBLEM)
        response.force_close()
        return response
