"""A test push: where it has got to, hop by hop, from the one row that the delivery is."""

from dataclasses import dataclass

from server.domain.delivery import WAITING, State


@dataclass(frozen=True)
class Probe:
    """What is known of the delivery of a test message."""

    id: str
    message_id: str
    device_id: str
    state: State
    reason: str | None
    attempts: int
    provider_id: str | None
    created_at: int
    settled_at: int | None
    received_at: int | None
    fault: str | None

    @property
    def over(self) -> bool:
        """Say whether there is nothing more to wait for."""
        reported = self.received_at is not None or self.fault is not None
        return reported or (self.state not in WAITING and self.state is not State.ACCEPTED)


@dataclass(frozen=True)
class Hop:
    """`at` is None where it is not known or has not happened."""

    name: str
    outcome: str
    reason: str | None = None
    at: int | None = None


def hops(probe: Probe) -> list[Hop]:
    """Return the four hops, each with its outcome; `waiting` where there is none yet."""
    return [Hop("server", "stored", at=probe.created_at), _relay(probe), _provider(probe), _device(probe)]


def _relay(probe: Probe) -> Hop:
    if probe.state is State.CANCELLED or probe.state is State.EXPIRED:
        return Hop("relay", probe.state.value, probe.reason, probe.settled_at)
    if probe.state not in WAITING:
        return Hop("relay", "answered", at=probe.settled_at)
    return Hop("relay", "retry" if probe.reason else "waiting", probe.reason)


def _provider(probe: Probe) -> Hop:
    outcomes = {State.ACCEPTED: "accepted", State.GONE: "gone", State.FAILED: "rejected"}
    outcome = outcomes.get(probe.state)
    return (
        Hop("provider", "waiting")
        if outcome is None
        else Hop("provider", outcome, probe.reason, probe.settled_at)
    )


def _device(probe: Probe) -> Hop:
    if probe.fault is not None:
        return Hop("device", "failed", probe.fault)
    if probe.received_at is not None:
        return Hop("device", "received", at=probe.received_at)
    return Hop("device", "waiting")
