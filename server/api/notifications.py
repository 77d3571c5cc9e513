"""`/api/v1/notifications`: a user's inbox. List, count, get; read and unread, one or all; delete."""

from dataclasses import dataclass
from typing import Annotated, TypedDict

from aiohttp import web

from server.api.answers import nothing, show
from server.api.bodies import Body, Id, Time, instant, note, read, read_query, text
from server.api.describe import describes
from server.api.message_views import MessageView, show_message
from server.api.pages import PageQuery
from server.api.reading import read_json
from server.commands import inbox
from server.commands.inbox import ListItems, Marking
from server.commands.resolving import fill_items
from server.domain.account import LONGEST_NAME, Caller
from server.domain.inbox import Counts, InboxItem, Mark
from server.domain.resolver import Resolver
from server.domain.times import show_time, show_when

_GONE = ("notification_not_found", "notification_gone")
_BUCKET = "bucket_not_found", "bucket_ambiguous"


class InboxQuery(PageQuery, frozen=True, kw_only=True):
    """Which part of an inbox."""

    bucket_id: Annotated[str, text("Of one bucket only: its id or its name.", most=LONGEST_NAME)] | None = (
        None
    )
    unread: Annotated[bool, note("Only what is unread.")] = False
    since: Annotated[int, instant("Only what came at this instant or later.")] | None = None


class ReadAllBody(Body, frozen=True, kw_only=True):
    """What is to be marked as read."""

    bucket_id: Annotated[str, text("Of one bucket only: its id or its name.", most=LONGEST_NAME)] | None = (
        None
    )
    before: Annotated[int, instant("What came before this instant; left out: all there is now.")] | None = (
        None
    )


class NotificationView(TypedDict):
    """One message in one user's inbox."""

    id: Id
    messageId: Annotated[Id, note("The message's id, the same for all who have it.")]
    message: Annotated[MessageView, note("The message.")]
    seenAt: Annotated[Time | None, note("When it was seen, as what is read is too; null: it is unseen.")]
    readAt: Annotated[Time | None, note("When it was read; null: it is unread.")]
    postponedUntil: Annotated[Time | None, note("When a postponed one comes again.")]
    createdAt: Annotated[Time, note("When it came into the inbox.")]


class DeletedView(TypedDict):
    """What is left of one that is gone: it was deleted, or its message was retracted."""

    id: Id
    messageId: Id
    deletedAt: Time


class NotificationsView(TypedDict):
    """A page of an inbox."""

    notifications: Annotated[list[NotificationView], note("The newest first.")]
    nextCursor: Annotated[Id | None, note("`cursor` of the next page; null: this is the last one.")]


class BucketCountView(TypedDict):
    """How much is unread in a bucket."""

    bucketId: Id
    unread: Annotated[int, note("How many are unread in this bucket.")]


class CountsView(TypedDict):
    """How much there is in an inbox."""

    total: Annotated[int, note("How many there are.")]
    unseen: Annotated[int, note("How many of them nobody has seen.")]
    unread: Annotated[int, note("How many of them are unread.")]
    buckets: Annotated[list[BucketCountView], note("The buckets that have unread ones.")]


class MarkedView(TypedDict):
    """What was marked."""

    marked: Annotated[int, note("How many were unread and are read now.")]


@dataclass(frozen=True)
class Notifications:
    marking: Marking
    resolver: Resolver

    @describes(
        "List one's inbox",
        detail="A page goes on where the one before ended, whatever has come, was read or deleted meanwhile.",
        query=InboxQuery,
        gives=NotificationsView,
        errors=_BUCKET,
    )
    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        asked = read_query(InboxQuery, request)
        command = ListItems(asked.bucket_id, asked.unread, asked.since, asked.place, asked.limit)
        page = await inbox.list_items(self.marking.db, caller.user, command)
        items = await fill_items(self.resolver, page.items)
        return show(
            NotificationsView(
                notifications=[show_item(item) for item in items],
                nextCursor=page.next,
            )
        )

    @describes("Count what is in one's inbox", gives=CountsView)
    async def counts(self, _request: web.Request, caller: Caller) -> web.Response:
        return show(show_counts(await inbox.count_items(self.marking.db, caller.user)))

    @describes("Get one notification", gives=NotificationView, errors=_GONE)
    async def get(self, request: web.Request, caller: Caller) -> web.Response:
        return await self._show(await inbox.get_item(self.marking.db, caller.user, _id(request)))

    @describes(
        "Mark as read",
        detail="It is cleared on all of the user's devices. Of an ephemeral message nothing is left then.",
        gives=NotificationView,
        errors=_GONE,
    )
    async def read(self, request: web.Request, caller: Caller) -> web.Response:
        return await self._show(await inbox.mark_item(self.marking, caller.user, _id(request), Mark.READ))

    @describes("Mark as unread", gives=NotificationView, errors=_GONE)
    async def unread(self, request: web.Request, caller: Caller) -> web.Response:
        return await self._show(await inbox.mark_item(self.marking, caller.user, _id(request), Mark.UNREAD))

    @describes(
        "Mark everything as read",
        detail="Many thousands take seconds: the answer comes when all are marked, what comes meanwhile stays unread.",
        takes=ReadAllBody,
        gives=MarkedView,
        errors=_BUCKET,
    )
    async def read_all(self, request: web.Request, caller: Caller) -> web.Response:
        body = read(ReadAllBody, await read_json(request))
        marked = await inbox.read_all(self.marking, caller.user, body.bucket_id, body.before)
        return show(MarkedView(marked=marked))

    @describes(
        "Delete a notification",
        detail="It goes from the inbox and from the user's devices; others keep the message. Doing so again does nothing.",
        status=204,
        errors=("notification_not_found",),
    )
    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        await inbox.delete_item(self.marking, caller.user, _id(request))
        return nothing()

    async def _show(self, item: InboxItem) -> web.Response:
        [filled] = await fill_items(self.resolver, [item])
        return show(show_item(filled))


def show_item(item: InboxItem) -> NotificationView:
    return {
        "id": item.id,
        "messageId": item.message.id,
        "message": show_message(item.message),
        "seenAt": show_when(item.seen_at),
        "readAt": show_when(item.read_at),
        "postponedUntil": show_when(item.postponed_until),
        "createdAt": show_time(item.created_at),
    }


def show_deleted(item: InboxItem, deleted_at: int) -> DeletedView:
    return {"id": item.id, "messageId": item.message.id, "deletedAt": show_time(deleted_at)}


def show_counts(counts: Counts) -> CountsView:
    return {
        "total": counts.total,
        "unseen": counts.unseen,
        "unread": counts.unread,
        "buckets": [
            {"bucketId": bucket_id, "unread": number} for bucket_id, number in counts.unread_by_bucket.items()
        ],
    }


def _id(request: web.Request) -> str:
    return request.match_info["id"].lower()
