"""Feeds: an inbox, or what is in it of some topics and buckets, in pages by number. `default` is all of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.commands import buckets
from server.commands.inbox import Marking, mark_all, still_there
from server.domain.account import Caller
from server.domain.bucket import DIRECT
from server.domain.errors import Fault, NotFound
from server.domain.inbox import InboxItem, Mark
from server.domain.message import Category
from server.domain.pages import MOST_COUNTED, Numbered
from server.domain.ports import Database, Transaction
from server.store import inbox_pages
from server.store.buckets import find_topic

EVERYTHING = "default"


@dataclass(frozen=True)
class ReadFeed:
    """Which part of an inbox: `feeds` and `categories` are all where none is named. Newest first, from an offset on."""

    feeds: Sequence[str]
    categories: Sequence[Category]
    offset: int
    limit: int


async def read_feed(db: Database, caller: Caller, command: ReadFeed) -> Numbered[InboxItem]:
    """Return a page of what is in an inbox; NotFound for a feed that is not there."""

    async def job(tx: Transaction) -> Numbered[InboxItem]:
        bucket_ids = await _buckets(tx, caller, command.feeds)
        items = await inbox_pages.feed_page(
            tx,
            caller.user.id,
            bucket_ids=bucket_ids,
            categories=command.categories,
            offset=command.offset,
            limit=command.limit + 1,
        )
        total = await inbox_pages.count_feed(
            tx,
            caller.user.id,
            bucket_ids=bucket_ids,
            categories=command.categories,
            most=MOST_COUNTED + 1,
        )
        return Numbered(still_there(items[: command.limit]), len(items) > command.limit, total)

    return await db.read(job)


async def mark_feeds(to: Marking, caller: Caller, how: Mark, feeds: Sequence[str]) -> int:
    """Mark what is in feeds now; return how many items that has changed. NotFound for a feed that is not there."""
    bucket_ids = await to.db.read(lambda tx: _buckets(tx, caller, feeds))
    return await mark_all(to, caller.user, how, bucket_ids, None)


async def _buckets(tx: Transaction, caller: Caller, feeds: Sequence[str]) -> Sequence[str]:
    """Return the buckets that make up feeds, none where it is everything; NotFound names every feed that is not there."""
    found = {feed: await _buckets_of(tx, caller, feed) for feed in feeds if feed != EVERYTHING}
    faults = [
        Fault(
            f"feedIds[{place}]", "is no feed", f"give {EVERYTHING}, a topic's key, or a bucket's id or name"
        )
        for place, feed in enumerate(feeds)
        if not found.get(feed, True)
    ]
    if faults:
        raise NotFound("no such feed", code="feed_not_found", faults=faults)
    return [] if EVERYTHING in feeds else sorted({id_ for ids in found.values() for id_ in ids})


async def _buckets_of(tx: Transaction, caller: Caller, feed: str) -> list[str]:
    """Return the topic of that key, and whichever buckets of the user's have that id or name."""
    topic = None if feed == DIRECT else await find_topic(tx, caller.tenant_id, feed)
    own = await buckets.find(tx, caller.user.id, feed)
    return [bucket.id for bucket in (*([] if topic is None else [topic]), *own)]
