"""An inbox as its entries with what they are about: a page by number, one, how many. Texts that are kept elsewhere are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from server.commands.inbox import get_item, still_there
from server.commands.resolving import fill_items
from server.domain.account import User
from server.domain.entry import Entry, Owner, Tally, Wanted
from server.domain.inbox import InboxItem
from server.domain.pages import MOST_COUNTED, Numbered
from server.domain.ports import Database, Transaction
from server.domain.resolver import Resolver
from server.store import entries
from server.store.inbox_pages import items_of
from server.store.subjects import subjects_of


@dataclass(frozen=True)
class Reading:
    """What reading needs."""

    db: Database
    resolver: Resolver


NOBODY = Owner("", "")
"""Who has no entries, so that their names are nowhere shown."""


async def list_entries(
    to: Reading, user: User, wanted: Wanted, *, offset: int, limit: int
) -> tuple[Owner, Numbered[Entry]]:
    """Return whose entries they are, and those of a page, newest first, from the one at an offset on."""

    async def job(tx: Transaction) -> tuple[Owner, Numbered[Entry]]:
        ids = await entries.page_of(tx, user.id, wanted, offset=offset, limit=limit + 1)
        items = {item.id: item for item in await items_of(tx, ids[:limit])}
        page = still_there([items[id_] for id_ in ids[:limit]])
        ends = len(ids) <= limit and (bool(ids) or not offset)  # here, so that nothing is left to be counted
        total = (
            offset + len(ids) if ends else await entries.count_of(tx, user.id, wanted, most=MOST_COUNTED + 1)
        )
        return await _owner(tx, user), Numbered(await _with_subjects(tx, page), len(ids) > limit, total)

    owner, page = await to.db.read(job)
    return owner, replace(page, rows=await _resolved(to.resolver, page.rows))


async def count_entries(to: Reading, user: User, wanted: Wanted) -> Tally:
    """Count a user's entries, and those of them that are unread."""
    return await to.db.read(lambda tx: entries.tally(tx, user.id, wanted))


async def get_entry(to: Reading, user: User, item_id: str) -> tuple[Owner, Entry]:
    """Return whose entry it is, and the entry; NotFound, or Gone where it was deleted or its message retracted."""
    return await entry_of(to, user, await get_item(to.db, user, item_id))


async def entry_of(to: Reading, user: User, item: InboxItem) -> tuple[Owner, Entry]:
    """Return whose item it is, and the item with what it is about."""

    async def job(tx: Transaction) -> tuple[Owner, list[Entry]]:
        return await _owner(tx, user), await _with_subjects(tx, [item])

    owner, found = await to.db.read(job)
    [entry] = await _resolved(to.resolver, found)
    return owner, entry


async def _owner(tx: Transaction, user: User) -> Owner:
    return await entries.load_owner(tx, user.id) or NOBODY


async def _with_subjects(tx: Transaction, items: Sequence[InboxItem]) -> list[Entry]:
    subjects = await subjects_of(tx, [item.message.id for item in items])
    return [Entry(item, subjects.get(item.message.id)) for item in items]


async def _resolved(resolver: Resolver, found: Sequence[Entry]) -> list[Entry]:
    """Return entries with the texts that their messages were sent without."""
    items = await fill_items(resolver, [entry.item for entry in found])
    return [replace(entry, item=item) for entry, item in zip(found, items, strict=True)]
