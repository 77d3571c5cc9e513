"""Activity: what was sent to whom, and what came of it."""

from dataclasses import dataclass
from typing import Annotated, NotRequired, TypedDict

from server.api.activity import Categories, Channels, EndTime, StartTime
from server.api.bodies import Id, Time, note
from server.api.describe import describes
from server.commands.activity import number_activity
from server.dialects.socayo.fields import PageBody, PageView, show_page
from server.dialects.socayo.rpc import Call
from server.domain.activity import Entry, Filter
from server.domain.delivery import Channel
from server.domain.errors import invalid
from server.domain.message import Category
from server.domain.pages import MOST_COUNTED
from server.domain.ports import Database
from server.domain.result import Result, result_of
from server.domain.times import show_time, show_when


class SocayoActivityBody(PageBody, frozen=True, kw_only=True):
    """Which part of the activity."""

    channels: Channels = ()
    categories: Categories = ()
    start_time: StartTime | None = None
    end_time: EndTime = None


class SocayoActivityView(TypedDict):
    """What became of one call for one user on one channel, for push on one device."""

    transactionId: Annotated[Id, note("What the call that sent it was answered with.")]
    messageId: NotRequired[Annotated[Id, note("The message in the user's inbox, where it is there.")]]
    userId: Annotated[str, note("The user, by the name that your servers know.")]
    channel: Annotated[Channel, note("How it travels.")]
    category: Annotated[Category, note("What it is about.")]
    deviceId: NotRequired[Annotated[str, note("The device, by the name that it was registered with.")]]
    title: NotRequired[Annotated[str, note("The title, as long as it is not taken back.")]]
    result: Annotated[Result, note("What became of it.")]
    reason: Annotated[str | None, note("Why, where there is more to say.")]
    providerMessageId: Annotated[str | None, note("The push's id at Apple, Google or the push service.")]
    queuedAt: Annotated[Time, note("When it was queued.")]
    deliveredAt: Annotated[
        Time | None, note("When the provider took it, or it lay in the inbox; null: neither is so.")
    ]
    receivedAt: Annotated[Time | None, note("When the device had it, if it said so.")]
    readAt: Annotated[Time | None, note("When it was read: in the inbox, or as the device said.")]


class SocayoActivitiesView(PageView):
    """A page of the activity."""

    activities: Annotated[list[SocayoActivityView], note("The newest first.")]


@dataclass(frozen=True)
class SocayoActivity:
    db: Database

    @describes(
        "List what was sent",
        detail=f"By number a page begins among the newest {MOST_COUNTED}. What is older is found by an `endTime`, or by the native API's cursors.",
        takes=SocayoActivityBody,
        gives=SocayoActivitiesView,
    )
    async def list(self, call: Call[SocayoActivityBody]) -> SocayoActivitiesView:
        body = call.body
        if (
            body.offset >= MOST_COUNTED
        ):  # the way there is counted: of millions all other tenants would wait for it
            fix = "send an earlier endTime with page 1, or follow the cursors of GET /api/v1/activity"
            raise invalid("page", f"begins after the newest {MOST_COUNTED}", fix)
        asked = Filter(body.channels, body.categories, body.start_time, body.end_time)
        page = await number_activity(self.db, call.caller, asked, skip=body.offset, limit=body.page_size)
        shown = [show_entry(entry) for entry in page.rows]
        return {"activities": shown, **show_page(body, page.total, more=page.more)}


def show_entry(entry: Entry) -> SocayoActivityView:
    shown: SocayoActivityView = {
        "transactionId": entry.message_id,
        "userId": entry.user,
        "channel": entry.channel,
        "category": entry.category,
        "result": result_of(entry.state, entry.reason),
        "reason": entry.reason,
        "providerMessageId": entry.provider_id,
        "queuedAt": show_time(entry.created_at),
        "deliveredAt": show_when(entry.delivered_at),
        "receivedAt": show_when(entry.received_at),
        "readAt": show_when(entry.read_at),
    }
    if entry.item_id is not None:
        shown["messageId"] = entry.item_id
    if entry.device is not None:
        shown["deviceId"] = entry.device
    if entry.title is not None:
        shown["title"] = entry.title
    return shown
