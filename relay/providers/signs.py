"""What providers show of themselves besides their verdicts: how their connections fare, and whose clock is wrong."""

from collections.abc import Callable
from functools import cache
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from relay.http2 import Fault
from relay.providers.skew import Skew
from relay.providers.transport import FAULTS

_PROVIDER: Final = ("provider",)


class Signs:
    """The metrics, in a relay's registry, and its log."""

    def __init__(self, registry: CollectorRegistry, log: structlog.stdlib.BoundLogger) -> None:
        self.registry = registry
        self.log = log
        connections = Counter(
            "hushpost_relay_connections", "Connections made to a provider", _PROVIDER, registry=registry
        )
        faults = Counter(
            "hushpost_relay_connection_faults",
            "Connections to a provider that ended, or could not be made",
            (*_PROVIDER, "reason"),
            registry=registry,
        )
        clocks = Gauge(
            "hushpost_relay_clock_ahead_seconds",
            "How far this machine's clock is ahead of a provider's, as far as it tells",
            _PROVIDER,
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.connections = cache(connections.labels)
        self.faults = cache(faults.labels)
        self.clock_ahead = cache(clocks.labels)

    def watch(self, provider: str) -> "Connections":
        return Connections(provider, self)

    def skew(self, provider: str, clock: Callable[[], float]) -> Skew:
        return Skew(provider, clock=clock, gauge=self.clock_ahead(provider), log=self.log)


class Connections:
    """Watches one app's connections: a `relay.http2_pool.Watch`."""

    def __init__(self, provider: str, signs: Signs) -> None:
        self._provider = provider
        self._signs = signs

    def connected(self) -> None:
        self._signs.connections(self._provider).inc()
        self._signs.log.info("connected", provider=self._provider)

    def lost(self, fault: Fault) -> None:
        if fault is Fault.CLOSED:
            return  # by ourselves
        reason = FAULTS[fault].reason
        self._signs.faults(self._provider, reason).inc()
        # Being sent away is how a provider takes a machine out of service, several times a day.
        say = self._signs.log.info if fault is Fault.GOAWAY else self._signs.log.warning
        say("connection_ended", provider=self._provider, reason=reason)
