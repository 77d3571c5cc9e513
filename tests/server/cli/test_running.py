"""How an application is served: nobody can hold a connection for nothing."""

import asyncio

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
