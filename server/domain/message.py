"""Messages: the command that makes one, its content as devices and APIs see it, and its limits.

`SendMessage` has no default values: each API states its own. What is stored as `content` is the JSON that devices are
given (PROTOCOL.md, section 2), with only what is set, after the shortcuts of the API that sent it; so a message reads the
same wherever it is shown. Two words in it are the server's own: an attachment's `attachmentUuid`, in whose place
a device that has a key is given a claim, and `saveOnServer`, which no device sees. Texts that are not kept here are asked for
when a message is read or pushed; a content that says UNRESOLVED is without them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from server.domain.audience import Within
from server.domain.bucket import Bucket
from server.domain.delivery import Channel
from server.domain.subject import Subject
from server.domain.times import show_time

LONGEST_TITLE = 100
LONGEST_BODY = 500
LONGEST_LABEL = 100  # sound, groupId, collapseId
LONGEST_URL = 2048
MOST_RECIPIENTS_NAMED = 1000
MOST_DATA = 4096  # bytes of JSON
DEEPEST_DATA = 16  # levels
MOST_PARTS = 10  # attachments, actions, tags, snoozes, postpones
LONGEST_MINUTES = 10_080  # a week: snoozes, postpones, the time between reminders
MOST_REMINDERS = 100
REMINDERS = 10  # where the sender does not say how many
MINUTE = 60_000
DAY = 86_400_000
UNRESOLVED = "unresolved"  # the word of a content whose texts are asked for, and not there
NEW = "New notification"  # the title of such a one on a phone
FURTHEST = 366 * DAY  # how far ahead a message may be scheduled
LONGEST_TTL = 28 * DAY  # what a provider keeps, and the window in which a device refuses repeats
EPHEMERAL_TTL = DAY  # what is left of an ephemeral message after that is nothing


class DeliveryType(StrEnum):
    """How a message comes: as usual, without a sound, even where sounds are off, or into the inbox only."""

    NORMAL = "NORMAL"
    SILENT = "SILENT"
    CRITICAL = "CRITICAL"
    NO_PUSH = "NO_PUSH"  # for the inbox only


class Category(StrEnum):
    """What a message is about, for its recipients' preferences."""

    SYSTEM = "SYSTEM"  # whatever anybody prefers, it comes
    TRANSACTIONAL = "TRANSACTIONAL"
    PRODUCT = "PRODUCT"
    PROMOTIONAL = "PROMOTIONAL"


class MediaType(StrEnum):
    """What an attachment is."""

    IMAGE = "IMAGE"
    VIDEO = "VIDEO"
    GIF = "GIF"
    AUDIO = "AUDIO"
    ICON = "ICON"
    FILE = "FILE"  # DOCUMENT is another word for it


class ActionType(StrEnum):
    """The device runs the first four, the server the others."""

    NAVIGATE = "NAVIGATE"  # OPEN_URL is another word for it
    BACKGROUND_CALL = "BACKGROUND_CALL"
    OPEN_NOTIFICATION = "OPEN_NOTIFICATION"
    DISMISS = "DISMISS"
    WEBHOOK = "WEBHOOK"
    MARK_AS_READ = "MARK_AS_READ"
    DELETE = "DELETE"
    SNOOZE = "SNOOZE"
    POSTPONE = "POSTPONE"

    @property
    def is_device(self) -> bool:
        """Whether it is run on the device."""
        return self in _ON_DEVICE

    @property
    def needs_value(self) -> bool:
        return self not in _WITHOUT_VALUE


_ON_DEVICE = frozenset(
    {ActionType.NAVIGATE, ActionType.BACKGROUND_CALL, ActionType.OPEN_NOTIFICATION, ActionType.DISMISS}
)
_WITHOUT_VALUE = frozenset(
    {ActionType.MARK_AS_READ, ActionType.DELETE, ActionType.OPEN_NOTIFICATION, ActionType.DISMISS}
)


@dataclass(frozen=True)
class Attachment:
    """Exactly one of `url` and `attachment_id` is there; `save`: the server keeps a copy of what the URL leads to."""

    media_type: MediaType
    name: str | None = field(repr=False)
    url: str | None = field(repr=False)
    attachment_id: str | None
    save: bool


@dataclass(frozen=True)
class Action:
    type: ActionType
    value: str | None = field(repr=False)
    title: str | None = field(repr=False)
    icon: str | None
    destructive: bool


@dataclass(frozen=True)
class Options:
    """What the server does with a message beside delivering it. `remind_every` in minutes, None for no reminders."""

    ephemeral: bool
    remind_every: int | None
    max_reminders: int


NO_OPTIONS = Options(ephemeral=False, remind_every=None, max_reminders=0)


@dataclass(frozen=True)
class SendMessage:
    """What to send, and to whom.

    `bucket` is an id or a name. `topic` is a topic's key, for who manages its tenant. Without either a token that is bound to one
    bucket sends there, and who manages a tenant sends to the users that are named, members of whatever. `channels` has no
    repetitions.
    """

    bucket: str | None
    topic: str | None
    title: str | None = field(repr=False)  # None: it is asked for when it is read
    subtitle: str | None = field(repr=False)
    body: str | None = field(repr=False)
    delivery_type: DeliveryType
    user_ids: tuple[str, ...] | None  # ids, external ids or usernames; None is everybody
    makes_users: (
        bool  # names that nobody has are the external ids of users who are made, for who manages the tenant
    )
    everyone: bool  # every user of the tenant, for who manages it
    exclude: tuple[str, ...]  # names of users who do not get it; unknown ones are nobody
    within: Within | None  # only who has access to a document
    subject: Subject | None
    channels: tuple[Channel, ...]
    category: Category
    data: Mapping[str, Any] | None = field(repr=False)  # for the app
    deep_link: str | None = field(repr=False)
    collapse_id: str | None = field(repr=False)
    group_id: str | None = field(repr=False)
    sound: str | None
    locale: str | None
    attachments: tuple[Attachment, ...]
    actions: tuple[Action, ...]
    tap_action: Action | None
    snoozes: tuple[int, ...]  # minutes
    postpones: tuple[int, ...]  # minutes
    tags: tuple[str, ...] = field(repr=False)
    options: Options
    send_at: int | None  # None is now
    ttl: int  # milliseconds from then, at most LONGEST_TTL


@dataclass(frozen=True)
class Message:
    """A message as it is stored; `content` is None once it is retracted, `sent_at` until a scheduled one is sent."""

    id: str
    tenant_id: str
    bucket_id: str
    sender_id: str | None
    delivery_type: DeliveryType
    channels: tuple[Channel, ...]
    category: Category
    collapse_id: str | None = field(repr=False)
    content: dict[str, Any] | None = field(repr=False)
    options: Options
    created_at: int
    scheduled_at: int | None
    sent_at: int | None
    expires_at: int
    updated_at: int | None
    retracted_at: int | None
    handed_over: int | None  # of a retracted one: how many of its deliveries had gone out by then
    notifications: int  # how many users it goes to; 0 while it is scheduled


def content_of(command: SendMessage, bucket: Bucket, sent_at: int) -> dict[str, Any]:
    """Return the content of a new message: only what is set, in the order in which a reader looks for it.

    To its readers a message is as old as its sending, so that is its `createdAt`.
    """
    everything = {
        "title": command.title,
        UNRESOLVED: True if command.title is None else None,
        "subtitle": command.subtitle,
        "body": command.body,
        "bucket": _set({"id": bucket.id, "name": bucket.name, "icon": bucket.icon, "color": bucket.color}),
        "deliveryType": command.delivery_type.value,
        "sound": command.sound,
        "groupId": command.group_id,
        "collapseId": command.collapse_id,
        "locale": command.locale,
        "tags": list(command.tags) or None,
        "attachments": [_attachment(attachment) for attachment in command.attachments] or None,
        "actions": [action_content(action) for action in command.actions] or None,
        "tapAction": None if command.tap_action is None else action_content(command.tap_action),
        "snoozes": list(command.snoozes) or None,
        "postpones": list(command.postpones) or None,
        "data": command.data or None,
        "deepLink": command.deep_link,
        "category": None if command.category is Category.TRANSACTIONAL else command.category.value,
        "createdAt": show_time(sent_at),
    }
    return _set(everything)


def action_content(action: Action) -> dict[str, Any]:
    """Return an action as it is stored, shown and given to devices."""
    return _set(
        {
            "type": action.type.value,
            "value": action.value,
            "title": action.title,
            "icon": action.icon,
            "destructive": True if action.destructive else None,
        }
    )


def _attachment(attachment: Attachment) -> dict[str, Any]:
    return _set(
        {
            "mediaType": attachment.media_type.value,
            "name": attachment.name,
            "url": attachment.url,
            "attachmentUuid": attachment.attachment_id,
            "saveOnServer": True if attachment.save else None,
        }
    )


def _set(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
