"""How deliveries come to an end beside being settled: by age, or with their device, message or bucket. What is deleted is in the book.

A device may fetch whatever can still be shown, 28 days at the longest (PROTOCOL.md, section 2); what is older and settled tells
nobody anything, and goes. Whoever deletes a user, a bucket or a message takes its deliveries away here first: rows that vanish with
another by a foreign key are in no book.
"""

from collections import Counter
from collections.abc import Sequence

from server.domain.delivery import WAITING, State
from server.domain.ids import first_id
from server.domain.ports import Row, Transaction
from server.domain.tally import moved, written
from server.store.dialect import holes
from server.store.tallies import note, note_pruned


async def drop_deliveries(tx: Transaction, device_id: str) -> None:
    """Delete a device's deliveries before the device: what waited is cancelled."""
    await tx.all("SELECT id FROM devices WHERE id = $1 FOR UPDATE", device_id)  # none is written after this
    # In the order in which a worker that settles them locks them, which needs no device for that.
    leased = "SELECT id FROM deliveries WHERE device_id = $1 AND state = 'leased' ORDER BY id FOR UPDATE"
    await tx.all(leased, device_id)
    await _note_dropped(
        tx, await tx.all("DELETE FROM deliveries WHERE device_id = $1 RETURNING state", device_id)
    )


async def drop_of_messages(tx: Transaction, message_ids: Sequence[str], limit: int) -> int:
    """Delete at most so many deliveries of messages before the messages; return how many. What waited is cancelled."""
    rows = await tx.all(
        "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries"
        f" WHERE message_id IN ({holes(len(message_ids), after=1)}) LIMIT $1) RETURNING state",
        limit,
        *message_ids,
    )
    await _note_dropped(tx, rows)
    return len(rows)


async def prune(tx: Transaction, before: int, limit: int) -> int:
    """Delete at most so many deliveries that were settled before a time, the oldest first; return how many."""
    rows = await tx.all(
        "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE frame_id < $1"
        " AND state NOT IN ('queued', 'leased') AND settled_at < $2 ORDER BY frame_id LIMIT $3) RETURNING state",
        first_id(before),  # nothing is settled before it has an id, and an id is a time
        before,
        limit,
    )
    await note_pruned(tx, written(_states(rows)))
    return len(rows)


async def prune_of_messages(tx: Transaction, message_ids: Sequence[str], limit: int) -> int:
    """Delete at most so many deliveries of messages that are settled; return how many. What waits stays."""
    rows = await tx.all(
        "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries"
        f" WHERE message_id IN ({holes(len(message_ids), after=1)}) AND state NOT IN ('queued', 'leased') LIMIT $1"
        " FOR UPDATE SKIP LOCKED) RETURNING state",
        limit,
        *message_ids,
    )
    await note_pruned(tx, written(_states(rows)))
    return len(rows)


async def _note_dropped(tx: Transaction, rows: Sequence[Row]) -> None:
    """Note deliveries that were deleted in whatever state: what waited is cancelled by that."""
    states = _states(rows)
    waited = {state: number for state, number in states.items() if state in WAITING}
    await note(tx, moved(waited, {State.CANCELLED: sum(waited.values())}))
    ended = Counter(states)
    for state in waited:
        ended[State.CANCELLED] += ended.pop(state)
    await note_pruned(tx, written(ended))


def _states(rows: Sequence[Row]) -> Counter[State]:
    return Counter(State(row["state"]) for row in rows)
