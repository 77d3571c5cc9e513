"""One connection that is told what changes in a user's inbox: what it was told, what waits for it, and its end.

Its queue is short. Who does not take what waits is ended with `BEHIND`, and reads what it missed when it comes again, in pages and at
its own pace. No sockets here: `server/api/live.py` has them.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from server.domain.inbox import Counts, InboxItem, Position, start_of

MOST_WAITING = 1_000
About = InboxItem | Counts | None
Say = Callable[[About], bytes]
"""How an API words what is told; JSON."""


class End(Enum):
    """Why a connection ends without having asked for it."""

    BEHIND = "behind"  # it did not take what waited
    CLOSING = "closing"  # the server goes


class Ended(Exception):
    def __init__(self, end: End) -> None:
        super().__init__(end.value)
        self.end = end


class News:
    """What is told: an item or counts as they are now, or None. Each API's words for it are found once, however many are told."""

    __slots__ = ("_said", "about")

    def __init__(self, about: About) -> None:
        self.about = about
        self._said: dict[Say, bytes] = {}

    def said(self, say: Say) -> bytes:
        """Return it in the words of an API."""
        said = self._said.get(say)
        if said is None:
            said = self._said[say] = say(self.about)
        return said


@dataclass(frozen=True, slots=True)
class Event:
    """`name` is `notification`, `counts` or `reset`; `place` is where a stream goes on that ended after it."""

    name: str
    place: Position
    news: News = field(repr=False)


class Connection:
    """What `hub.py` offers and a socket takes. `is_gone` says whether its socket was closed by the other end."""

    def __init__(self, user_id: str, is_gone: Callable[[], bool], now: int) -> None:
        self.user_id = user_id
        self.is_gone = is_gone
        self.beaten_at = now
        self.knows_before = now  # nothing that changed earlier is told
        self.place = start_of(now)  # of what was taken last
        self._told: dict[
            str, int
        ] = {}  # changed_at by item id: of what was told, as far back as the hub looks
        self._queue: list[Event] = []
        self._counts: News | None = None
        self._counted: About = None
        self._end: End | None = None
        self._stirred = asyncio.Event()

    def lacks(self, position: Position) -> bool:
        """Say whether it was not told of this change yet."""
        return self._told.get(position.item_id, self.knows_before - 1) < position.changed_at

    def note(self, position: Position) -> None:
        """Remember that it knows of a change."""
        self._told[position.item_id] = position.changed_at

    def forget(self, before: int) -> None:
        """Forget changes at which nobody looks again."""
        if self._told:
            self._told = {item_id: at for item_id, at in self._told.items() if at >= before}

    def has_room(self, events: int) -> bool:
        return len(self._queue) + events <= MOST_WAITING

    def offer(self, event: Event) -> None:
        """Have it told of a change, once."""
        if self._end is None and self.lacks(event.place):
            self.note(event.place)
            self._queue.append(event)
            self._stirred.set()

    def count(self, counts: News) -> None:
        """Have it told how much there is, if that is something else than what it was told last; the newest is enough."""
        self._counts = counts
        self._stirred.set()

    def beat(self, now: int) -> None:
        """Have its socket show that it is alive, and look whether the credential still is."""
        self.beaten_at = now
        self._stirred.set()

    def end(self, end: End) -> None:
        """End it; what waits is dropped, since it is told of that when it comes again."""
        self._end = self._end or end
        self._queue.clear()
        self._stirred.set()

    def check(self) -> None:
        """Raise Ended where it was ended."""
        if self._end is not None:
            raise Ended(self._end)

    async def next(self) -> Sequence[Event]:
        """Wait for events; none where it is only a beat. Ended."""
        await self._stirred.wait()
        self._stirred.clear()
        self.check()
        events, self._queue = self._queue, []
        if events:
            self.place = events[-1].place
        if self._counts is not None and self._counts.about != self._counted:
            self._counted = self._counts.about
            events.append(Event("counts", self.place, self._counts))
        self._counts = None
        return events
