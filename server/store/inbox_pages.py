"""Inboxes as their users read them: pages, counts, and what changed. How items change is `inbox.py`.

Each read costs what it returns, of an inbox of a million items too: there is an index for every order in which it is read
(`schema/`). A page is cut before the messages are joined to it, so that no planner can think of joining first.
"""

from collections.abc import Sequence

from server.domain.ids import LAST_ID
from server.domain.inbox import Counts, InboxItem, Mark, Position, Unseen
from server.domain.ports import Row, Transaction
from server.store.dialect import chunks, holes
from server.store.messages import message_of

ITEM_COLUMNS = (
    "i.id AS item_id, i.user_id AS item_user_id, i.created_at AS item_created_at, i.seen_at, i.read_at, i.deleted_at,"
    " i.postponed_until, i.changed_at, m.*"
)
_JOINED = "JOIN messages m ON m.id = i.message_id"
_UNREAD = " AND read_at IS NULL"
_MARKABLE = {  # what a mark changes
    Mark.READ: _UNREAD,
    Mark.SEEN: f"{_UNREAD} AND seen_at IS NULL",
    Mark.UNREAD: " AND read_at IS NOT NULL",
    Mark.UNSEEN: " AND seen_at IS NOT NULL",
}
_UNSEEN_AND_UNREAD = "COUNT(*) - COUNT(seen_at) AS unseen, COUNT(*) AS unread"
_MEANT = (
    "SELECT id FROM inbox_items WHERE id = $2 AND user_id = $1"
    " UNION ALL SELECT id FROM inbox_items WHERE message_id = $2 AND user_id = $1"
    " UNION ALL SELECT i.id FROM deliveries d JOIN inbox_items i ON i.message_id = d.message_id AND i.user_id = $1"
    " WHERE d.frame_id = $2 AND d.device_id = $3 LIMIT 1"
)


async def find_item(tx: Transaction, user_id: str, item_id: str) -> InboxItem | None:
    """Return one of a user's items, one that is gone too."""
    row = await tx.one(
        f"SELECT {ITEM_COLUMNS} FROM inbox_items i {_JOINED} WHERE i.id = $1 AND i.user_id = $2",
        item_id,
        user_id,
    )
    return None if row is None else item_of(row)


async def find_meant(
    tx: Transaction, user_id: str, reference: str, *, device_id: str | None, lock: bool
) -> InboxItem | None:
    """Return the item that an id means: its own, its message's, or that of a frame which the device was sent.

    With `lock` nobody else changes it until the end of the transaction.
    """
    row = await tx.one(_MEANT, user_id, reference, device_id)
    if row is None:
        return None
    row = await tx.one(
        f"SELECT {ITEM_COLUMNS} FROM inbox_items i {_JOINED} WHERE i.id = $1{' FOR UPDATE OF i' if lock else ''}",
        row["id"],
    )
    return None if row is None else item_of(row)


async def list_items(
    tx: Transaction,
    user_id: str,
    *,
    bucket_id: str | None,
    unread: bool,
    since: str,
    before: str | None,
    limit: int,
) -> list[InboxItem]:
    """Return a user's items, newest first, whose ids lie below `before` and not below `since`; None, "" for no bound."""
    buckets = () if bucket_id is None else (bucket_id,)
    page = _page("*", len(buckets), _UNREAD if unread else "")
    rows = await tx.all(
        f"SELECT {ITEM_COLUMNS} FROM ({page}) AS i {_JOINED} ORDER BY i.id DESC",
        *(user_id, before or LAST_ID, since, limit, *buckets),
    )
    return [item_of(row) for row in rows]


async def markable_page(
    tx: Transaction, user_id: str, mark: Mark, *, bucket_ids: Sequence[str], before: str, limit: int
) -> list[tuple[str, str]]:
    """Return (item id, message id) of a user's items that a mark changes, newest first; of no buckets named, of all."""
    rows = await tx.all(
        _page("id, message_id", len(bucket_ids), _MARKABLE[mark]), user_id, before, "", limit, *bucket_ids
    )
    return [(row["id"], row["message_id"]) for row in rows]


async def feed_page(
    tx: Transaction,
    user_id: str,
    *,
    bucket_ids: Sequence[str],
    categories: Sequence[str],
    offset: int,
    limit: int,
) -> list[InboxItem]:
    """Return a user's items, newest first, from the one at an offset on; of no buckets, or categories, named, of all."""
    found = _feed(len(bucket_ids), len(categories), after=4)
    rows = await tx.all(
        f"SELECT {ITEM_COLUMNS} FROM (SELECT id FROM ({found}) AS feed ORDER BY id DESC LIMIT $3 OFFSET $4) AS page"
        f" JOIN inbox_items i ON i.id = page.id {_JOINED} ORDER BY i.id DESC",
        *(user_id, offset + limit, limit, offset, *categories, *bucket_ids),
    )
    return [item_of(row) for row in rows]


async def count_feed(
    tx: Transaction, user_id: str, *, bucket_ids: Sequence[str], categories: Sequence[str], most: int
) -> int:
    """Count what `feed_page` pages through, up to `most`."""
    found = _feed(len(bucket_ids), len(categories), after=2)
    row = await tx.one(
        f"SELECT COUNT(*) AS number FROM ({found}) AS feed", user_id, most, *categories, *bucket_ids
    )
    return 0 if row is None else min(int(row["number"]), most)


async def count_items(tx: Transaction, user_ids: Sequence[str]) -> dict[str, Counts]:
    """Count what is in the inboxes of users."""
    totals: dict[str, int] = {}
    unseen: dict[str, int] = dict.fromkeys(user_ids, 0)
    unread: dict[str, dict[str, int]] = {user_id: {} for user_id in user_ids}
    for chunk in chunks(sorted(unread)):
        # The bound, which all ids are above, leads SQLite to the index of just these.
        where = f"WHERE user_id IN ({holes(len(chunk))}) AND deleted_at IS NULL AND id > ''"
        rows = await tx.all(
            f"SELECT user_id, COUNT(*) AS number FROM inbox_items {where} GROUP BY user_id", *chunk
        )
        totals.update((row["user_id"], row["number"]) for row in rows)
        rows = await tx.all(
            f"SELECT user_id, bucket_id, {_UNSEEN_AND_UNREAD} FROM inbox_items {where}{_UNREAD}"
            " GROUP BY user_id, bucket_id ORDER BY user_id, bucket_id",
            *chunk,
        )
        for row in rows:
            unread[row["user_id"]][row["bucket_id"]] = row["unread"]
            unseen[row["user_id"]] += row["unseen"]
    return {
        user_id: Counts(totals.get(user_id, 0), unseen[user_id], buckets)
        for user_id, buckets in unread.items()
    }


async def count_unseen(tx: Transaction, user_id: str) -> Unseen:
    """Count what is unseen and unread in a user's inbox, without what is read."""
    row = await tx.one(
        f"SELECT {_UNSEEN_AND_UNREAD} FROM inbox_items WHERE user_id = $1 AND deleted_at IS NULL AND id > ''{_UNREAD}",
        user_id,
    )
    return Unseen(0, 0) if row is None else Unseen(row["unseen"], row["unread"])


async def changed_after(tx: Transaction, user_id: str, after: Position, limit: int) -> list[InboxItem]:
    """Return a user's items that changed after a position, in the order of their changes, those that are gone too."""
    rows = await tx.all(
        f"SELECT {ITEM_COLUMNS} FROM (SELECT * FROM inbox_items WHERE user_id = $1 AND (changed_at, id) > ($2, $3)"
        f" ORDER BY changed_at, id LIMIT $4) AS i {_JOINED} ORDER BY i.changed_at, i.id",
        user_id,
        after.changed_at,
        after.item_id,
        limit,
    )
    return [item_of(row) for row in rows]


async def arrived_after(tx: Transaction, user_id: str, after: str, limit: int) -> list[InboxItem]:
    """Return what is in a user's inbox whose ids lie above one, in the order in which it came."""
    rows = await tx.all(
        f"SELECT {ITEM_COLUMNS} FROM (SELECT * FROM inbox_items WHERE user_id = $1 AND deleted_at IS NULL AND id > $2"
        f" ORDER BY id LIMIT $3) AS i {_JOINED} ORDER BY i.id",
        user_id,
        after,
        limit,
    )
    return [item_of(row) for row in rows]


async def arrived_from(tx: Transaction, user_id: str, since: int, first: str, end: str) -> list[str]:
    """Return the ids of a user's items, those that are gone too, from one on and below another; all changed since a time."""
    rows = await tx.all(
        "SELECT id FROM inbox_items WHERE user_id = $1 AND changed_at >= $2 AND id >= $3 AND id < $4",
        user_id,
        since,
        first,
        end,
    )
    return [row["id"] for row in rows]


async def changes_since(tx: Transaction, user_ids: Sequence[str], since: int) -> list[tuple[str, Position]]:
    """Return (user id, position) of all that changed in the inboxes of users since a time, without reading it."""
    found = []
    for chunk in chunks(sorted(set(user_ids))):
        rows = await tx.all(
            f"SELECT user_id, changed_at, id FROM inbox_items WHERE user_id IN ({holes(len(chunk), after=1)})"
            " AND changed_at >= $1",
            since,
            *chunk,
        )
        found += [(row["user_id"], Position(row["changed_at"], row["id"])) for row in rows]
    return found


async def items_of(tx: Transaction, item_ids: Sequence[str]) -> list[InboxItem]:
    """Return items by their ids, in the order of their changes."""
    found: list[InboxItem] = []
    for chunk in chunks(sorted(set(item_ids))):
        rows = await tx.all(
            f"SELECT {ITEM_COLUMNS} FROM inbox_items i {_JOINED} WHERE i.id IN ({holes(len(chunk))})", *chunk
        )
        found += [item_of(row) for row in rows]
    return sorted(found, key=lambda item: item.position)


def _page(columns: str, buckets: int, of_some: str) -> str:
    """Return a page below $2 and not below $3, of $4 rows: of so many buckets, none for all, and of items that are so."""
    of_bucket = f" AND bucket_id IN ({holes(buckets, after=4)})" if buckets else ""
    return (
        f"SELECT {columns} FROM inbox_items WHERE user_id = $1 AND deleted_at IS NULL AND id < $2 AND id >= $3"
        f"{of_bucket}{of_some} ORDER BY id DESC LIMIT $4"
    )


def _feed(buckets: int, categories: int, *, after: int) -> str:
    """Return the ids of the $2 newest of each bucket, so that there is an order by which each is read."""
    some = f" AND category IN ({holes(categories, after=after)})" if categories else ""
    of_buckets = [f" AND bucket_id = ${after + categories + n}" for n in range(1, buckets + 1)] or [""]
    return " UNION ALL ".join(
        "SELECT id FROM (SELECT id FROM inbox_items WHERE user_id = $1 AND deleted_at IS NULL"
        f"{of_bucket}{some} ORDER BY id DESC LIMIT $2) AS newest"
        for of_bucket in of_buckets
    )


def item_of(row: Row) -> InboxItem:
    """Return the item of a row that has ITEM_COLUMNS, with its message."""
    return InboxItem(
        id=row["item_id"],
        user_id=row["item_user_id"],
        message=message_of(row),
        created_at=row["item_created_at"],
        seen_at=row["seen_at"],
        read_at=row["read_at"],
        # What was taken back is gone, also where its item is still to be deleted (`server/commands/takeback.py`).
        deleted_at=row["retracted_at"] if row["deleted_at"] is None else row["deleted_at"],
        postponed_until=row["postponed_until"],
        changed_at=row["changed_at"],
    )
