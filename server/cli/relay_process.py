"""One relay process: the only one of its relay, or one of several behind one socket."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from aiohttp import web

from relay.app import RELOAD
from server.cli.figures import Figures, of_the_only_process
from server.cli.listening import Listener
from server.cli.relay_app import relay_app
from server.cli.relay_given import Given, Reloader, config_of
from server.cli.running import Ready, run_until_stopped

Told = Callable[[Given], None]
"""Takes over what a relay is given anew; in the loop."""
Listen = Callable[[Told], AbstractAsyncContextManager[None]]
"""Hears, as long as it is entered, what the process is given anew."""


def alone(config: str | None, given: Given, listener: Listener, log: Any) -> None:
    """Run the only process of a relay."""
    reloader = Reloader(config, given, log)

    def ready() -> None:
        log.info("listening", address=listener.address)

    serve(given, listener, of_the_only_process(), ready, partial(on_hangup, reloader), supervised=False)


def serve(
    given: Given, listener: Listener, figures: Figures, ready: Ready, listen: Listen, *, supervised: bool
) -> None:
    """Run a relay process until it is told to stop."""

    async def make(resources: AsyncExitStack) -> web.Application:
        app = relay_app(config_of(given), figures)
        await resources.enter_async_context(listen(lambda other: app[RELOAD](config_of(other))))
        return app

    run_until_stopped(listener, make, ready, supervised=supervised)


@asynccontextmanager
async def on_hangup(reloader: Reloader, told: Told) -> AsyncIterator[None]:
    """The only process reads for itself when SIGHUP comes."""
    wanted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, wanted.set)

    async def reload() -> None:
        while await wanted.wait():
            wanted.clear()
            given = await reloader.reload()
            if given is not None:
                told(given)

    task = asyncio.create_task(reload())
    yield
    task.cancel()
    await asyncio.wait((task,))
