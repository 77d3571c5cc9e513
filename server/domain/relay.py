"""What a server knows of its relay: what the relay takes from it in a minute, and how much of that is left."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

ADMITTED = "admitted"
"""The state of a relay that takes this server's pushes; any other is a word for why not."""
NO_RELAY = "no_relay"

LITTLE = 0.2
"""The part of a limit below which its operator is warned: a fifth."""


@dataclass(frozen=True)
class RelayLimit:
    """resets_at: in milliseconds since the epoch."""

    name: str
    limit: int
    remaining: int
    resets_at: int

    @property
    def is_low(self) -> bool:
        return self.remaining < self.limit * LITTLE


@dataclass(frozen=True)
class RelayApp:
    provider: str
    app: str
    environment: str


@dataclass(frozen=True)
class RelayState:
    """What the relay at this URL says to this server."""

    url: str
    state: str
    limits: Sequence[RelayLimit] = ()
    apps: Sequence[RelayApp] = ()


AskRelay = Callable[[], Awaitable[RelayState]]

AskHandle = Callable[[RelayApp, str], Awaitable[str]]
"""Asks the relay for a handle for a push token of an app, whose name may be empty where the relay has one that fits.

NoApp, TokenRefused; Unavailable says why there is none now."""


class NoApp(Exception):
    """The relay has no such app; the text says what it has instead."""


class TokenRefused(Exception):
    """It is no push token of that app's provider; the text says what would be one."""
