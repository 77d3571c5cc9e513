"""What a server is given beside its settings: what somebody else opened, and closes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from crypto.keys import IdentityKey
from server.commands.sealing import Sealer
from server.domain.ports import Clock, Database, Random
from server.domain.relay import AskHandle, AskRelay
from server.domain.resolver import Resolver
from server.live.hint import Hint


class Worker(Protocol):
    """What works beside the requests: the outbox, the scheduler."""

    def wake(self) -> None:
        """Look for work now."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...


@dataclass(frozen=True)
class ServerPieces:
    """What a server is given beside its settings.

    `db` is open, its tables are up to date, and who opened it closes it after the application. `identity` is the server's identity key,
    `secret` 32 random bytes that stay the same for ever. `clock` is in milliseconds, `monotonic` in seconds. `log` is
    a structlog logger. `workers` are started and stopped with the application, by name; a process that only answers requests
    has none. `hint` is called when something was committed, here or elsewhere. `ask_relay` asks the relay what it says to this server, `ask_handle` for
    a handle, `resolver` the servers of tenants for texts that are not kept here. `wake` tells workers and streams, here and in other processes, that something was committed; it returns at once.
    Counters are made in `counted`, `/metrics` shows `shown`: of one process both are the same.
    """

    db: Database
    identity: IdentityKey
    secret: bytes = field(repr=False)
    clock: Clock
    monotonic: Callable[[], float]
    random: Random
    sealer: Sealer
    workers: Mapping[str, Worker]
    wake: Callable[[], None]
    hint: Hint
    ask_relay: AskRelay
    ask_handle: AskHandle
    resolver: Resolver
    counted: CollectorRegistry
    shown: CollectorRegistry
    log: Any
