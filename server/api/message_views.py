"""Messages as the native API shows them: flat, with every field as it stands after the shortcuts."""

from typing import Annotated, Any, NotRequired, TypedDict

from server.api.bodies import Id, Time, note
from server.domain.delivery import Channel
from server.domain.message import UNRESOLVED, ActionType, Category, DeliveryType, MediaType, Message
from server.domain.times import show_time, show_when


class MessageAttachmentView(TypedDict):
    """Something that is shown with a message: at `url`, or stored on this server."""

    mediaType: Annotated[MediaType, note("What it is.")]
    name: NotRequired[Annotated[str, note("What it is called.")]]
    url: NotRequired[Annotated[str, note("Where devices find it.")]]
    attachmentUuid: NotRequired[Annotated[Id, note("The id of the file on this server.")]]
    saveOnServer: NotRequired[Annotated[bool, note("Whether this server keeps a copy.")]]


class ActionView(TypedDict):
    """A button of a message, or what a tap on it does."""

    type: Annotated[ActionType, note("What it does.")]
    value: NotRequired[Annotated[str, note("With what: a URL, a path, minutes; it depends on the type.")]]
    title: NotRequired[Annotated[str, note("What stands on the button.")]]
    icon: NotRequired[Annotated[str, note("The name of its icon.")]]
    destructive: NotRequired[Annotated[bool, note("Whether it is shown as one that destroys something.")]]


class MessageView(TypedDict):
    """A message, with every field as it stands after the shortcuts."""

    id: Id
    title: Annotated[
        str | None, note("The first line; null: the content was deleted, or it is `unresolved`.")
    ]
    unresolved: NotRequired[
        Annotated[
            bool,
            note(
                "That its texts are kept by the sender's own server and are not here: streams do not ask for them, and who reads it"
                " may have got no answer."
            ),
        ]
    ]
    subtitle: Annotated[str | None, note("The second line.")]
    body: Annotated[str | None, note("The text.")]
    bucketId: Annotated[Id, note("The bucket that it was sent to.")]
    deliveryType: Annotated[DeliveryType, note("How it comes to its recipients.")]
    channels: Annotated[list[Channel], note("How it travels.")]
    category: Annotated[Category, note("What it is about, for its recipients' preferences.")]
    data: Annotated[dict[str, Any] | None, note("What the app was sent with it.")]
    deepLink: Annotated[str | None, note("Where the app goes when it is opened.")]
    attachments: Annotated[list[MessageAttachmentView], note("What is shown with it.")]
    actions: Annotated[list[ActionView], note("Its buttons.")]
    tapAction: Annotated[ActionView | None, note("What a tap on it does.")]
    sound: Annotated[str | None, note("The sound that it comes with.")]
    snoozes: Annotated[list[int], note("Minutes for which the bucket may be snoozed from it.")]
    postpones: Annotated[list[int], note("Minutes after which it may be asked for again.")]
    locale: Annotated[str | None, note("The language of its texts.")]
    groupId: Annotated[str, note("What it is stacked with.")]
    collapseId: Annotated[str | None, note("It takes the place of an earlier one with the same.")]
    tags: Annotated[list[str], note("Its labels.")]
    ephemeral: Annotated[bool, note("Whether it is deleted once it was read.")]
    remindEveryMinutes: Annotated[
        int | None, note("After how many minutes those are reminded who have not read it.")
    ]
    maxReminders: Annotated[int | None, note("How often at most.")]
    senderId: Annotated[Id | None, note("Who sent it.")]
    createdAt: Annotated[Time, note("When it was created.")]
    scheduledSendAt: Annotated[Time | None, note("When it is to be sent; null: at once.")]
    updatedAt: Annotated[Time | None, note("When it was last changed.")]
    expiresAt: Annotated[Time, note("Until when its delivery is tried.")]
    notificationsCount: Annotated[int, note("How many users it went to.")]


class MessagesView(TypedDict):
    """Messages that the caller sent or may see."""

    messages: Annotated[list[MessageView], note("The newest first.")]
    nextCursor: Annotated[Id | None, note("`cursor` of the next page; null: this is the last one.")]


def show_message(message: Message) -> MessageView:
    """Return the flat message."""
    content, options = message.content or {}, message.options
    view: MessageView = {
        "id": message.id,
        "title": content.get("title"),
        "subtitle": content.get("subtitle"),
        "body": content.get("body"),
        "bucketId": message.bucket_id,
        "deliveryType": message.delivery_type,
        "channels": list(message.channels),
        "category": message.category,
        "data": content.get("data"),
        "deepLink": content.get("deepLink"),
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
        "scheduledSendAt": show_when(message.scheduled_at),
        "updatedAt": show_when(message.updated_at),
        "expiresAt": show_time(message.expires_at),
        "notificationsCount": message.notifications,
    }
    if UNRESOLVED in content:
        view["unresolved"] = True
    return view
