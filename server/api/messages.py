"""`/api/v1/messages`: send, list, get, retract."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import orjson
from aiohttp import web

from server.api.answers import nothing, show
from server.api.bodies import Body, read_query, text, whole
from server.api.describe import JSON, describes
from server.api.forms import FORM, MULTIPART, FilePart, read_multipart, read_urlencoded
from server.api.message_fields import MessageBody, MessageForm
from server.api.message_views import MessagesView, MessageView, show_message
from server.api.reading import Fields, Query, Texts, media_type, read_json
from server.api.sending import Given, read_message
from server.commands.messages import ListMessages, get_message, list_messages, retract
from server.commands.repeats import HEADER, LONGEST_KEY, KeyOfSend, key_of_send
from server.commands.send import Sender, find_sent, send
from server.domain import rules
from server.domain.account import Caller
from server.domain.errors import Invalid, invalid
from server.domain.ports import Clock, Database, Random

PAGE = 20
LONGEST_PAGE = 100

REPEATED = "Idempotency-Replayed"
"""The header of an answer that was given before."""
_KEY = re.compile(rf"[\x21-\x7e]{{1,{LONGEST_KEY}}}")
_SENDING = (
    "bad_json",
    "bad_form",
    "bucket_not_found",
    "bucket_forbidden",
    "bucket_ambiguous",
    "user_not_found",
    "idempotency_key_reused",
    "idempotency_key_in_flight",
    "message_retracted",
)


class MessagesQuery(Body, frozen=True, kw_only=True):
    """Which messages to list."""

    limit: Annotated[int, whole("How many at most.", least=1, most=LONGEST_PAGE)] = PAGE
    cursor: (
        Annotated[str, text("The `nextCursor` of the page before.", most=36, rule=rules.uuid, format="uuid")]
        | None
    ) = None
    bucket_id: (
        Annotated[str, text("Only those of this bucket.", most=36, rule=rules.uuid, format="uuid")] | None
    ) = None


@dataclass(frozen=True)
class Messages:
    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]
    sender: Sender

    @describes(
        "Send a message",
        detail="In JSON, or as a form with everything as text: lists as JSON, with commas or repeated, objects as JSON."
        " With an Idempotency-Key it is sent once, however often it is asked for.",
        takes=MessageBody,
        media=(JSON, FORM, MULTIPART),
        gives=MessageView,
        status=201,
        errors=_SENDING,
    )
    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        kind = media_type(request)
        given = await (self._form(request, kind) if kind in (FORM, MULTIPART) else self._json(request))
        return await self._send(request, caller, given)

    @describes(
        "Send a message by its address",
        detail="For what can only open a URL: all fields stand in the query. HEAD never sends.",
        query=MessageForm,
        gives=MessageView,
        status=201,
        errors=_SENDING,
    )
    async def create_by_get(self, request: web.Request, caller: Caller) -> web.Response:
        meant = {"query": sorted(request.query.items())}
        given = Given(MessageForm, Query(request, now=self.clock()), meant)
        return await self._send(request, caller, given)

    async def _json(self, request: web.Request) -> Given:
        values = await read_json(request)
        return Given(MessageBody, Fields(values, now=self.clock()), values)

    async def _form(self, request: web.Request, kind: str) -> Given:
        pairs = await (read_urlencoded(request) if kind == FORM else read_multipart(request, _refuse))
        return Given(MessageForm, Texts(pairs, now=self.clock()), {"form": sorted(pairs)})

    async def _send(self, request: web.Request, caller: Caller, given: Given) -> web.Response:
        now, bound = given.fields.now, caller.grant.only_bucket
        key = read_key(request, caller, given)
        try:
            command = read_message(given, bucket_known=bound is not None)
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

    @describes("List messages", query=MessagesQuery, gives=MessagesView)
    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        query = read_query(MessagesQuery, request)
        page = await list_messages(self.db, caller.user, _list_command(query))
        cursor = page.messages[-1].id if page.more else None
        shown: MessagesView = {
            "messages": [show_message(message) for message in page.messages],
            "nextCursor": cursor,
        }
        return show(shown)

    @describes("Show a message", gives=MessageView, errors=("message_not_found", "message_retracted"))
    async def get(self, request: web.Request, caller: Caller) -> web.Response:
        message = await get_message(self.db, caller.user, request.match_info["id"].lower())
        return show(show_message(message))

    @describes(
        "Take a message back, from every device", status=204, errors=("message_not_found", "forbidden")
    )
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


async def _refuse(part: FilePart) -> None:
    raise invalid(
        part.part, "is a file", "send it as text; with curl, < instead of @ in front of a file's name"
    )


def read_key(request: web.Request, caller: Caller, sending: Given) -> KeyOfSend | None:
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
    bucket = sending.meant.get("bucketId") or caller.grant.only_bucket
    canonical = orjson.dumps({**sending.meant, "bucketId": bucket}, option=orjson.OPT_SORT_KEYS)
    return key_of_send(caller.user, f"{request.method} /api/v1/messages", key, canonical)


def _list_command(query: MessagesQuery) -> ListMessages:
    return ListMessages(
        before=None if query.cursor is None else query.cursor.lower(),
        bucket_id=None if query.bucket_id is None else query.bucket_id.lower(),
        limit=query.limit,
    )
