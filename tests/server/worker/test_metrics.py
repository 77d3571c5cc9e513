"""What is counted of batches, outcomes and audits, and under which words."""

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import LogCapture

from relay.providers import apns_reasons, fcm_reasons, provider, transport, webpush_reasons
from relay.providers.provider import Verdict
from server.domain.delivery import Event, Settlement, State
from server.domain.ports import Database, Random
from server.domain.tally import moved
from server.store import tallies
from server.store.leases import Times
from server.worker.audit import Auditor
from server.worker.metrics import AuditMetrics, OutboxMetrics
from server.worker.reasons import label_of
from tests.harness.clock import SettableClock
from tests.harness.rows import Seeded

TIMES = Times(sealed_at=2000, relayed_at=3000)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def settlement(event: Event, reason: str | None = None, *, relayed: bool = True) -> Settlement:
    return Settlement("d", "phone", event, reason, 0, relayed=relayed)


def test_each_delivery_is_timed_once_hop_by_hop(registry: CollectorRegistry) -> None:
    """When its fate is known; not where it is tried again, nor where the relay was not asked."""
    metrics = OutboxMetrics(registry)
    for done in (
        settlement(Event.RETRY, "throttled"),
        settlement(Event.EXPIRE, relayed=False),
        settlement(Event.ACCEPT),
    ):
        metrics.settled([done], {"d": 500}, TIMES, 7000)
    for name, seconds in (
        ("delivery_queue", 1.5),
        ("delivery_provider", 4.0),
        ("outbox_accepted_after", 6.5),
    ):
        assert registry.get_sample_value(f"hushpost_{name}_seconds_count") == 1
        assert registry.get_sample_value(f"hushpost_{name}_seconds_sum") == seconds


def test_outcomes_are_counted_by_our_own_words(registry: CollectorRegistry) -> None:
    """A relay may answer with any word; it does not become a series of its own."""
    metrics = OutboxMetrics(registry)
    refused = [settlement(Event.REJECT, reason) for reason in ("wrong_topic", "alice", "bob")]
    metrics.settled([*refused, settlement(Event.ACCEPT)], {"d": 0}, TIMES, 7000)

    def counted(event: str, reason: str) -> float | None:
        labels = {"event": event, "reason": reason}
        return registry.get_sample_value("hushpost_outbox_outcomes_total", labels)

    assert (counted("reject", "wrong_topic"), counted("reject", "other"), counted("accept", "")) == (1, 2, 1)
    assert counted("reject", "alice") is None


def test_every_word_of_our_own_relay_is_known() -> None:
    tables = (apns_reasons.REASONS, fcm_reasons.REASONS, fcm_reasons.CANONICAL, fcm_reasons.STATUSES)
    verdicts = [row for table in (*tables, transport.FAULTS) for row in table.values()]
    verdicts += [webpush_reasons.verdict(status) for status in range(200, 600)]
    verdicts += [value for value in vars(provider).values() if isinstance(value, Verdict)]
    assert len(verdicts) > 40
    assert [
        verdict.reason for verdict in verdicts if label_of(verdict.reason) != (verdict.reason or "")
    ] == []


def test_a_pause_is_counted_when_it_begins(registry: CollectorRegistry) -> None:
    """However many batches fail, until one is answered."""
    metrics = OutboxMetrics(registry)
    for result in ("relay_unreachable", "relay_timeout", "answered", "relay_timeout"):
        metrics.batch(result, 5)
    for reason in ("relay_unreachable", "relay_timeout"):
        assert registry.get_sample_value("hushpost_outbox_pauses_total", {"reason": reason}) == 1


async def test_an_audit_tells_what_differs(
    database: Database, clock: SettableClock, random: Random, registry: CollectorRegistry
) -> None:
    """Nothing, as a rule; otherwise the log says so too."""
    seeded = await Seeded.make(database, clock, random)
    await seeded.message([await seeded.device()], title="x")
    log = LogCapture()
    logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[log])
    auditor = Auditor(database, metrics=AuditMetrics(registry), clock=clock, log=logger)

    def difference(state: str) -> float | None:
        return registry.get_sample_value("hushpost_deliveries_differences", {"state": state})

    await auditor.audit()
    assert (difference("waiting"), difference("created"), log.entries) == (0, 0, [])
    audited = registry.get_sample_value("hushpost_deliveries_audited_timestamp_seconds")
    assert audited == clock() / 1000
    await database.write(lambda tx: tallies.note(tx, moved({State.QUEUED: 1}, {State.ACCEPTED: 1})))
    await auditor.audit()
    assert (difference("waiting"), difference("accepted"), difference("created")) == (1, -1, 0)
    [entry] = log.entries
    assert entry["differences"] == {"waiting": 1, "accepted": -1}
    assert entry["log_level"] == "error"
