"""One of several server processes behind one socket, as the supervisor starts it: `python -m server.cli.child`."""

import sys
from contextlib import AsyncExitStack

import msgspec
import structlog
from aiohttp import web

from server.cli.build import server_app
from server.cli.figures import of_process
from server.cli.files import read_server_keys
from server.cli.lifeline import Lifeline
from server.cli.listening import inherited
from server.cli.logs import log_to_stderr
from server.cli.orders import Orders
from server.cli.running import run_until_stopped
from server.cli.saying import speak_utf8
from server.cli.spoken import failures_spoken


def main() -> None:
    speak_utf8()
    with failures_spoken():
        supervisor = Lifeline()
        line = supervisor.orders()
        if line is not None:
            supervisor.follow(_nothing_to_hear)
            _serve(msgspec.json.decode(line, type=Orders), supervisor)


def _nothing_to_hear(_line: bytes) -> None:
    """A server has all that it needs from its start."""


def _serve(orders: Orders, supervisor: Lifeline) -> None:
    settings = orders.settings
    log_to_stderr(settings.log)
    log = structlog.get_logger("server").bind(process=orders.number)
    keys = read_server_keys(settings)
    figures = of_process(orders.number)

    async def make(resources: AsyncExitStack) -> web.Application:
        return await server_app(settings, keys, orders.role, figures, log, resources)

    run_until_stopped(inherited(orders.socket, orders.host), make, supervisor.ready, supervised=True)


if __name__ == "__main__":
    main()
    sys.exit()
