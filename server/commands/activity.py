"""The activity of a tenant, for who manages it: in pages by number, or each from where the one before ended."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.domain.account import Caller
from server.domain.activity import Entry, Filter, Place
from server.domain.pages import Numbered
from server.domain.ports import Database, Transaction
from server.store import activity


@dataclass(frozen=True)
class ActivityPage:
    """`next` is where the page after this one begins, None where this is the last."""

    entries: Sequence[Entry]
    next: Place | None


async def browse_activity(
    db: Database, caller: Caller, asked: Filter, *, before: Place | None, limit: int
) -> ActivityPage:
    """Return a page of what is older than a place, None for the newest there is."""

    async def look(tx: Transaction) -> Sequence[Entry]:
        return await activity.list_activity(
            tx, caller.tenant_id, asked, before=before, skip=0, limit=limit + 1
        )

    found = await db.read(look)
    shown = found[:limit]
    return ActivityPage(shown, shown[-1].place if len(found) > limit else None)


async def number_activity(
    db: Database, caller: Caller, asked: Filter, *, skip: int, limit: int
) -> Numbered[Entry]:
    """Return the page after so many entries, with how many there are."""

    async def look(tx: Transaction) -> Numbered[Entry]:
        found = await activity.list_activity(
            tx, caller.tenant_id, asked, before=None, skip=skip, limit=limit + 1
        )
        more = len(found) > limit
        total = skip + len(found)  # of a page that is the last
        if more or (skip and not found):
            total = await activity.count_activity(tx, caller.tenant_id, asked)
        return Numbered(found[:limit], more, total)

    return await db.read(look)
