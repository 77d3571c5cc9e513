"""Runs an application until it is told to stop: a socket first, then what answers on it, then the end in good order.

The socket is bound before anything is built, so that port 0 has its number when addresses are made from it, and a port that
is taken costs no migration. SIGTERM and SIGINT end the process after the requests under way; a second one at once.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import uvloop
from aiohttp import web

from server.cli.terminal import FAILED, USAGE, CommandError
from server.config import is_listen_address, listen_address

_FINISH_WITHIN = 15.0  # seconds for requests under way: longer than a push may take
_BACKLOG = 1024
# For the head of a request, first or next, however slowly it comes: the library's hour would let anybody hold all
# connections there are. Longer than proxies keep theirs (mostly 60), so that none sends into one that is being closed.
_IDLE_SECONDS = 75.0


Build = Callable[[AsyncExitStack], Awaitable[web.Application]]
"""Builds an application; what it opens is closed with the stack, after the application."""
Ready = Callable[[], object]


@dataclass(frozen=True)
class Listener:
    socket: socket.socket
    host: str
    port: int

    @property
    def address(self) -> str:
        return _address(self.host, self.port)

    @property
    def local_address(self) -> str:
        """Where this process itself reaches it."""
        return _address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host), self.port)  # noqa: S104 - compared


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(listen: str, setting: str) -> Listener:
    """Listen where a setting says; `CommandError` names it."""
    if not is_listen_address(listen):
        raise CommandError(
            f'{setting}: is not HOST:PORT, such as "127.0.0.1:8080" or "[::1]:8080"', code=USAGE
        )
    host, port = listen_address(listen)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error.strerror)
        raise CommandError(
            f"cannot listen on {listen} ({reason}); choose another with {setting}", code=FAILED
        ) from None
    return Listener(listening, host, listening.getsockname()[1])


def run_until_stopped(listener: Listener, build: Build, ready: Ready) -> None:
    """Build the application in the loop that it runs in, and serve it until a signal comes."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(listener, build, ready))


async def _serve(listener: Listener, build: Build, ready: Ready) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stopping(loop, number, stop))
    async with AsyncExitStack() as resources:
        app = await build(resources)
        runner = runner_of(app, idle_seconds=_IDLE_SECONDS)
        resources.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.SockSite(runner, listener.socket).start()
        ready()
        await stop.wait()


def runner_of(app: web.Application, *, idle_seconds: float) -> web.AppRunner:
    """What serves an application; a connection that has no whole request for so long is closed."""
    return web.AppRunner(
        app,
        handle_signals=False,
        access_log=None,
        auto_decompress=False,  # both applications refuse a Content-Encoding; nothing is inflated before that
        shutdown_timeout=_FINISH_WITHIN,
        keepalive_timeout=idle_seconds,
    )


def _stopping(
    loop: asyncio.AbstractEventLoop, number: signal.Signals, stop: asyncio.Event
) -> Callable[[], None]:
    def handle() -> None:
        stop.set()
        loop.remove_signal_handler(number)  # the next one is the system's: it ends the process

    return handle
