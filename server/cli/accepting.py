"""Takes connections from a socket that several processes share, so that each gets its part of them.

An event loop that is woken takes all that wait: of connections that come together and stay, one process might get nearly all,
and the others would have nothing to do. Here a process takes one, and then leaves the socket to the others for a moment. Who
takes none, because it is busy or ended, holds up nobody: the rest waits in the kernel, where any of them finds it.
"""

import asyncio
import socket

from aiohttp import web

# Seconds that a process leaves the socket to the others after each connection. Long enough for another to be woken; and
# short, because no process takes more connections in a second than this allows (each may carry many requests).
_STEP_ASIDE = 0.001
_RECOVER = 1.0  # seconds until the next attempt when no connection can be taken, because files or memory have run out


class SharedSite(web.BaseSite):
    """In place of `web.SockSite`. The socket is listening already, and is closed here, which leaves it to the others."""

    def __init__(self, runner: web.AppRunner, shared: socket.socket) -> None:
        super().__init__(runner)
        if runner.server is None:
            raise RuntimeError("the runner is not set up")
        self._serving = runner.server
        self._shared = shared
        self._pause: asyncio.TimerHandle | None = None
        self._arriving: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        host, port = self._shared.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def start(self) -> None:
        await super().start()
        self._shared.settimeout(0)  # another may be quicker
        self._watch()

    async def stop(self) -> None:
        """Take no more; return when those that were taken are in the server's care."""
        await super().stop()  # refuses where it was never started
        self._look_away()
        self._shared.close()
        if self._arriving:
            await asyncio.wait(self._arriving)

    def _watch(self) -> None:
        self._pause = None
        asyncio.get_running_loop().add_reader(self._shared, self._take)

    def _look_away(self, seconds: float | None = None) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._shared)
        if self._pause is not None:
            self._pause.cancel()
        self._pause = None if seconds is None else loop.call_later(seconds, self._watch)

    def _take(self) -> None:
        try:
            connection, _ = self._shared.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another process was quicker, or the client has gone again
        except OSError as error:
            self._tell("no connection can be taken; the next attempt is in a second", error)
            self._look_away(_RECOVER)
            return
        self._look_away(_STEP_ASIDE)
        connection.settimeout(0)
        arriving = asyncio.get_running_loop().create_task(self._hand_over(connection))
        self._arriving.add(arriving)
        arriving.add_done_callback(self._arriving.discard)

    async def _hand_over(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._serving, connection)
        except OSError as error:
            connection.close()
            self._tell("a connection was lost as it was taken", error)

    @staticmethod
    def _tell(message: str, error: OSError) -> None:
        asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
