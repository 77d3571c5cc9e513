"""The activity of a tenant, read from its deliveries, the newest first.

Each channel with each category is one range of an index that holds nothing but activity, in the order in which it is shown; what is asked
for is at most twenty of them, merged. So a page costs what is on it, however much lies below; a page by its number also counts its way
there, in the index alone. Rows are looked at only once the page is cut. Limits are written into the statements: with a
number that a planner does not know it expects a tenth of everything, and plans for that.
"""

import json

from server.domain.activity import Entry, Filter, Place
from server.domain.delivery import Channel, State
from server.domain.ids import LAST_ID
from server.domain.message import Category
from server.domain.pages import MOST_COUNTED
from server.domain.ports import Row, Transaction

_LATEST = (1 << 63) - 1
_COLUMNS = (
    "d.id, d.message_id, d.channel, d.category, d.device_id, d.state, d.reason, d.provider_id, d.created_at,"
    " d.settled_at, d.received_at, CASE WHEN d.channel = 'IN_APP' THEN i.read_at ELSE d.read_at END AS read_at,"
    " i.id AS item_id, COALESCE(u.external_id, u.id) AS user_name, COALESCE(v.external_id, d.device_id) AS device, m.content"
)


async def list_activity(
    tx: Transaction, tenant_id: str, asked: Filter, *, before: Place | None, skip: int, limit: int
) -> list[Entry]:
    """Return what is older than a place (None: the end), the newest first, from `skip` further on."""
    rows = await tx.all(page_sql(asked, skip, limit), tenant_id, *_bounds(asked, before), skip)
    return [_entry_of(row) for row in rows]


async def count_activity(tx: Transaction, tenant_id: str, asked: Filter) -> int:
    """Return how much there is, counted up to one more than MOST_COUNTED."""
    row = await tx.one(count_sql(asked), tenant_id, asked.since or 0, _until(asked))
    return 0 if row is None else int(row["n"])


def page_sql(asked: Filter, skip: int, limit: int) -> str:
    """Return what reads a page; holes: tenant, since, created_at and id of the place that it lies below, how many to skip."""
    reach = 1 << (skip + limit - 1).bit_length()  # rounded up, so that there are few different statements
    newest = _newest(asked, "created_at, id", "(created_at, id) < ($3, $4)", reach)
    page = f"{newest} ORDER BY created_at DESC, id DESC LIMIT {limit} OFFSET $5"
    return (
        f"SELECT {_COLUMNS} FROM ({page}) AS p JOIN deliveries d ON d.id = p.id JOIN users u ON u.id = d.user_id"
        " JOIN messages m ON m.id = d.message_id"
        " LEFT JOIN devices v ON v.id = d.device_id"
        " LEFT JOIN inbox_items i ON i.message_id = d.message_id AND i.user_id = d.user_id"
        " ORDER BY p.created_at DESC, p.id DESC"
    )


def count_sql(asked: Filter) -> str:
    """Return what counts; holes: tenant, since, until."""
    most = MOST_COUNTED + 1
    counted = _newest(asked, "1 AS one", "created_at <= $3", most)
    return f"SELECT COUNT(*) AS n FROM ({counted} LIMIT {most}) AS counted"


def _newest(asked: Filter, columns: str, below: str, most: int) -> str:
    """Return what reads so many of each range at most, in the order of the index."""
    return " UNION ALL ".join(
        f"SELECT * FROM (SELECT {columns} FROM deliveries WHERE tenant_id = $1 AND channel = '{channel.value}'"
        f" AND category = '{category.value}' AND created_at >= $2 AND {below}"
        f" ORDER BY created_at DESC, id DESC LIMIT {most}) AS r{number}"
        for number, (channel, category) in enumerate(asked.pairs)
    )


def _until(asked: Filter) -> int:
    return _LATEST if asked.until is None else asked.until


def _bounds(asked: Filter, before: Place | None) -> tuple[int, int, str]:
    until = _until(asked)
    below = Place(until, LAST_ID) if before is None or before.created_at > until else before
    return asked.since or 0, below.created_at, below.id


def _entry_of(row: Row) -> Entry:
    content = {} if row["content"] is None else json.loads(row["content"])
    return Entry(
        id=row["id"],
        message_id=row["message_id"],
        item_id=row["item_id"],
        user=row["user_name"],
        channel=Channel(row["channel"]),
        category=Category(row["category"]),
        device_id=row["device_id"],
        device=row["device"],
        title=content.get("title"),
        state=State(row["state"]),
        reason=row["reason"],
        provider_id=row["provider_id"],
        created_at=row["created_at"],
        settled_at=row["settled_at"],
        received_at=row["received_at"],
        read_at=row["read_at"],
    )
