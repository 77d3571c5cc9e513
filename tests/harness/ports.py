"""Ports for processes that are told where to listen."""

import random
import socket
from contextlib import suppress
from itertools import chain

# Below 32768: Linux gives the ports above to outgoing connections, and one of those may have taken a port before the process
# that was to listen there has started.
_FIRST, _END = 10_000, 32_000
_start = random.SystemRandom().randrange(_FIRST, _END)
_next = chain(range(_start, _END), range(_FIRST, _start))


def free_port() -> int:
    """One that nothing listens on, and that was not given before; runs at the same time begin at random places."""
    for port in _next:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("every port was given once")
