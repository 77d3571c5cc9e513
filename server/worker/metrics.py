"""What the outbox, the scheduler and the audit count. Labels are our own words, never an id.

How many deliveries are in which state, how many wait, and that none is lost, the database knows: that is read when it is asked
for (`server/api/metrics.py`), here stands what happens over time.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.commands.attachments import Swept
from server.domain.delivery import Event, Settlement
from server.domain.outgoing import Kind as OutgoingKind
from server.domain.outgoing import Reason
from server.domain.tally import COLUMNS, Audit
from server.domain.task import Task
from server.store.leases import Times
from server.worker.reasons import label_of

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
_WAITS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
_HOP = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)
_ANSWERED = "answered"


class OutboxMetrics:
    """Latencies are of deliveries whose fate is known: each is observed once, with all that its retries took."""

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
        self._waited = _seconds(
            registry,
            "outbox_accepted_after",
            "Time from a delivery's creation until the provider took it.",
            _WAITS,
        )
        self._queue = _seconds(
            registry,
            "delivery_queue",
            "Time from a delivery's creation until it was sealed for its last attempt.",
            _HOP,
        )
        self._provider = _seconds(
            registry,
            "delivery_provider",
            "Time from when the relay was asked until the provider's answer was written.",
            _HOP,
        )
        self._paused = Gauge(
            "hushpost_outbox_paused",
            "1 while the relay did not answer the last batch, and is waited for or tried again.",
            registry=registry,
            multiprocess_mode="max",
        )
        self._pauses = Counter(
            "hushpost_outbox_pauses",
            "How often the relay stopped answering, by why it could not be asked.",
            ("reason",),
            registry=registry,
        )
        self._answered = True
        self.paused(now=False)

    def step(self, name: str, seconds: float) -> None:
        self._steps[name].observe(seconds)

    def batch(self, result: str, pushes: int) -> None:
        """Count a batch; one that is not answered after one that was begins a pause."""
        answered = result == _ANSWERED
        self._batches.labels(result if answered else label_of(result)).inc()
        self._pushes.inc(pushes)
        if self._answered and not answered:
            self._pauses.labels(label_of(result)).inc()
        self._answered = answered

    def paused(self, *, now: bool) -> None:
        """Show whether the relay is away."""
        self._paused.set(int(now))

    def settled(
        self, settlements: Iterable[Settlement], created: Mapping[str, int], times: Times, now: int
    ) -> None:
        """Count outcomes; `created` has the deliveries' times of creation. All times are in milliseconds."""
        tally: Tally[tuple[str, str]] = Tally()
        for settlement in settlements:
            tally[settlement.event.value, label_of(settlement.reason)] += 1
            if settlement.relayed and settlement.event is not Event.RETRY:
                self._observe(settlement.event, created[settlement.id], times, now)
        for (event, reason), number in tally.items():
            self._outcomes.labels(event, reason).inc(number)

    def _observe(self, event: Event, created: int, times: Times, now: int) -> None:
        if event is Event.ACCEPT:
            self._waited.observe((now - created) / 1000)
        if times.sealed_at is not None and times.relayed_at is not None:
            self._queue.observe((times.sealed_at - created) / 1000)
            self._provider.observe((now - times.relayed_at) / 1000)


class OutgoingMetrics:
    """What others were asked over HTTP, and what came of it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "hushpost_outgoing_attempts",
            "Webhooks called and files fetched, by why it failed; empty where it went well.",
            ("kind", "reason"),
            registry=registry,
        )

    def attempted(self, kind: OutgoingKind, reason: Reason | None) -> None:
        self._attempts.labels(kind.value, reason or "").inc()


class ResolverMetrics:
    """What tenants' servers were asked for texts, and what came of it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "hushpost_resolver_requests",
            "Requests for texts that tenants keep themselves, by why they failed; empty where they were answered.",
            ("reason",),
            registry=registry,
        )

    def asked(self, reason: Reason | None) -> None:
        self._requests.labels(reason or "").inc()


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

        self._removed = Counter(
            "hushpost_retention_removed",
            "Messages that were deleted because their buckets keep no more.",
            registry=registry,
        )

    def ran(self, task: Task, now: int) -> None:
        self._late.labels(task.kind.value).observe(max(now - task.due_at, 0) / 1000)

    def removed(self, messages: int) -> None:
        """Count what a sweep of the buckets has removed."""
        self._removed.inc(messages)


class AuditMetrics:
    """What the last audit found."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._differences = Gauge(
            "hushpost_deliveries_differences",
            "What the rows have more, or fewer, than the book says: always 0.",
            ("state",),
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._audited = Gauge(
            "hushpost_deliveries_audited_timestamp_seconds",
            "When that was looked at last.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )

    def audited(self, audit: Audit, now: int) -> None:
        differences = audit.differences
        for state in COLUMNS:
            self._differences.labels(state).set(differences.get(state, 0))
        self._audited.set(now / 1000)


class SweepMetrics:
    """Files that were deleted because nobody needs them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._files = Counter(
            "hushpost_attachments_swept",
            "Files that were deleted, by why: no message named them, no row did, or they were never whole.",
            ("reason",),
            registry=registry,
        )

    def swept(self, swept: Swept) -> None:
        for reason, number in asdict(swept).items():
            self._files.labels(reason).inc(number)


def _seconds(registry: CollectorRegistry, name: str, text: str, buckets: Iterable[float]) -> Histogram:
    return Histogram(f"hushpost_{name}_seconds", text, buckets=tuple(buckets), registry=registry)
