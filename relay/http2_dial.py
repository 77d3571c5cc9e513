"""How a connection comes to be, and how long to wait after it did not."""

import asyncio
import ssl
from collections.abc import Callable
from socket import gaierror

from relay.http2 import Fault
from relay.http2_connection import Connection, Owner, Timing


async def dial(
    owner: Owner, host: str, port: int, context: ssl.SSLContext, timing: Timing
) -> Connection | Fault:
    """Give a connection that takes requests, or say what stands in the way."""
    made: list[Connection] = []

    def make() -> Connection:
        made.append(Connection(owner, timing))
        return made[-1]

    fault: Fault | None = Fault.CONNECT
    try:
        async with asyncio.timeout(timing.dial):
            await asyncio.get_running_loop().create_connection(
                make,
                host,
                port,
                ssl=context,
                ssl_handshake_timeout=timing.dial
                * 0.8,  # before the time is over, so that the two are told apart
                ssl_shutdown_timeout=timing.goodbye,
            )
            fault = await made[-1].greeted
    except (ssl.SSLError, ConnectionResetError, ConnectionAbortedError):
        fault = Fault.TLS  # to a connection attempt itself nobody answers with the last two
    except (gaierror, ValueError):
        fault = Fault.DNS  # a ValueError is a name that cannot be one
    except (OSError, TimeoutError):
        fault = Fault.CONNECT
    finally:
        if fault is not None:
            for connection in made:
                connection.abort()
    return fault or made[-1]


class Backoff:
    """Waits that double with each failure in a row, and vary, so that relays that fell together do not rise together."""

    def __init__(self, timing: Timing, random: Callable[[], float]) -> None:
        self._timing = timing
        self._random = random
        self._failures = 0
        self._until = float("-inf")

    def is_over(self, now: float) -> bool:
        return now >= self._until

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self, now: float) -> None:
        longest = self._timing.longest_backoff
        wait = min(longest, self._timing.first_backoff * 2 ** min(self._failures, 30))
        self._failures += 1
        self._until = now + wait * (0.5 + self._random() / 2)
