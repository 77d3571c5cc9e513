"""How an application is served: nobody can hold a connection for nothing."""

import asyncio
from contextlib import suppress

import aiohttp
import pytest
from aiohttp import web

from server.cli.running import runner_of

WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET / HT", WHOLE, WHOLE + b"GET / HTTP/1.1\r\nX: "])
async def test_a_connection_without_a_whole_request_is_closed(sent: bytes) -> None:
    """Before the first one and after it, and with a part of one too."""
    runner = runner_of(web.Application(), idle_seconds=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0])
    writer.write(sent)
    async with asyncio.timeout(10):
        answer = await reader.read()  # up to the end
    assert answer.startswith(b"HTTP/1.1 404" if WHOLE in sent else b"")
    writer.close()
    await writer.wait_closed()
    await runner.cleanup()


@pytest.mark.parametrize("before", [b"", WHOLE])
async def test_a_head_without_end_is_not_kept(before: bytes) -> None:
    """However slowly it comes, and long before its time is over: many connections could each have a part of a large one here."""
    runner = runner_of(web.Application(), idle_seconds=60)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0])
    writer.write(before)
    if before:
        await reader.readuntil(b"404: Not Found")
    writer.write(b"GET / HTTP/1.1\r\n")
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            for number in range(20):
                writer.write(b"X-%d: %b\r\n" % (number, b"a" * 4_000))
                await writer.drain()
            assert await reader.read() == b""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    await runner.cleanup()


async def test_a_large_body_is_no_head() -> None:
    async def read(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    app = web.Application()
    app.router.add_post("/", read)
    runner = runner_of(app, idle_seconds=60)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession() as session:
        for size in (100_000, 1_000_000, 0):
            async with session.post(f"http://{host}:{port}/", data=bytes(size)) as answer:
                assert await answer.text() == str(size)
    await runner.cleanup()


@pytest.mark.parametrize(
    "head",
    [
        b"canary / HTTP/1.1",
        b"GET / HTTP/canary",
        b"GET / HTTP/1.1\r\nHost: x\r\ncanary: " + b"canary" * 2_000,
    ],
)
async def test_what_is_no_http_is_refused_without_being_quoted(head: bytes) -> None:
    runner = runner_of(web.Application(), idle_seconds=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0])
    writer.write(head + b"\r\n\r\n")
    answer = await reader.read()
    assert answer.endswith(b'{"type":"about:blank","title":"Bad Request","status":400}')
    assert b"canary" not in answer
    writer.close()
    await writer.wait_closed()
    await runner.cleanup()
