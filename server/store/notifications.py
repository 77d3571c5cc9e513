"""Messages with what they are about, of a tenant or in one user's inbox, the newest first.

Each read costs what it returns: a page is cut in an index before anything is joined to it. Where a page would have to be looked for
among others, it is looked for among so many, and may be shorter than it could be.
"""

from collections import defaultdict
from collections.abc import Sequence

from server.domain.ids import LAST_ID
from server.domain.notification import MOST_READERS, Notification
from server.domain.ports import Row, Transaction
from server.store.dialect import holes
from server.store.inbox_pages import ITEM_COLUMNS, item_of
from server.store.messages import message_of
from server.store.subjects import subject_of

LOOKED_THROUGH = 1000
"""How many messages are looked through at once for those that a page is to show."""

_ABOUT = (
    "s.message_id AS about, s.document_id, s.name, s.fingerprint, s.template_key, s.label, s.entity_type,"
    " s.entity_id, s.details, d.key AS document, COALESCE(u.external_id, u.id) AS sender"
)
_WITH_ABOUT = (
    "LEFT JOIN subjects s ON s.message_id = m.id LEFT JOIN documents d ON d.id = s.document_id AND d.key NOT LIKE ' %'"
    " LEFT JOIN users u ON u.id = m.sender_id AND u.deleted_at IS NULL"
)
# What waits for its time is no notification yet, and what was taken back is none any more.
_IS_OUT = "m.sent_at IS NOT NULL AND m.retracted_at IS NULL"
_DIRECT = "(SELECT id FROM buckets WHERE tenant_id = $1 AND topic_key = '')"
_DOCUMENT = "(SELECT id FROM documents WHERE tenant_id = $1 AND key = $2)"


def _down(column: str, id_column: str, value: str, place: str) -> str:
    """Return a condition on rows of one value and below a place, the newest first.

    Only the index of both columns has this order: told plainly that the value is the same, PostgreSQL may look for it among all rows.
    """
    both = f"({column}, {id_column}) < ({value}, {place})"
    return f"{column} >= {value} AND {both} ORDER BY {column} DESC, {id_column} DESC"


_ABOUT_DOCUMENT = f"FROM subjects WHERE {_down('document_id', 'message_id', _DOCUMENT, '$3')}"


async def list_sent(
    tx: Transaction, tenant_id: str, before: str | None, limit: int
) -> tuple[list[Notification], str | None]:
    """Return what was sent to users of a tenant by name, or to all of them, by ids of messages below one.

    With where what was looked through ends, if that is less than `limit`; None where there is nothing after it.
    """
    sent = f"FROM messages WHERE {_down('bucket_id', 'id', _DIRECT, '$2')} LIMIT"
    page = f"SELECT m.id FROM (SELECT id, sent_at, retracted_at {sent} {LOOKED_THROUGH}) AS m WHERE {_IS_OUT} LIMIT $3"
    below = before or LAST_ID
    rows = await tx.all(_of_messages(page), tenant_id, below, limit)
    end = None
    if len(rows) < limit:
        end = await tx.one(f"SELECT id {sent} 1 OFFSET {LOOKED_THROUGH - 1}", tenant_id, below)
    return [_notification_of(row) for row in rows], None if end is None else str(end["id"])


async def list_about(
    tx: Transaction, tenant_id: str, document: str, before: str | None, limit: int
) -> list[Notification]:
    """Return what is about a document, by ids of messages below one."""
    page = f"SELECT message_id AS id {_ABOUT_DOCUMENT} LIMIT $4"
    rows = await tx.all(_of_messages(page), tenant_id, document, before or LAST_ID, limit)
    return [_notification_of(row) for row in rows]


async def list_received(tx: Transaction, user_id: str, before: str | None, limit: int) -> list[Notification]:
    """Return what is in a user's inbox, by ids of items below one."""
    page = "SELECT * FROM inbox_items WHERE user_id = $1 AND deleted_at IS NULL AND id < $2 ORDER BY id DESC LIMIT $3"
    rows = await tx.all(
        f"SELECT {ITEM_COLUMNS}, {_ABOUT} FROM ({page}) AS i JOIN messages m ON m.id = i.message_id {_WITH_ABOUT}"
        " ORDER BY i.id DESC",
        user_id,
        before or LAST_ID,
        limit,
    )
    return [_notification_of(row) for row in rows]


async def list_received_about(
    tx: Transaction, user_id: str, tenant_id: str, document: str, before: str | None, limit: int
) -> tuple[list[Notification], str | None]:
    """Return what a user has of what is about a document, by ids of messages below one, with the end as `list_sent`."""
    below = before or LAST_ID
    # Looked for one by one: of an inbox of a million items no more is read than is shown.
    held = "SELECT i.id FROM inbox_items i WHERE i.message_id = p.message_id AND i.user_id = $4 AND i.deleted_at IS NULL"
    looked = f"SELECT ({held}) AS id FROM (SELECT message_id {_ABOUT_DOCUMENT} LIMIT {LOOKED_THROUGH}) AS p"
    rows = await tx.all(
        f"SELECT {ITEM_COLUMNS}, {_ABOUT} FROM (SELECT id FROM ({looked}) AS l WHERE id IS NOT NULL LIMIT $5) AS h"
        f" JOIN inbox_items i ON i.id = h.id JOIN messages m ON m.id = i.message_id {_WITH_ABOUT} ORDER BY m.id DESC",
        tenant_id,
        document,
        below,
        user_id,
        limit,
    )
    end = None
    if len(rows) < limit:
        end = await tx.one(
            f"SELECT message_id AS id {_ABOUT_DOCUMENT} LIMIT 1 OFFSET {LOOKED_THROUGH - 1}",
            tenant_id,
            document,
            below,
        )
    return [_notification_of(row) for row in rows], None if end is None else str(end["id"])


async def find_sent(
    tx: Transaction, tenant_id: str, names: Sequence[str], document: str | None
) -> list[Notification]:
    """Return a tenant's messages by their names or ids, about a document where one is named.

    What people write to each other, in buckets of their own, is not the tenant's.
    """
    rows = await tx.all(
        f"SELECT m.*, {_ABOUT} FROM messages m JOIN buckets b ON b.id = m.bucket_id AND b.owner_id IS NULL {_WITH_ABOUT}"
        f" WHERE m.id IN ({_named(names, after=2)}) AND {_IS_OUT} AND (d.key = $2 OR $2 = '') ORDER BY m.id DESC",
        tenant_id,
        document or "",
        *_both(names),
    )
    return [_notification_of(row) for row in rows]


async def find_received(
    tx: Transaction, user_id: str, tenant_id: str, names: Sequence[str], document: str | None
) -> list[Notification]:
    """Return what a user has of messages, by their names or ids, about a document where one is named."""
    rows = await tx.all(
        f"SELECT {ITEM_COLUMNS}, {_ABOUT} FROM inbox_items i JOIN messages m ON m.id = i.message_id {_WITH_ABOUT}"
        f" WHERE i.message_id IN ({_named(names, after=3, tenant=2)}) AND i.user_id = $1 AND i.deleted_at IS NULL AND {_IS_OUT}"
        " AND (d.key = $3 OR $3 = '') ORDER BY m.id DESC",
        user_id,
        tenant_id,
        document or "",
        *_both(names),
    )
    return [_notification_of(row) for row in rows]


async def find_readers(tx: Transaction, message_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the names of those who have read each message, MOST_READERS at most."""
    if not message_ids:
        return {}
    read = "FROM inbox_items i WHERE i.message_id = m.id AND i.read_at IS NOT NULL ORDER BY i.user_id"
    last = f"SELECT i.user_id {read} LIMIT 1 OFFSET {MOST_READERS - 1}"
    rows = await tx.all(
        f"WITH v AS MATERIALIZED (SELECT m.id, COALESCE(({last}), '{LAST_ID}') AS last FROM messages m"
        f" WHERE m.id IN ({holes(len(message_ids))}))"
        " SELECT i.message_id, COALESCE(u.external_id, u.id) AS name FROM v"
        " JOIN inbox_items i ON i.message_id = v.id AND i.read_at IS NOT NULL AND i.user_id <= v.last"
        " JOIN users u ON u.id = i.user_id AND u.deleted_at IS NULL ORDER BY i.message_id, i.user_id",
        *message_ids,
    )
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        found[row["message_id"]].append(row["name"])
    return dict(found)


def _of_messages(page: str) -> str:
    """Return what reads the messages of a page of ids."""
    return f"SELECT m.*, {_ABOUT} FROM ({page}) AS p JOIN messages m ON m.id = p.id {_WITH_ABOUT} ORDER BY m.id DESC"


def _named(names: Sequence[str], *, after: int, tenant: int = 1) -> str:
    """Return the ids of a tenant's messages by their names or ids, which are in that order (`_both`) after other parameters."""
    in_names, in_ids = holes(len(names), after=after), holes(len(names), after=after + len(names))
    return (
        f"SELECT message_id FROM subjects WHERE tenant_id = ${tenant} AND name IN ({in_names})"
        f" UNION SELECT id FROM messages WHERE tenant_id = ${tenant} AND id IN ({in_ids})"
    )


def _both(names: Sequence[str]) -> list[str]:
    return [*names, *(name.lower() for name in names)]


def _notification_of(row: Row) -> Notification:
    subject = None if row["about"] is None else subject_of(row)
    item = item_of(row) if "item_id" in row.keys() else None  # noqa: SIM118 - no dict
    return Notification(
        message_of(row) if item is None else item.message,
        subject,
        row["document"],
        row["sender"],
        item,
    )
