"""A provider over HTTP/1.1, and what a script does to its connections: for Google, and for Web Push."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from simulator.faults import Kind
from simulator.requests import Outcome, Pairs, Reply, Request, Told

LARGEST_REQUEST = 1 << 20


class Http1:
    """A provider by aiohttp, which keeps the connections; `answer` is asked once for each request."""

    def __init__(self, answer: Callable[[Request], Outcome]) -> None:
        self._answer = answer
        self._closing = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.router.add_route("*", "/{path:.*}", self.answer)
        app.on_shutdown.append(self._close)
        return app

    async def _close(self, _app: web.Application) -> None:
        self._closing.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        headers: Pairs = (
            (":method", request.method),
            (":path", request.path_qs),
            *((name.lower(), value) for name, value in request.headers.items()),
        )
        outcome = self._answer(Request(headers, await request.read()))
        return _shown(outcome) if isinstance(outcome, Reply) else await self._fail(request, outcome)

    async def _fail(self, request: web.Request, told: Told) -> web.StreamResponse:
        fault = told.fault
        match fault.kind:
            case Kind.ANSWER:
                return _shown(told.reply())
            case Kind.DELAY:
                reply = told.reply()
                await asyncio.sleep(fault.delay)
                return _shown(reply)
            case Kind.SLOW:
                return await _dripped(request, told.reply(), fault.delay)
            case Kind.HANG | Kind.MUTE:
                await self._closing.wait()
            case Kind.HANG_UP if request.transport is not None:
                request.transport.close()
                return web.Response(status=503)
        if fault.delivers:
            told.accept()
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=503)


def _shown(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, headers=_headers(reply), body=reply.body)


def _headers(reply: Reply) -> dict[str, str]:
    return {name.title(): value for name, value in reply.headers}


async def _dripped(request: web.Request, reply: Reply, delay: float) -> web.StreamResponse:
    answer = web.StreamResponse(status=reply.status, headers=_headers(reply))
    await asyncio.sleep(delay)
    await answer.prepare(request)
    for byte in reply.body:
        await asyncio.sleep(delay)
        await answer.write(bytes((byte,)))
    await answer.write_eof()
    return answer
