"""A user's inbox: a feed in pages, how much is unseen and unread, marks."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, NotRequired, TypedDict

from server.api.bodies import Body, Id, Time, items, note, text
from server.api.describe import describes
from server.commands import inbox
from server.commands.feeds import EVERYTHING, ReadFeed, mark_feeds, read_feed
from server.commands.inbox import Marking
from server.commands.resolving import fill_items
from server.dialects.socayo.fields import Nothing, PageBody, PageView, show_page
from server.dialects.socayo.rpc import Call
from server.domain.account import LONGEST_NAME
from server.domain.inbox import InboxItem, Mark
from server.domain.message import UNRESOLVED, Category
from server.domain.resolver import Resolver
from server.domain.times import show_time

MOST_FEEDS = 20
_LONGEST_ID = 100
_GONE = ("notification_not_found", "notification_gone")
_FEED = text(f"`{EVERYTHING}`, a topic's key, or a bucket's id or name.", most=LONGEST_NAME)
Feeds = Annotated[
    tuple[Annotated[str, _FEED], ...],
    items(f"Of which feeds; `{EVERYTHING}`, or none, is everything.", most=MOST_FEEDS),
]
MessageId = Annotated[str, text("The `messageId` of the feed's row.", most=_LONGEST_ID, examples=["msg_123"])]


class InboxStatus(StrEnum):
    """What became of a message in somebody's inbox. One that was read, and is unread again, is SEEN."""

    UNSEEN = "UNSEEN"
    SEEN = "SEEN"
    READ = "READ"


class InboxFeedBody(PageBody, frozen=True, kw_only=True):
    """Which page of an inbox."""

    feed_ids: Feeds = ()
    categories: Annotated[
        tuple[Category, ...], items("Of which categories; none is all.", most=len(Category))
    ] = ()


class MarkInboxBody(Body, frozen=True, kw_only=True):
    """How a message is to be marked."""

    message_id: MessageId
    status: Annotated[Mark, note("READ implies SEEN, UNSEEN implies UNREAD; UNREAD keeps SEEN.")]


class MarkAllInboxBody(Body, frozen=True, kw_only=True):
    """How all that is in an inbox, or in feeds of it, is to be marked."""

    status: Annotated[Mark, note("READ implies SEEN, UNSEEN implies UNREAD; UNREAD keeps SEEN.")]
    feed_ids: Feeds = ()


class InboxMessageBody(Body, frozen=True, kw_only=True):
    """A message in an inbox."""

    message_id: MessageId


class InboxMessageView(TypedDict):
    """A message in somebody's inbox."""

    messageId: Annotated[Id, note("Of the message in this inbox: the native API's notification.")]
    notificationId: Annotated[Id, note("The transaction: the same for all who have it.")]
    title: Annotated[str | None, note("Its title.")]
    unresolved: NotRequired[
        Annotated[bool, note("That its texts are kept elsewhere, and not to be had just now.")]
    ]
    body: Annotated[str | None, note("Its text.")]
    data: Annotated[dict[str, Any], note("For the app, as it was sent.")]
    deepLink: Annotated[str | None, note("Where a tap leads.")]
    status: Annotated[InboxStatus, note("What became of it.")]
    category: Annotated[Category, note("What it is about.")]
    createdAt: Annotated[Time, note("When it came into the inbox.")]


class InboxFeedView(PageView):
    """A page of an inbox."""

    messages: Annotated[list[InboxMessageView], note("The newest first.")]


class UnseenCountView(TypedDict):
    """How much in an inbox is new."""

    unseenCount: Annotated[int, note("How many are neither seen nor read.")]
    unreadCount: Annotated[int, note("How many are unread.")]


class MarkedInboxMessageView(TypedDict):
    """A message as it is marked now."""

    messageId: Annotated[Id, note("Which one.")]
    status: Annotated[InboxStatus, note("What became of it.")]


class MarkedInboxView(TypedDict):
    """What was marked."""

    marked: Annotated[int, note("How many were not so before.")]


class DeletedInboxMessageView(TypedDict):
    """A message that is in this inbox no more."""

    deleted: Annotated[bool, note("Always true.")]


@dataclass(frozen=True)
class SocayoInbox:
    marking: Marking
    resolver: Resolver

    @describes("Read a user's inbox", takes=InboxFeedBody, gives=InboxFeedView, errors=("feed_not_found",))
    async def feed(self, call: Call[InboxFeedBody]) -> InboxFeedView:
        body = call.body
        command = ReadFeed(body.feed_ids, body.categories, body.offset, body.page_size)
        page = await read_feed(self.marking.db, call.caller, command)
        return InboxFeedView(
            messages=[show_inbox_message(item) for item in await fill_items(self.resolver, page.rows)],
            **show_page(body, page.total, more=page.more),
        )

    @describes("Count what is new in a user's inbox", takes=Nothing, gives=UnseenCountView)
    async def counts(self, call: Call[Nothing]) -> UnseenCountView:
        counted = await inbox.count_unseen(self.marking.db, call.caller.user)
        return UnseenCountView(unseenCount=counted.unseen, unreadCount=counted.unread)

    @describes(
        "Mark a message in a user's inbox",
        detail="What is read is cleared on all of the user's devices. Of an ephemeral message nothing is left then.",
        takes=MarkInboxBody,
        gives=MarkedInboxMessageView,
        errors=_GONE,
    )
    async def mark(self, call: Call[MarkInboxBody]) -> MarkedInboxMessageView:
        message_id = call.body.message_id.lower()
        item = await inbox.mark_item(self.marking, call.caller.user, message_id, call.body.status)
        return MarkedInboxMessageView(messageId=item.id, status=status_of(item))

    @describes(
        "Mark all that is in a user's inbox",
        detail="Many thousands take seconds: the answer comes when all are marked, what comes meanwhile stays as it is.",
        takes=MarkAllInboxBody,
        gives=MarkedInboxView,
        errors=("feed_not_found",),
    )
    async def mark_all(self, call: Call[MarkAllInboxBody]) -> MarkedInboxView:
        marked = await mark_feeds(self.marking, call.caller, call.body.status, call.body.feed_ids)
        return MarkedInboxView(marked=marked)

    @describes(
        "Delete a message from a user's inbox",
        detail="It goes from the user's devices, too; others keep it. Doing so again does nothing.",
        takes=InboxMessageBody,
        gives=DeletedInboxMessageView,
        errors=("notification_not_found",),
    )
    async def delete(self, call: Call[InboxMessageBody]) -> DeletedInboxMessageView:
        await inbox.delete_item(self.marking, call.caller.user, call.body.message_id.lower())
        return DeletedInboxMessageView(deleted=True)


def show_inbox_message(item: InboxItem) -> InboxMessageView:
    message, content = item.message, item.message.content or {}
    view = InboxMessageView(
        messageId=item.id,
        notificationId=message.id,
        title=content.get("title"),
        body=content.get("body"),
        data=content.get("data", {}),
        deepLink=content.get("deepLink"),
        status=status_of(item),
        category=message.category,
        createdAt=show_time(item.created_at),
    )
    if UNRESOLVED in content:
        view["unresolved"] = True
    return view


def status_of(item: InboxItem) -> InboxStatus:
    if item.read_at is not None:
        return InboxStatus.READ
    return InboxStatus.UNSEEN if item.seen_at is None else InboxStatus.SEEN
