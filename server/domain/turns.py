"""Turns: in which order those deliveries that are due go out. Fair between senders, and between messages.

A delivery's turn is a time. An ordinary one's is the time at which it was written, so the queue is first come, first served. A
sender who writes faster than a rate gets later turns, so that a thousand messages of a loop gone wild stand behind the one message of
somebody else; what of a large message does not fit into its first transaction gets later turns as well. A critical message goes
before all of them; one of a sender who has run ahead by as much as it would come before, like anybody's. A turn only orders: nothing waits for it where nothing else is due, and it is never later than SPREAD
from the time of writing, so that nothing starves.
"""

from collections import OrderedDict

SPREAD = 60_000  # milliseconds: the most that anything stands back
BULK = 30_000  # how far the rest of a large message stands back
_STEP = 1  # milliseconds for each delivery: a sender below a thousand a second stands back for nobody
_FLOWS = 10_000


class Turns:
    """Remembers how far senders have run ahead: for this process, and the busiest of them. Times are milliseconds."""

    def __init__(self) -> None:
        self._ahead: OrderedDict[str, int] = OrderedDict()

    def take(self, flow: str, now: int) -> int:
        """Return the turn of what this sender writes now."""
        return max(now, min(self._ahead.get(flow, 0), now + SPREAD))

    def count(self, flow: str, deliveries: int, now: int) -> None:
        """Count what a sender has written."""
        self._ahead[flow] = self.take(flow, now) + deliveries * _STEP
        self._ahead.move_to_end(flow)
        if len(self._ahead) > _FLOWS:
            self._ahead.popitem(last=False)


def critical_turn(turn: int) -> int:
    """Return the turn of what is critical: before everything that is written at this time, but for who floods with it."""
    return turn - SPREAD


def bulk_turn(now: int) -> int:
    """Return the turn of what follows a message's first deliveries."""
    return now + BULK
