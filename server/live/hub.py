"""Tells those who are connected what changes in their inboxes, as soon as it was committed.

Events are states, not differences, and no event is kept: when it is hinted that something was committed, the hub looks which items of
connected users have changed lately, and offers each connection those that it was not told of. It looks back a
little each time, and now and then as far as `OVERLAP`: a transaction may end later than the time it bears. A connection
that resumes is first given what has changed since, in pages.

However many are connected, looking takes a tenth of the time: it rests nine times as long as it took.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from server.commands.inbox import changed_after, changes_since, count_all, items_of
from server.domain.errors import Allowance, Limited, Unavailable
from server.domain.inbox import OVERLAP, InboxItem, Position, start_of
from server.domain.ports import Clock, Database, DatabaseError
from server.live.connection import Connection, End, Ended, Event, News

__all__ = ["Connection", "End", "Ended", "Event", "Hub", "News"]

MOST_OF_A_USER = 32
MOST = 10_000
PAGE = 200
_BEAT_EVERY = 15_000  # milliseconds: proxies close what is silent for a minute
_RECENT = 2_000  # milliseconds back that every look goes
_DEEP_EVERY = 5_000
_PAUSE = 0.05  # seconds between looks, at least
_COUNT_PAUSE = 0.25
_REST = 9  # times as long as it took
_LOOK_EVERY = 2.0  # seconds, without a hint
_AGAIN = 10  # seconds until who finds no place may ask again
_READ_AT_ONCE = 500


class Hub:
    """Run it as one task. `of_a_user` and `most` are how many connections there may be in this process."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        log: Any,
        of_a_user: int = MOST_OF_A_USER,
        most: int = MOST,
    ) -> None:
        self._db = db
        self._clock = clock
        self._log = log
        self._of_a_user = of_a_user
        self._most = most
        self._places: dict[str, list[Connection]] = {}  # all, by user
        self._listening: dict[str, list[Connection]] = {}  # those that have caught up
        self._joined: set[str] = set()
        self._to_count: set[str] = set()
        self.closing = asyncio.Event()
        self._looked_at = self._deep_at = clock()
        self._hinted = asyncio.Event()
        self._counting = asyncio.Event()

    def wake(self) -> None:
        """Look for changes now."""
        self._hinted.set()

    def close(self) -> None:
        """End all connections, and take none any more."""
        self.closing.set()
        for connection in self._all():
            connection.end(End.CLOSING)

    @contextmanager
    def connect(self, user_id: str, is_gone: Callable[[], bool]) -> Iterator[Connection]:
        """Take a place; Limited, Unavailable."""
        if self.closing.is_set():
            raise Unavailable("the server is going; connect again", retry_after=1)
        self._make_room(user_id)
        connection = Connection(user_id, is_gone, self._clock())
        self._places.setdefault(user_id, []).append(connection)
        try:
            yield connection
        finally:
            self._leave(connection)

    async def follow(self, connection: Connection, after: Position | None) -> AsyncIterator[Sequence[Event]]:
        """Yield events: first all that changed after a position, then what changes. None: a beat. Ended."""
        now = self._clock()
        if after is not None and not after.is_kept(now):
            yield [Event("reset", start_of(now), News(None))]
            after = None
        if after is None:
            await self.begin(connection)
        else:
            async for events in self._catch_up(connection, after):
                yield events
        while True:
            yield await connection.next()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat(self._look, self._hinted, _PAUSE))
            tasks.create_task(self._repeat(self._count, self._counting, _COUNT_PAUSE))

    async def begin(self, connection: Connection) -> None:
        """Have a connection told of what changes from now on: take it with `Connection.next`."""
        now = self._clock()
        connection.knows_before = now - OVERLAP
        for _, position in await changes_since(self._db, [connection.user_id], now - OVERLAP):
            connection.note(position)
        self._listen(connection)

    async def _catch_up(self, connection: Connection, after: Position) -> AsyncIterator[Sequence[Event]]:
        connection.knows_before = after.changed_at - OVERLAP
        connection.place = after
        place = start_of(connection.knows_before)
        while True:
            connection.check()
            items = await changed_after(self._db, connection.user_id, place, PAGE)
            events = [_event(item) for item in items]
            for event in events:
                connection.note(event.place)
            if len(items) < PAGE:  # before anybody waits: what is committed from here on, the next look finds
                self._listen(connection)
            if events:
                connection.place = place = events[-1].place
                connection.forget(self._horizon())
                yield events
            if len(items) < PAGE:
                return

    def _listen(self, connection: Connection) -> None:
        user_id = connection.user_id
        self._listening.setdefault(user_id, []).append(connection)
        self._joined.add(user_id)
        self._to_count.add(user_id)
        self._hinted.set()
        self._counting.set()

    def _leave(self, connection: Connection) -> None:
        for places in (self._places, self._listening):
            there = places.get(connection.user_id, [])
            if connection in there:
                there.remove(connection)
            if not there:
                places.pop(connection.user_id, None)

    def _make_room(self, user_id: str) -> None:
        """Refuse one more connection where there is no place, not counting those whose socket is closed."""
        own = [one for one in self._places.get(user_id, ()) if not one.is_gone()]
        if len(own) >= self._of_a_user:
            raise Limited(
                f"you have {len(own)} live connections; close one of them",
                Allowance("live-connections", self._of_a_user, _AGAIN, 0, _AGAIN),
            )
        if sum(len(there) for there in self._places.values()) >= self._most:
            raise Unavailable("too many live connections", retry_after=_AGAIN, code="connections_exhausted")

    async def _repeat(self, work: Callable[[], Any], hinted: asyncio.Event, pause: float) -> None:
        """Do some work whenever it is hinted at, and now and then."""
        loop = asyncio.get_running_loop()
        while True:
            await _hint(hinted)
            hinted.clear()
            began = loop.time()
            try:
                await work()
            except DatabaseError as error:
                self._log.warning("live streams wait for the database", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - nobody would start it again: what it is, it may pass
                self._log.error("live streams failed and go on", error=type(error).__name__)
            await asyncio.sleep(max(pause, _REST * (loop.time() - began)))

    async def _look(self) -> None:
        """Tell everybody what they lack."""
        now = self._clock()
        self._beat(now)
        deep = not 0 <= now - self._deep_at < _DEEP_EVERY
        joined, self._joined = self._joined, set()
        if not self._listening:
            self._looked_at = self._deep_at = now
            return
        try:
            changes = await self._changes(joined, now, deep=deep)
        except DatabaseError:
            self._joined |= joined
            raise
        await self._tell(changes)
        self._looked_at = now
        if deep:
            for connection in self._all():
                connection.forget(self._horizon())
            self._deep_at = now

    async def _changes(self, joined: set[str], now: int, *, deep: bool) -> list[tuple[str, Position]]:
        """Return what changed lately; and of those who have just joined, and now and then of all, as far back as it may matter."""
        long, short = self._horizon(), min(now, self._looked_at) - _RECENT
        everybody = set(self._listening)
        if deep:
            return await changes_since(self._db, sorted(everybody), long)
        changes = await changes_since(self._db, sorted(everybody - joined), short)
        if joined & everybody:
            changes += await changes_since(self._db, sorted(joined & everybody), long)
        return changes

    async def _tell(self, changes: Sequence[tuple[str, Position]]) -> None:
        lacking: dict[Connection, int] = {}
        wanted: set[Position] = set()
        for user_id, position in changes:
            for connection in self._listening.get(user_id, ()):
                if connection.lacks(position):
                    lacking[connection] = lacking.get(connection, 0) + 1
                    wanted.add(position)
                    self._to_count.add(user_id)
        for connection, events in lacking.items():
            if not connection.has_room(events):
                connection.end(End.BEHIND)
                self._leave(connection)
        await self._read_and_offer([position.item_id for position in sorted(wanted)])
        if self._to_count:
            self._counting.set()

    async def _read_and_offer(self, item_ids: Sequence[str]) -> None:
        for start in range(0, len(item_ids), _READ_AT_ONCE):
            for item in await items_of(self._db, item_ids[start : start + _READ_AT_ONCE]):
                listening = self._listening.get(item.user_id, ())
                event = _event(item)
                for connection in listening:
                    connection.offer(event)

    async def _count(self) -> None:
        """Tell those in whose inbox something has changed how much there is."""
        users, self._to_count = self._to_count & self._listening.keys(), set()
        if not users:
            return
        try:
            counted = await count_all(self._db, sorted(users))
        except DatabaseError:
            self._to_count |= users
            raise
        for user_id, counts in counted.items():
            news = News(counts)
            for connection in self._listening.get(user_id, ()):
                connection.count(news)

    def _beat(self, now: int) -> None:
        for connection in self._all():
            if not 0 <= now - connection.beaten_at < _BEAT_EVERY:
                connection.beat(now)

    def _horizon(self) -> int:
        """Return how far back a deep look goes, this one and those to come."""
        return min(self._clock(), self._deep_at) - OVERLAP

    def _all(self) -> list[Connection]:
        return [connection for there in self._places.values() for connection in there]


def _event(item: InboxItem) -> Event:
    return Event("notification", item.position, News(item))


async def _hint(hinted: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_LOOK_EVERY):
            await hinted.wait()
    except TimeoutError:
        return
