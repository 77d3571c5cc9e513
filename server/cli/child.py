"""One of several server processes behind one socket, as the supervisor starts it: `python -m server.cli.child`.

Its standard input is its orders, one line of JSON, and then its lifeline: it never carries anything more, and ends with the
supervisor, however that ends. Its standard output tells the supervisor that it serves. Settings come that way and not from
the file, so that all processes have the same, and neither arguments nor environment show what is secret.
"""

import os
import shutil
import signal
import sys
import threading
import time
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import structlog
from aiohttp import web

from server.cli.build import server_app
from server.cli.figures import FOLDER, of_process
from server.cli.files import read_server_keys
from server.cli.listening import inherited
from server.cli.logs import log_to_stderr
from server.cli.orders import READY, Orders
from server.cli.running import run_until_stopped
from server.cli.spoken import failures_spoken
from server.cli.terminal import speak_utf8

_END_WITHIN = 60.0  # seconds that it may take to end when there is no supervisor left to kill it


def main() -> None:
    speak_utf8()
    lifeline, ready = _taken(0, os.open(os.devnull, os.O_RDONLY)), _taken(1, 2)
    with failures_spoken(), os.fdopen(lifeline, "rb", buffering=0) as supervisor:
        line = supervisor.readline()
        if not line.endswith(b"\n"):
            return  # the supervisor has ended before it said anything
        orders = msgspec.json.decode(line, type=Orders)
        threading.Thread(target=_end_with, args=(supervisor.fileno(),), daemon=True).start()
        _serve(orders, ready)


def _taken(descriptor: int, instead: int) -> int:
    """Keep a standard stream for ourselves: the processes that seal inherit what stands there instead."""
    ours = os.dup(descriptor)
    os.dup2(instead, descriptor)
    return ours


def _serve(orders: Orders, ready: int) -> None:
    settings = orders.settings
    log_to_stderr(settings.log)
    log = structlog.get_logger("server").bind(process=orders.number)
    keys = read_server_keys(settings)
    figures = of_process(orders.number)

    async def make(resources: AsyncExitStack) -> web.Application:
        return await server_app(settings, keys, orders.role, figures, log, resources)

    listener = inherited(orders.socket, orders.host)
    run_until_stopped(listener, make, lambda: os.write(ready, READY), supervised=True)


def _end_with(supervisor: int) -> None:
    os.read(supervisor, 1)  # returns when there is no supervisor any more
    os.kill(os.getpid(), signal.SIGTERM)
    shutil.rmtree(Path(os.environ[FOLDER]), ignore_errors=True)  # that was the supervisor's to do
    time.sleep(_END_WITHIN)
    os._exit(1)


if __name__ == "__main__":
    main()
    sys.exit()
