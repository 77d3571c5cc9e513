"""Messages: the command that makes one, its content as devices and APIs see it, and its limits.

`SendMessage` has no default values: each API states its own. What is stored as `content` is the JSON that devices are
given (PROTOCOL.md, section 2), with only what is set, after the shortcuts of the API that sent it; so a message reads the
same wherever it is shown.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from server.domain.bucket import Bucket
from server.domain.times import show_time

LONGEST_TITLE = 100
LONGEST_BODY = 500
LONGEST_LABEL = 100  # sound, groupId, collapseId
LONGEST_URL = 2048
MOST_RECIPIENTS_NAMED = 1000
DAY = 86_400_000
FURTHEST = 366 * DAY  # how far ahead a message may be scheduled
LONGEST_TTL = 28 * DAY  # what a provider keeps, and the window in which a device refuses repeats


class DeliveryType(StrEnum):
    NORMAL = "NORMAL"
    SILENT = "SILENT"
    CRITICAL = "CRITICAL"
    NO_PUSH = "NO_PUSH"  # for the inbox only


class MediaType(StrEnum):
    IMAGE = "IMAGE"
    VIDEO = "VIDEO"
    GIF = "GIF"


@dataclass(frozen=True)
class Attachment:
    media_type: MediaType
    url: str = field(repr=False)


@dataclass(frozen=True)
class SendMessage:
    """What to send; `bucket` is an id or a name, None only from a token that is bound to one bucket."""

    bucket: str | None
    title: str = field(repr=False)
    subtitle: str | None = field(repr=False)
    body: str | None = field(repr=False)
    delivery_type: DeliveryType
    user_ids: tuple[str, ...] | None  # ids, external ids or usernames; None is everybody
    collapse_id: str | None = field(repr=False)
    group_id: str | None = field(repr=False)
    sound: str | None
    locale: str | None
    navigate_to: str | None = field(repr=False)  # where a tap leads
    attachments: tuple[Attachment, ...]
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
    collapse_id: str | None = field(repr=False)
    content: dict[str, Any] | None = field(repr=False)
    created_at: int
    scheduled_at: int | None
    sent_at: int | None
    expires_at: int
    retracted_at: int | None
    notifications: int  # how many users it goes to; 0 while it is scheduled


def content_of(command: SendMessage, bucket: Bucket, sent_at: int) -> dict[str, Any]:
    """Return the content of a new message: only what is set, in the order in which a reader looks for it.

    To its readers a message is as old as its sending, so that is its `createdAt`.
    """
    everything = {
        "title": command.title,
        "subtitle": command.subtitle,
        "body": command.body,
        "bucket": _set({"id": bucket.id, "name": bucket.name, "icon": bucket.icon, "color": bucket.color}),
        "deliveryType": command.delivery_type.value,
        "sound": command.sound,
        "groupId": command.group_id,
        "collapseId": command.collapse_id,
        "locale": command.locale,
        "attachments": [{"mediaType": a.media_type.value, "url": a.url} for a in command.attachments] or None,
        "tapAction": {"type": "NAVIGATE", "value": command.navigate_to} if command.navigate_to else None,
        "createdAt": show_time(sent_at),
    }
    return _set(everything)


def _set(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
