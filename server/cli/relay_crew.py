"""A relay's processes: one, or several behind one socket, of which the supervisor alone reads the disk.

What runs a relay is imported by the processes that do; the supervisor has no need of it.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import msgspec
import structlog

from server.cli.lifeline import Lifeline
from server.cli.listening import Listener, bind, inherited
from server.cli.logs import log_to_stderr
from server.cli.relay_given import Given, RelayOrders, Reloader, read_given
from server.cli.saying import speak_utf8
from server.cli.spoken import failures_spoken
from server.cli.supervisor import Program, supervise


def run(config: str | None, workers: int) -> None:
    speak_utf8()
    with failures_spoken():
        given = read_given(config, workers)
        log_to_stderr(given.settings.log)
        log = structlog.get_logger("relay")
        listener = bind(given.settings.relay.listen, "relay.listen")
        if workers > 1:
            supervise(_program(config, given, listener, log), listener, workers, log)
            return
        from server.cli.relay_process import alone  # noqa: PLC0415 - see above

        alone(config, given, listener, log)


def _program(config: str | None, given: Given, listener: Listener, log: Any) -> Program:
    reloader = Reloader(config, given, log)

    def orders(number: int) -> bytes:
        descriptor, host = listener.socket.fileno(), listener.host
        return msgspec.json.encode(
            RelayOrders(given=reloader.given, number=number, socket=descriptor, host=host)
        )

    async def reload() -> bytes | None:
        found = await reloader.reload()
        return None if found is None else msgspec.json.encode(found)

    return Program("relay", "server.cli.relay_child", orders, reload)


def child() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it is told by its supervisor
    speak_utf8()
    with failures_spoken():
        supervisor = Lifeline()
        line = supervisor.orders()
        if line is None:
            return
        orders = msgspec.json.decode(line, type=RelayOrders)
        log_to_stderr(orders.given.settings.log)
        from server.cli.figures import of_process  # noqa: PLC0415 - see above
        from server.cli.relay_process import serve  # noqa: PLC0415 - see above

        serve(
            orders.given,
            inherited(orders.socket, orders.host),
            of_process(orders.number),
            supervisor.ready,
            partial(_told_by, supervisor),
            supervised=True,
        )


@asynccontextmanager
async def _told_by(supervisor: Lifeline, told: Any) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()

    def heard(line: bytes) -> None:
        with suppress(RuntimeError):  # the loop is closed: the process is about to end
            loop.call_soon_threadsafe(lambda: told(msgspec.json.decode(line, type=Given)))

    supervisor.follow(heard)
    yield
