"""Whom a message reaches: the readers of a bucket with their devices, a page at a time.

A page goes by user and device, so that the rest of a large audience is found from the last row of the page before, in whatever
transaction, without anything being held in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from server.domain.ports import Transaction
from server.store.dialect import holes

# Permissions are JSON lists of four plain words, so a quoted word is found by its text. ADMIN stands for all of them.
_READS = "(m.permissions LIKE '%\"READ\"%' OR m.permissions LIKE '%\"ADMIN\"%')"
_NAMED_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class Place:
    """A user and one of their devices; `device_id` is empty for a user who has none."""

    user_id: str
    device_id: str


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
        "SELECT m.user_id, COALESCE(d.id, '') AS device_id FROM bucket_members m"
        " LEFT JOIN devices d ON d.user_id = m.user_id AND $5 = 1"
        f" WHERE m.bucket_id = $1 AND m.user_id >= $2 AND (m.user_id > $2 OR d.id > $3) AND {_READS}"
        f"{f' AND m.user_id IN ({holes(len(named), after=5)})' if named else ''}"
        " ORDER BY m.user_id, d.id LIMIT $4",
        bucket_id,
        after.user_id,
        after.device_id,
        limit,
        int(devices),
        *named,
    )
    places = [Place(row["user_id"], row["device_id"]) for row in rows]
    if named and len(places) < limit and only is not None and named[-1] < max(only):
        beyond = Place(named[-1], _LAST)  # these are done: on to the next names
        places += await reached(
            tx, bucket_id, only=only, devices=devices, after=beyond, limit=limit - len(places)
        )
    return places


async def count_readers(tx: Transaction, bucket_id: str, only: Sequence[str] | None) -> int:
    """Return how many users a message to a bucket reaches."""
    if only is None:
        row = await tx.one(
            f"SELECT COUNT(*) AS n FROM bucket_members m WHERE m.bucket_id = $1 AND {_READS}", bucket_id
        )
        return 0 if row is None else int(row["n"])
    number = 0
    for start in range(0, len(only), _NAMED_AT_ONCE):
        named = only[start : start + _NAMED_AT_ONCE]
        row = await tx.one(
            f"SELECT COUNT(*) AS n FROM bucket_members m WHERE m.bucket_id = $1 AND {_READS}"
            f" AND m.user_id IN ({holes(len(named), after=1)})",
            bucket_id,
            *named,
        )
        number += 0 if row is None else int(row["n"])
    return number


_LAST = "g"  # sorts after every id


def _window(only: Sequence[str], after: Place) -> Sequence[str]:
    """Return the next few names; how many is one of few numbers, which keeps the statement cache small."""
    ahead = sorted(user_id for user_id in only if user_id >= after.user_id)
    return ahead[:_NAMED_AT_ONCE]
