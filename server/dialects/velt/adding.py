"""Adding a notification: `POST /v2/notifications/add`."""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any

import orjson
from msgspec import field

from server.api.bodies import Body, items, note, own, text
from server.api.describe import describes
from server.api.message_fields import Data
from server.api.reading import Fields
from server.commands.adding import AddNotification, add_notification
from server.commands.send import Sender
from server.dialects.velt.fields import (
    ACCESS,
    DocumentId,
    DoneAnswer,
    OrganizationId,
    UserBody,
    done,
    read_access,
    show_mention,
)
from server.dialects.velt.rpc import Call
from server.dialects.velt.texts import (
    CUSTOM,
    HEADLINE,
    LONGEST_SOURCE,
    MOST_VARIABLES,
    RESOLVED,
    VALUE,
    VALUES,
    Values,
    read_body,
    read_source,
    read_template,
    read_values,
)
from server.domain.delivery import Channel
from server.domain.headline import LONGEST_TEMPLATE, Headline
from server.domain.message import (
    LONGEST_TTL,
    MOST_RECIPIENTS_NAMED,
    NO_OPTIONS,
    Category,
    DeliveryType,
    SendMessage,
)
from server.domain.rules import Wrong
from server.domain.texts import ACTOR, LONGEST_BODY

LONGEST_ID = 100
ADDED = "Notification added successfully."
_DATA = "data"
_ID = re.compile(r"[A-Za-z0-9_-]+")


def _id(given: str) -> Wrong | None:
    wrong = "has characters that an id cannot have", "use letters a-z, digits, _ and -"
    return None if _ID.fullmatch(given) else wrong


def _read_notify_all(fields: Fields, name: str) -> bool:
    everyone = fields.value(name) is None or fields.flag(name)
    if not everyone and fields.value("notifyUsers") == []:
        fields.fault("notifyUsers", "is empty", f"name somebody, or leave out {name} to reach everyone")
    return everyone


def _read_access(fields: Fields, name: str) -> tuple[tuple[str, str], ...]:
    if fields.value(name) is None:
        fields.fault(name, "is missing", "send an object with fields and their values")
    return read_access(fields, name) or ()


class VeltContextBody(Body, frozen=True, kw_only=True):
    """To whom it is shown, beside all that else says so."""

    access: Annotated[
        tuple[tuple[str, str], ...],
        own(
            _read_access,
            "Fields of the document with a value or a list of them: only who has access to all of these gets it.",
            **ACCESS,
        ),
    ]


class VeltNotificationBody(Body, frozen=True, kw_only=True):
    """A notification about a document."""

    organization_id: OrganizationId
    create_organization: Annotated[bool, note("Whether the organization is made where there is none.")] = (
        False
    )
    document_id: DocumentId
    create_document: Annotated[
        bool,
        note("Whether the document is made where there is none; only the acting user has access to it then."),
    ] = False
    action_user: Annotated[UserBody, note("Who has done something; they do not get it themselves.")]
    verify_user_permissions: Annotated[
        bool, note("Whether only users get it who have access to the document.")
    ] = False
    notification_id: (
        Annotated[
            str,
            text(
                "Your own id of it. Sent again with the same body it does nothing; with another one it is refused.",
                most=LONGEST_ID,
                rule=_id,
                pattern="^[A-Za-z0-9_-]+$",
                examples=["custom-notif-001"],
            ),
        ]
        | None
    ) = None
    is_notification_resolver_used: Annotated[
        bool,
        note("Whether your own server is asked for its texts whenever it is read: none are kept here."),
    ] = False
    display_headline_message_template: Annotated[
        str | None,
        own(
            read_template,
            "The headline, with variables in curly brackets. Required unless `isNotificationResolverUsed`.",
            type="string",
            minLength=1,
            maxLength=LONGEST_TEMPLATE,
            examples=["New comment on {entityName}"],
        ),
    ] = None
    display_headline_message_template_data: Annotated[
        Values,
        own(
            read_values,
            "What the variables stand for: texts, or users, who are shown by name. `recipientUser` may be a user's id. What is not"
            " there stays as it is written, but `actionUser` is the acting user.",
            type="object",
            maxProperties=MOST_VARIABLES,
            additionalProperties=VALUE,
            examples=[{"entityName": "Visitor Analytics"}],
        ),
    ] = field(default_factory=dict)
    display_body_message: Annotated[
        str | None,
        own(
            read_body,
            "What there is to say below the headline. Required unless `isNotificationResolverUsed`.",
            type="string",
            minLength=1,
            maxLength=LONGEST_BODY,
        ),
    ] = None
    notify_users: Annotated[
        tuple[UserBody, ...],
        items(
            "Whom it concerns; who is not known yet is made. Empty only with `notifyAll`.",
            most=MOST_RECIPIENTS_NAMED,
        ),
    ]
    notify_all: Annotated[
        bool,
        own(
            _read_notify_all,
            "Whether all users of the organization get it, or only those in `notifyUsers`.",
            type="boolean",
        ),
    ] = True
    notification_source: Annotated[
        str | None,
        own(
            read_source,
            "Where it comes from; `custom` where `isNotificationResolverUsed`.",
            type="string",
            maxLength=LONGEST_SOURCE,
            examples=[CUSTOM],
        ),
    ] = None
    notification_source_data: Data = None
    context: Annotated[VeltContextBody, note("To whom it is shown.")] | None = None


class VeltAddBody(Body, frozen=True, kw_only=True):
    """A notification to add."""

    data: Annotated[VeltNotificationBody, note("The notification.")]


@dataclass(frozen=True)
class Adding:
    sender: Sender

    @describes(
        "Add a notification",
        detail="All of it or nothing: organization, document, users and message are written together. Who may not get it is passed over, which"
        " is success, also where nobody is left.",
        takes=VeltAddBody,
        gives=DoneAnswer,
        errors=("tenant_not_found", "document_not_found", "notification_exists"),
    )
    async def add(self, call: Call[VeltAddBody]) -> DoneAnswer:
        caller = await call.on_behalf(call.body.data.organization_id)
        await add_notification(self.sender, caller, command_of(call), now=call.now)
        return done(ADDED)


def command_of(call: Call[VeltAddBody]) -> AddNotification:
    """Return what is asked for."""
    body, given = call.body.data, call.given[_DATA]
    context = body.context
    return AddNotification(
        tenant=body.organization_id,
        makes_tenant=body.create_organization,
        document=body.document_id,
        makes_document=body.create_document,
        actor=body.action_user.mention,
        meant=[user.mention for user in body.notify_users],
        listed=body.verify_user_permissions,
        fields=() if context is None else context.access,
        name=body.notification_id,
        fingerprint=None if body.notification_id is None else fingerprint_of(given),
        headline=_headline(body),
        headline_path=f"{_DATA}.{HEADLINE}",
        details=details_of(body, given),
        message=_message(body),
    )


def fingerprint_of(given: dict[str, Any]) -> bytes:
    """Return what two requests have in common that ask for the same, however they are written."""
    return sha256(orjson.dumps(given, option=orjson.OPT_SORT_KEYS)).digest()


def details_of(body: VeltNotificationBody, given: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown of a notification again, and no message holds; of texts that are asked for nothing is kept."""
    resolved = body.is_notification_resolver_used
    kept = {
        ACTOR: show_mention(body.action_user.mention),
        HEADLINE: None if resolved else body.display_headline_message_template,
        VALUES: None if resolved else given.get(VALUES),
        "notificationSource": body.notification_source,
        "context": None if body.context is None else {"access": given["context"]["access"]},
        "notifyAll": body.notify_all,
        "notifyUsers": [show_mention(user.mention) for user in body.notify_users],
        RESOLVED: resolved,
    }
    return {name: value for name, value in kept.items() if value is not None}


def _headline(body: VeltNotificationBody) -> Headline | None:
    template = body.display_headline_message_template
    if body.is_notification_resolver_used or template is None:
        return None
    values = {ACTOR: body.action_user.mention, **body.display_headline_message_template_data}
    return Headline(template, values)


def _message(body: VeltNotificationBody) -> SendMessage:
    return SendMessage(
        bucket=None,
        topic=None,
        title=None,
        subtitle=None,
        body=None if body.is_notification_resolver_used else body.display_body_message,
        delivery_type=DeliveryType.NORMAL,
        user_ids=None,
        makes_users=True,
        everyone=body.notify_all,
        exclude=(),
        within=None,
        subject=None,
        channels=(Channel.IN_APP, Channel.PUSH),
        category=Category.TRANSACTIONAL,
        data=body.notification_source_data,
        deep_link=None,
        collapse_id=None,
        group_id=None,
        sound=None,
        locale=None,
        attachments=(),
        actions=(),
        tap_action=None,
        snoozes=(),
        postpones=(),
        tags=(),
        options=NO_OPTIONS,
        send_at=None,
        ttl=LONGEST_TTL,
    )
