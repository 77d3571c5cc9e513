"""Timelines: what happened to a delivery, hop by hop, from the one row that it is.

    server -> seal -> relay -> provider -> device

A milestone is something that has happened, in the order of the hops. `hops` is the shorter view of a test push: each hop once, with
what is the matter there, `waiting` where nothing has happened yet. The row knows the times of the last attempt only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from server.domain.delivery import NO_HANDLE, WAITING, Channel, Kind, Quiet, State

_PROVIDERS_WORD: Mapping[State, str] = {
    State.ACCEPTED: "accepted",
    State.GONE: "gone",
    State.FAILED: "rejected",
}
# Why an attempt ended before the relay was asked: the time of asking, if there is one, is an earlier attempt's.
_BEFORE_THE_RELAY = frozenset(
    {NO_HANDLE, "woken_before", "not_sealed", "too_large", "bad_key", "resolver_busy", "resolver_failed"}
)


@dataclass(frozen=True, slots=True)
class Track:
    """What is known of a delivery. The device's is None for an inbox; `keyless`: it is only woken, nothing is sealed for it.

    `quiet` says why it goes without a sound, None where it does as its message says.
    """

    id: str
    message_id: str | None
    user_id: str
    device_id: str | None
    device_name: str | None
    keyless: bool
    channel: Channel
    kind: Kind
    state: State
    reason: str | None
    quiet: Quiet | None
    attempts: int
    provider_id: str | None
    created_at: int
    due_at: int
    sealed_at: int | None
    relayed_at: int | None
    settled_at: int | None
    received_at: int | None
    shown_at: int | None
    read_at: int | None
    failed_at: int | None
    fault: str | None

    @property
    def over(self) -> bool:
        """Say whether there is nothing more to wait for."""
        if self.state is State.LEASED:
            return False  # the device may report before what the relay said is written down
        reported = any(hop.name == "device" for hop in milestones(self))
        return reported or (self.state not in WAITING and self.state is not State.ACCEPTED)

    @property
    def tried_again_at(self) -> int | None:
        """Return when it goes out; None where that is over, or under way."""
        return self.due_at if self.state is State.QUEUED else None


@dataclass(frozen=True, slots=True)
class Hop:
    """`at` is None where it is not known, or has not happened."""

    name: str
    outcome: str
    reason: str | None = None
    at: int | None = None


def milestones(track: Track) -> list[Hop]:
    """Return what has happened, in the order of the hops."""
    if track.state is State.SUPPRESSED:
        return [Hop("server", "suppressed", track.reason, track.created_at)]
    stored = Hop("server", "stored", at=track.created_at)
    if track.channel is Channel.IN_APP:
        return [stored]
    return [stored, *_seal(track), *_relay(track), *_provider(track), *_device(track)]


def hops(track: Track) -> list[Hop]:
    """Return the four hops of a test push, each with its outcome; a device's fault goes before its other words."""
    happened = sorted(milestones(track), key=lambda hop: hop.outcome != "failed")
    return [
        next((hop for hop in happened if hop.name == name), Hop(name, "waiting"))
        for name in ("server", "relay", "provider", "device")
    ]


def _seal(track: Track) -> Iterator[Hop]:
    if track.sealed_at is not None:
        yield Hop("seal", "wake" if track.keyless else "sealed", at=track.sealed_at)


def _relay(track: Track) -> Iterator[Hop]:
    """Tell when the relay was asked. What expires or is cancelled ends on its way there."""
    asked_at = None if track.reason in _BEFORE_THE_RELAY else track.relayed_at
    if track.state in (State.CANCELLED, State.EXPIRED):
        yield Hop("relay", track.state.value, track.reason, track.settled_at)
    elif track.state not in WAITING:
        yield Hop("relay", "answered", at=asked_at or track.settled_at)
    elif track.reason is not None:
        yield Hop("relay", "retry", track.reason, asked_at)
    elif asked_at is not None:
        yield Hop("relay", "asked", at=asked_at)  # in vain: it is due again with a new handle, or by an admin


def _provider(track: Track) -> Iterator[Hop]:
    if track.state in _PROVIDERS_WORD:
        yield Hop("provider", _PROVIDERS_WORD[track.state], track.reason, track.settled_at)


def _device(track: Track) -> Iterator[Hop]:
    told = (
        ("received", track.received_at),
        ("shown", track.shown_at),
        ("read", track.read_at),
        ("failed", track.failed_at),
    )
    for outcome, at in told:
        if at is not None:
            yield Hop("device", outcome, track.fault if outcome == "failed" else None, at)
