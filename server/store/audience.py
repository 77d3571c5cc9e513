"""Whom a message reaches: the readers of a bucket with their devices and what they do not want, a page at a time.

A page goes by user and device, so that the rest of a large audience is found from the last row of the page before, in whatever
transaction, without anything being held in between.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

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
_HolesOf = Callable[[Sequence[str]], str]  # makes holes for values
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
    meant = _meant(reach, named, after=5 + len(category))
    rows = await tx.all(
        f"SELECT m.user_id, COALESCE(d.id, '') AS device_id, {MUTED}{_wants(reach)} FROM {_members(reach, meant, limit)}"
        " AND m.user_id >= $2 AND (m.user_id > $2 OR d.id > $3) ORDER BY m.user_id, d.id LIMIT $4",
        reach.bucket_id,
        after.user_id,
        after.device_id,
        limit,
        int(Channel.PUSH in reach.channels),
        *category,
        *meant.values,
    )
    places = [place_of(row, _opted_out(row, reach)) for row in rows]
    if named and len(places) < limit and only is not None and named[-1] < max(only):
        beyond = Place(named[-1], LAST_ID)  # these are done: on to the next names
        places += await reached(tx, reach, after=beyond, limit=limit - len(places))
    return places


@dataclass(frozen=True, slots=True)
class _Meant:
    """Users, as parts of a query: the column `who` of a source, and what holds of those who are meant. `values`: of its further holes."""

    who: str
    source: str
    where: str
    values: Sequence[str]


def _members(reach: Reach, meant: _Meant, limit: int) -> str:
    """Return members `m` of the bucket $1 from the user $2 on with their devices `d`, as the end of a query.

    Of everyone as many as a page may need are found first, in their order. Then PostgreSQL looks up what there is of each, where it would
    go through what there is of all. With nothing muted who is no member yet.
    """
    devices = "LEFT JOIN devices d ON d.user_id = m.user_id AND $5 = 1 WHERE"
    if reach.recipients.everyone is None:
        return f"{meant.source} {devices} {meant.where}"
    return (
        f"(SELECT p.user_id, b.snoozed_until, b.quiet_times FROM (SELECT {meant.who} AS user_id FROM {meant.source}"
        f" WHERE {meant.where} AND {meant.who} >= $2 ORDER BY {meant.who} LIMIT {limit + 1}) p"
        f" LEFT JOIN bucket_members b ON b.bucket_id = $1 AND b.user_id = p.user_id) m {devices} TRUE"
    )


def _meant(reach: Reach, named: Sequence[str], *, after: int) -> _Meant:
    """Return readers of the bucket $1, or every user of a tenant, as far as they are meant; further holes come after so many."""
    recipients, values = reach.recipients, list[str]()

    def holes_of(some: Sequence[str]) -> str:
        found = holes(len(some), after=after + len(values))
        values.extend(some)
        return found

    if recipients.everyone is None:
        who, source = "m.user_id", "bucket_members m"
        where = f"m.bucket_id = $1 AND {READS}{_with_access(recipients.within, who, holes_of)}"
    else:
        who, source, where = _everyone(recipients.everyone, recipients.within, holes_of)
    if named:
        where += f" AND {who} IN ({holes_of(named)})"
    if recipients.but:
        where += f" AND {who} NOT IN ({holes_of(recipients.but)})"
    return _Meant(who, source, where, values)


def _everyone(tenant_id: str, within: Within | None, holes_of: _HolesOf) -> tuple[str, str, str]:
    """Return every user of a tenant; where a document limits them those of its list, or of the first value, and not all are gone through."""
    if within is None or not (within.listed or within.fields):
        return "u.id", "users u", f"u.tenant_id = {holes_of([tenant_id])} AND u.deleted_at IS NULL"
    where = f"l.document_id = {holes_of([within.document_id])}"
    if within.fields:
        where += f" AND (l.field, l.value) = ({holes_of(within.fields[0])})"
    where += (
        " AND (SELECT u.tenant_id FROM users u WHERE u.id = l.user_id AND u.deleted_at IS NULL)"
        f" = {holes_of([tenant_id])}"
    )
    further = replace(within, listed=False, fields=within.fields[1:])
    source = "document_fields l" if within.fields else "document_access l"
    return "l.user_id", source, where + _with_access(further, "l.user_id", holes_of)


def _with_access(within: Within | None, who: str, holes_of: _HolesOf) -> str:
    """Return what holds of those who have access to a document, as far as it is asked for; whoever has a value is on its list."""
    if within is None:
        return ""
    asked: list[tuple[str, Sequence[str]]] = [
        (" AND (a.field, a.value) = ({})", pair) for pair in within.fields
    ]
    if within.listed and not asked:
        asked = [("", ())]
    table = "document_fields" if within.fields else "document_access"
    return "".join(
        f" AND EXISTS (SELECT 1 FROM {table} a WHERE a.document_id = {holes_of([within.document_id])}"
        f" AND a.user_id = {who}{part.format(holes_of(pair))})"
        for part, pair in asked
    )


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
    bucket = (reach.bucket_id,) if reach.recipients.everyone is None else ()
    for named in _in_parts(reach.recipients.only):
        meant = _meant(reach, named, after=len(bucket))
        asked = f"SELECT COUNT(*) AS n FROM {meant.source} WHERE {meant.where}"
        row = await tx.one(asked, *bucket, *meant.values)
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
