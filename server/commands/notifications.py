"""Notifications of a tenant, or of one of its users: listed with what they are about, and deleted.

A tenant's are what was sent to its users by name, or to all of them, through any API; a user's are what is in the inbox. What went to a
topic is found by its id, and in the inboxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from server.commands.inbox import Marking
from server.commands.marks import delete_items
from server.commands.takeback import settle_count, take_back
from server.domain.notification import Notification, named
from server.domain.ports import Database, Transaction
from server.domain.resolver import Resolver
from server.store import notifications


@dataclass(frozen=True)
class Whose:
    """Of a tenant, or of a user of it; only those about a document where one is named by its key.

    A user whose id is empty is nobody, and has nothing.
    """

    tenant_id: str
    user_id: str | None
    document: str | None


@dataclass(frozen=True)
class NotificationPage:
    """`next` is where the page after this one begins, None where this is the last."""

    notifications: Sequence[Notification]
    next: str | None


async def list_notifications(
    db: Database, resolver: Resolver, whose: Whose, *, before: str | None, limit: int
) -> NotificationPage:
    """Return a page, newest first, with texts that are asked for and with who has read each."""

    async def job(tx: Transaction) -> NotificationPage:
        page = await _page(tx, whose, before, limit)
        return replace(page, notifications=await _with_readers(tx, page.notifications))

    page = await db.read(job)
    return replace(page, notifications=await _filled(resolver, page.notifications))


async def find_notifications(
    db: Database, resolver: Resolver, whose: Whose, names: Sequence[str]
) -> list[Notification]:
    """Return those of these names that are there, newest first, as a page of a list has them."""

    async def job(tx: Transaction) -> list[Notification]:
        found = await find(tx, whose, names)
        meant = {one.message.id for name in names if (one := named(name, found)) is not None}
        return await _with_readers(tx, [one for one in found if one.message.id in meant])

    return await _filled(resolver, await db.read(job))


async def delete_named(to: Marking, whose: Whose, names: Sequence[str]) -> set[str]:
    """Delete notifications by their names, and return which were there: a user's from their inbox, a tenant's from everybody's."""
    found = await to.db.read(lambda tx: find(tx, whose, names))
    meant = {name: one for name in names if (one := named(name, found)) is not None}
    await _delete(to, whose, list({one.message.id: one for one in meant.values()}.values()))
    return set(meant)


async def delete_page(to: Marking, whose: Whose, *, before: str | None, limit: int) -> NotificationPage:
    """Delete a page of a list, and return what was on it."""
    page = await to.db.read(lambda tx: _page(tx, whose, before, limit))
    await _delete(to, whose, page.notifications)
    return page


async def find(tx: Transaction, whose: Whose, names: Sequence[str]) -> list[Notification]:
    """Return whatever has one of the names, newest first; which of two is meant `named` says."""
    if whose.user_id is None:
        return await notifications.find_sent(tx, whose.tenant_id, names, whose.document)
    return await notifications.find_received(tx, whose.user_id, whose.tenant_id, names, whose.document)


async def _page(tx: Transaction, whose: Whose, before: str | None, limit: int) -> NotificationPage:
    end: str | None = None
    if whose.user_id is None and whose.document is None:
        found, end = await notifications.list_sent(tx, whose.tenant_id, before, limit + 1)
    elif whose.user_id is None:
        found = await notifications.list_about(tx, whose.tenant_id, whose.document or "", before, limit + 1)
    elif whose.document is None:
        found = await notifications.list_received(tx, whose.user_id, before, limit + 1)
    else:
        found, end = await notifications.list_received_about(
            tx, whose.user_id, whose.tenant_id, whose.document, before, limit + 1
        )
    page = found[:limit]
    if len(found) > limit:
        end = _place(page[-1], whose)
    return NotificationPage([one for one in page if _is_there(one)], end)


def _place(one: Notification, whose: Whose) -> str:
    """Return where the page after one that ends with this begins: inboxes are listed in the order in which things came into them."""
    return one.message.id if one.item is None or whose.document is not None else one.item.id


def _is_there(one: Notification) -> bool:
    """Say whether it was not taken back just now: such items leave large inboxes one after the other."""
    return one.item is None or one.item.deleted_at is None


async def _with_readers(tx: Transaction, found: Sequence[Notification]) -> list[Notification]:
    readers = await notifications.find_readers(tx, [one.message.id for one in found])
    return [replace(one, read_by=readers.get(one.message.id, ())) for one in found]


async def _filled(resolver: Resolver, found: Sequence[Notification]) -> list[Notification]:
    filled = await resolver.fill([one.message for one in found])
    return [replace(one, message=message) for one, message in zip(found, filled, strict=True)]


async def _delete(to: Marking, whose: Whose, found: Sequence[Notification]) -> None:
    """Take a user's items away in one transaction, a tenant's messages back in one for each, and count what had gone out."""
    ids = [one.message.id for one in found]
    if not ids:
        return
    user_id, now = whose.user_id, to.clock()
    if user_id is not None:
        await to.db.write(
            lambda tx: delete_items(tx, user_id, ids, but_device=None, now=now, random=to.random)
        )
        to.wake()
        return
    for message_id in ids:
        await to.db.write(partial(take_back, message_id=message_id, now=now, random=to.random))
    to.wake()
    for message_id in ids:
        await settle_count(to.db, message_id, to.clock)
