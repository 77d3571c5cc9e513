"""Tasks: what is due at some time. One mechanism for everything that waits for a time and is not a delivery."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from server.domain.delivery import SECOND, backoff

PRUNE_EVERY = 600 * SECOND
COMPACT_EVERY = 10 * SECOND
RETAIN_EVERY = 3600 * SECOND


class Kind(StrEnum):
    SEND = "send"  # a scheduled message's time has come
    FANOUT = "fanout"  # the rest of a message's recipients
    RETRACT = "retract"  # take a message back from the rest of the devices that have it
    UPDATE = "update"  # tell the devices that have a message what it says now
    REMIND = "remind"  # send a message again to those who have not read it
    POSTPONE = "postpone"  # send it again to one who wanted it later
    FORGET = "forget"  # the end of an ephemeral message
    RETAIN = "retain"  # delete what a bucket does not keep
    EMPTY = "empty"  # take back and delete what is in a bucket that was deleted
    DISBAND = "disband"  # end the rest of the subscriptions to a topic that was deleted
    DISCARD = "discard"  # delete what is left of a document that was deleted
    ERASE = "erase"  # delete what is left of a user who was deleted
    CLOSE = "close"  # end what is in a tenant that was deleted
    PRUNE = "prune"  # delete what nobody can ask for any more
    COMPACT = "compact"  # add up the book of deliveries


# These wait for a time that somebody has planned; the others only for a while, whatever the clock says.
PLANNED = (Kind.SEND, Kind.REMIND, Kind.POSTPONE, Kind.FORGET)


@dataclass(frozen=True, slots=True)
class Task:
    """`attempts` counts the failures since it last went well."""

    id: str
    kind: Kind
    message_id: str | None
    payload: Mapping[str, Any] = field(repr=False)
    due_at: int
    attempts: int
    created_at: int

    def at(self, due_at: int, payload: Mapping[str, Any] | None = None) -> "Task":
        """Return the task as it goes on, after it went well."""
        return replace(self, due_at=due_at, attempts=0, payload=self.payload if payload is None else payload)

    def failed(self, now: int, jitter: float) -> "Task":
        """Return the task as it is tried again: later each time, a quarter of an hour at most."""
        return replace(self, due_at=now + backoff(self.attempts + 1, jitter), attempts=self.attempts + 1)


def recurring(now: int) -> list[Task]:
    """Return the tasks that every database has, with the same ids everywhere, so that there is one of each."""
    kinds = (Kind.PRUNE, Kind.COMPACT, Kind.RETAIN)
    return [
        Task(f"00000000-0000-7000-8000-{number:012x}", kind, None, {}, now, 0, now)
        for number, kind in enumerate(kinds, start=1)
    ]
