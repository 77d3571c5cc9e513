"""Whom a message reaches: the readers of a bucket with their devices, a page at a time.

A page goes by user and device, so that the rest of a large audience is found from the last row of the page before, in whatever
transaction, without anything being held in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from server.domain.message import Message
from server.domain.ports import Row, Transaction
from server.store.dialect import holes

# Permissions are JSON lists of four plain words, so a quoted word is found by its text. ADMIN stands for all of them.
READS = "(m.permissions LIKE '%\"READ\"%' OR m.permissions LIKE '%\"ADMIN\"%')"
_NAMED_AT_ONCE = 250


_LAST = "g"  # sorts after every id
# What says whether a member `m` is to be left in peace; the profile only of who has quiet times, which few have.
MUTED = (
    "m.snoozed_until, m.quiet_times,"
    " CASE WHEN m.quiet_times IS NOT NULL THEN (SELECT u.profile FROM users u WHERE u.id = m.user_id) END AS profile"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A user and one of their devices; `device_id` is empty for a user who has none.

    `snoozed_until`, `quiet_times` and `profile` are as they are stored: whether the user is to hear anything of the bucket.
    """

    user_id: str
    device_id: str
    snoozed_until: int | None = None
    quiet_times: str | None = field(default=None, repr=False)
    profile: str | None = field(default=None, repr=False)


START = Place("", "")


async def reached(
    tx: Transaction, bucket_id: str, *, only: Sequence[str] | None, devices: bool, after: Place, limit: int
) -> list[Place]:
    """Return the next places after one, at most `limit`; `only` are the ids of the users who are meant, None for all."""
    named: Sequence[str] = ()
    if only is not None:
        named = _window(only, after)
        if not named:
            return []
    rows = await tx.all(
        f"SELECT m.user_id, COALESCE(d.id, '') AS device_id, {MUTED} FROM bucket_members m"
        " LEFT JOIN devices d ON d.user_id = m.user_id AND $5 = 1"
        f" WHERE m.bucket_id = $1 AND m.user_id >= $2 AND (m.user_id > $2 OR d.id > $3) AND {READS}"
        f"{f' AND m.user_id IN ({holes(len(named), after=5)})' if named else ''}"
        " ORDER BY m.user_id, d.id LIMIT $4",
        bucket_id,
        after.user_id,
        after.device_id,
        limit,
        int(devices),
        *named,
    )
    places = [place_of(row) for row in rows]
    if named and len(places) < limit and only is not None and named[-1] < max(only):
        beyond = Place(named[-1], _LAST)  # these are done: on to the next names
        places += await reached(
            tx, bucket_id, only=only, devices=devices, after=beyond, limit=limit - len(places)
        )
    return places


async def unread(
    tx: Transaction, message: Message, *, after: Place, limit: int, last: str = _LAST
) -> list[Place]:
    """Return the next devices of users who have a message and have not read, deleted or postponed it, up to the user `last`.

    Who may not read in its bucket any more is not among them.
    """
    rows = await tx.all(
        f"SELECT i.user_id, d.id AS device_id, {MUTED} FROM inbox_items i"
        " JOIN devices d ON d.user_id = i.user_id"
        f" JOIN bucket_members m ON m.bucket_id = $5 AND m.user_id = i.user_id AND {READS}"
        " WHERE i.message_id = $1 AND i.user_id >= $2 AND i.user_id <= $6 AND (i.user_id > $2 OR d.id > $3)"
        " AND i.read_at IS NULL AND i.deleted_at IS NULL ORDER BY i.user_id, d.id LIMIT $4",
        message.id,
        after.user_id,
        after.device_id,
        limit,
        message.bucket_id,
        last,
    )
    return [place_of(row) for row in rows]


async def count_readers(tx: Transaction, bucket_id: str, only: Sequence[str] | None) -> int:
    """Return how many users a message to a bucket reaches."""
    if only is None:
        row = await tx.one(
            f"SELECT COUNT(*) AS n FROM bucket_members m WHERE m.bucket_id = $1 AND {READS}", bucket_id
        )
        return 0 if row is None else int(row["n"])
    number = 0
    for start in range(0, len(only), _NAMED_AT_ONCE):
        named = only[start : start + _NAMED_AT_ONCE]
        row = await tx.one(
            f"SELECT COUNT(*) AS n FROM bucket_members m WHERE m.bucket_id = $1 AND {READS}"
            f" AND m.user_id IN ({holes(len(named), after=1)})",
            bucket_id,
            *named,
        )
        number += 0 if row is None else int(row["n"])
    return number


def place_of(row: Row) -> Place:
    """Return the place that a row with MUTED tells of."""
    return Place(row["user_id"], row["device_id"], row["snoozed_until"], row["quiet_times"], row["profile"])


def _window(only: Sequence[str], after: Place) -> Sequence[str]:
    """Return the next few names; how many is one of few numbers, which keeps the statement cache small."""
    ahead = sorted(user_id for user_id in only if user_id >= after.user_id)
    return ahead[:_NAMED_AT_ONCE]
