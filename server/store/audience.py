"""Whom a message reaches: the readers of a bucket with their devices and what they do not want, a page at a time.

A page goes by user and device, so that the rest of a large audience is found from the last row of the page before, in whatever
transaction, without anything being held in between.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from server.domain.audience import Recipients, Within
from server.domain.delivery import Channel
from server.domain.ids import LAST_ID
from server.domain.message import Message
from server.domain.ports import Row, Transaction
from server.store.dialect import holes

# Permissions are JSON lists of four plain words, so a quoted word is found by its text. ADMIN stands for all of them.
READS = "(m.permissions LIKE '%\"READ\"%' OR m.permissions LIKE '%\"ADMIN\"%')"
_NAMED_AT_ONCE = 250
_NOTHING: frozenset[Channel] = frozenset()
# What says whether a member `m` is to be left in peace; the profile only of who has quiet times, which few have.
MUTED = (
    "m.snoozed_until, m.quiet_times,"
    " CASE WHEN m.quiet_times IS NOT NULL THEN (SELECT u.profile FROM users u WHERE u.id = m.user_id) END AS profile"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A user and one of their devices; `device_id` is empty for a user who has none.

    `snoozed_until`, `quiet_times` and `profile` are as they are stored: whether the user is to hear anything of the bucket. `opted_out`
    has the channels on which they do not want a message of its category.
    """

    user_id: str
    device_id: str
    snoozed_until: int | None = None
    quiet_times: str | None = field(default=None, repr=False)
    profile: str | None = field(default=None, repr=False)
    opted_out: frozenset[Channel] = frozenset()


@dataclass(frozen=True, slots=True)
class Reach:
    """To whom a message of a bucket goes, and on which channels.

    `category` is that of their preferences, None where these do not count.
    """

    bucket_id: str
    recipients: Recipients
    channels: Sequence[Channel]
    category: str | None


START = Place("", "")


async def reached(tx: Transaction, reach: Reach, *, after: Place, limit: int) -> list[Place]:
    """Return the next places after one, at most `limit`; no devices where there is no push."""
    only = reach.recipients.only
    named: Sequence[str] = ()
    if only is not None:
        named = _window(only, after)
        if not named:
            return []
    category = () if reach.category is None else (reach.category,)
    source, meant, values = _meant(reach, named, after=5 + len(category))
    rows = await tx.all(
        f"SELECT m.user_id, COALESCE(d.id, '') AS device_id, {MUTED}{_wants(reach)} FROM {source}"
        " LEFT JOIN devices d ON d.user_id = m.user_id AND $5 = 1"
        f" WHERE {meant} AND m.user_id >= $2 AND (m.user_id > $2 OR d.id > $3) ORDER BY m.user_id, d.id LIMIT $4",
        reach.bucket_id,
        after.user_id,
        after.device_id,
        limit,
        int(Channel.PUSH in reach.channels),
        *category,
        *values,
    )
    places = [place_of(row, _opted_out(row, reach)) for row in rows]
    if named and len(places) < limit and only is not None and named[-1] < max(only):
        beyond = Place(named[-1], LAST_ID)  # these are done: on to the next names
        places += await reached(tx, reach, after=beyond, limit=limit - len(places))
    return places


def _meant(reach: Reach, named: Sequence[str], *, after: int) -> tuple[str, str, list[str]]:
    """Return members `m` of the bucket $1 and who of them is meant, as parts of a query, and their values, whose holes come after so many.

    Every user of a tenant is one, with nothing muted, who is no member yet.
    """
    recipients, values = reach.recipients, list[str]()

    def holes_of(some: Sequence[str]) -> str:
        found = holes(len(some), after=after + len(values))
        values.extend(some)
        return found

    if recipients.everyone is None:
        source, meant = "bucket_members m", f"m.bucket_id = $1 AND {READS}"
    else:
        source = (
            "(SELECT u.id AS user_id, b.snoozed_until, b.quiet_times FROM users u LEFT JOIN bucket_members b"
            f" ON b.bucket_id = $1 AND b.user_id = u.id WHERE u.tenant_id = {holes_of([recipients.everyone])}"
            " AND u.deleted_at IS NULL) m"
        )
        meant = "TRUE"
    if named:
        meant += f" AND m.user_id IN ({holes_of(named)})"
    if recipients.but:
        meant += f" AND m.user_id NOT IN ({holes_of(recipients.but)})"
    if recipients.within is not None:
        meant += _with_access(recipients.within, holes_of)
    return source, meant, values


def _with_access(within: Within, holes_of: Callable[[Sequence[str]], str]) -> str:
    """Return what holds of members `m` who have access to a document, as far as it is asked for."""
    found = ""
    if within.listed:
        found += (
            f" AND EXISTS (SELECT 1 FROM document_access a WHERE a.document_id = {holes_of([within.document_id])}"
            " AND a.user_id = m.user_id)"
        )
    for pair in within.fields:
        found += (
            f" AND EXISTS (SELECT 1 FROM document_fields f WHERE f.document_id = {holes_of([within.document_id])}"
            f" AND f.user_id = m.user_id AND (f.field, f.value) = ({holes_of(pair)}))"
        )
    return found


def _wants(reach: Reach) -> str:
    """Return the columns that say whether a member `m` has opted out of each channel."""
    if reach.category is None:
        return ""
    return "".join(
        f", EXISTS (SELECT 1 FROM opt_outs o WHERE o.user_id = m.user_id AND o.channel = '{channel.value}'"
        f" AND o.category IN ('', $6)) AS no_{channel.value.lower()}"
        for channel in reach.channels
    )


def _opted_out(row: Row, reach: Reach) -> frozenset[Channel]:
    if reach.category is None:
        return _NOTHING
    return frozenset(channel for channel in reach.channels if row[f"no_{channel.value.lower()}"]) or _NOTHING


async def unread(
    tx: Transaction, message: Message, *, after: Place, limit: int, last: str = LAST_ID
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


async def count_readers(tx: Transaction, reach: Reach) -> int:
    """Return how many users a message to a bucket reaches, those too who do not want it."""
    number = 0
    for named in _in_parts(reach.recipients.only):
        source, meant, values = _meant(reach, named, after=1)
        row = await tx.one(f"SELECT COUNT(*) AS n FROM {source} WHERE {meant}", reach.bucket_id, *values)
        number += 0 if row is None else int(row["n"])
    return number


def _in_parts(only: Sequence[str] | None) -> Iterator[Sequence[str]]:
    """Cut names into parts; an empty part is everybody."""
    if only is None:
        yield ()
        return
    for start in range(0, len(only), _NAMED_AT_ONCE):
        yield only[start : start + _NAMED_AT_ONCE]


def place_of(row: Row, opted_out: frozenset[Channel] = _NOTHING) -> Place:
    """Return the place that a row with MUTED tells of."""
    return Place(
        row["user_id"],
        row["device_id"],
        row["snoozed_until"],
        row["quiet_times"],
        row["profile"],
        opted_out,
    )


def _window(only: Sequence[str], after: Place) -> Sequence[str]:
    """Return the next few names; how many is one of few numbers, which keeps the statement cache small."""
    ahead = sorted(user_id for user_id in only if user_id >= after.user_id)
    return ahead[:_NAMED_AT_ONCE]
