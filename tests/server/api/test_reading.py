"""Reading a body that somebody is in no hurry to send."""

import asyncio

from aiohttp import web

from server.api.answers import STATUS, nothing
from server.api.forms import FilePart, read_multipart
from server.api.reading import TooSlow, read_body
from tests.harness.native import listening


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    """A connection is not held for ever."""
    refused: list[TooSlow] = []

    async def handler(request: web.Request) -> web.Response:
        try:
            await read_body(request, seconds=0.01)
        except TooSlow as refusal:
            refused.append(refusal)
        return nothing()

    app = web.Application()
    app.router.add_post("/", handler)
    async with listening(app) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert [STATUS[type(refusal)] for refusal in refused] == [408]


async def test_a_form_that_does_not_come_is_not_waited_for() -> None:
    refused: list[TooSlow] = []

    async def take(_: FilePart) -> None:
        raise AssertionError("there is no file")

    async def handler(request: web.Request) -> web.Response:
        try:
            await read_multipart(request, take, seconds=0.01)
        except TooSlow as refusal:
            refused.append(refusal)
        return nothing()

    app = web.Application()
    app.router.add_post("/", handler)
    async with listening(app) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 99\r\n\r\n"
        writer.write(head + b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\nHi')
        await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert len(refused) == 1
