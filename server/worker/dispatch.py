"""One batch: read what its lease holds, seal, ask the relay, settle.

Keys, handles and contents are read as they are now, so what was retracted a moment ago is not sent. Every outcome of the
batch is written in one transaction, as far as the lease still covers it, and again if the database was away: what the provider
has need not go out a second time. A batch that fails for a reason that nobody foresaw falls apart: each of its deliveries is tried again at
a time of its own. Whatever else goes wrong leaves them leased, and they come back when the lease ends. A delivery keeps its push id, frame id and number at every attempt, so one that is sent twice is shown once.

What has texts that a tenant's own server keeps leaves its batch, under a lease of its own, and is asked for beside: who waits for that
server is nobody but its own deliveries. They are read again after that, as any batch is.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Any, TypeVar

from relay.wire import Outcome
from server.commands.resolving import messages_of, unresolved_in
from server.commands.sealing import Sealer, seal_parcels
from server.domain.delivery import LEASE, SECOND, Event, Settlement, jitter_of
from server.domain.ids import new_id
from server.domain.message import Message
from server.domain.ports import Database, DatabaseUnavailable, Transaction
from server.store import leases
from server.store.leases import Batch, Times
from server.worker.asking import Group, by_tenant, no_room, with_texts
from server.worker.beside import Beside
from server.worker.gateway import GatewayFault, PushGateway
from server.worker.metrics import OutboxMetrics
from server.worker.pace import Pace
from server.worker.pushes import Plan, Sending, not_sealed, plan, push_for, put_off, settled, unsettled
from server.worker.resolver import TextResolver

T = TypeVar("T")

_ANSWER = 15 * SECOND  # PROTOCOL.md, section 4: how long a request may take
_WRITE_AGAIN = 0.5  # seconds
_EXPECTED = 1000  # times that are remembered; what comes at others is found by the next look


@dataclass(frozen=True, slots=True)
class Lease:
    """`until` in milliseconds: then somebody else may take what it holds."""

    id: str
    until: int


class Dispatcher:
    """Delivers batches; several at a time if need be, and what `texts` is asked for `beside` them. `log` is a structlog logger."""

    def __init__(
        self,
        db: Database,
        gateway: PushGateway,
        sealer: Sealer,
        texts: TextResolver,
        *,
        collapse_key: bytes,
        pace: Pace,
        metrics: OutboxMetrics,
        log: Any,
    ) -> None:
        self._db = db
        self._gateway = gateway
        self._sealer = sealer
        self._texts = texts
        self.beside = Beside(log)
        self._collapse_key = collapse_key
        self._pace = pace
        self._metrics = metrics
        self._log = log
        self._expected: list[int] = []  # a heap of times

    def again_at(self, now: int) -> int | None:
        """Return when the first of what was put off here is due, or the relay may be asked again; None where nothing was."""
        while self._expected and self._expected[0] <= now:
            heappop(self._expected)
        return self._expected[0] if self._expected else None

    def _expect(self, at: int) -> None:
        if len(self._expected) < _EXPECTED:
            heappush(self._expected, at)

    async def deliver(self, lease: Lease) -> None:
        """Take a leased batch to its end; cancelled, it is given back."""
        await self._or_given_back(lease, self._deliver(lease, self._take_to_its_end))

    async def _or_given_back(self, lease: Lease, work: Awaitable[None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            await self._db.write(lambda tx: leases.give_back(tx, lease.id, self._sealer.clock()))
            raise
        except DatabaseUnavailable:
            # Before the relay was asked, or too late to write what it said: as soon as may be, somebody can go on.
            await self._persist(lease, lambda tx: leases.give_back(tx, lease.id, self._sealer.clock()))
            raise

    def show_pause(self, *, under_way: bool) -> None:
        """Show whether the relay is away; `under_way`: a batch is. Where nothing is left to send, nobody knows, and nobody waits."""
        closed = not self._pace.is_open(self._sealer.clock())
        self._metrics.paused(now=self._pace.is_trying and (closed or under_way))

    async def _deliver(self, lease: Lease, take: Callable[[Lease, Batch], Awaitable[None]]) -> None:
        with self._timed("read"):
            batch = await self._db.read(lambda tx: leases.read_batch(tx, lease.id))
        try:
            await take(lease, batch)
        except DatabaseUnavailable:
            raise
        except Exception:
            now = self._sealer.clock()
            apart = [put_off(parcel, now, self._jitter()) for parcel in batch.parcels]
            await self._settle(lease, batch, apart, Times(None, None))
            raise

    async def _take_to_its_end(self, lease: Lease, batch: Batch) -> None:
        todo = plan(batch.parcels, batch.addresses, self._sealer.clock())
        await self._send_off(lease, batch, await self._set_aside(lease, todo))

    async def _set_aside(self, lease: Lease, todo: Plan) -> Plan:
        """Have what is to be asked for go on beside, as far as there is room for it; return what is left of a plan."""
        without = unresolved_in(todo.seal)
        if not without:
            return todo
        now, over = self._sealer.clock(), []
        groups, gone = by_tenant(without, await messages_of(self._db, without))
        aside = []
        for tenant, group in groups.items():
            if self.beside.has_room(tenant, len(group.parcels)):
                aside.append((tenant, group, Lease(new_id(now, self._sealer.random), now + LEASE)))
            else:
                over += [no_room(parcel, now, self._jitter()) for parcel in group.parcels]
        await self._move(lease, [(group, to) for _, group, to in aside])
        for tenant, group, to in aside:
            work = self._or_given_back(to, self._ask_and_deliver(to, group.messages))
            self.beside.start(tenant, len(group.parcels), work)
        ids = {parcel.id for parcel in without}
        over += [not_sealed(parcel, now) for parcel in gone]
        return Plan(todo.over + over, [parcel for parcel in todo.seal if parcel.id not in ids], todo.wake)

    async def _move(self, lease: Lease, groups: Sequence[tuple[Group, Lease]]) -> None:
        async def job(tx: Transaction) -> None:
            for group, to in groups:
                await leases.move(tx, lease.id, [parcel.id for parcel in group.parcels], to.id, to.until)

        if groups:
            await self._db.write(job)

    async def _ask_and_deliver(self, lease: Lease, messages: Sequence[Message]) -> None:
        asked = {one.message.id: one for one in await self._texts.ask_once(messages)}

        async def take(lease: Lease, batch: Batch) -> None:
            filled, later = with_texts(batch.parcels, asked, self._sealer.clock(), self._jitter)
            todo = plan(filled, batch.addresses, self._sealer.clock())
            await self._send_off(lease, batch, replace(todo, over=todo.over + later))

        await self._deliver(lease, take)

    async def _send_off(self, lease: Lease, batch: Batch, todo: Plan) -> None:
        with self._timed("seal"):
            sendings, unsealed = await self._seal(todo, batch)
        settlements, times = todo.over + unsealed, Times(None, None)
        if sendings:
            sealed_at = self._sealer.clock()
            longer = await self._long_enough(lease, sealed_at)
            if longer is None:
                self._log.warning("a batch took too long to seal and is somebody else's by now")
                return
            lease = longer
            times = Times(sealed_at, self._sealer.clock())
            settlements += await self._send(sendings, batch)
        if settlements:
            with self._timed("settle"):
                await self._settle(lease, batch, settlements, times)

    async def _long_enough(self, lease: Lease, now: int) -> Lease | None:
        """Extend a lease that might end before the relay answers: sealing can be slow. None where it holds nothing any more."""
        if now <= lease.until - _ANSWER:
            return lease
        longer = Lease(lease.id, now + LEASE)
        held = await self._db.write(lambda tx: leases.extend(tx, longer.id, longer.until))
        return longer if held else None

    async def _seal(self, todo: Plan, batch: Batch) -> tuple[list[Sending], list[Settlement]]:
        sealed = await seal_parcels(self._db, todo.seal, batch.addresses, self._sealer)
        if sealed.bad_keys:
            self._log.error(
                "devices have keys that are none; pair them anew", deliveries=len(sealed.bad_keys)
            )
        now = self._sealer.clock()
        sendings, unsealed = [], []
        for parcels in [*([parcel] for parcel in todo.seal), *todo.wake]:
            first, address = parcels[0], batch.addresses[parcels[0].device_id]
            envelope = sealed.envelopes.get(first.id)
            if envelope is None and address.public_key is not None:
                unsealed.append(not_sealed(first, now, bad_key=first.id in sealed.bad_keys))
                continue
            push = push_for(first, address, envelope, now=now, collapse_key=self._collapse_key)
            sendings.append(Sending(push, parcels))
        return sendings, unsealed

    async def _send(self, sendings: Sequence[Sending], batch: Batch) -> list[Settlement]:
        try:
            with self._timed("push"):
                outcomes = await self._gateway.push([sending.push for sending in sendings])
        except GatewayFault as fault:
            self._metrics.batch(fault.reason, len(sendings))
            now = self._sealer.clock()
            until = self._pace.failed(fault, now=now, jitter=self._jitter())
            self._expect(until)
            return [one for sending in sendings for one in unsettled(sending, fault, now=now, until=until)]
        self._pace.succeeded()
        self._metrics.batch("answered", len(sendings))
        self._report(outcomes)
        now = self._sealer.clock()
        return [
            settlement
            for sending, outcome in zip(sendings, outcomes, strict=True)
            for settlement in settled(sending, outcome, batch.addresses, now=now, jitter=self._jitter())
        ]

    async def _settle(
        self, lease: Lease, batch: Batch, settlements: Sequence[Settlement], times: Times
    ) -> None:
        now = self._sealer.clock()
        written = await self._persist(lease, lambda tx: leases.settle(tx, lease.id, settlements, now, times))
        for again in written:
            if again.event is Event.RETRY:
                self._expect(again.due_at)
        created = {parcel.id: parcel.created_at for parcel in batch.parcels}
        self._metrics.settled(written, created, times, now)

    async def _persist(self, lease: Lease, job: Callable[[Transaction], Awaitable[T]]) -> T:
        """Write what became of a lease, again and again while the database is away and the lease lasts."""
        while True:
            try:
                return await self._db.write(job)
            except DatabaseUnavailable:
                if self._sealer.clock() >= lease.until:
                    raise
                self._log.warning("what became of a batch cannot be written yet")
            await asyncio.sleep(_WRITE_AGAIN)

    def _report(self, outcomes: Sequence[Outcome]) -> None:
        """Tell the operator what will not mend itself: a rejected push is a fault of configuration."""
        rejected = Counter(outcome.reason for outcome in outcomes if outcome.status == "rejected")
        for reason, number in rejected.items():
            self._log.error("the relay rejected pushes", reason=reason, pushes=number)

    def _jitter(self) -> float:
        return jitter_of(self._sealer.random(4))

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._metrics.step(step, time.perf_counter() - began)
