"""The outbox as the worker sees it: claim a batch under a lease, read it, settle it.

A claim gives a batch a fresh lease and writes the end of the lease into `due_at`, so that one condition (`due_at` has
come) finds what was never tried, what is to be tried again, and what a dead worker left. It stands in the outer WHERE
too: on PostgreSQL a row that another worker took between the two looks is not taken twice. Outcomes are written only
where the row is still under the lease that they belong to, and a handle is retired only while it is the one that was used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from server.domain.delivery import Address, Event, Parcel, Settlement, State, after
from server.domain.ports import Row, Transaction
from server.store.dialect import chunks, holes
from server.store.parcels import PARCEL, contents_of, parcel_of

_DUE = "state IN ('queued', 'leased') AND due_at <= $3"
_CLAIM = (  # WITH, because PostgreSQL may run a LIMIT inside IN more than once
    f"WITH due AS (SELECT id FROM deliveries WHERE {_DUE} ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED)"
    " UPDATE deliveries SET state = 'leased', lease = $1, due_at = $2, attempts = attempts + 1"
    f" WHERE id IN (SELECT id FROM due) AND {_DUE}"
)
_SETTLE = (
    "UPDATE deliveries SET state = $3, reason = $4, due_at = $5, provider_id = COALESCE($6, provider_id),"
    " settled_at = $7, lease = NULL WHERE id = $1 AND lease = $2"
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one lease holds."""

    parcels: Sequence[Parcel]
    addresses: Mapping[str, Address]  # by device id


async def claim(tx: Transaction, lease: str, *, now: int, until: int, limit: int) -> int:
    """Put up to `limit` due deliveries under a lease, the longest due first, and return how many."""
    return await tx.run(_CLAIM, lease, until, now, limit)


async def read_batch(tx: Transaction, lease: str) -> Batch:
    """Return what is under a lease. A constant number of queries, however large it is."""
    rows = await tx.all(f"{PARCEL} WHERE d.lease = $1 ORDER BY d.device_id, d.sequence, d.id", lease)
    contents = await contents_of(tx, rows)
    return Batch(
        [parcel_of(row, contents) for row in rows], {row["device_id"]: _address(row) for row in rows}
    )


async def settle(
    tx: Transaction, lease: str, settlements: Sequence[Settlement], now: int
) -> list[Settlement]:
    """Write what became of a lease's deliveries; return those that were still under it, as they were written.

    What a handle held up goes out again at once where the device has another one by now: a handle that came while the
    delivery was leased could not hasten it.
    """
    held = await tx.all("SELECT id FROM deliveries WHERE lease = $1 ORDER BY id FOR UPDATE", lease)
    ids = {row["id"] for row in held}
    ours = await _match_handles(tx, [s for s in settlements if s.id in ids], now)
    await tx.many(_SETTLE, [_values(settlement, lease, now) for settlement in ours])
    woken = sorted({settlement.device_id for settlement in ours if settlement.woken})
    await tx.many("UPDATE devices SET last_woken_at = $2 WHERE id = $1", [(id_, now) for id_ in woken])
    return ours


async def release(tx: Transaction, now: int) -> int:
    """Take every lease back, when nobody can be holding one: at the start of the only process."""
    return await tx.run(
        "UPDATE deliveries SET state = 'queued', lease = NULL, due_at = $1 WHERE state = 'leased'", now
    )


async def give_back(tx: Transaction, lease: str, now: int) -> int:
    """Let go of a lease of which nothing is known: its deliveries are due again at once, and may have been sent."""
    return await tx.run(
        "UPDATE deliveries SET state = 'queued', lease = NULL, due_at = $2 WHERE lease = $1",
        lease,
        now,
    )


async def waiting(tx: Transaction, now: int) -> tuple[int, int]:
    """Return how many deliveries are due or leased, and for how many milliseconds the oldest of them has waited."""
    row = await tx.one(
        "SELECT COUNT(*) AS n, MIN(created_at) AS oldest FROM deliveries"
        " WHERE state IN ('queued', 'leased') AND (due_at <= $1 OR state = 'leased')",
        now,
    )
    if row is None or row["oldest"] is None:
        return 0, 0
    return int(row["n"]), now - int(row["oldest"])


async def _match_handles(tx: Transaction, settlements: Sequence[Settlement], now: int) -> list[Settlement]:
    """Compare the handles that were used with those that are there, and retire the dead ones.

    The rows are locked, so that a new handle comes either before this, and is seen, or after it, and hastens.
    """
    current: dict[str, str | None] = {}
    for chunk in chunks(sorted({s.device_id for s in settlements if s.hangs_on_handle})):
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


def _values(settlement: Settlement, lease: str, now: int) -> tuple[object, ...]:
    state = after(State.LEASED, settlement.event)
    return (
        settlement.id,
        lease,
        state.value,
        settlement.reason,
        settlement.due_at,
        settlement.provider_id,
        None if state is State.QUEUED else now,
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
