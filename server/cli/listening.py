"""The socket that a process listens on, bound before anything else is built.

So port 0 has its number when addresses are made from it, a port that is taken costs no migration, and several processes
can be given one socket.
"""

import os
import socket
from dataclasses import dataclass

from server.cli.saying import FAILED, USAGE, CommandError
from server.config import is_listen_address, listen_address

BACKLOG = 1024


@dataclass(frozen=True)
class Listener:
    socket: socket.socket
    host: str
    port: int

    @property
    def address(self) -> str:
        return _address(self.host, self.port)

    @property
    def local_address(self) -> str:
        """Where this process itself reaches it."""
        return _address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host), self.port)  # noqa: S104 - compared


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(listen: str, setting: str) -> Listener:
    """Listen where a setting says; `CommandError` names it."""
    if not is_listen_address(listen):
        raise CommandError(
            f'{setting}: is not HOST:PORT, such as "127.0.0.1:8080" or "[::1]:8080"', code=USAGE
        )
    host, port = listen_address(listen)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error.strerror)
        raise CommandError(
            f"cannot listen on {listen} ({reason}); choose another with {setting}", code=FAILED
        ) from None
    return Listener(listening, host, listening.getsockname()[1])


def inherited(descriptor: int, host: str) -> Listener:
    """Take over a socket that another process bound and passed on."""
    listening = socket.socket(fileno=descriptor)
    listening.set_inheritable(False)
    return Listener(listening, host, listening.getsockname()[1])
