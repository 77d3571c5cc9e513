"""Metrics of this process, in a registry of its own. Labels are routes' templates and states, never a name or an id."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.domain.tally import Tally

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


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


class DeliveryGauges:
    """Conservation, for everybody to see: what was created is what was settled and what waits."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._by_state = Gauge("hushpost_deliveries", "Deliveries by state.", ("state",), registry=registry)
        self._created = Gauge(
            "hushpost_deliveries_created", "Deliveries that were ever created.", registry=registry
        )
        self._lost = Gauge(
            "hushpost_deliveries_lost", "Created, but in no known state: always 0.", registry=registry
        )

    def set(self, counts: Tally) -> None:
        """Show what the database holds."""
        for state, number in counts.by_state.items():
            self._by_state.labels(state).set(number)
        self._created.set(counts.created)
        self._lost.set(counts.lost)
