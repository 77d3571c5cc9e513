"""The simulated APNs: a listening host of Apple's, and its open connections."""

import asyncio
import ssl
from typing import cast

from simulator.apns_connection import ApnsConnection, Front


class ApnsListener:
    """A listening front, and its open connections."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._server: asyncio.Server | None = None
        self._connections: set[ApnsConnection] = set()
        self.address = ("", 0)

    async def start(self, host: str, port: int, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, host, port, ssl=context)
        self.address = cast("tuple[str, int]", self._server.sockets[0].getsockname()[:2])

    def _connection(self) -> ApnsConnection:
        return ApnsConnection(self._front, self._connections)

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    async def close(self) -> None:
        """Say goodbye as Apple does (GOAWAY, Shutdown) and close."""
        if self._server is None:
            return
        self._server.close()
        gone = [connection.goodbye() for connection in tuple(self._connections)]
        await asyncio.gather(*gone)
        await self._server.wait_closed()
