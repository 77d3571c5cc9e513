"""Runs an application on a socket until it is told to stop, then ends it in good order.

SIGTERM and SIGINT end the process after the requests under way; a second one at once. It takes no connections any more; an
application that says how it drains does so, and what comes on the connections that are there is answered for a moment, so
that nobody sends into one that is being closed. A process that has a supervisor
leaves that to it: there the same signal may come from both the supervisor and whoever stops the whole group.
"""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import uvloop
from aiohttp import web

from server.cli.accepting import SharedSite
from server.cli.listening import BACKLOG, Listener
from server.cli.no_http import NoQuotes

# New objects until the garbage collector looks for cycles among them. Its 700 are those of two or three requests under way,
# which are no garbage: nearly all of ours goes without it, by its reference count.
_YOUNG = 10_000
_FINISH_WITHIN = 15.0  # seconds for requests under way: longer than a push may take
# For the head of a request, first or next, however slowly it comes: the library's hour would let anybody hold all
# connections there are. Longer than proxies keep theirs (mostly 60), so that none sends into one that is being closed.
_IDLE_SECONDS = 75.0


# For connections that were kept: who has something to say within this time is told to go elsewhere, and the rest was idle.
_LINGER_SECONDS = 2.0
_LOOK_SECONDS = 0.02

DRAINING: web.AppKey[Callable[[], None]] = web.AppKey("hushpost_draining", Callable[[], None])  # type: ignore[arg-type]  # a callable has no class
"""What an application does when its process begins to end: it tells who comes on a connection that is there."""

Build = Callable[[AsyncExitStack], Awaitable[web.Application]]
"""Builds an application; what it opens is closed with the stack, after the application."""
Ready = Callable[[], object]


def run_until_stopped(listener: Listener, build: Build, ready: Ready, *, supervised: bool = False) -> None:
    """Build the application in the loop that it runs in, and serve it until a signal comes.

    One that is supervised shares its socket with the supervisor's other processes.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(listener, build, ready, supervised=supervised))


async def _serve(listener: Listener, build: Build, ready: Ready, *, supervised: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set if supervised else _stopping(loop, number, stop))
    async with AsyncExitStack() as resources:
        app = await build(resources)
        runner = runner_of(app, idle_seconds=_IDLE_SECONDS)
        resources.push_async_callback(runner.cleanup)
        await runner.setup()
        site = _site(runner, listener, shared=supervised)
        await site.start()
        gc.collect()
        gc.freeze()  # what is loaded now stays: looking through all of it once a second would hold everybody up
        gc.set_threshold(_YOUNG)
        ready()
        await stop.wait()
        await _drain(app, runner, site)


async def _drain(app: web.Application, runner: web.AppRunner, site: web.BaseSite) -> None:
    await site.stop()
    if DRAINING not in app:
        return
    app[DRAINING]()
    loop = asyncio.get_running_loop()
    until = loop.time() + _LINGER_SECONDS
    while runner.server is not None and runner.server.connections and loop.time() < until:  # noqa: ASYNC110 - aiohttp tells nobody when one is closed
        await asyncio.sleep(_LOOK_SECONDS)


def _site(runner: web.AppRunner, listener: Listener, *, shared: bool) -> web.BaseSite:
    if shared:
        return SharedSite(runner, listener.socket)
    return web.SockSite(runner, listener.socket, backlog=BACKLOG)


def runner_of(app: web.Application, *, idle_seconds: float) -> web.AppRunner:
    """What serves an application; a connection that has no whole request for so long is closed."""
    return NoQuotes(
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
