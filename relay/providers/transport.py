"""What a provider sends its requests over: our HTTP/2, or one of the clients that are kept for comparison.

All of them take `relay.http2`'s requests and answer them in its words, so that a provider writes and reads its messages once,
whichever client is selected. A push of a server that sends mostly to dead tokens goes over a connection of its own: a provider
may answer such a connection by allowing it one request at a time, and then only those suspects wait.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final, Protocol

from relay.fair import FairQueue
from relay.http2 import Fault, Request, Response
from relay.http2_pool import Pool, Watch
from relay.providers.provider import CONNECTION_LOST, TIMEOUT, Verdict

CONNECTIONS: Final = 8
SUSPECTS_CONNECTIONS: Final = 1

FAULTS: Final[Mapping[Fault, Verdict]] = MappingProxyType(
    {
        Fault.TIMEOUT: TIMEOUT,
        Fault.DNS: Verdict("retry", "dns_failed"),
        Fault.CONNECT: Verdict("retry", "connect_failed"),
        Fault.TLS: Verdict("retry", "tls_failed"),
        # Whether it was processed is not known in these two.
        Fault.CONNECTION_LOST: CONNECTION_LOST,
        Fault.STREAM_RESET: Verdict("retry", "stream_reset"),
        # Not processed, and no time was left to send it again.
        Fault.GOAWAY: Verdict("retry", "going_away"),
        Fault.PROTOCOL: Verdict("retry", "protocol_error"),
        # This process stops.
        Fault.CLOSED: CONNECTION_LOST,
    }
)


class Transport(Protocol):
    def submit(self, request: Request) -> None:
        """Send it; its `done` is called once, by its deadline."""

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Address:
    """Where a provider is, and how its certificate is judged."""

    host: str
    port: int
    context: ssl.SSLContext


@cache
def trusting(roots: str | None, *protocols: str) -> ssl.SSLContext:
    """A context that trusts these roots, or the system's, and offers these protocols.

    One for all apps: the system's roots are nearly a megabyte, and read for a fortieth of a second.
    """
    context = ssl.create_default_context(cadata=roots)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def http2_pool(address: Address, connections: int, in_flight: int, watch: Watch) -> Pool:
    return Pool(
        address.host,
        address.port,
        address.context,
        queue=FairQueue(),
        connections=connections,
        in_flight=in_flight,
        watch=watch,
    )


class Lanes:
    """`make` opens a transport with so many connections at most."""

    def __init__(self, make: Callable[[int], Transport]) -> None:
        self._make = make
        self._ordinary = make(CONNECTIONS)
        self._suspects: Transport | None = None

    def submit(self, request: Request, *, suspect: bool) -> None:
        if not suspect:
            self._ordinary.submit(request)
            return
        if self._suspects is None:
            self._suspects = self._make(SUSPECTS_CONNECTIONS)
        self._suspects.submit(request)

    async def close(self) -> None:
        self._suspects = self._suspects or self._ordinary  # none is opened any more
        await self._ordinary.close()
        await self._suspects.close()


def header(answer: Response, wanted: bytes) -> str | None:
    """The first field of this name, which is in lower case."""
    return next((value.decode("latin-1") for name, value in answer.headers if name == wanted), None)
