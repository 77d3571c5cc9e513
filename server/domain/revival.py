"""Dead deliveries that an admin has tried again: which may be, and why the others may not."""

from dataclasses import dataclass

from server.domain.delivery import TRANSITIONS, Event, State


@dataclass(frozen=True, slots=True)
class Dead:
    """What decides: `retracted` is its message, `reachable` whether its device has a handle."""

    id: str
    state: State
    expires_at: int
    retracted: bool
    reachable: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the list of dead deliveries, which begins with the newest."""

    settled_at: int
    id: str


NEWEST = Place((1 << 63) - 1, "")


def why_not(dead: Dead, now: int) -> str | None:
    """Return the reason for which a delivery stays as it is, None where it can go out again."""
    if dead.state is State.EXPIRED or (_may(dead.state) and dead.expires_at <= now):
        return "expired"
    if not _may(dead.state):
        return dead.state.value
    if dead.retracted:
        return "retracted"
    return None if dead.reachable else "no_handle"


def _may(state: State) -> bool:
    return (state, Event.REVIVE) in TRANSITIONS
