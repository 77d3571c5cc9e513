"""Timelines of deliveries, read from their rows: of one, of a message's, and of those that are dead; and how these are revived.

What became of a message as a whole is counted, and shown in pages by number.

A message's deliveries are read in the order of their ids, from the index that begins with the message. Dead ones are read the newest
first, from an index that holds nothing else.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from server.domain.delivery import Channel, Kind, Quiet, State
from server.domain.ports import Row, Transaction
from server.domain.result import Fate, Result, result_of
from server.domain.revival import Dead, Place
from server.domain.tally import moved
from server.domain.timeline import Track
from server.store.dialect import chunks, holes
from server.store.tallies import note

_TRACK = (
    "SELECT d.*, v.name AS device_name, v.suite FROM deliveries d LEFT JOIN devices v ON v.id = d.device_id"
)
# What follows them, reminders and updates, has frames of its own. Said so that no database looks for the frame in its index: most rows
# of a message are these, and all of them would be read for a page.
_FIRST = "d.message_id = $1 AND COALESCE(d.frame_id, '') = d.message_id"
_FATE = (
    "SELECT d.*, COALESCE(u.external_id, u.id) AS user_name, COALESCE(v.external_id, v.id) AS device_name,"
    " i.read_at AS inbox_read_at FROM deliveries d JOIN users u ON u.id = d.user_id"
    " LEFT JOIN devices v ON v.id = d.device_id"
    " LEFT JOIN inbox_items i ON i.message_id = d.message_id AND i.user_id = d.user_id AND d.channel = 'IN_APP'"
)
_COUNTS = ", ".join(  # without a GROUP BY, for which SQLite would sort them all
    f"COUNT(*) FILTER (WHERE state = '{state.value}') AS {state.value}" for state in State
)
_DEAD = "d.state IN ('failed', 'expired', 'gone')"  # as the index has it, word by word


async def find_track(tx: Transaction, delivery_id: str) -> Track | None:
    row = await tx.one(f"{_TRACK} WHERE d.id = $1", delivery_id)
    return None if row is None else _track_of(row)


async def list_tracks(
    tx: Transaction, message_id: str, *, user_id: str | None, state: State | None, after: str, limit: int
) -> list[Track]:
    """Return a message's deliveries after one, of one user and in one state where these are given."""
    rows = await tx.all(
        f"{_TRACK} WHERE d.message_id = $1 AND d.id > $2 AND ($4 = '' OR d.user_id = $4)"
        " AND ($5 = '' OR d.state = $5) ORDER BY d.id LIMIT $3",
        message_id,
        after,
        limit,
        user_id or "",
        "" if state is None else state.value,
    )
    return [_track_of(row) for row in rows]


async def count_states(tx: Transaction, message_id: str, user_id: str | None) -> Counter[State]:
    """Return how many of a message's deliveries are in each state, of one user where that is given; reads all of them."""
    row = await tx.one(
        f"SELECT {_COUNTS} FROM deliveries WHERE message_id = $1 AND ($2 = '' OR user_id = $2)",
        message_id,
        user_id or "",
    )
    return +Counter({state: 0 if row is None else int(row[state.value]) for state in State})


async def count_results(tx: Transaction, message_id: str) -> Counter[tuple[Channel, Result]]:
    """Return how many of a message's first deliveries came to what on each channel; reads all of them."""
    rows = await tx.all(
        f"SELECT d.channel, d.state, CASE WHEN d.state IN ('queued', 'leased', 'suppressed') THEN d.reason END AS why,"
        f" COUNT(*) AS n FROM deliveries d WHERE {_FIRST} GROUP BY d.channel, d.state, why",
        message_id,
    )
    found: Counter[tuple[Channel, Result]] = Counter()
    for row in rows:
        found[Channel(row["channel"]), result_of(State(row["state"]), row["why"])] += int(row["n"])
    return found


async def count_first(tx: Transaction, message_id: str, most: int) -> int:
    """Return how many first deliveries a message has, `most` where it has more."""
    row = await tx.one(
        f"SELECT COUNT(*) AS n FROM (SELECT d.id FROM deliveries d WHERE {_FIRST} LIMIT $2) AS first",
        message_id,
        most,
    )
    return 0 if row is None else int(row["n"])


async def list_fates(tx: Transaction, message_id: str, *, offset: int, limit: int) -> list[Fate]:
    """Return what became of a message's first deliveries, in the order of their ids."""
    rows = await tx.all(
        f"{_FATE} WHERE d.id IN (SELECT d.id FROM deliveries d WHERE {_FIRST} ORDER BY d.id LIMIT $2 OFFSET $3)"
        " ORDER BY d.id",
        message_id,
        limit,
        offset,
    )
    return [_fate_of(row) for row in rows]


async def find_delivered(tx: Transaction, message_id: str, channel: Channel | None) -> Fate | None:
    """Return one of a message's first deliveries that got through, on a channel where that is given.

    It is always the same, once all are settled. Of very many it is found at once, unless there is none.
    """
    row = await tx.one(
        f"{_FATE} WHERE d.id = (SELECT d.id FROM deliveries d WHERE {_FIRST} AND ($2 = '' OR d.channel = $2)"
        " AND d.state = 'accepted' ORDER BY d.id LIMIT 1)",
        message_id,
        "" if channel is None else channel.value,
    )
    return None if row is None else _fate_of(row)


async def was_in_an_inbox(tx: Transaction, message_id: str) -> bool:
    """Say whether anybody ever had a message in the inbox."""
    return await tx.one("SELECT id FROM inbox_items WHERE message_id = $1 LIMIT 1", message_id) is not None


async def list_dead(
    tx: Transaction,
    *,
    states: Collection[State],
    reason: str | None,
    since: int,
    before: Place,
    limit: int,
) -> list[Track]:
    """Return dead deliveries in these states (at most three), for one reason where that is given, settled at a time or later."""
    wanted = [*(state.value for state in states), "", "", ""][:3]
    rows = await tx.all(
        f"{_TRACK} WHERE {_DEAD} AND d.state IN ($4, $5, $6) AND ($7 = '' OR d.reason = $7) AND d.settled_at >= $1"
        " AND d.settled_at <= $2 AND (d.settled_at < $2 OR d.id < $3) ORDER BY d.settled_at DESC, d.id DESC LIMIT $8",
        since,
        before.settled_at,
        before.id,
        *wanted,
        reason or "",
        limit,
    )
    return [_track_of(row) for row in rows]


async def look_at_dead(tx: Transaction, ids: Sequence[str]) -> list[Dead]:
    """Return what is there of these deliveries, and lock it: the devices first, as everybody does who locks both."""
    found = []
    for chunk in chunks(ids):
        named = await tx.all(f"SELECT device_id FROM deliveries WHERE id IN ({holes(len(chunk))})", *chunk)
        devices = sorted({row["device_id"] for row in named if row["device_id"] is not None})
        handles = await _handles(tx, devices)
        rows = await tx.all(
            "SELECT id, state, expires_at, device_id, message_id FROM deliveries"
            f" WHERE id IN ({holes(len(chunk))}) ORDER BY id FOR UPDATE",
            *chunk,
        )
        blank = await _blank(tx, sorted({row["message_id"] for row in rows if row["message_id"] is not None}))
        found += [_dead_of(row, blank, handles) for row in rows]
    return found


async def revive(tx: Transaction, dead: Sequence[Dead], now: int) -> None:
    """Queue deliveries again that were looked at in this transaction, due at once."""
    for chunk in chunks([one.id for one in dead]):
        await tx.run(
            "UPDATE deliveries SET state = 'queued', due_at = $1, turn = $1, reason = NULL, settled_at = NULL"
            f" WHERE id IN ({holes(len(chunk), after=1)})",
            now,
            *chunk,
        )
    await note(tx, moved(Counter(one.state for one in dead), {State.QUEUED: len(dead)}))


async def _handles(tx: Transaction, devices: Sequence[str]) -> dict[str, str | None]:
    if not devices:
        return {}
    rows = await tx.all(
        f"SELECT id, handle FROM devices WHERE id IN ({holes(len(devices))}) ORDER BY id FOR NO KEY UPDATE",
        *devices,
    )
    return {row["id"]: row["handle"] for row in rows}


async def _blank(tx: Transaction, messages: Sequence[str]) -> set[str]:
    if not messages:
        return set()
    rows = await tx.all(
        f"SELECT id FROM messages WHERE content IS NULL AND id IN ({holes(len(messages))})", *messages
    )
    return {row["id"] for row in rows}


def _dead_of(row: Row, blank: Collection[str], handles: Mapping[str, str | None]) -> Dead:
    return Dead(
        id=row["id"],
        state=State(row["state"]),
        expires_at=row["expires_at"],
        retracted=row["message_id"] in blank,
        reachable=handles.get(row["device_id"]) is not None,
    )


def _fate_of(row: Row) -> Fate:
    return Fate(
        user=row["user_name"],
        channel=Channel(row["channel"]),
        device=row["device_name"],
        state=State(row["state"]),
        reason=row["reason"],
        provider_id=row["provider_id"],
        queued_at=row["created_at"],
        settled_at=row["settled_at"],
        received_at=row["received_at"],
        read_at=row["read_at"] or row["inbox_read_at"],
    )


def _track_of(row: Row) -> Track:
    return Track(
        id=row["id"],
        message_id=row["message_id"],
        user_id=row["user_id"],
        device_id=row["device_id"],
        device_name=row["device_name"],
        keyless=row["suite"] is None,
        channel=Channel(row["channel"]),
        kind=Kind(row["kind"]),
        state=State(row["state"]),
        reason=row["reason"],
        quiet=None if row["quiet"] is None else Quiet(row["quiet"]),
        attempts=row["attempts"],
        provider_id=row["provider_id"],
        created_at=row["created_at"],
        due_at=row["due_at"],
        sealed_at=row["sealed_at"],
        relayed_at=row["relayed_at"],
        settled_at=row["settled_at"],
        received_at=row["received_at"],
        shown_at=row["shown_at"],
        read_at=row["read_at"],
        failed_at=row["failed_at"],
        fault=row["fault"],
    )
