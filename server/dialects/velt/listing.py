"""Reading notifications: `POST /v2/notifications/get`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from server.api.bodies import Body, Time, items, note, text, whole
from server.api.describe import describes
from server.api.pages import LONGEST_PAGE, PAGE
from server.api.subscribers import name_of
from server.commands.notifications import (
    NotificationPage,
    Whose,
    find_notifications,
    list_notifications,
)
from server.dialects.velt.fields import MESSAGE, SUCCESS, DocumentId, OrganizationId, UserId
from server.dialects.velt.rpc import Call
from server.dialects.velt.texts import HEADLINE, RESOLVED, VALUES
from server.domain import rules
from server.domain.account import LONGEST_NAME, Caller, User, matching_key
from server.domain.errors import invalid
from server.domain.message import UNRESOLVED
from server.domain.notification import MOST_READERS, Notification
from server.domain.ports import Database
from server.domain.resolver import Resolver
from server.domain.scopes import Need
from server.domain.subject import MEANT
from server.domain.texts import ACTOR
from server.domain.times import show_time, show_when

MOST_IDS = 30
_TOKEN = 36  # characters

NotificationId = Annotated[
    str,
    text("The notification, by your own id of it or ours.", most=LONGEST_NAME, examples=["custom-notif-001"]),
]
NotificationIds = Annotated[tuple[NotificationId, ...], items("Only these.", most=MOST_IDS, least=1)]
PageSize = Annotated[int, whole("How many on a page.", least=1, most=LONGEST_PAGE)]
PageToken = Annotated[
    str, text("The `pageToken` of the page before.", most=_TOKEN, rule=rules.uuid, format="uuid")
]


class VeltWhoseBody(Body, frozen=True, kw_only=True):
    """Which notifications of an organization, and which page of them."""

    organization_id: OrganizationId
    document_id: DocumentId | None = None
    user_id: UserId | None = None
    notification_ids: NotificationIds | None = None
    page_size: PageSize = PAGE
    page_token: PageToken | None = None

    @property
    def before(self) -> str | None:
        """Where the page begins, None for the newest."""
        return None if self.page_token is None else self.page_token.lower()


class VeltGetBody(Body, frozen=True, kw_only=True):
    """Which notifications to read."""

    data: Annotated[
        VeltWhoseBody,
        note(
            "Which ones: by `notificationIds` they are all on one page.",
            examples=[{"organizationId": "yourOrganizationId", "userId": "yourUserId"}],
        ),
    ]


class VeltNotificationView(TypedDict):
    """A notification."""

    id: Annotated[str, note("Your own id of it, where you gave it one.")]
    notificationId: Annotated[str, note("The same.")]
    organizationId: Annotated[str, note("Its organization.")]
    documentId: Annotated[
        str | None, note("What it is about; null where that was deleted, or nobody has said it.")
    ]
    actionUser: Annotated[dict[str, Any] | None, note("Who has done something.")]
    displayHeadlineMessage: Annotated[str | None, note("The headline, with its variables put in.")]
    displayBodyMessage: Annotated[str | None, note("What there is to say below it.")]
    displayHeadlineMessageTemplate: Annotated[str | None, note("The headline as it was given.")]
    displayHeadlineMessageTemplateData: Annotated[
        dict[str, Any] | None,
        note(
            "What its variables stand for, as it was given; who does not manage the organization sees of users the ids and names."
        ),
    ]
    notificationSource: Annotated[str | None, note("Where it comes from.")]
    notificationSourceData: Annotated[dict[str, Any] | None, note("For the app, as it was given.")]
    context: Annotated[dict[str, Any] | None, note("To whom it is shown, as it was given.")]
    notifyAll: Annotated[bool, note("Whether all users of the organization got it.")]
    notifyUsers: Annotated[
        list[dict[str, Any]],
        note("Whom it concerns, as they were given; who does not manage the organization sees no others."),
    ]
    isNotificationResolverUsed: Annotated[bool, note("Whether your own server is asked for its texts.")]
    unresolved: NotRequired[Annotated[bool, note("That its texts were not to be had there just now.")]]
    readByUserIds: Annotated[
        list[str],
        note(
            f"Who has read it, by their ids in your app; at most {MOST_READERS} of them. Who does not manage the organization sees no"
            " others."
        ),
    ]
    timestamp: Annotated[Time, note("When it was sent.")]
    isRead: NotRequired[Annotated[bool, note("With `userId`: whether this user has read it.")]]
    readAt: NotRequired[Annotated[Time | None, note("With `userId`: when that was.")]]
    forYou: NotRequired[
        Annotated[bool, note("With `userId`: whether it concerns this user, and not just everyone.")]
    ]


class VeltNotificationsView(TypedDict):
    """A page of notifications."""

    status: Annotated[Literal["success"], SUCCESS]
    message: Annotated[str, MESSAGE]
    data: Annotated[list[VeltNotificationView], note("The newest first.")]
    pageToken: Annotated[str | None, note("For the page after this one; null: there is none.")]


class VeltNotificationsAnswer(TypedDict):
    """The notifications."""

    result: Annotated[VeltNotificationsView, note("A page of them.")]


@dataclass(frozen=True)
class Listing:
    db: Database
    resolver: Resolver

    @describes(
        "Read notifications",
        detail="With `userId` what is in this user's inbox, of whichever API it came by; without it what was sent to users of the"
        " organization by name, or to all of them. Who calls with a token of their own reads their own inbox; a `gateway`"
        " token names the user. Neither is shown who else has it, who has read it, or how to reach them.",
        takes=VeltGetBody,
        gives=VeltNotificationsAnswer,
        errors=("tenant_not_found", "user_not_found"),
    )
    async def get(self, call: Call[VeltGetBody]) -> VeltNotificationsAnswer:
        body = call.body.data
        caller = await reader_of(call, body)
        whose = whose_of(caller, body)
        if body.notification_ids is None:
            page = await list_notifications(
                self.db, self.resolver, whose, before=body.before, limit=body.page_size
            )
        else:
            names = body.notification_ids
            page = NotificationPage(await find_notifications(self.db, self.resolver, whose, names), None)
        rows = [_show(one, body.organization_id, caller) for one in page.notifications]
        return VeltNotificationsAnswer(
            result=VeltNotificationsView(
                status="success",
                message="Notifications retrieved successfully.",
                data=rows,
                pageToken=page.next,
            )
        )


async def reader_of(call: Call[Any], body: VeltWhoseBody) -> Caller:
    """Return for whom a call is: a user, or who manages the organization; NotFound, Invalid."""
    caller = await call.within(body.organization_id, body.user_id)
    if body.user_id is None and caller.acting is not None and caller.manages is None:
        raise invalid("data.userId", "is missing", "name the user whose notifications are to be read")
    return caller


def whose_of(caller: Caller, body: VeltWhoseBody) -> Whose:
    user_id = None if caller.manages is not None else caller.user.id
    return Whose(caller.tenant_id, user_id, body.document_id)


def _show(one: Notification, organization: str, caller: Caller) -> VeltNotificationView:
    """Show a notification to a caller: all of it to who manages the organization, to others nothing that concerns other users alone."""
    shown = show_notification(one, organization)
    return shown if caller.grant.meets(Need.MANAGE) else _to_one(shown, caller.user)


def _to_one(shown: VeltNotificationView, user: User) -> VeltNotificationView:
    """Return what one user is shown of a notification in their inbox: of others who has done something, and whom the headline names."""
    actor, values = shown["actionUser"], shown["displayHeadlineMessageTemplateData"]
    return {
        **shown,
        "actionUser": None if actor is None else _without_address(actor),
        "displayHeadlineMessageTemplateData": None if values is None else _without_addresses(values),
        "notifyUsers": _own(shown["notifyUsers"], user) if shown.get("forYou") else [],
        "readByUserIds": [name_of(user)] if shown.get("isRead") else [],
    }


def _own(named: Sequence[dict[str, Any]], user: User) -> list[dict[str, Any]]:
    """Return those of some users who are this one; a username counts last: it may be another's id in the app (`identify`)."""
    username = None if user.username is None else matching_key(user.username)
    ways = (
        [one for one in named if one["userId"] == user.external_id],
        [one for one in named if one["userId"].lower() == user.id],
        [one for one in named if matching_key(one["userId"]) == username],
    )
    return next((found for found in ways if found), [])


def _without_addresses(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what variables stand for, of users the ids and names."""
    return {
        name: _without_address(value) if isinstance(value, dict) else value for name, value in values.items()
    }


def _without_address(somebody: Mapping[str, Any]) -> dict[str, Any]:
    return {part: somebody[part] for part in ("userId", "name") if part in somebody}


def show_notification(one: Notification, organization: str) -> VeltNotificationView:
    """Show a notification as a tenant sees it, or with what one of its users has of it."""
    content, details = one.message.content or {}, {} if one.subject is None else one.subject.details
    shown = VeltNotificationView(
        id=one.name,
        notificationId=one.name,
        organizationId=organization,
        documentId=one.document,
        actionUser=details.get(ACTOR) or ({"userId": one.sender} if one.sender else None),
        displayHeadlineMessage=content.get("title"),
        displayBodyMessage=content.get("body"),
        displayHeadlineMessageTemplate=details.get(HEADLINE),
        displayHeadlineMessageTemplateData=details.get(VALUES),
        notificationSource=details.get("notificationSource"),
        notificationSourceData=content.get("data"),
        context=details.get("context"),
        notifyAll=details.get("notifyAll", False),
        notifyUsers=details.get("notifyUsers", []),
        isNotificationResolverUsed=details.get(RESOLVED, False),
        readByUserIds=list(one.read_by),
        timestamp=show_time(one.message.sent_at or one.message.created_at),
    )
    if content.get(UNRESOLVED):
        shown["unresolved"] = True
    if one.item is not None:
        shown["isRead"] = one.item.read_at is not None
        shown["readAt"] = show_when(one.item.read_at)
        shown["forYou"] = is_meant(details, one.item.user_id)
    return shown


def is_meant(details: Mapping[str, Any], user_id: str) -> bool:
    """Say whether a notification concerns a user; of what nobody has said it, it concerns all who have it."""
    return MEANT not in details or user_id in details[MEANT]
