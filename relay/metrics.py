"""The relay's metrics, in a registry of their own so that several relays can live in one process.

Labels come from closed sets (our routes, codes, providers and reasons, the apps that are configured): never a device, a server
or text from outside. Several processes count into files of one folder: gauges say how they are put together.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SEND_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_APP: Final = ("provider", "app", "environment")
_BATCH_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class Metrics:
    """Counters are made in `registry`; `/metrics` shows `shown`, which holds those of all processes where there are several."""

    def __init__(self, registry: CollectorRegistry, shown: CollectorRegistry) -> None:
        self.registry = registry
        self.shown = shown
        self._pushes = Counter(
            "hushpost_relay_pushes",
            "Pushes by provider and outcome",
            ("provider", "status", "reason"),
            registry=self.registry,
        )
        self._handle_pushes = Counter(
            "hushpost_relay_handle_pushes",
            "Handles sent to their tokens by provider and outcome",
            ("provider", "status", "reason"),
            registry=self.registry,
        )
        self._sends = Histogram(
            "hushpost_relay_send_seconds",
            "How long a provider took for a push",
            ("provider",),
            buckets=_SEND_BUCKETS,
            registry=self.registry,
        )
        self._requests = Histogram(
            "hushpost_relay_request_seconds",
            "How long a request took, by route and outcome",
            ("route", "code"),
            registry=self.registry,
        )
        self._refused = Counter(
            "hushpost_relay_refused", "Requests refused as a whole", ("code",), registry=self.registry
        )
        self.batch = Histogram(
            "hushpost_relay_batch_pushes",
            "Pushes in a request",
            buckets=_BATCH_BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "hushpost_relay_pushes_in_flight",
            "Pushes of requests that wait for a provider now",
            registry=self.registry,
            multiprocess_mode="sum",
        )
        self.nonces = Gauge(
            "hushpost_relay_nonces",
            "Requests that are remembered against replay",
            registry=self.registry,
            multiprocess_mode="sum",
        )
        self.credentials = Gauge(
            "hushpost_relay_credentials_refused",
            "1 while a provider refuses the credentials of an app, or they cannot be used",
            _APP,
            registry=self.registry,
            multiprocess_mode="max",
        )
        # Where one process takes another's place, it goes on in its figures: what that one held, it does not.
        self.in_flight.set(0)
        # A labelled child costs three times as much to look up as to keep (the label sets are closed and
        # small).
        self.pushes = cache(self._pushes.labels)
        self.handle_pushes = cache(self._handle_pushes.labels)
        self.sends = cache(self._sends.labels)
        self.refused = cache(self._refused.labels)
        self.requests = cache(self._requests.labels)

    def redis_up(self) -> Gauge:
        """The gauge of a relay that has a Redis; another has no such line."""
        return Gauge(
            "hushpost_relay_redis_up",
            "Whether the Redis that processes share answers",
            registry=self.registry,
            multiprocess_mode="min",
        )

    @property
    def is_alone(self) -> bool:
        """Whether what this process counts is all that there is."""
        return self.shown is self.registry

    def refused_credentials(self) -> Iterator[tuple[str, ...]]:
        """The apps, as provider, name and environment, that some process cannot push to; reads files where there are several."""
        for family in self.shown.collect():
            for sample in family.samples if family.name == "hushpost_relay_credentials_refused" else ():
                if sample.value:
                    yield tuple(sample.labels[name] for name in _APP)
