"""The outbox as the commands see it: deliveries are written here.

Written in the transaction of the use case that causes them, so that a message and its deliveries exist together or not
at all, and noted in the book (`tallies.py`) in the same one. The worker's side (leases and outcomes) is `leases.py`; what
devices are told of messages that they have is `notices.py`; what a device asks for and reports is `parcels.py` and `receipts.py`; how
deliveries end is `pruning.py`.

Locks on PostgreSQL are taken in one order by everything that writes deliveries, and by who deletes what they refer to: users first, then
devices, then deliveries, each by their ids. Two senders to the same devices wait for each other, they do not deadlock.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from server.domain.delivery import Delivery, Draft, State
from server.domain.ports import Transaction
from server.domain.tally import moved, written
from server.store.dialect import chunks, holes
from server.store.tallies import note

_INSERT = (
    "INSERT INTO deliveries (id, message_id, user_id, device_id, channel, kind, frame_id, body, sequence, state,"
    " reason, attempts, created_at, due_at, turn, expires_at, settled_at, quiet, tenant_id, category)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13, $14, $15, $16, $17, $18, $19)"
)


async def enqueue(tx: Transaction, drafts: Sequence[Draft], now: int) -> list[Delivery]:
    """Write deliveries, numbering those of kinds 1 and 4 for each device in the order given, and return them.

    A device that was deleted meanwhile gets none. IN_APP is accepted at once, what is suppressed says why.
    """
    if not drafts:
        return []
    await keep_users(tx, {draft.user_id for draft in drafts if draft.device_id is not None})
    numbers = await _number(tx, Counter(d.device_id for d in drafts if d.numbered and d.device_id))
    there = await keep_devices(tx, {d.device_id for d in drafts if not d.numbered and d.device_id})
    deliveries = []
    for draft in drafts:
        sequence = None
        if draft.numbered:
            sequence = next(numbers.get(draft.device_id or "", iter(())), None)
            if sequence is None:
                continue
        elif draft.device_id is not None and draft.device_id not in there:
            continue
        deliveries.append((draft, _delivery(draft, sequence, now)))
    await tx.many(_INSERT, [_values(draft, delivery) for draft, delivery in deliveries])
    await note(tx, written(Counter(delivery.state for _, delivery in deliveries)))
    return [delivery for _, delivery in deliveries]


async def keep_users(tx: Transaction, user_ids: Iterable[str]) -> None:
    """Have whoever deletes one of these users wait until the end of the transaction: before the locks of their devices.

    Rows that refer to users take this lock as they are written, which is after those of the devices.
    """
    for chunk in chunks(sorted(user_ids)):
        await tx.all(
            f"SELECT id FROM users WHERE id IN ({holes(len(chunk))}) ORDER BY id FOR KEY SHARE", *chunk
        )


async def keep_devices(tx: Transaction, device_ids: Iterable[str]) -> set[str]:
    """Return which devices exist, and keep them until the end of the transaction."""
    there: set[str] = set()
    for chunk in chunks(sorted(device_ids)):
        rows = await tx.all(
            f"SELECT id FROM devices WHERE id IN ({holes(len(chunk))}) ORDER BY id FOR KEY SHARE", *chunk
        )
        there.update(row["id"] for row in rows)
    return there


async def hasten(tx: Transaction, device_id: str, now: int) -> None:
    """Make a device's deliveries due at once, those too whose handle was dead: it has a new handle."""
    await tx.run(
        "UPDATE deliveries SET due_at = $2, turn = $2, reason = NULL WHERE device_id = $1 AND state = 'queued'",
        device_id,
        now,
    )
    revived = await tx.run(
        "UPDATE deliveries SET state = 'queued', due_at = $2, turn = $2, reason = NULL, settled_at = NULL"
        " WHERE device_id = $1 AND state = 'gone' AND expires_at > $2",
        device_id,
        now,
    )
    await note(tx, moved({State.GONE: revived}, {State.QUEUED: revived}))


async def is_untried(tx: Transaction, delivery_id: str) -> bool:
    """Say whether a delivery still waits for its first attempt."""
    row = await tx.one(
        "SELECT id FROM deliveries WHERE id = $1 AND state = 'queued' AND attempts = 0", delivery_id
    )
    return row is not None


async def _number(tx: Transaction, wanted: Mapping[str, int]) -> dict[str, Iterator[int]]:
    """Raise the heads of devices and return the numbers that each was given."""
    ids = sorted(wanted)
    for chunk in chunks(ids) if len(ids) > 1 else ():  # a single one is locked by its update
        await tx.all(
            f"SELECT id FROM devices WHERE id IN ({holes(len(chunk))}) ORDER BY id FOR NO KEY UPDATE", *chunk
        )
    by_count: dict[int, list[str]] = defaultdict(list)
    for device_id in ids:
        by_count[wanted[device_id]].append(device_id)
    given = {}
    for n, device_ids in by_count.items():
        for chunk in chunks(device_ids):
            rows = await tx.all(
                f"UPDATE devices SET head = head + $1 WHERE id IN ({holes(len(chunk), after=1)}) RETURNING id, head",
                n,
                *chunk,
            )
            given.update({row["id"]: iter(range(row["head"] - n + 1, row["head"] + 1)) for row in rows})
    return given


def _delivery(draft: Draft, sequence: int | None, now: int) -> Delivery:
    waits = draft.state is State.QUEUED
    return Delivery(
        id=draft.id,
        message_id=draft.message_id,
        user_id=draft.user_id,
        device_id=draft.device_id,
        channel=draft.channel,
        kind=draft.kind,
        frame_id=draft.frame_id,
        sequence=sequence,
        state=draft.state,
        reason=None if draft.suppressed is None else draft.suppressed.value,
        attempts=0,
        created_at=now,
        due_at=draft.due_at,
        expires_at=draft.expires_at,
        settled_at=None if waits else now,
    )


def _values(draft: Draft, delivery: Delivery) -> tuple[object, ...]:
    return (
        delivery.id,
        delivery.message_id,
        delivery.user_id,
        delivery.device_id,
        delivery.channel.value,
        delivery.kind.value,
        delivery.frame_id,
        draft.body,
        delivery.sequence,
        delivery.state.value,
        delivery.reason,
        delivery.created_at,
        delivery.due_at,
        draft.turn,
        delivery.expires_at,
        delivery.settled_at,
        None if draft.quiet is None else draft.quiet.value,
        None if draft.activity is None else draft.activity.tenant_id,
        None if draft.activity is None else draft.activity.category,
    )
