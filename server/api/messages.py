"""`/api/v1/messages`: send, list, get, retract."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from server.api.answers import nothing, show
from server.api.reading import Fields, Query, read_json
from server.api.schedule import read_schedule
from server.commands.messages import ListMessages, get_message, list_messages, retract
from server.commands.repeats import HEADER, LONGEST_KEY, KeyOfSend, key_of_send
from server.commands.send import Sender, find_sent, send
from server.domain import rules
from server.domain.account import LONGEST_NAME, Caller
from server.domain.errors import Invalid, invalid
from server.domain.message import (
    LONGEST_BODY,
    LONGEST_LABEL,
    LONGEST_TITLE,
    LONGEST_TTL,
    LONGEST_URL,
    MOST_RECIPIENTS_NAMED,
    NO_OPTIONS,
    Action,
    ActionType,
    Attachment,
    DeliveryType,
    MediaType,
    Message,
    SendMessage,
)
from server.domain.ports import Clock, Database, Random
from server.domain.times import show_time

PAGE = 20
LONGEST_PAGE = 100

REPEATED = "Idempotency-Replayed"
"""The header of an answer that was given before."""
_KEY = re.compile(rf"[\x21-\x7e]{{1,{LONGEST_KEY}}}")
_SHORTCUTS = {"imageUrl": MediaType.IMAGE, "videoUrl": MediaType.VIDEO, "gifUrl": MediaType.GIF}

# Fields of the API that this server does not carry out. Passing over one would send something else than was asked for,
# so it is refused, unless its value is what leaving it out means.
_NOT_CARRIED_OUT = (
    "attachments",
    "actions",
    "tapAction",
    "addMarkAsReadAction",
    "addOpenNotificationAction",
    "addDeleteAction",
    "snoozes",
    "postpones",
    "tags",
    "ephemeral",
    "remindEveryMinutes",
    "maxReminders",
)


@dataclass(frozen=True)
class Messages:
    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]
    sender: Sender

    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        values, now = await read_json(request), self.clock()
        key = read_key(request, caller, values)
        try:
            command = read_message(values, bucket_known=caller.grant.only_bucket is not None, now=now)
        except Invalid:  # a time that was still to come when the same was sent first may have passed
            sent = await find_sent(self.sender, key, now)
            if sent is None:
                raise
        else:
            sent = await send(self.sender, caller, command, key=key, now=now)
        headers = {"Location": f"/api/v1/messages/{sent.message.id}"}
        if sent.repeated:
            headers[REPEATED] = "true"
        return show(show_message(sent.message), status=201, headers=headers)

    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        page = await list_messages(self.db, caller.user, read_list(Query(request)))
        cursor = page.messages[-1].id if page.more else None
        return show({"messages": [show_message(message) for message in page.messages], "nextCursor": cursor})

    async def get(self, request: web.Request, caller: Caller) -> web.Response:
        message = await get_message(self.db, caller.user, request.match_info["id"].lower())
        return show(show_message(message))

    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        await retract(
            self.db,
            caller.user,
            request.match_info["id"].lower(),
            now=self.clock(),
            random=self.random,
            wake=self.wake,
        )
        return nothing()


def read_key(request: web.Request, caller: Caller, values: dict[str, Any]) -> KeyOfSend | None:
    """Read `Idempotency-Key`: any visible ASCII, with or without the quotes of a structured field (RFC 9651)."""
    given = request.headers.getall(HEADER, [])
    if not given:
        return None
    key = given[0].strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(given) > 1 or _KEY.fullmatch(key) is None:
        raise invalid(
            HEADER,
            "is no key",
            f"send one key of 1 to {LONGEST_KEY} visible ASCII characters, such as a UUID",
        )
    # Two tokens that are each bound to a bucket mean different things by leaving it out.
    meant = {**values, "bucketId": values.get("bucketId") or caller.grant.only_bucket}
    canonical = orjson.dumps(meant, option=orjson.OPT_SORT_KEYS)
    return key_of_send(caller.user, "POST /api/v1/messages", key, canonical)


def read_message(values: dict[str, Any], *, bucket_known: bool, now: int) -> SendMessage:
    """Read the body of a send; `bucket_known` lets a token that is bound to one bucket leave `bucketId` out."""
    fields = Fields(values)
    bucket = fields.optional if bucket_known else fields.required
    command = SendMessage(
        bucket=bucket("bucketId", most=LONGEST_NAME),
        title=fields.required("title", most=LONGEST_TITLE, rule=rules.prose),
        subtitle=fields.optional("subtitle", most=LONGEST_TITLE, least=0, rule=rules.prose) or None,
        body=fields.optional("body", most=LONGEST_BODY, least=0, rule=rules.prose) or None,
        delivery_type=fields.choice("deliveryType", DeliveryType),
        user_ids=_read_user_ids(fields),
        collapse_id=fields.optional("collapseId", most=LONGEST_LABEL),
        group_id=fields.optional("groupId", most=LONGEST_LABEL),
        sound=fields.optional("sound", most=LONGEST_LABEL),
        locale=fields.optional("locale", most=LONGEST_LABEL, rule=rules.language_tag),
        attachments=_read_shortcuts(fields),
        actions=(),
        tap_action=_read_tap(fields),
        snoozes=(),
        postpones=(),
        tags=(),
        options=NO_OPTIONS,
        send_at=read_schedule(fields, now),
        ttl=LONGEST_TTL,
    )
    _refuse_others(fields)
    fields.check()
    return command


def _read_shortcuts(fields: Fields) -> tuple[Attachment, ...]:
    urls = {
        media: fields.optional(name, most=LONGEST_URL, rule=rules.web_url)
        for name, media in _SHORTCUTS.items()
    }
    return tuple(
        Attachment(media, None, url, None, save=False) for media, url in urls.items() if url is not None
    )


def _read_tap(fields: Fields) -> Action | None:
    url = fields.optional("tapUrl", most=LONGEST_URL, rule=rules.tap_url)
    return None if url is None else Action(ActionType.NAVIGATE, url, None, None, destructive=False)


def _read_user_ids(fields: Fields) -> tuple[str, ...] | None:
    """Read `userIds`: a list, the JSON text of one, or names with commas between them."""
    value = fields.value("userIds")
    if value is None:
        return None
    if isinstance(value, str):
        value = _split(value)
    given = Fields({"userIds": value})
    named = given.items("userIds", most=MOST_RECIPIENTS_NAMED)
    fields.faults += given.faults
    if named is None:
        return None
    if not named:
        fields.fault("userIds", "names nobody", "name someone, or leave it out to reach the whole bucket")
    return tuple(
        fields.text(f"userIds[{index}]", name, most=LONGEST_NAME, rule=rules.label) or ""
        for index, name in enumerate(named)
    )


def _split(text: str) -> Any:
    """Return the list in a text; what begins like JSON and is none stays a text, which is then refused."""
    if not text.lstrip().startswith("["):
        return [name.strip() for name in text.split(",") if name.strip()]
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _refuse_others(fields: Fields) -> None:
    for name in fields.among(_NOT_CARRIED_OUT):
        if fields.value(name) not in (None, False, [], ""):
            fields.fault(name, "is not supported by this server yet", "leave it out")


def read_list(query: Query) -> ListMessages:
    """Read `limit`, `cursor` and `bucketId`; a `title` is a send in the wrong method."""
    command = ListMessages(
        before=query.id("cursor"),
        bucket_id=query.id("bucketId"),
        limit=query.number("limit", least=1, most=LONGEST_PAGE, otherwise=PAGE),
    )
    if query.value("title") is not None:
        query.fault("title", "would send, which GET does not do here", "send with POST /api/v1/messages")
    query.check()
    return command


def show_message(message: Message) -> dict[str, Any]:
    """Return the flat message, with every field as it stands after the shortcuts."""
    content = message.content or {}
    return {
        "id": message.id,
        "title": content.get("title"),
        "subtitle": content.get("subtitle"),
        "body": content.get("body"),
        "bucketId": message.bucket_id,
        "deliveryType": message.delivery_type.value,
        "attachments": content.get("attachments", []),
        "tapAction": content.get("tapAction"),
        "sound": content.get("sound"),
        "locale": content.get("locale"),
        "groupId": content.get("groupId", message.bucket_id),
        "collapseId": content.get("collapseId"),
        "senderId": message.sender_id,
        "createdAt": show_time(message.created_at),
        "scheduledSendAt": None if message.scheduled_at is None else show_time(message.scheduled_at),
        "expiresAt": show_time(message.expires_at),
        "notificationsCount": message.notifications,
    }
