"""Transports that are made of coroutines: each request ends once, whatever becomes of the others."""

import asyncio

from relay.http2 import Fault, Request, Response
from relay.providers.coroutines import Exchanges


async def accept(_request: Request) -> Response:
    return Response(200)


async def test_who_fails_when_told_costs_nobody_else_their_answer() -> None:
    exchanges, ends = Exchanges(accept, 1), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: ends.append(context["exception"]))
    fault = RuntimeError("as it was asked to")

    def fail(_: Response | Fault) -> None:
        raise fault

    told = asyncio.get_running_loop().create_future()
    for done in (fail, told.set_result):
        exchanges.submit(Request(b"/", (), (), b"", done, asyncio.get_running_loop().time() + 1))
    async with asyncio.timeout(1):
        assert (await told).status == 200
    assert ends == [fault]
    await exchanges.close()
