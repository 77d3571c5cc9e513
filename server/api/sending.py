"""From a request to send to the command: JSON, a form or a query, with the shortcuts carried out and all faults at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.api.bodies import take
from server.api.message_fields import MessageBody
from server.api.message_parts import ActionBody, AttachmentBody
from server.api.reading import Fields
from server.api.schedule import moment
from server.domain.delivery import Channel
from server.domain.message import (
    EPHEMERAL_TTL,
    LONGEST_TTL,
    MOST_PARTS,
    NO_OPTIONS,
    REMINDERS,
    Action,
    ActionType,
    Attachment,
    DeliveryType,
    MediaType,
    Options,
    SendMessage,
)


@dataclass(frozen=True)
class Given:
    """A send as it came.

    `meant` says what was asked for, in JSON's values, however it was written; `files` came with it and are stored already.
    """

    kind: type[MessageBody]
    fields: Fields
    meant: dict[str, Any] = field(repr=False)
    files: Sequence[Attachment] = ()


def read_message(given: Given, *, bucket_known: bool, manages: bool) -> SendMessage:
    """Return what to send, Invalid.

    `bucket_known` lets a token that is bound to one bucket leave `bucketId` out, `manages` who may send to topics and to users by name.
    """
    fields = given.fields
    body = take(given.kind, fields)
    command = _command(body, given.files, fields.now)
    if command.bucket is not None and command.topic is not None:
        fields.fault("topicKey", "is given beside bucketId", "send one of the two")
    if command.topic is not None and not manages:
        fields.fault("topicKey", "is for an admin of the tenant", "send to a bucket that you may write to")
    named = command.topic is not None or (manages and command.user_ids is not None)
    if not bucket_known and not named and fields.value("bucketId") is None:
        fields.fault("bucketId", "is missing", "send the bucket's id or name")
    if not command.channels:
        fields.fault("channels", "names none that it could take", "leave it out, or name IN_APP or PUSH")
    if body.max_reminders is not None and body.remind_every_minutes is None:
        fields.fault("maxReminders", "is given without remindEveryMinutes", "send both, or neither")
    for name, parts in (("attachments", command.attachments), ("actions", command.actions)):
        if len(parts) > MOST_PARTS:
            reason = f"has {len(parts)} entries, with what shortcuts and files add"
            fields.fault(name, reason, f"send {MOST_PARTS} at most")
    fields.check()
    return command


def action_of(body: ActionBody) -> Action:
    return Action(ActionType(body.type), body.value, body.title, body.icon, destructive=body.destructive)


def tap_of(tap_action: ActionBody | None, tap_url: str | None) -> Action | None:
    """Return what a tap does: what is said in full, else what the shortcut says."""
    if tap_action is not None:
        return action_of(tap_action)
    return None if tap_url is None else Action(ActionType.NAVIGATE, tap_url, None, None, destructive=False)


def _command(body: MessageBody, files: Iterable[Attachment], now: int) -> SendMessage:
    """Return the command of a body; where that had faults, its parts may be missing, and nothing comes of it."""
    return SendMessage(
        bucket=body.bucket_id,
        topic=body.topic_key,
        title=body.title,
        subtitle=body.subtitle or None,
        body=body.body or None,
        delivery_type=body.delivery_type,
        user_ids=body.user_ids,
        makes_users=False,
        everyone=False,
        exclude=(),
        within=None,
        subject=None,
        channels=_channels(body),
        category=body.category,
        data=body.data,
        deep_link=body.deep_link,
        collapse_id=body.collapse_id,
        group_id=body.group_id,
        sound=body.sound,
        locale=body.locale,
        attachments=(*_attachments(body), *files),
        actions=_actions(body),
        tap_action=tap_of(body.tap_action, body.tap_url),
        snoozes=body.snoozes,
        postpones=body.postpones,
        tags=body.tags,
        options=_options(body),
        send_at=moment(body.scheduled_send_at, body.delay_seconds, now),
        ttl=EPHEMERAL_TTL if body.ephemeral else LONGEST_TTL,
    )


def _channels(body: MessageBody) -> tuple[Channel, ...]:
    channels = (Channel.IN_APP, Channel.PUSH) if body.channels is None else body.channels
    silent = body.delivery_type is DeliveryType.NO_PUSH
    return tuple(one for one in dict.fromkeys(channels) if not (silent and one is Channel.PUSH))


def _attachments(body: MessageBody) -> list[Attachment]:
    shortcuts = (
        (MediaType.IMAGE, body.image_url),
        (MediaType.VIDEO, body.video_url),
        (MediaType.GIF, body.gif_url),
    )
    added = [Attachment(media, None, url, None, save=False) for media, url in shortcuts if url is not None]
    return [_attachment(one) for one in filter(None, body.attachments)] + added


def _attachment(body: AttachmentBody) -> Attachment:
    stored = body.attachment_uuid
    return Attachment(
        media_type=MediaType(body.media_type),
        name=body.name,
        url=body.url,
        attachment_id=None if stored is None else stored.lower(),
        save=body.save_on_server and stored is None,  # what is stored here is saved already
    )


def _actions(body: MessageBody) -> tuple[Action, ...]:
    actions = [action_of(one) for one in filter(None, body.actions)]
    flags = (
        (ActionType.MARK_AS_READ, body.add_mark_as_read_action),
        (ActionType.OPEN_NOTIFICATION, body.add_open_notification_action),
        (ActionType.DELETE, body.add_delete_action),
    )
    there = {action.type for action in actions}
    actions += [
        Action(kind, None, None, None, destructive=kind is ActionType.DELETE)
        for kind, added in flags
        if added and kind not in there
    ]
    return tuple(actions)


def _options(body: MessageBody) -> Options:
    every = body.remind_every_minutes
    if every is None and not body.ephemeral:
        return NO_OPTIONS
    most = 0 if every is None else body.max_reminders or REMINDERS
    return Options(ephemeral=body.ephemeral, remind_every=every, max_reminders=most)
