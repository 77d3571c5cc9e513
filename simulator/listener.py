"""A listening host of a provider's: its open connections, and the while in which it refuses new ones."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import cast

from simulator.http2_connection import Http2Connection
from simulator.scripts import Scripts

Connections = set[Http2Connection]


class ByAlpn(asyncio.Protocol):
    """Hands a connection to what its client chose in the TLS handshake: HTTP/2, or HTTP/1.1."""

    def __init__(
        self, http2: Callable[[], asyncio.Protocol], http1: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        self._http2 = http2
        self._http1 = http1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        http2 = tls is not None and tls.selected_alpn_protocol() == "h2"
        protocol = self._http2() if http2 else self._http1()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


def handshake(
    scripts: Scripts, provider: str, misfit: Callable[[str], ssl.SSLContext]
) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], int | None]:
    """Make what OpenSSL asks at the start of each handshake: there a script may have another certificate shown."""

    def choose(tls: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int | None:
        fault = scripts.take_connection(provider, handshake=True)
        if fault is None:
            return None
        if fault.form == "none":
            return ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE
        tls.context = misfit(fault.form)
        return None

    return choose


class Listener:
    """`make` makes the protocol of a new connection; those of HTTP/2 note themselves in `connections`."""

    def __init__(self, make: Callable[[Connections], asyncio.BaseProtocol]) -> None:
        self._make = make
        self._server: asyncio.Server | None = None
        self._context: ssl.SSLContext
        self._returning: asyncio.Task[None] | None = None
        self._held: socket.socket
        self.connections: Connections = set()
        self.address = ("", 0)

    async def start(self, host: str, port: int, context: ssl.SSLContext) -> None:
        self._context = context
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, host, port, ssl=context)
        self.address = cast("tuple[str, int]", self._server.sockets[0].getsockname()[:2])

    def _connection(self) -> asyncio.BaseProtocol:
        return self._make(self.connections)

    def refuse(self, seconds: float) -> None:
        """Stop listening for a while: the port stays ours, and whoever connects to it is refused."""
        if self._server is None or self._returning is not None:
            return
        family = self._server.sockets[0].family
        self._server.close()
        held = socket.socket(family)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(self.address)
        self._returning = asyncio.create_task(self._return(held, seconds))
        self._held = held

    async def _return(self, held: socket.socket, seconds: float) -> None:
        await asyncio.sleep(seconds)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, sock=held, ssl=self._context)
        self._returning = None

    async def stop(self) -> None:
        """Listen no more."""
        if self._returning is not None:
            self._returning.cancel()
            await asyncio.wait([self._returning])
            self._held.close()
            self._returning = None
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Say goodbye as Apple does (GOAWAY, Shutdown) and close; safe to call twice."""
        await self.stop()
        await asyncio.gather(*(connection.goodbye() for connection in tuple(self.connections)))
        if self._server is not None:
            await self._server.wait_closed()
