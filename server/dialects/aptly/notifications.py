"""`notifications`: make one from a template; an inbox in pages, counted, read and unread, deleted."""

from dataclasses import dataclass
from typing import Annotated

from server.api.bodies import Body, note, own, text
from server.api.describe import describes
from server.api.message_fields import Data
from server.api.pages import PAGE
from server.api.reading import Fields
from server.commands import inbox
from server.commands.entries import Reading, count_entries, entry_of, get_entry, list_entries
from server.commands.inbox import Marking
from server.commands.send import Sender
from server.commands.templates import Notified, Notify, notify
from server.dialects.aptly import views
from server.dialects.aptly.fields import (
    AptlyStatus,
    Category,
    EntityType,
    Limit,
    Page,
    TemplateKey,
    TenantId,
    TenantQuery,
    TimePeriod,
    UserId,
    offset_of,
    show_page,
)
from server.dialects.aptly.rest import Call, NothingAnswer
from server.dialects.aptly.views import show_entry, show_notification
from server.domain import rules
from server.domain.entry import Owner, Wanted
from server.domain.inbox import Mark
from server.domain.message import DEEPEST_DATA, LONGEST_URL
from server.domain.relative import months_before
from server.domain.template import LONGEST_FILLED_BODY, Value

MOST_PLACEHOLDERS = 16_384  # bytes of JSON
LONGEST_ENTITY = 200
_GONE = ("notification_not_found", "notification_gone")
_MARKS = {AptlyStatus.READ: Mark.READ, AptlyStatus.UNREAD: Mark.UNREAD}


def _read_values(fields: Fields, name: str) -> dict[str, Value]:
    """Read what is put into placeholders: texts, numbers, true and false."""
    if fields.value(name) is None:
        fields.fault(name, "is missing", "send an object, an empty one where the template needs nothing")
    given = fields.object_of(name, most=MOST_PLACEHOLDERS, deepest=DEEPEST_DATA) or {}
    for key, value in given.items():
        place = f"{name}.{key}"
        if isinstance(value, str):
            fields.text(place, value, most=LONGEST_FILLED_BODY, least=0, rule=rules.prose)
        elif value is not None and not isinstance(value, int | float):
            fields.fault(place, "is no text", "send a text, a number, true or false")
    return {key: value for key, value in given.items() if value is not None}


class AptlyNotificationBody(Body, frozen=True, kw_only=True):
    """A notification that is to be made from a template."""

    template_key: TemplateKey
    user_id: UserId
    tenant_id: TenantId
    entity_type: EntityType
    entity_id: Annotated[
        str,
        text(
            "Which one it is about.", most=LONGEST_ENTITY, examples=["1387b022-c897-4008-90d9-4e49d78249f8"]
        ),
    ]
    placeholders: Annotated[
        dict[str, Value],
        own(
            _read_values,
            "What is put into the template's placeholders; what it does not need is passed over.",
            type="object",
            additionalProperties={"type": ["string", "number", "boolean", "null"]},
            examples=[{"delegation_id": "ABC123", "user_email": "ann@example.com"}],
        ),
    ]
    action_url: (
        Annotated[
            str,
            text(
                "Where a tap leads.",
                most=LONGEST_URL,
                rule=rules.tap_url,
                examples=["https://example.com/delegations/123456"],
            ),
        ]
        | None
    ) = None
    payload: Data = None


class AptlyStatusBody(Body, frozen=True, kw_only=True):
    """How it is to be marked."""

    status: Annotated[AptlyStatus, note("Read or unread. What is so already stays as it is.")]


class AptlyCountQuery(TenantQuery, frozen=True, kw_only=True):
    """Which part of an inbox."""

    template_key: TemplateKey | None = None
    category: Category | None = None
    entity_type: EntityType | None = None
    time_period: Annotated[TimePeriod, note("How far back, in calendar months.")] = TimePeriod.ALL


class AptlyInboxQuery(AptlyCountQuery, frozen=True, kw_only=True):
    """Which page of which part of an inbox."""

    page: Page = 1
    limit: Limit = PAGE
    status: Annotated[AptlyStatus, note("Only what is read, or unread.")] | None = None


@dataclass(frozen=True)
class AptlyNotifications:
    sender: Sender
    marking: Marking
    reading: Reading

    @describes(
        "Create a notification from a template",
        detail="The user is made where there is none of that name; the tenant and the template have to be there."
        " The answer's `id` is the message's where nothing came into an inbox, as the user or the template wants it.",
        takes=AptlyNotificationBody,
        gives=views.AptlyNotificationAnswer,
        status=201,
        errors=("tenant_not_found", "template_not_found"),
    )
    async def create(self, call: Call) -> views.AptlyNotificationView:
        body = await call.body(AptlyNotificationBody)
        caller = await call.manager(body.tenant_id, "tenantId")
        sent = await notify(self.sender, caller, _command(body), now=call.now)
        return _show_sent(body, sent, call.now)

    @describes(
        "List a user's notifications",
        detail="The newest first, whichever API has sent them. What comes meanwhile moves the others to later places, and no further.",
        query=AptlyInboxQuery,
        gives=views.AptlyNotificationsAnswer,
        errors=("tenant_not_found",),
    )
    async def list(self, call: Call) -> views.AptlyNotificationsView:
        query = call.query(AptlyInboxQuery)
        reader = await call.reader()
        owner, page = await list_entries(
            self.reading,
            reader.user,
            _wanted(query, query.status, call.now),
            offset=offset_of(query),
            limit=query.limit,
        )
        rows = [show_entry(owner, entry, call.now) for entry in page.rows]
        return views.AptlyNotificationsView(**show_page(query, page.total), data=rows)

    @describes(
        "Count a user's notifications",
        query=AptlyCountQuery,
        gives=views.AptlyCountAnswer,
        errors=("tenant_not_found",),
    )
    async def count(self, call: Call) -> views.AptlyCountView:
        query = call.query(AptlyCountQuery)
        reader = await call.reader()
        found = await count_entries(self.reading, reader.user, _wanted(query, None, call.now))
        return views.AptlyCountView(
            unread=found.unread,
            read=found.total - found.unread,
            total=found.total,
            timePeriod=query.time_period,
        )

    @describes(
        "Get one notification",
        query=TenantQuery,
        gives=views.AptlyNotificationAnswer,
        errors=("tenant_not_found", *_GONE),
    )
    async def get(self, call: Call) -> views.AptlyNotificationView:
        reader = await call.reader()
        owner, entry = await get_entry(self.reading, reader.user, call.id)
        return show_entry(owner, entry, call.now)

    @describes(
        "Mark a notification as read or unread",
        detail="What is read is cleared on all of the user's devices. Doing so again does nothing.",
        takes=AptlyStatusBody,
        query=TenantQuery,
        gives=views.AptlyNotificationAnswer,
        errors=("tenant_not_found", *_GONE),
    )
    async def toggle(self, call: Call) -> views.AptlyNotificationView:
        body = await call.body(AptlyStatusBody)
        reader = await call.reader()
        item = await inbox.mark_item(self.marking, reader.user, call.id, _MARKS[body.status])
        owner, entry = await entry_of(self.reading, reader.user, item)
        return show_entry(owner, entry, call.now)

    @describes(
        "Mark all of a user's notifications as read or unread",
        detail="Many thousands take seconds: the answer comes when all are marked, what comes meanwhile stays as it is.",
        takes=AptlyStatusBody,
        query=TenantQuery,
        gives=views.AptlyMarkedAnswer,
        errors=("tenant_not_found",),
    )
    async def mark_all(self, call: Call) -> views.AptlyMarkedView:
        body = await call.body(AptlyStatusBody)
        reader = await call.reader()
        marked = await inbox.mark_all(self.marking, reader.user, _MARKS[body.status], (), None)
        return views.AptlyMarkedView(marked=marked)

    @describes(
        "Delete a notification",
        detail="It goes from the inbox and from the user's devices; others keep it. Doing so again does nothing.",
        query=TenantQuery,
        gives=NothingAnswer,
        errors=("tenant_not_found", "notification_not_found"),
    )
    async def delete(self, call: Call) -> None:
        reader = await call.reader()
        await inbox.delete_item(self.marking, reader.user, call.id)


def _command(body: AptlyNotificationBody) -> Notify:
    return Notify(
        template_key=body.template_key,
        user=body.user_id,
        entity_type=body.entity_type,
        entity_id=body.entity_id,
        values=body.placeholders,
        url=body.action_url,
        data=body.payload,
    )


def _show_sent(body: AptlyNotificationBody, sent: Notified, now: int) -> views.AptlyNotificationView:
    return show_notification(
        Owner(body.tenant_id, body.user_id),
        sent.message,
        sent.subject,
        item_id=sent.item_id or sent.message.id,
        at=sent.message.created_at,
        read_at=None,
        now=now,
    )


def _wanted(query: AptlyCountQuery, status: AptlyStatus | None, now: int) -> Wanted:
    months = query.time_period.months
    return Wanted(
        read=None if status is None else status is AptlyStatus.READ,
        template_key=query.template_key,
        label=query.category,
        entity_type=query.entity_type,
        since=None if months is None else months_before(now, months),
    )
