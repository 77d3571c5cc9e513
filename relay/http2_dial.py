"""How a connection comes to be, and how long to wait after it did not."""

import asyncio
import ssl
from collections.abc import Callable
from socket import SOCK_STREAM
from typing import Final

from aiohappyeyeballs import start_connection

from relay.http2 import Fault
from relay.http2_connection import Connection, Owner, Timing

_NEXT_ADDRESS: Final = 0.25
"""Seconds after which another address of the host is tried beside one that does not answer (RFC 8305)."""


async def dial(
    owner: Owner, host: str, port: int, context: ssl.SSLContext, timing: Timing, failures: int = 0
) -> Connection | Fault:
    """Give a connection that takes requests, or say what stands in the way. Takes `timing.dial` at most.

    After each of `failures` in a row another of the host's addresses comes first: one may take connections and go no further.
    """
    loop = asyncio.get_running_loop()
    connection = Connection(owner, timing)
    fault: Fault | None = Fault.DNS
    try:
        async with asyncio.timeout(timing.dial):
            addresses = await loop.getaddrinfo(host, port, type=SOCK_STREAM)
            fault = Fault.CONNECT
            first = failures % len(addresses)
            addresses = addresses[first:] + addresses[:first]
            sock = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS)
            fault = Fault.TLS
            await loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=context,
                server_hostname=host,
                ssl_shutdown_timeout=timing.goodbye,
            )
            fault = Fault.CONNECT
            fault = await connection.greeted
    except (OSError, TimeoutError, UnicodeError):
        pass  # the fault is that of the step at which it came; a UnicodeError is a name that cannot be one
    finally:
        if fault is not None:
            connection.abort()
    return fault or connection


class Backoff:
    """Waits that double with each failure in a row, and vary, so that relays that fell together do not rise together."""

    def __init__(self, timing: Timing, random: Callable[[], float]) -> None:
        self._timing = timing
        self._random = random
        self.failures = 0
        self._until = float("-inf")

    def is_over(self, now: float) -> bool:
        return now >= self._until

    def succeeded(self) -> None:
        self.failures = 0
        self._until = float("-inf")

    def failed(self, now: float) -> None:
        longest = self._timing.longest_backoff
        wait = min(longest, self._timing.first_backoff * 2 ** min(self.failures, 30))
        self.failures += 1
        self._until = now + wait * (0.5 + self._random() / 2)
