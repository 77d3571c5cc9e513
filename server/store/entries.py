"""Entries of an inbox by what their messages are about: a page by its number, and how many there are.

Without a filter, and by time and for what is unread, a page costs the entries that it skips and shows, each from an index that has no
others. What is read, or about something, is looked for among a user's entries from the newest on, each looked up by its key: a
rare one costs a look at all of that inbox, or of the time that is asked for, and at nobody else's.
"""

from collections.abc import Sequence

from server.domain.entry import Owner, Tally, Wanted
from server.domain.ids import first_id
from server.domain.ports import Transaction

_READ = {None: "", True: " AND i.read_at IS NOT NULL", False: " AND i.read_at IS NULL"}
_FROM = "FROM inbox_items i WHERE i.user_id = $1 AND i.deleted_at IS NULL AND i.id >= $2"


async def page_of(tx: Transaction, user_id: str, wanted: Wanted, *, offset: int, limit: int) -> list[str]:
    """Return the ids of a user's entries, newest first, from the one at an offset on."""
    about, values = _about(wanted, after=4)
    rows = await tx.all(
        f"SELECT i.id {_FROM}{_READ[wanted.read]}{about} ORDER BY i.id DESC LIMIT $3 OFFSET $4",
        *(user_id, _since(wanted), limit, offset, *values),
    )
    return [row["id"] for row in rows]


async def count_of(tx: Transaction, user_id: str, wanted: Wanted, *, most: int) -> int:
    """Count what `page_of` pages through, up to `most`."""
    about, values = _about(wanted, after=3)
    row = await tx.one(
        f"SELECT COUNT(*) AS n FROM (SELECT i.id {_FROM}{_READ[wanted.read]}{about} LIMIT $3) AS counted",
        *(user_id, _since(wanted), most, *values),
    )
    return 0 if row is None else int(row["n"])


async def tally(tx: Transaction, user_id: str, wanted: Wanted) -> Tally:
    """Count a user's entries, and those of them that are unread; `wanted.read` does not count."""
    about, values = _about(wanted, after=2)
    given = (user_id, _since(wanted), *values)
    if about:  # one look at each
        row = await tx.one(
            f"SELECT COUNT(*) AS total, COUNT(*) - COUNT(i.read_at) AS unread {_FROM}{about}", *given
        )
        return Tally(0, 0) if row is None else Tally(row["total"], row["unread"])
    total = await tx.one(f"SELECT COUNT(*) AS n {_FROM}", *given)  # each in an index alone
    unread = await tx.one(f"SELECT COUNT(*) AS n {_FROM}{_READ[False]}", *given)
    return Tally(0 if total is None else total["n"], 0 if unread is None else unread["n"])


async def only_item(tx: Transaction, message_id: str) -> str | None:
    """Return the id of the entry of a message that one user was sent; None where they have none."""
    row = await tx.one("SELECT id FROM inbox_items WHERE message_id = $1 LIMIT 1", message_id)
    return None if row is None else str(row["id"])


async def load_owner(tx: Transaction, user_id: str) -> Owner | None:
    """Return by which names an app's servers know a user and their tenant."""
    row = await tx.one(
        "SELECT t.name AS tenant, COALESCE(u.external_id, u.id) AS name FROM users u"
        " JOIN tenants t ON t.id = u.tenant_id WHERE u.id = $1",
        user_id,
    )
    return None if row is None else Owner(row["tenant"], row["name"])


def _since(wanted: Wanted) -> str:
    return "" if wanted.since is None else first_id(wanted.since)


def _about(wanted: Wanted, *, after: int) -> tuple[str, Sequence[str]]:
    """Return the condition on what messages are about, and its values.

    One look by the message's id for each entry: as a join, a planner may begin with all that is about it, whoever has it.
    """
    named = {
        "template_key": wanted.template_key,
        "label": wanted.label,
        "entity_type": wanted.entity_type,
    }
    asked = {column: value for column, value in named.items() if value is not None}
    if not asked:
        return "", ()
    same = "".join(f" AND s.{column} = ${after + place}" for place, column in enumerate(asked, start=1))
    return f" AND (SELECT 1 FROM subjects s WHERE s.message_id = i.message_id{same}) = 1", [*asked.values()]
