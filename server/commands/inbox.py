"""A user's inbox: listed, counted, marked. What is read here is cleared on the user's devices too (`marks.py`)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from server.commands.buckets import id_of
from server.commands.marks import delete_items, mark
from server.domain.account import User
from server.domain.errors import Gone, NotFound
from server.domain.ids import LAST_ID, first_id
from server.domain.inbox import Counts, InboxItem, Mark, Position, Unseen
from server.domain.ports import Clock, Database, Random, Transaction
from server.store import inbox_pages

AT_ONCE = 500  # items that are marked in one transaction: others get in between


@dataclass(frozen=True)
class ListItems:
    """Newest first, from the one before `before` on, those that came at `since` (milliseconds) or later.

    `bucket` is an id or a name, None for all buckets.
    """

    bucket: str | None
    unread: bool
    since: int | None
    before: str | None
    limit: int


@dataclass(frozen=True)
class ItemPage:
    """`next` is where the page after this one begins, None where this is the last."""

    items: list[InboxItem]
    next: str | None


@dataclass(frozen=True)
class Marking:
    """What marking needs. `wake` has the workers look for what is due, and the streams for what has changed."""

    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]


async def list_items(db: Database, user: User, command: ListItems) -> ItemPage:
    """Return a page of a user's inbox; NotFound for an unknown name of a bucket, Conflict for an ambiguous one."""

    async def job(tx: Transaction) -> list[InboxItem]:
        return await inbox_pages.list_items(
            tx,
            user.id,
            bucket_id=await id_of(tx, user.id, command.bucket),
            unread=command.unread,
            since="" if command.since is None else first_id(command.since),
            before=command.before,
            limit=command.limit + 1,
        )

    found = await db.read(job)
    page = found[: command.limit]
    return ItemPage(still_there(page), page[-1].id if len(found) > command.limit else None)


def still_there(items: Sequence[InboxItem]) -> list[InboxItem]:
    """Return items without those whose messages were taken back just now, which leave large inboxes one after the other."""
    return [item for item in items if item.deleted_at is None]


async def count_items(db: Database, user: User) -> Counts:
    counted = await db.read(lambda tx: inbox_pages.count_items(tx, [user.id]))
    return counted[user.id]


async def count_unseen(db: Database, user: User) -> Unseen:
    return await db.read(lambda tx: inbox_pages.count_unseen(tx, user.id))


async def get_item(db: Database, user: User, item_id: str) -> InboxItem:
    """Return an item; NotFound, or Gone where it was deleted or its message retracted."""
    return _there(await db.read(lambda tx: inbox_pages.find_item(tx, user.id, item_id)))


async def mark_item(to: Marking, user: User, item_id: str, how: Mark) -> InboxItem:
    """Mark an item and return it as it is then; NotFound, Gone."""
    now = to.clock()

    async def job(tx: Transaction) -> InboxItem:
        item = _there(await inbox_pages.find_item(tx, user.id, item_id))
        await mark(tx, user.id, [item.message.id], how, now=now, random=to.random)
        return await inbox_pages.find_item(tx, user.id, item_id) or item

    item = await to.db.write(job)
    to.wake()
    return item


async def read_all(to: Marking, user: User, bucket: str | None, before: int | None) -> int:
    """Mark what came before an instant (None: now) as read, of one bucket or of all; return how many items that were.

    Newest first, in as many transactions as it takes: what is marked stays so if the rest fails. NotFound, Conflict as `list_items`.
    """
    bucket_id = await to.db.read(lambda tx: id_of(tx, user.id, bucket))
    return await mark_all(to, user, Mark.READ, () if bucket_id is None else (bucket_id,), before)


async def mark_all(to: Marking, user: User, how: Mark, bucket_ids: Sequence[str], before: int | None) -> int:
    """Mark what came before an instant (None: now), of some buckets or of all; return how many items that has changed.

    Newest first, in as many transactions as it takes: what is marked stays so if the rest fails.
    """
    marked, place = 0, first_id(to.clock() + 1 if before is None else before)
    while True:
        page = await to.db.write(_page_marked(to, user, how, bucket_ids, place))
        marked += len(page)
        to.wake()
        if len(page) < AT_ONCE:
            return marked
        place = page[-1]


async def delete_item(to: Marking, user: User, item_id: str) -> None:
    """Delete an item; doing so again does nothing. NotFound."""
    now = to.clock()

    async def job(tx: Transaction) -> None:
        item = await inbox_pages.find_item(tx, user.id, item_id)
        if item is None:
            raise _not_found()
        await delete_items(tx, user.id, [item.message.id], but_device=None, now=now, random=to.random)

    await to.db.write(job)
    to.wake()


async def changed_after(db: Database, user_id: str, after: Position, limit: int) -> list[InboxItem]:
    """Return what changed after a position in a user's inbox, in that order, what is gone too."""
    return await db.read(lambda tx: inbox_pages.changed_after(tx, user_id, after, limit))


async def arrived_after(db: Database, user_id: str, after: str, limit: int) -> list[InboxItem]:
    """Return what has come into a user's inbox after an item, in that order, and is there."""
    return await db.read(lambda tx: inbox_pages.arrived_after(tx, user_id, after, limit))


async def arrived_between(db: Database, user_id: str, since: int, until: int | None) -> list[str]:
    """Return the ids of what has come into a user's inbox in a time, its end included; None: until now. What is gone as well."""
    end = LAST_ID if until is None else first_id(until + 1)
    return await db.read(lambda tx: inbox_pages.arrived_from(tx, user_id, since, first_id(since), end))


async def changes_since(db: Database, user_ids: Sequence[str], since: int) -> list[tuple[str, Position]]:
    """Return where (user id, position) something changed since a time in some users' inboxes, in no order."""
    if not user_ids:
        return []
    return await db.read(lambda tx: inbox_pages.changes_since(tx, user_ids, since))


async def items_of(db: Database, item_ids: Sequence[str]) -> list[InboxItem]:
    """Return items by their ids, in the order of their changes."""
    return await db.read(lambda tx: inbox_pages.items_of(tx, item_ids))


async def count_all(db: Database, user_ids: Sequence[str]) -> dict[str, Counts]:
    """Count what is in some users' inboxes."""
    return await db.read(lambda tx: inbox_pages.count_items(tx, user_ids))


def _page_marked(
    to: Marking, user: User, how: Mark, bucket_ids: Sequence[str], before: str
) -> Callable[[Transaction], Awaitable[list[str]]]:
    """Return the job that marks the next page of what is not so yet; it returns the items' ids."""
    now = to.clock()  # of this page: streams look for changes of the last seconds

    async def job(tx: Transaction) -> list[str]:
        page = await inbox_pages.markable_page(
            tx, user.id, how, bucket_ids=bucket_ids, before=before, limit=AT_ONCE
        )
        messages = [message_id for _, message_id in page]
        await mark(tx, user.id, messages, how, now=now, random=to.random)
        return [item_id for item_id, _ in page]

    return job


def _there(item: InboxItem | None) -> InboxItem:
    if item is None:
        raise _not_found()
    if item.deleted_at is not None:
        raise Gone("it was deleted, or its message was retracted", code="notification_gone")
    return item


def _not_found() -> NotFound:
    return NotFound("no such notification", code="notification_not_found")
