"""A queue that is fair between senders: they take turns, however much each has waiting.

Who sends little therefore waits for no more than one of every other sender's, and a flood waits for itself. Among one sender's
own, what is urgent goes first, and otherwise what came first. It does not bound itself: what can wait is bounded by the
requests that are admitted (`relay.bodies`), and nothing outlives its deadline.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What may stand in it. `deadline` by the event loop's clock, in seconds."""

    @property
    def sender(self) -> str: ...

    @property
    def urgent(self) -> bool: ...

    @property
    def deadline(self) -> float: ...


_Item = TypeVar("_Item", bound=Waiting)


@dataclass(slots=True)
class _Lane(Generic[_Item]):
    """What one sender has waiting."""

    urgent: deque[_Item] = field(default_factory=deque)
    normal: deque[_Item] = field(default_factory=deque)

    def of(self, item: _Item) -> deque[_Item]:
        return self.urgent if item.urgent else self.normal

    def pop(self) -> _Item:
        return (self.urgent or self.normal).popleft()

    def __bool__(self) -> bool:
        return bool(self.urgent or self.normal)


class FairQueue(Generic[_Item]):
    def __init__(self) -> None:
        self._lanes: OrderedDict[str, _Lane[_Item]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, item: _Item) -> None:
        self._lane(item).of(item).append(item)
        self._size += 1

    def put_back(self, item: _Item) -> None:
        """Put in front of its sender's others: it had its turn, and nothing came of it."""
        self._lane(item).of(item).appendleft(item)
        self._lanes.move_to_end(item.sender, last=False)
        self._size += 1

    def _lane(self, item: _Item) -> _Lane[_Item]:
        lane = self._lanes.get(item.sender)
        if lane is None:
            lane = self._lanes[item.sender] = _Lane()
        return lane

    def pop(self) -> _Item | None:
        """The next, of the sender whose turn it is."""
        if not self._lanes:
            return None
        sender, lane = next(iter(self._lanes.items()))
        item = lane.pop()
        self._size -= 1
        if lane:
            self._lanes.move_to_end(sender)
        else:
            del self._lanes[sender]
        return item

    def overdue(self, now: float) -> list[_Item]:
        """Take out what has waited past its deadline; among one sender's of one urgency the oldest ends first."""
        found: list[_Item] = []
        for sender, lane in tuple(self._lanes.items()):
            for queue in (lane.urgent, lane.normal):
                while queue and queue[0].deadline <= now:
                    found.append(queue.popleft())
            if not lane:
                del self._lanes[sender]
        self._size -= len(found)
        return found
