"""`PATCH /api/v1/messages/{id}`: what a message says, and when it is sent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from server.api.answers import show
from server.api.bodies import Body, take
from server.api.describe import describes
from server.api.message_fields import (
    Actions,
    Locale,
    MessageBody,
    Minutes,
    Sound,
    Subtitle,
    Tags,
    TapAction,
    TapUrl,
    Text,
    Title,
)
from server.api.message_parts import ActionBody
from server.api.message_views import MessageView, show_message
from server.api.reading import Fields, read_json
from server.api.schedule import Delay, SendAt, ZoneName, moment
from server.api.sending import action_of, tap_of
from server.commands.changes import ChangeMessage, change
from server.domain.account import Caller
from server.domain.message import action_content
from server.domain.ports import Clock, Database, Random


class MessageChange(Body, frozen=True, kw_only=True):
    """What is to be changed. What is left out stays as it is; a null takes away what a message need not have."""

    title: Title | UnsetType = UNSET
    subtitle: Subtitle | UnsetType | None = UNSET
    body: Text | UnsetType | None = UNSET
    locale: Locale | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    actions: Actions | UnsetType | None = UNSET
    tap_action: TapAction | UnsetType | None = UNSET
    tap_url: TapUrl | UnsetType | None = UNSET
    sound: Sound | UnsetType | None = UNSET
    snoozes: Minutes | UnsetType | None = UNSET
    postpones: Minutes | UnsetType | None = UNSET
    scheduled_send_at: SendAt = None
    timezone: ZoneName | None = None
    delay_seconds: Delay | None = None


def _names(kind: type[Body]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


# What is decided when a message is sent. Passing over one would be a change that did not happen.
_LASTING = sorted(_names(MessageBody) - _names(MessageChange))


@dataclass(frozen=True)
class MessageChanges:
    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]

    @describes(
        "Change a message",
        detail="What a message says changes on every device that has it. When it is sent can be changed until it is.",
        takes=MessageChange,
        gives=MessageView,
        errors=("bad_json", "message_not_found", "forbidden", "message_retracted", "already_sent"),
    )
    async def change(self, request: web.Request, caller: Caller) -> web.Response:
        values, now = await read_json(request), self.clock()
        message = await change(
            self.db,
            caller.user,
            request.match_info["id"].lower(),
            read_change(values, now=now),
            now=now,
            random=self.random,
            wake=self.wake,
        )
        return show(show_message(message))


def read_change(values: dict[str, Any], *, now: int) -> ChangeMessage:
    """Return what is to be changed; Invalid."""
    fields = Fields(values, now=now)
    body = take(MessageChange, fields)
    for name in fields.among(_LASTING):
        fields.fault(name, "cannot be changed", "leave it out, or retract the message and send another one")
    fields.check()
    return ChangeMessage(_words(body), moment(body.scheduled_send_at, body.delay_seconds, now))


def _words(body: MessageChange) -> dict[str, Any]:
    """Return the words of a message's content that change; None is for what it is not to have any more."""
    words = {
        "title": body.title,
        "subtitle": body.subtitle,
        "body": body.body,
        "locale": body.locale,
        "tags": body.tags,
        "actions": _actions(body.actions),
        "tapAction": _tap(body),
        "sound": body.sound,
        "snoozes": body.snoozes,
        "postpones": body.postpones,
    }
    return {name: _stored(value) for name, value in words.items() if value is not UNSET}


def _stored(value: Any) -> Any:
    """Return a value as content has it: lists, and nothing that is empty."""
    return (list(value) if isinstance(value, tuple) else value) or None


def _actions(bodies: Sequence[ActionBody] | UnsetType | None) -> Any:
    if bodies is None or isinstance(bodies, UnsetType):
        return bodies
    return [action_content(action_of(one)) for one in bodies]


def _tap(body: MessageChange) -> Any:
    """Return what a tap does then: what is said in full, else what the shortcut says."""
    if isinstance(body.tap_action, UnsetType) and isinstance(body.tap_url, UnsetType):
        return UNSET
    action = tap_of(body.tap_action or None, body.tap_url or None)
    return None if action is None else action_content(action)
