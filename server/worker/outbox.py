"""The outbox's loop: what is due is claimed under a lease and dispatched, a few batches at a time.

It is woken after commits of its own process, and looks by itself every so often for those of others and for what becomes
due. Once a second it takes back what dead workers left. While the relay cannot be asked, nothing is claimed. A failure of the
database or of a batch costs that batch's lease, never the loop.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from server.domain.delivery import LEASE, SECOND
from server.domain.ids import new_id
from server.domain.ports import Clock, Database, DatabaseError, Random
from server.domain.turns import SPREAD
from server.store import leases
from server.worker.dispatch import Dispatcher, Lease
from server.worker.pace import Pace

_RECOVER_EVERY = 1 * SECOND
_PUT_BACK = 1 * SECOND  # a clock that loses more than this at once was set


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """How the outbox works.

    batch: deliveries under one lease, at most 500. in_flight: batches at the same time. poll_seconds: how often it looks
    without being woken. stop_seconds: how long a stop waits for what is in flight.
    """

    batch: int
    in_flight: int
    poll_seconds: float
    stop_seconds: float


class Outbox:
    """Run it as one task; cancelling that ends it gracefully. `log` is a structlog logger."""

    def __init__(
        self,
        db: Database,
        dispatcher: Dispatcher,
        *,
        pace: Pace,
        settings: OutboxSettings,
        clock: Clock,
        random: Random,
        log: Any,
    ) -> None:
        self._db = db
        self._dispatcher = dispatcher
        self._pace = pace
        self._settings = settings
        self._clock = clock
        self._random = random
        self._log = log
        self._bell = asyncio.Event()
        self._in_flight: set[asyncio.Task[None]] = set()
        dispatcher.beside.rings(self.wake)
        self._recovered = 0
        self._seen = 0

    def wake(self) -> None:
        """Look for due deliveries now."""
        self._bell.set()

    async def run(self) -> None:
        """Work until cancelled; then finish what is in flight, or give it back."""
        released = not self._db.exclusive
        try:
            while True:
                self._bell.clear()
                try:
                    released = released or await self._release()
                    await self._tidy()
                    busy = await self._look()
                except DatabaseError as error:
                    self._log.error("the outbox cannot use the database", error=type(error).__name__)
                    busy = False
                except Exception as error:  # noqa: BLE001 - nobody would start it again: what it is, it may pass
                    self._log.error("the outbox failed and goes on", error=type(error).__name__)
                    busy = False
                self._dispatcher.show_pause(under_way=bool(self._in_flight))
                if not busy:
                    await self._idle()
        finally:
            await self._finish()

    async def _release(self) -> bool:
        """Take back what the process before this one had leased: nobody else can hold it."""
        number = await self._db.write(lambda tx: leases.release(tx, self._clock()))
        if number:
            self._log.info("deliveries taken back that were under way at the last stop", deliveries=number)
        return True

    async def _tidy(self) -> None:
        """Do what is done every so often: look at the clock, and take back what dead workers left."""
        now = self._clock()
        if now < self._seen - _PUT_BACK:
            number = await self._db.write(lambda tx: leases.advance(tx, now))
            self._log.warning(
                "the clock was put back; what waited for a later time is due", deliveries=number
            )
        self._seen = now
        if not 0 <= now - self._recovered < _RECOVER_EVERY:
            self._recovered = now
            if await self._db.read(lambda tx: leases.any_overdue(tx, now)):
                number = await self._db.write(lambda tx: leases.recover(tx, now))
                self._log.warning("leases ended before their batches did", deliveries=number)

    async def _look(self) -> bool:
        """Claim a batch and send it on its way; False where there is none or no time for it.

        The last place is for what stands back for nobody: a message to everybody does not hold up an alarm for as long as
        a batch takes.
        """
        most = 1 if self._pace.is_trying else self._settings.in_flight
        places = most - len(self._in_flight)
        if places < 1 or not self._pace.is_open(self._clock()):
            return False
        ahead = 0 if places == 1 < most else SPREAD
        now = self._clock()
        lease = Lease(new_id(now, self._random), now + LEASE)
        claimed = await self._claim(lease, now, ahead)
        if claimed:
            task = asyncio.create_task(self._dispatch(lease), name="outbox-batch")
            self._in_flight.add(task)
            task.add_done_callback(self._done)
        return claimed > 0

    def _done(self, task: asyncio.Task[None]) -> None:
        """Look again: what came for the same devices meanwhile was passed over."""
        self._in_flight.discard(task)
        self._bell.set()

    async def _claim(self, lease: Lease, now: int, ahead: int) -> int:
        limit = self._settings.batch
        try:
            return await self._db.write(
                lambda tx: leases.claim(tx, lease.id, now=now, until=lease.until, limit=limit, ahead=ahead)
            )
        except asyncio.CancelledError:
            # It may be committed all the same, and nobody would work on it. What fails here the lease's end mends.
            with suppress(DatabaseError):
                await self._db.write(lambda tx: leases.give_back(tx, lease.id, now))
            raise

    async def _dispatch(self, lease: Lease) -> None:
        try:
            await self._dispatcher.deliver(lease)
        except DatabaseError as error:
            self._log.error("a batch was not settled and comes again", error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - one batch must not end the outbox; its text may quote content
            self._log.error("a batch failed, its deliveries are tried again", error=type(error).__name__)

    async def _idle(self) -> None:
        """Wait to be woken, for the next look, or for what was put off here: that needs no look in vain, however seldom those are."""
        now, wait = self._clock(), self._settings.poll_seconds
        again_at = self._dispatcher.again_at(now)
        if again_at is not None:
            wait = min(wait, (again_at - now) / SECOND)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._bell.wait()

    async def _finish(self) -> None:
        if under_way := self._in_flight | self._dispatcher.beside.tasks:
            await asyncio.wait(under_way, timeout=self._settings.stop_seconds)
        late = self._in_flight | self._dispatcher.beside.tasks  # some may have begun meanwhile
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
