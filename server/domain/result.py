"""What became of a message, in the eight words that its senders' servers know: each is a view of the states of deliveries.

| state                | result                                                                    |
|----------------------|---------------------------------------------------------------------------|
| queued, leased       | SENT; RATE_LIMITED where the last attempt was one too many                |
| accepted             | DELIVERED                                                                 |
| gone                 | INVALID_CREDENTIAL                                                        |
| expired, failed      | FAILED                                                                    |
| cancelled            | CANCELLED                                                                 |
| suppressed           | OPTED_OUT, or NO_CHANNEL                                                  |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from server.domain.delivery import WAITING, Channel, State, Suppressed


class Result(StrEnum):
    """What became of a message, or of one of its deliveries."""

    SENT = "SENT"
    DELIVERED = "DELIVERED"
    RATE_LIMITED = "RATE_LIMITED"
    OPTED_OUT = "OPTED_OUT"
    NO_CHANNEL = "NO_CHANNEL"
    INVALID_CREDENTIAL = "INVALID_CREDENTIAL"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


# Why a delivery waits that was refused because there were too many: by the provider, by the relay alone, by the relay for its batch,
# or by a proxy before it.
THROTTLES = frozenset({"throttled", "limited", "relay_limited", "relay_http_429"})
_OF_STATES: Mapping[State, Result] = {
    State.QUEUED: Result.SENT,
    State.LEASED: Result.SENT,
    State.ACCEPTED: Result.DELIVERED,
    State.GONE: Result.INVALID_CREDENTIAL,
    State.EXPIRED: Result.FAILED,
    State.FAILED: Result.FAILED,
    State.CANCELLED: Result.CANCELLED,
    State.SUPPRESSED: Result.NO_CHANNEL,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a message stands apart from its deliveries."""

    waits: bool  # all of them, or some, are still to be written
    retracted: bool
    users: int  # to how many it went, those too who did not want it
    kept: bool  # it is in somebody's inbox


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one delivery; `user` and `device` are the names by which the tenant's own servers know them.

    Times are milliseconds. `received_at` and `read_at` are what the device has reported, `read_at` of the inbox when it was read there.
    """

    user: str
    channel: Channel
    device: str | None
    state: State
    reason: str | None
    provider_id: str | None
    queued_at: int
    settled_at: int | None
    received_at: int | None
    read_at: int | None

    @property
    def result(self) -> Result:
        """Return it in one word."""
        return result_of(self.state, self.reason)

    @property
    def delivered_at(self) -> int | None:
        """Return when the provider had taken it, or it was in the inbox."""
        return self.settled_at if self.state is State.ACCEPTED else None


def result_of(state: State, reason: str | None) -> Result:
    """Return what became of a delivery."""
    if state in WAITING and reason in THROTTLES:
        return Result.RATE_LIMITED
    if state is State.SUPPRESSED and reason == Suppressed.OPTED_OUT:
        return Result.OPTED_OUT
    return _OF_STATES[state]


def overall(results: Mapping[Result, int], standing: Standing) -> Result:
    """Return what became of a message, of so many deliveries with each result.

    One that got through is enough; while there is one that may, nothing is over; else it is what happened to most, and
    of several that happened equally often the first of the list.
    """
    there = {result: number for result, number in results.items() if number}
    if Result.DELIVERED in there:
        return Result.DELIVERED
    if Result.SENT in there:
        return Result.SENT
    if not standing.retracted and standing.waits:
        return Result.SENT
    if there:
        return max((result for result in Result if result in there), key=there.__getitem__)
    return _without_deliveries(standing)


def telling_channel(
    channels: Sequence[Channel], counts: Mapping[tuple[Channel, Result], int], whole: Result
) -> Channel:
    """Return the channel on which a message of several had its result; the inbox, which takes everything, only where no other had."""
    had = [channel for channel in channels if counts.get((channel, whole))]
    return next((channel for channel in had if channel is not Channel.IN_APP), (had or channels)[0])


def _without_deliveries(standing: Standing) -> Result:
    """Return what became of a message that has no deliveries, or has them no more: they are kept for a month, an inbox for ever."""
    if standing.retracted:
        return Result.CANCELLED
    if standing.kept:
        return Result.DELIVERED
    return Result.SENT if standing.users else Result.NO_CHANNEL
