"""Metrics of this process, in a registry of its own. Labels are routes' templates and states, never a name or an id."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from server.commands.health import Queue

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_HOP = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0, 86_400.0)


class RequestMetrics:
    """What was asked, how it was answered and how long that took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "hushpost_http_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "hushpost_http_request_seconds",
            "Time until the answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. Looking a labelled child up costs more than counting, so the children are kept."""
        name = (method, route, status)
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = self._requests.labels(method, route, str(status))
        timer = self._timers.get(route)
        if timer is None:
            timer = self._timers[route] = self._seconds.labels(route)
        counter.inc()
        timer.observe(seconds)


class DeviceMetrics:
    """What devices report."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "hushpost_delivery_device_seconds",
            "Time from when the provider took a push until the device had it, by the device's clock.",
            buckets=_HOP,
            registry=registry,
        )

    def received(self, took: Iterable[int]) -> None:
        """Observe how many milliseconds pushes took to their device."""
        for milliseconds in took:
            self._seconds.observe(milliseconds / 1000)


class LiveMetrics:
    """Who is told what changes, as it happens."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._connections = Gauge(
            "hushpost_live_connections",
            "Live connections that are open, by kind.",
            ("kind",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._events = Counter("hushpost_live_events", "Events told.", ("event",), registry=registry)

    @contextmanager
    def open(self, kind: str) -> Iterator[None]:
        """Count a connection for as long as it is open."""
        connections = self._connections.labels(kind)
        connections.inc()
        try:
            yield
        finally:
            connections.dec()

    def told(self, events: Iterable[str]) -> None:
        for event in events:
            self._events.labels(event).inc()


class Scrape(Collector):
    """What processes have counted, and beside it what the database holds at this moment: the same whoever is asked.

    Conservation, for everybody to see: what was created is what was settled and what waits.
    """

    def __init__(self, counted: Collector, queue: Queue, *, writable: bool) -> None:
        self._counted = counted
        self._queue = queue
        self._writable = writable

    def collect(self) -> Iterator[Metric]:
        yield from self._counted.collect()
        tally = self._queue.tally
        states = GaugeMetricFamily("hushpost_deliveries", "Deliveries by state.", labels=["state"])
        for state, number in tally.by_state.items():
            states.add_metric([state], number)
        yield states
        tasks = GaugeMetricFamily("hushpost_tasks", "Tasks that wait or run, by kind.", labels=["kind"])
        for kind, number in self._queue.tasks.items():
            tasks.add_metric([kind.value], number)
        yield tasks
        for name, text, value in (
            ("hushpost_database_writable", "1 where something could be written just now.", self._writable),
            ("hushpost_deliveries_created", "Deliveries that were ever created.", tally.created),
            ("hushpost_deliveries_lost", "Created, but in no known state: always 0.", tally.lost),
            ("hushpost_outbox_due", "Deliveries that are due or leased.", self._queue.due),
            ("hushpost_outbox_oldest_seconds", "Age of the oldest of these.", self._queue.oldest / 1000),
        ):
            yield GaugeMetricFamily(name, text, value=value)
