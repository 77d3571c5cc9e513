"""The outbox as the worker sees it: claim a batch under a lease, read it, settle it.

A claim takes what is due in the order of turns and writes the end of its lease into `due_at`. A device is never in two batches at once,
so that its deliveries go out in their order, and one that is in a batch is passed over, so that it holds up nobody else. A retry
goes behind what came meanwhile; what nobody has refused (the relay was down, the worker died) keeps its turn. What a dead worker
left is taken back by anybody once its lease has ended. Outcomes are written only where the row is still under the lease that they
belong to, and a handle is retired only while it is the one that was used.

Several processes may claim at the same time on PostgreSQL: each skips the rows that another has locked, deliveries and devices,
and looks for leased ones in a statement after the locks, which sees what others have committed until then.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from server.domain.delivery import LEASE, Address, Event, Parcel, Settlement, State, after
from server.domain.ports import Row, Transaction
from server.domain.tally import moved
from server.domain.turns import SPREAD
from server.store.dialect import chunks, holes
from server.store.parcels import PARCEL, contents_of, parcel_of
from server.store.tallies import note

# What is not due has a turn as late as that, so few are looked at in vain. The device is locked before its deliveries: of two that claim
# at the same moment one passes over all of a device, and not over its first ones alone.
_CANDIDATES = (
    "SELECT d.id, d.device_id FROM deliveries d JOIN devices v ON v.id = d.device_id"
    " WHERE d.state = 'queued' AND d.turn <= $2 AND d.due_at <= $1"
    " AND d.device_id NOT IN (SELECT device_id FROM deliveries WHERE state = 'leased' AND device_id IS NOT NULL)"
    " ORDER BY d.turn, d.sequence NULLS FIRST LIMIT $3"
    " FOR NO KEY UPDATE OF v SKIP LOCKED FOR UPDATE OF d SKIP LOCKED"
)
_SETTLE = (
    "UPDATE deliveries SET state = $1, reason = $2, due_at = $3, provider_id = COALESCE($4, provider_id),"
    " settled_at = $5, sealed_at = COALESCE($6, sealed_at), relayed_at = COALESCE($7, relayed_at), lease = NULL,"
    " attempts = attempts - 1 + $8, turn = CASE WHEN $9 = 1 THEN turn ELSE $3 END"
)
# Its turn stays, unless that lies ahead of a clock that was put back.
_TAKE_BACK = (
    "UPDATE deliveries SET state = 'queued', lease = NULL, due_at = $1,"
    f" turn = CASE WHEN turn - {SPREAD} > $1 THEN $1 ELSE turn END"
)
# Two parts, each from its index: with OR between them SQLite reads every delivery that there is.
_WAITING = (
    "SELECT COUNT(*) AS n, MIN(created_at) AS oldest FROM"
    " (SELECT created_at FROM deliveries WHERE state = 'queued' AND due_at <= $1"
    " UNION ALL SELECT created_at FROM deliveries WHERE state = 'leased') AS waits"
)
# Nobody is given a lease as long as that: the clock was put back since.
_OVERDUE = "state = 'leased' AND (due_at <= $1 OR due_at > $2)"
_ALIKE = 8  # from so many on, settlements that say the same are written in one statement


@dataclass(frozen=True, slots=True)
class Batch:
    """What one lease holds."""

    parcels: Sequence[Parcel]
    addresses: Mapping[str, Address]  # by device id


@dataclass(frozen=True, slots=True)
class Times:
    """When what was sent of a batch was sealed, and when the relay was asked; None where it was not."""

    sealed_at: int | None
    relayed_at: int | None


async def claim(tx: Transaction, lease: str, *, now: int, until: int, limit: int, ahead: int = SPREAD) -> int:
    """Put up to `limit` due deliveries under a lease, the lowest turn first, and return how many.

    `ahead` is how far from now their turns may be, in milliseconds: 0 leaves out what stands back for others.
    """
    candidates = await tx.all(_CANDIDATES, now, now + ahead, limit)
    free = {row["device_id"] for row in candidates}
    for chunk in chunks(sorted(free)):
        busy = await tx.all(
            f"SELECT DISTINCT device_id FROM deliveries WHERE state = 'leased' AND device_id IN ({holes(len(chunk))})",
            *chunk,
        )
        free.difference_update(row["device_id"] for row in busy)
    claimed = 0
    for chunk in chunks([row["id"] for row in candidates if row["device_id"] in free]):
        claimed += await tx.run(
            "UPDATE deliveries SET state = 'leased', lease = $1, due_at = $2, attempts = attempts + 1"
            f" WHERE id IN ({holes(len(chunk), after=2)})",
            lease,
            until,
            *chunk,
        )
    return claimed


async def extend(tx: Transaction, lease: str, until: int) -> int:
    """Move the end of a lease and return how many deliveries are still under it."""
    return await tx.run("UPDATE deliveries SET due_at = $2 WHERE lease = $1", lease, until)


async def move(tx: Transaction, lease: str, ids: Sequence[str], to: str, until: int) -> None:
    """Put some of what is under a lease under another one, which ends at its own time."""
    for chunk in chunks(ids):
        await tx.run(
            f"UPDATE deliveries SET lease = $2, due_at = $3 WHERE lease = $1 AND id IN ({holes(len(chunk), after=3)})",
            lease,
            to,
            until,
            *chunk,
        )


async def read_batch(tx: Transaction, lease: str) -> Batch:
    """Return what is under a lease. A constant number of queries, however large it is."""
    rows = await tx.all(f"{PARCEL} WHERE d.lease = $1 ORDER BY d.device_id, d.sequence, d.id", lease)
    contents = await contents_of(tx, rows)
    return Batch(
        [parcel_of(row, contents) for row in rows], {row["device_id"]: _address(row) for row in rows}
    )


async def settle(
    tx: Transaction, lease: str, settlements: Sequence[Settlement], now: int, times: Times
) -> list[Settlement]:
    """Write what became of a lease's deliveries; return those that were still under it, as they were written.

    What a handle held up goes out again at once where the device has another one by now: a handle that came while the
    delivery was leased could not hasten it.
    """
    matched = await _match_handles(tx, settlements, now)  # devices first, as everybody who locks both
    # In the order in which they go where devices are deleted, one after another.
    held = await tx.all("SELECT id FROM deliveries WHERE lease = $1 ORDER BY device_id, id FOR UPDATE", lease)
    ids = {row["id"] for row in held}
    ours = [settlement for settlement in matched if settlement.id in ids]
    await _write(tx, ours, now, times)
    states = Counter(after(State.LEASED, settlement.event) for settlement in ours)
    await note(tx, moved({State.LEASED: len(ours)}, states))
    woken = sorted({settlement.device_id for settlement in ours if settlement.woken})
    await tx.many("UPDATE devices SET last_woken_at = $2 WHERE id = $1", [(id_, now) for id_ in woken])
    return ours


async def _write(tx: Transaction, settlements: Sequence[Settlement], now: int, times: Times) -> None:
    """Write what says the same in one statement for all of them: mostly, everything was accepted."""
    alike: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for settlement in settlements:
        alike[_values(settlement, now, times)].append(settlement.id)
    single = []
    for values, ids in alike.items():
        if len(ids) < _ALIKE:
            single += [(*values, id_) for id_ in ids]
            continue
        for chunk in chunks(ids):
            await tx.run(f"{_SETTLE} WHERE id IN ({holes(len(chunk), after=len(values))})", *values, *chunk)
    await tx.many(f"{_SETTLE} WHERE id = $10", single)


async def release(tx: Transaction, now: int) -> int:
    """Take every lease back, when nobody can be holding one: at the start of the only process."""
    return await tx.run(f"{_TAKE_BACK} WHERE state = 'leased'", now)


async def recover(tx: Transaction, now: int) -> int:
    """Take back what is under leases that have ended: whoever held them is dead, or too late."""
    return await tx.run(
        f"{_TAKE_BACK} WHERE id IN (SELECT id FROM deliveries WHERE {_OVERDUE} FOR UPDATE SKIP LOCKED)",
        now,
        now + 2 * LEASE,
    )


async def any_overdue(tx: Transaction, now: int) -> bool:
    """Say whether a lease has ended."""
    row = await tx.one(f"SELECT id FROM deliveries WHERE {_OVERDUE} LIMIT 1", now, now + 2 * LEASE)
    return row is not None


async def advance(tx: Transaction, now: int) -> int:
    """Make due at once what waits for a later time: the clock by which that was set was put back."""
    return await tx.run(
        "UPDATE deliveries SET due_at = $1, turn = $1 WHERE state = 'queued' AND due_at > $1", now
    )


async def give_back(tx: Transaction, lease: str, now: int) -> int:
    """Let go of a lease of which nothing is known: its deliveries are due again at once, and may have been sent."""
    return await tx.run(f"{_TAKE_BACK} WHERE lease = $2", now, lease)


async def waiting(tx: Transaction, now: int) -> tuple[int, int]:
    """Return how many deliveries are due or leased, and for how many milliseconds the oldest of them has waited."""
    row = await tx.one(_WAITING, now)
    if row is None or row["oldest"] is None:
        return 0, 0
    return int(row["n"]), now - int(row["oldest"])


async def _match_handles(tx: Transaction, settlements: Sequence[Settlement], now: int) -> list[Settlement]:
    """Compare the handles that were used with those that are there, and retire the dead ones.

    The rows are locked, so that a new handle comes either before this, and is seen, or after it, and hastens. So are those that
    are written to later: all of them at once, in the order of their ids.
    """
    current: dict[str, str | None] = {}
    for chunk in chunks(sorted({s.device_id for s in settlements if s.hangs_on_handle or s.woken})):
        rows = await tx.all(
            f"SELECT id, handle FROM devices WHERE id IN ({holes(len(chunk))}) ORDER BY id FOR NO KEY UPDATE",
            *chunk,
        )
        current.update({row["id"]: row["handle"] for row in rows})
    dead = {s.device_id: s for s in settlements if s.event is Event.DEAD_HANDLE}
    await tx.many(
        "UPDATE devices SET handle = NULL, handle_fault = $2 WHERE id = $1 AND handle = $3",
        [(device_id, s.reason, s.handle) for device_id, s in dead.items()],
    )
    return [_again_with_new_handle(s, current.get(s.device_id), now) for s in settlements]


def _again_with_new_handle(settlement: Settlement, current: str | None, now: int) -> Settlement:
    if not settlement.hangs_on_handle or current in (None, settlement.handle):
        return settlement
    return replace(settlement, event=Event.RETRY, reason="handle_replaced", due_at=now)


def _values(settlement: Settlement, now: int, times: Times) -> tuple[object, ...]:
    state = after(State.LEASED, settlement.event)
    waits = state is State.QUEUED
    return (
        state.value,
        settlement.reason,
        settlement.due_at if waits else now,
        settlement.provider_id,
        None if waits else now,
        times.sealed_at if settlement.relayed else None,
        times.relayed_at if settlement.relayed else None,
        int(settlement.counts),
        int(settlement.keeps_turn),
    )


def _address(row: Row) -> Address:
    return Address(
        device_id=row["device_id"],
        platform=row["platform"],
        suite=row["suite"],
        public_key=row["public_key"],
        handle=row["handle"],
        woken_at=row["last_woken_at"],
    )
