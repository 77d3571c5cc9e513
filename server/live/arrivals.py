"""Tells what has come into an inbox, each item once: for clients that are told of news, and not of every change.

The hub tells of changes, and tells some again to who comes again, since a transaction may be committed later than the time it bears.
So how far somebody was told says what they know of that while: `<milliseconds>.<32 hex digits>`, the time of the newest item that they
know and the sum (exclusive or) of the hashes of all that they know of the OVERLAP before it. What is missing from the sum of what is there
now was committed in between. Which items that is follows from the sum alone while there are fewer of them than it has bits: their hashes
are independent then, and there is one way to add up to it. Of more, or where one is gone that was known, all of that while is told
again rather than nothing of it.
"""

from collections.abc import AsyncIterator, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import blake2b
from heapq import heappop, heappush
from operator import xor

from server.commands.inbox import arrived_after, arrived_between
from server.domain.ids import first_id, id_time
from server.domain.inbox import KEPT, OVERLAP, InboxItem
from server.domain.ports import Clock, Database
from server.live.connection import Connection, Event, News
from server.live.hub import PAGE, Hub

_MOST_DIGITS = 15
_SUM_BYTES = 16
_SUM_DIGITS = 2 * _SUM_BYTES


@dataclass(frozen=True, slots=True)
class Told:
    """How far somebody was told what has come."""

    newest: int
    sum: int

    def __str__(self) -> str:
        return f"{self.newest}.{self.sum:0{_SUM_DIGITS}x}"

    def is_kept(self, now: int) -> bool:
        """Say whether it can be gone on from: it is neither too old, nor from a clock that was put back since."""
        return now - KEPT <= self.newest <= now + OVERLAP


def read_told(text: str) -> Told:
    """Return what a text stands for; ValueError."""
    newest, _, digits = text.partition(".")
    is_time = newest.isascii() and newest.isdecimal() and len(newest) <= _MOST_DIGITS
    if not (is_time and len(digits) == _SUM_DIGITS and set(digits) <= set("0123456789abcdef")):
        raise ValueError("it is <milliseconds>.<32 hex digits>")
    return Told(int(newest), int(digits, 16))


def known_of(told: Told, there: Sequence[str]) -> set[str]:
    """Return which of the items that are there of a while somebody knows who was told so far."""
    missing = reduce(xor, map(_hash, there), told.sum)
    late = _summing_to(missing, there) if missing else set()
    return set() if late is None else set(there) - late


def _summing_to(wanted: int, there: Sequence[str]) -> set[str] | None:
    """Return the items whose hashes add up to a sum, None where that is none of them, or not clear (Gaussian elimination)."""
    rows: dict[
        int, tuple[int, int]
    ] = {}  # by their highest bit: a sum of hashes, and of which items, a bit for each

    def reduced(left: int, parts: int) -> tuple[int, int]:
        while left.bit_length() in rows:
            row, of_row = rows[left.bit_length()]
            left, parts = left ^ row, parts ^ of_row
        return left, parts

    for place, item_id in enumerate(there):
        left, parts = reduced(_hash(item_id), 1 << place)
        if not left:
            return None
        rows[left.bit_length()] = left, parts
    left, parts = reduced(wanted, 0)
    return None if left else {item_id for place, item_id in enumerate(there) if parts >> place & 1}


class Arrivals:
    """What of an inbox is known to somebody: what came by a time, as far as `known` has it of the OVERLAP before that."""

    def __init__(self, newest: int, known: Iterable[str]) -> None:
        self._newest = newest
        self._sum = 0
        self._known: set[str] = set()
        self._oldest: list[tuple[int, str]] = []  # a heap
        for item_id in known:
            self.note(item_id)

    @property
    def told(self) -> Told:
        return Told(self._newest, self._sum)

    @property
    def since(self) -> int:
        """When the earliest came that may not be known."""
        return self._newest - OVERLAP

    def is_new(self, item: InboxItem) -> bool:
        """Say whether an item is there that they do not know.

        What is as it came is new, also where the clock was put back: nobody is told of the same change twice.
        """
        if item.deleted_at is not None or item.id in self._known:
            return False
        return id_time(item.id) >= self.since or item.changed_at == item.created_at

    def note(self, item_id: str) -> None:
        """Remember that they know an item."""
        at = id_time(item_id)
        self._known.add(item_id)
        self._sum ^= _hash(item_id)
        heappush(self._oldest, (at, item_id))
        self._newest = max(self._newest, at)
        while self._oldest and self._oldest[0][0] < self.since:
            _, gone = heappop(self._oldest)
            self._known.remove(gone)
            self._sum ^= _hash(gone)


@dataclass(frozen=True, slots=True)
class Arrival:
    """As `Event`: a `notification` that is new, `counts`, or `reset`; `place` is where to go on after it."""

    name: str
    place: Told
    news: News


async def follow_arrivals(
    hub: Hub, db: Database, clock: Clock, connection: Connection, after: Told | None
) -> AsyncIterator[Sequence[Arrival]]:
    """Yield what has come since somebody was told last, in that order, then what comes, and counts. None: a beat. Ended."""
    now = clock()
    lost = after is not None and not after.is_kept(now)
    arrivals = await _known(db, connection.user_id, None if lost else after, now)
    if lost:
        yield [Arrival("reset", arrivals.told, News(None))]
    await hub.begin(connection)  # first: what is committed from here on is told, or on a page
    paged: set[str] = set()  # by a page and by the hub, however long it is until its news are taken
    async for items in _since(db, connection, arrivals):
        paged.update(item.id for item in items if item.changed_at >= connection.knows_before)
        yield [arrival for item in items for arrival in _of_item(arrivals, item, News(item))]
    while True:
        events = await connection.next()
        yield [arrival for event in events for arrival in _of(arrivals, event, paged)]


async def _known(db: Database, user_id: str, after: Told | None, now: int) -> Arrivals:
    if after is None:
        return Arrivals(now, await arrived_between(db, user_id, now - OVERLAP, None))
    there = await arrived_between(db, user_id, after.newest - OVERLAP, after.newest)
    return Arrivals(after.newest, known_of(after, there))


async def _since(
    db: Database, connection: Connection, arrivals: Arrivals
) -> AsyncIterator[Sequence[InboxItem]]:
    """Yield pages of what has come, what may be known as well."""
    place = first_id(arrivals.since)
    while True:
        connection.check()
        items = await arrived_after(db, connection.user_id, place, PAGE)
        if items:
            place = items[-1].id
            yield items
        if len(items) < PAGE:
            return


def _of(arrivals: Arrivals, event: Event, paged: Container[str]) -> list[Arrival]:
    about = event.news.about
    if isinstance(about, InboxItem):
        return [] if about.id in paged else _of_item(arrivals, about, event.news)
    return [Arrival(event.name, arrivals.told, event.news)]


def _of_item(arrivals: Arrivals, item: InboxItem, news: News) -> list[Arrival]:
    if not arrivals.is_new(item):
        return []
    arrivals.note(item.id)
    return [Arrival("notification", arrivals.told, news)]


def _hash(item_id: str) -> int:
    return int.from_bytes(blake2b(item_id.encode(), digest_size=_SUM_BYTES).digest(), "big")
