"""What a supervisor tells a process that it starts, and what that answers."""

import msgspec

from server.cli.roles import Role
from server.config import Settings

READY = b"."  # on its standard output, once it serves


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """number: which of the processes it is, from 1. socket: the descriptor to listen on, bound to `host`."""

    settings: Settings
    role: Role
    number: int
    socket: int
    host: str
