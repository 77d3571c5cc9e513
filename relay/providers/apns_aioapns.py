"""APNs over aioapns: a few connections with its protocol's faults repaired, as a comparison and a way back.

Each exchange ends whatever the peer does: with its answer, a reset, GOAWAY, a lost connection, or the caller's deadline, which
resets the stream. Nothing is ever sent again from here. A connection that was told to go away, or from which nothing came while a
deadline passed, is left at once; another is opened only when all have as many streams as they may.
"""

import asyncio
import socket
import ssl
from typing import Final

from relay.http2 import Fault, Request, Response
from relay.http2_pool import Watch
from relay.providers.apns_aioapns_connection import ApnsConnection
from relay.providers.coroutines import Exchanges, Failed
from relay.providers.transport import Address

CONNECT_SECONDS: Final = 5.0
FAILED_CONNECT_SECONDS: Final = 1.0


class AioapnsTransport:
    """Up to `connections` to one address."""

    def __init__(self, address: Address, connections: int, in_flight: int, watch: Watch) -> None:
        self._address = address
        self._watch = watch
        self._limit = connections
        self._connections: list[ApnsConnection] = []
        self._connecting = asyncio.Lock()
        self._failed = Fault.CONNECT
        self._failed_at = float("-inf")
        self._exchanges = Exchanges(self._post, in_flight)

    def submit(self, request: Request) -> None:
        self._exchanges.submit(request)

    async def close(self) -> None:
        await self._exchanges.close()
        for connection in tuple(self._connections):
            connection.close(Fault.CLOSED)

    async def _post(self, request: Request) -> Response:
        connection = self._pick()
        if connection is None:
            async with self._connecting:
                connection = self._pick() or await self._connect()
        return await connection.post(request)

    def _pick(self) -> ApnsConnection | None:
        if not self._connections:
            return None
        best = min(self._connections, key=lambda connection: connection.load)
        return None if best.is_busy and len(self._connections) < self._limit else best

    async def _connect(self) -> ApnsConnection:
        loop = asyncio.get_running_loop()
        # One failure speaks for those who wait behind it: they must not each try in turn until their deadlines.
        if loop.time() < self._failed_at + FAILED_CONNECT_SECONDS:
            raise Failed(self._failed)
        connection = ApnsConnection(loop, self._forget)
        try:
            await self._open(connection)
        except (OSError, Failed) as error:
            self._failed, self._failed_at = _fault(error), loop.time()
            self._watch.lost(self._failed)
            raise Failed(self._failed) from error
        finally:
            if not connection.is_ready:
                connection.close(Fault.CONNECT)  # it may be there all the same
        self._connections.append(connection)
        self._watch.connected()
        return connection

    async def _open(self, connection: ApnsConnection) -> None:
        to = self._address
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection.loop.create_connection(lambda: connection, to.host, to.port, ssl=to.context)
            await connection.ready

    def _forget(self, connection: ApnsConnection, fault: Fault) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._watch.lost(fault)


def _fault(error: Exception) -> Fault:
    match error:
        case Failed(fault=fault):
            return fault
        case socket.gaierror():
            return Fault.DNS
        case ssl.SSLError():
            return Fault.TLS
    return Fault.CONNECT
