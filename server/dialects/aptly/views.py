"""Notifications as this API shows them, whichever one has sent them: what another API has no word for is null."""

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, TypedDict

from server.api.bodies import Id, Time, note
from server.commands.templates import ACTIONABLE
from server.dialects.aptly.fields import AptlyStatus, PagedView, TimePeriod
from server.dialects.aptly.rest import Envelope
from server.domain.entry import Entry, Owner
from server.domain.message import UNRESOLVED, ActionType, Message
from server.domain.relative import time_ago
from server.domain.subject import Subject
from server.domain.times import show_time, show_when


class AptlyNotificationView(TypedDict):
    """A notification in somebody's inbox."""

    id: Annotated[Id, note("Of the entry in this inbox: the native API's notification.")]
    tenantId: Annotated[str, note("The tenant, as your servers name it.")]
    templateKey: Annotated[str | None, note("The template that it was made from.")]
    category: Annotated[str | None, note("What it is sorted under: its template's category.")]
    title: Annotated[str | None, note("Its title.")]
    message: Annotated[str | None, note("Its text.")]
    isActionable: Annotated[bool, note("Whether something is to be done about it, as its template says.")]
    status: Annotated[AptlyStatus, note("Whether it was read.")]
    createdAt: Annotated[Time, note("When it came into the inbox.")]
    readAt: Annotated[Time | None, note("When it was read.")]
    userId: Annotated[str, note("Who has it, as your servers name them.")]
    entityType: Annotated[str | None, note("What kind of thing it is about.")]
    entityId: Annotated[str | None, note("Which one.")]
    actionUrl: Annotated[str | None, note("Where a tap leads.")]
    payload: Annotated[dict[str, Any] | None, note("For the app, as it was sent.")]
    relativeTime: Annotated[str, note("How long ago it came, by the time of this answer.")]
    unresolved: NotRequired[
        Annotated[bool, note("True where its texts are kept elsewhere, and were not to be had.")]
    ]


class AptlyNotificationAnswer(Envelope):
    """A notification."""

    data: Annotated[AptlyNotificationView, note("The notification.")]


class AptlyNotificationsView(PagedView):
    """A page of an inbox."""

    data: Annotated[list[AptlyNotificationView], note("The newest first.")]


class AptlyNotificationsAnswer(Envelope):
    """A page of an inbox."""

    data: Annotated[AptlyNotificationsView, note("The page.")]


class AptlyCountView(TypedDict):
    """How many notifications there are."""

    unread: Annotated[int, note("How many are unread.")]
    read: Annotated[int, note("How many are read.")]
    total: Annotated[int, note("How many there are.")]
    timePeriod: Annotated[TimePeriod, note("How far back was counted.")]


class AptlyCountAnswer(Envelope):
    """How many notifications there are."""

    data: Annotated[AptlyCountView, note("The numbers.")]


class AptlyMarkedView(TypedDict):
    """What was marked."""

    marked: Annotated[int, note("How many were not so before.")]


class AptlyMarkedAnswer(Envelope):
    """What was marked."""

    data: Annotated[AptlyMarkedView, note("The number.")]


def show_entry(owner: Owner, entry: Entry, now: int) -> AptlyNotificationView:
    """Return an entry of an inbox as it is shown."""
    item = entry.item
    return show_notification(
        owner, item.message, entry.subject, item_id=item.id, at=item.created_at, read_at=item.read_at, now=now
    )


def show_notification(
    owner: Owner,
    message: Message,
    subject: Subject | None,
    *,
    item_id: str,
    at: int,
    read_at: int | None,
    now: int,
) -> AptlyNotificationView:
    content = message.content or {}
    shown = AptlyNotificationView(
        id=item_id,
        tenantId=owner.tenant,
        templateKey=None if subject is None else subject.template_key,
        category=None if subject is None else subject.label,
        title=content.get("title"),
        message=content.get("body"),
        isActionable=subject is not None and subject.details.get(ACTIONABLE) is True,
        status=AptlyStatus.UNREAD if read_at is None else AptlyStatus.READ,
        createdAt=show_time(at),
        readAt=show_when(read_at),
        userId=owner.user,
        entityType=None if subject is None else subject.entity_type,
        entityId=None if subject is None else subject.entity_id,
        actionUrl=_leads_to(content),
        payload=content.get("data"),
        relativeTime=time_ago(at, now),
    )
    if content.get(UNRESOLVED):
        shown["unresolved"] = True
    return shown


def _leads_to(content: Mapping[str, Any]) -> str | None:
    """Return where a tap on a message leads."""
    tap = content.get("tapAction") or {}
    url = tap.get("value") if tap.get("type") == ActionType.NAVIGATE.value else content.get("deepLink")
    return None if url is None else str(url)
