"""What is read on one phone is cleared on the other, and streams are told: how soon.

The simulated providers and the phones are in this process; one message at a time, nothing else is under way.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import quantiles

import aiohttp
import psutil

from simulator.phone import Phone
from tests.harness.bench_figures import say
from tests.harness.native import Native
from tests.harness.stack import Stack, running
from tests.harness.streams import Stream, event_stream, until, web_socket

TIMES = 60
WARM_UP = 5
CONNECTIONS = 32  # as many as one user may have in a process


async def read_sync(directory: Path) -> None:
    async with running(directory) as stack:
        api = Native(stack.session, stack.server.url, stack.token)
        await _streams(stack, api)
        await _memory(stack, api)
        ios = await stack.pair(platform="ios", suite=2, name="ios", keep=False)
        android = await stack.pair(platform="android", suite=1, name="android", keep=False)
        await _phones(stack, api, (ios, android))
        for phone in (ios, android):
            await phone.close()


async def _phones(stack: Stack, api: Native, phones: tuple[Phone, Phone]) -> None:
    for reader, other, name in (
        (phones[0], phones[1], "on iOS, cleared on Android"),
        (phones[1], phones[0], "on Android, cleared on iOS"),
    ):

        async def read(message: str, reader: Phone = reader, other: Phone = other) -> None:
            await reader.read(message)
            await _is_read(other, message)

        await _measure(f"read {name}", lambda: _shown(stack, phones), read)

    async def mark(message: str) -> None:
        page = await api.get("/api/v1/notifications?limit=1")
        item = page["notifications"][0]["id"]
        await api.call("PATCH", f"/api/v1/notifications/{item}/read")
        await asyncio.gather(*(_is_read(phone, message) for phone in phones))

    await _measure(
        "read through the API (found and marked), cleared on both phones", lambda: _shown(stack, phones), mark
    )


async def _streams(stack: Stack, api: Native) -> None:
    """One stream at a time: each is told of everything, and what is not read would wait for the next one's turn."""
    for connect, name in ((event_stream, "server-sent events"), (web_socket, "WebSocket")):
        async with connect(api) as stream:

            async def quiet(stream: Stream = stream) -> str:
                await until(stream, "counts")
                return ""

            async def told(_: str, stream: Stream = stream) -> None:
                await stack.send(title="bench", deliveryType="NO_PUSH")
                await until(stream, "notification")

            await _measure(f"from POST to the event, {name}", quiet, told)


async def _memory(stack: Stack, api: Native) -> None:
    server = psutil.Process(stack.server.pid)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        own = Native(session, api.url, api.token)
        for connect, name in ((event_stream, "server-sent events"), (web_socket, "WebSocket")):
            async with AsyncExitStack() as opened:
                await until(await opened.enter_async_context(connect(own)), "counts")
                before = server.memory_info().rss
                for _ in range(CONNECTIONS - 1):
                    await until(await opened.enter_async_context(connect(own)), "counts")
                each = (server.memory_info().rss - before) / (CONNECTIONS - 1) / 1024
            say(f"memory of one connection, {name}", f"{each:>10.0f} KiB")


async def _measure(
    name: str, prepare: Callable[[], Awaitable[str]], work: Callable[[str], Awaitable[None]]
) -> None:
    times = []
    for _ in range(TIMES):
        message = await prepare()
        start = time.perf_counter()
        await work(message)
        times.append((time.perf_counter() - start) * 1000)
    cuts = quantiles(times[WARM_UP:], n=100)
    say(name, f"p50 {cuts[49]:.1f} ms   p99 {cuts[98]:.1f} ms")


async def _shown(stack: Stack, phones: tuple[Phone, Phone]) -> str:
    message = await stack.send(title="bench", body="x" * 200)
    for phone in phones:
        await phone.until(lambda inbox: message in inbox.cards)
    return message


async def _is_read(phone: Phone, message: str) -> None:
    await phone.until(lambda inbox: inbox.cards[message].state == "read")
