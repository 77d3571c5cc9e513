"""Inboxes as their users read them: pages, counts, and what changed. How items change is `inbox.py`.

Each read costs what it returns, of an inbox of a million items too: there is an index for every order in which it is read
(`schema.py`). A page is cut before the messages are joined to it, so that no planner can think of joining first.
"""

from collections.abc import Sequence

from server.domain.inbox import Counts, InboxItem, Position
from server.domain.ports import Row, Transaction
from server.store.dialect import chunks, holes
from server.store.messages import NEWEST, message_of

_COLUMNS = (
    "i.id AS item_id, i.user_id AS item_user_id, i.created_at AS item_created_at, i.read_at, i.deleted_at,"
    " i.postponed_until, i.changed_at, m.*"
)
_JOINED = "JOIN messages m ON m.id = i.message_id"
_UNREAD = " AND read_at IS NULL"
_MEANT = (
    "SELECT id FROM inbox_items WHERE id = $2 AND user_id = $1"
    " UNION ALL SELECT id FROM inbox_items WHERE message_id = $2 AND user_id = $1"
    " UNION ALL SELECT i.id FROM deliveries d JOIN inbox_items i ON i.message_id = d.message_id AND i.user_id = $1"
    " WHERE d.frame_id = $2 AND d.device_id = $3 LIMIT 1"
)


async def find_item(tx: Transaction, user_id: str, item_id: str) -> InboxItem | None:
    """Return one of a user's items, one that is gone too."""
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM inbox_items i {_JOINED} WHERE i.id = $1 AND i.user_id = $2", item_id, user_id
    )
    return None if row is None else _item_of(row)


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
        f"SELECT {_COLUMNS} FROM inbox_items i {_JOINED} WHERE i.id = $1{' FOR UPDATE OF i' if lock else ''}",
        row["id"],
    )
    return None if row is None else _item_of(row)


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
    page = _page("*", bucket_id, unread=unread)
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM ({page}) AS i {_JOINED} ORDER BY i.id DESC",
        *_bounds(user_id, bucket_id, since, before, limit),
    )
    return [_item_of(row) for row in rows]


async def unread_page(
    tx: Transaction, user_id: str, *, bucket_id: str | None, before: str, limit: int
) -> list[tuple[str, str]]:
    """Return (item id, message id) of a user's unread items, newest first."""
    rows = await tx.all(
        _page("id, message_id", bucket_id, unread=True), *_bounds(user_id, bucket_id, "", before, limit)
    )
    return [(row["id"], row["message_id"]) for row in rows]


async def count_items(tx: Transaction, user_ids: Sequence[str]) -> dict[str, Counts]:
    """Count what is in the inboxes of users."""
    totals: dict[str, int] = {}
    unread: dict[str, dict[str, int]] = {user_id: {} for user_id in user_ids}
    for chunk in chunks(sorted(unread)):
        # The bound, which all ids are above, leads SQLite to the index of just these.
        where = f"WHERE user_id IN ({holes(len(chunk))}) AND deleted_at IS NULL AND id > ''"
        rows = await tx.all(
            f"SELECT user_id, COUNT(*) AS number FROM inbox_items {where} GROUP BY user_id", *chunk
        )
        totals.update((row["user_id"], row["number"]) for row in rows)
        rows = await tx.all(
            f"SELECT user_id, bucket_id, COUNT(*) AS number FROM inbox_items {where}{_UNREAD}"
            " GROUP BY user_id, bucket_id ORDER BY user_id, bucket_id",
            *chunk,
        )
        for row in rows:
            unread[row["user_id"]][row["bucket_id"]] = row["number"]
    return {user_id: Counts(totals.get(user_id, 0), buckets) for user_id, buckets in unread.items()}


async def changed_after(tx: Transaction, user_id: str, after: Position, limit: int) -> list[InboxItem]:
    """Return a user's items that changed after a position, in the order of their changes, those that are gone too."""
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM (SELECT * FROM inbox_items WHERE user_id = $1 AND (changed_at, id) > ($2, $3)"
        f" ORDER BY changed_at, id LIMIT $4) AS i {_JOINED} ORDER BY i.changed_at, i.id",
        user_id,
        after.changed_at,
        after.item_id,
        limit,
    )
    return [_item_of(row) for row in rows]


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
            f"SELECT {_COLUMNS} FROM inbox_items i {_JOINED} WHERE i.id IN ({holes(len(chunk))})", *chunk
        )
        found += [_item_of(row) for row in rows]
    return sorted(found, key=lambda item: item.position)


def _page(columns: str, bucket_id: str | None, *, unread: bool) -> str:
    of_bucket = "" if bucket_id is None else " AND bucket_id = $5"
    return (
        f"SELECT {columns} FROM inbox_items WHERE user_id = $1 AND deleted_at IS NULL AND id < $2 AND id >= $3"
        f"{of_bucket}{_UNREAD if unread else ''} ORDER BY id DESC LIMIT $4"
    )


def _bounds(
    user_id: str, bucket_id: str | None, since: str, before: str | None, limit: int
) -> tuple[object, ...]:
    bounds = (user_id, before or NEWEST, since, limit)
    return bounds if bucket_id is None else (*bounds, bucket_id)


def _item_of(row: Row) -> InboxItem:
    return InboxItem(
        id=row["item_id"],
        user_id=row["item_user_id"],
        message=message_of(row),
        created_at=row["item_created_at"],
        read_at=row["read_at"],
        deleted_at=row["deleted_at"],
        postponed_until=row["postponed_until"],
        changed_at=row["changed_at"],
    )
