"""What a supervisor tells a server process that it starts."""

import msgspec

from server.cli.roles import Role
from server.config import Settings


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """number: which of the processes it is, from 1. socket: the descriptor to listen on, bound to `host`."""

    settings: Settings
    role: Role
    number: int
    socket: int
    host: str
