"""What the outbox counts. Labels are our own words, never an id.

How many deliveries are in which state, how many wait, and that none is lost, the database knows: that is read when it is asked
for (`server/api/metrics.py`), here stands what happens over time.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram

from server.domain.delivery import Event, Settlement
from server.domain.task import Task

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
_WAITS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class OutboxMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._outcomes = Counter(
            "hushpost_outbox_outcomes",
            "Attempts that were settled, by what they came to.",
            ("event", "reason"),
            registry=registry,
        )
        self._batches = Counter(
            "hushpost_outbox_batches", "Batches, by how the relay answered.", ("result",), registry=registry
        )
        self._pushes = Counter("hushpost_outbox_pushes", "Pushes handed to the relay.", registry=registry)
        steps = Histogram(
            "hushpost_outbox_step_seconds",
            "Time that a step of a batch took.",
            ("step",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._steps = {step: steps.labels(step) for step in ("read", "seal", "push", "settle")}
        self._waited = Histogram(
            "hushpost_outbox_accepted_after_seconds",
            "Time from a delivery's creation until the provider took it.",
            buckets=_WAITS,
            registry=registry,
        )

    def step(self, name: str, seconds: float) -> None:
        self._steps[name].observe(seconds)

    def batch(self, result: str, pushes: int) -> None:
        self._batches.labels(result).inc()
        self._pushes.inc(pushes)

    def settled(self, settlements: Iterable[Settlement], created: Mapping[str, int], now: int) -> None:
        """Count outcomes; `created` has the deliveries' times of creation, in milliseconds."""
        tally: Tally[tuple[str, str]] = Tally()
        for settlement in settlements:
            tally[settlement.event.value, settlement.reason or ""] += 1
            if settlement.event is Event.ACCEPT:
                self._waited.observe((now - created[settlement.id]) / 1000)
        for (event, reason), number in tally.items():
            self._outcomes.labels(event, reason).inc(number)


class SchedulerMetrics:
    """What the scheduler did, and how late."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._late = Histogram(
            "hushpost_task_late_seconds",
            "Time between when a task was due and when it ran.",
            ("kind",),
            buckets=_WAITS,
            registry=registry,
        )

    def ran(self, task: Task, now: int) -> None:
        self._late.labels(task.kind.value).observe(max(now - task.due_at, 0) / 1000)
