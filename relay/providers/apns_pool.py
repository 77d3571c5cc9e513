"""The few connections that one app has to APNs, made when they are needed and dropped as soon as they end."""

import asyncio
import ssl
from typing import Final

from aioapns.exceptions import ConnectionClosed

from relay.providers.apns_connection import ApnsConnection

CONNECT_SECONDS: Final = 5.0
FAILED_CONNECT_SECONDS: Final = 1.0
CONNECTIONS: Final = 4


class Unreachable(Exception):
    """No connection can be made now."""


class ApnsPool:
    """Up to `CONNECTIONS` to one address; another is opened only when all have as many streams as they may."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._connections: list[ApnsConnection] = []
        self._connecting = asyncio.Lock()
        self._failed_at = float("-inf")

    async def acquire(self) -> ApnsConnection:
        """A connection that may be waited on. Raises `Unreachable`."""
        connection = self._pick()
        if connection is None:
            async with self._connecting:
                connection = self._pick() or await self._connect()
        return connection

    def _pick(self) -> ApnsConnection | None:
        if not self._connections:
            return None
        best = min(self._connections, key=lambda connection: connection.load)
        return None if best.is_busy and len(self._connections) < CONNECTIONS else best

    async def _connect(self) -> ApnsConnection:
        loop = asyncio.get_running_loop()
        # One failure speaks for those who wait behind it: they must not each try in turn until their
        # deadlines.
        if loop.time() < self._failed_at + FAILED_CONNECT_SECONDS:
            raise Unreachable
        connection = ApnsConnection(loop, self._forget)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.create_connection(lambda: connection, self._host, self._port, ssl=self._context)
                await connection.ready
        except (OSError, TimeoutError, ConnectionClosed) as error:
            connection.close()  # it may be there and only not ready
            self._failed_at = loop.time()
            raise Unreachable from error
        except asyncio.CancelledError:
            connection.close()
            raise
        self._connections.append(connection)
        return connection

    def _forget(self, connection: ApnsConnection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)

    def close(self) -> None:
        for connection in tuple(self._connections):
            connection.close()
