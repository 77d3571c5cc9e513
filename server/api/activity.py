"""`GET /api/v1/activity`: what was sent to whom in a tenant, on which channel, and what came of it."""

from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from aiohttp import web

from server.api.answers import show
from server.api.bodies import Body, Id, Time, instant, items, note, own, read_query, whole
from server.api.describe import describes
from server.api.pages import LONGEST_PAGE, LONGEST_PLACE, PAGE, read_place
from server.api.reading import Fields
from server.commands.activity import browse_activity
from server.domain.account import Caller
from server.domain.activity import Entry, Filter, Place
from server.domain.delivery import Channel, State
from server.domain.message import Category
from server.domain.ports import Database
from server.domain.result import Result, result_of
from server.domain.times import read_time, show_time, show_when

_MOST_WORDS = 20  # in one filter: repetitions are no fault


def _read_end(fields: Fields, name: str) -> int | None:
    """Read the end of a time whose beginning is `startTime`; that is read, and refused, by itself."""
    end, start = fields.instant(name, after=None), _known(fields.value("startTime"))
    if end is not None and start is not None and end < start:
        fields.fault(name, "is before startTime", "send startTime and endTime in their order")
    return end


def _known(given: Any) -> int | None:
    try:
        return read_time(given)
    except (TypeError, ValueError, OverflowError):
        return None


def _read_cursor(fields: Fields, name: str) -> Place | None:
    place = read_place(fields, name)
    return None if place is None else Place(*place)


# The filters, as every API that shows the activity has them.
Channels = Annotated[
    tuple[Annotated[Channel, note("A channel.")], ...],
    items("Only what went by these channels; left out or empty: by any.", most=_MOST_WORDS),
]
Categories = Annotated[
    tuple[Annotated[Category, note("A category.")], ...],
    items("Only what is of these categories; left out or empty: of any.", most=_MOST_WORDS),
]
StartTime = Annotated[int, instant("Only what was queued at this instant or later.")]
EndTime = Annotated[
    int | None,
    own(
        _read_end,
        "Only what was queued at this instant or earlier; not before `startTime`.",
        type="string",
        format="date-time",
    ),
]


class ActivityQuery(Body, frozen=True, kw_only=True):
    """Which part of the activity."""

    channels: Channels = ()
    categories: Categories = ()
    start_time: StartTime | None = None
    end_time: EndTime = None
    limit: Annotated[int, whole("How many on a page.", least=1, most=LONGEST_PAGE)] = PAGE
    cursor: Annotated[
        Place | None,
        own(
            _read_cursor,
            "The `nextCursor` of the page before.",
            type="string",
            maxLength=LONGEST_PLACE,
        ),
    ] = None


class ActivityView(TypedDict):
    """What became of one message for one user on one channel, for push on one device."""

    id: Annotated[Id, note("The delivery's.")]
    messageId: Annotated[Id, note("The message's.")]
    notificationId: Annotated[Id | None, note("The message's in the user's inbox; null: it is not there.")]
    userId: Annotated[str, note("The user, by the name that your servers know.")]
    channel: Annotated[Channel, note("How it travels.")]
    category: Annotated[Category, note("What it is about.")]
    deviceId: Annotated[Id | None, note("The device; null: none is meant.")]
    title: Annotated[str | None, note("The message's title; null: it was retracted.")]
    state: Annotated[State, note("How far it is.")]
    result: Annotated[Result, note("What that comes to.")]
    reason: Annotated[str | None, note("Why, where there is more to say.")]
    providerId: Annotated[str | None, note("The push's id at Apple, Google or the push service.")]
    queuedAt: Annotated[Time, note("When it was written.")]
    deliveredAt: Annotated[
        Time | None, note("When the provider took it, or it lay in the inbox; null: neither is so.")
    ]
    receivedAt: Annotated[Time | None, note("When the device had it, if it said so.")]
    readAt: Annotated[Time | None, note("When it was read: in the inbox, or as the device said.")]


class ActivityPageView(TypedDict):
    """A page of the activity."""

    activities: Annotated[list[ActivityView], note("The newest first.")]
    nextCursor: Annotated[str | None, note("`cursor` of the next page; null: this is the last one.")]


@dataclass(frozen=True)
class Activity:
    db: Database

    @describes(
        "List what was sent",
        detail="To whom, on which channel, and what came of it, that too which did not go out and why. A page goes on where the one"
        " before ended, whatever has been sent meanwhile.",
        query=ActivityQuery,
        gives=ActivityPageView,
    )
    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        query = read_query(ActivityQuery, request)
        asked = Filter(query.channels, query.categories, query.start_time, query.end_time)
        page = await browse_activity(self.db, caller, asked, before=query.cursor, limit=query.limit)
        shown = ActivityPageView(
            activities=[show_activity(entry) for entry in page.entries],
            nextCursor=None if page.next is None else f"{page.next.created_at}.{page.next.id}",
        )
        return show(shown)


def show_activity(entry: Entry) -> ActivityView:
    return ActivityView(
        id=entry.id,
        messageId=entry.message_id,
        notificationId=entry.item_id,
        userId=entry.user,
        channel=entry.channel,
        category=entry.category,
        deviceId=entry.device_id,
        title=entry.title,
        state=entry.state,
        result=result_of(entry.state, entry.reason),
        reason=entry.reason,
        providerId=entry.provider_id,
        queuedAt=show_time(entry.created_at),
        deliveredAt=show_when(entry.delivered_at),
        receivedAt=show_when(entry.received_at),
        readAt=show_when(entry.read_at),
    )
