"""Messages as the native API shows them: flat, with every field as it stands after the shortcuts."""

from typing import NotRequired, TypedDict

from server.api.bodies import Id, Time
from server.domain.message import Message
from server.domain.times import show_time


class MessageAttachmentView(TypedDict):
    mediaType: str
    name: NotRequired[str]
    url: NotRequired[str]
    attachmentUuid: NotRequired[Id]
    saveOnServer: NotRequired[bool]


class ActionView(TypedDict):
    type: str
    value: NotRequired[str]
    title: NotRequired[str]
    icon: NotRequired[str]
    destructive: NotRequired[bool]


class MessageView(TypedDict):
    id: Id
    title: str | None
    subtitle: str | None
    body: str | None
    bucketId: Id
    deliveryType: str
    attachments: list[MessageAttachmentView]
    actions: list[ActionView]
    tapAction: ActionView | None
    sound: str | None
    snoozes: list[int]
    postpones: list[int]
    locale: str | None
    groupId: str
    collapseId: str | None
    tags: list[str]
    ephemeral: bool
    remindEveryMinutes: int | None
    maxReminders: int | None
    senderId: Id | None
    createdAt: Time
    scheduledSendAt: Time | None
    updatedAt: Time | None
    expiresAt: Time
    notificationsCount: int


class MessagesView(TypedDict):
    messages: list[MessageView]
    nextCursor: Id | None


def show_message(message: Message) -> MessageView:
    """Return the flat message."""
    content, options = message.content or {}, message.options
    return {
        "id": message.id,
        "title": content.get("title"),
        "subtitle": content.get("subtitle"),
        "body": content.get("body"),
        "bucketId": message.bucket_id,
        "deliveryType": message.delivery_type.value,
        "attachments": content.get("attachments", []),
        "actions": content.get("actions", []),
        "tapAction": content.get("tapAction"),
        "sound": content.get("sound"),
        "snoozes": content.get("snoozes", []),
        "postpones": content.get("postpones", []),
        "locale": content.get("locale"),
        "groupId": content.get("groupId", message.bucket_id),
        "collapseId": content.get("collapseId"),
        "tags": content.get("tags", []),
        "ephemeral": options.ephemeral,
        "remindEveryMinutes": options.remind_every,
        "maxReminders": options.max_reminders or None,
        "senderId": message.sender_id,
        "createdAt": show_time(message.created_at),
        "scheduledSendAt": _time(message.scheduled_at),
        "updatedAt": _time(message.updated_at),
        "expiresAt": show_time(message.expires_at),
        "notificationsCount": message.notifications,
    }


def _time(at: int | None) -> str | None:
    return None if at is None else show_time(at)
