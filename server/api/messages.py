"""`/api/v1/messages`: send, list, get, retract."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import orjson
from aiohttp import web

from server.api.answers import JSON, nothing, show
from server.api.bodies import read_query, text
from server.api.describe import describes
from server.api.forms import FORM, MULTIPART, read_multipart, read_urlencoded
from server.api.idempotency import KEY_HEADER, read_key
from server.api.message_fields import MessageBody, MessageForm, MessageParts
from server.api.message_views import MessagesView, MessageView, show_message
from server.api.pages import PageQuery
from server.api.reading import Fields, Query, Texts, media_type, read_json
from server.api.sending import Given, read_message
from server.api.uploads import Uploads, discarded_if_refused
from server.commands.acting import settle
from server.commands.attachments import Storage
from server.commands.messages import ListMessages, get_message, list_messages, retract
from server.commands.repeats import KeyOfSend, key_of_send
from server.commands.resolving import fill_one
from server.commands.send import Enclosed, Sender, Sent, find_sent, send
from server.domain.account import LONGEST_NAME, Caller
from server.domain.errors import Invalid, invalid
from server.domain.file import ReceivedFile
from server.domain.ports import Clock, Database, Random
from server.domain.resolver import Resolver
from server.domain.scopes import Need

REPEATED = "Idempotency-Replayed"
"""The header of an answer that was given before."""
_SENDING = (
    "bad_json",
    "bad_form",
    "attachment_not_found",
    "attachments_full",
    "bucket_not_found",
    "bucket_forbidden",
    "bucket_ambiguous",
    "user_not_found",
    "idempotency_key_reused",
    "idempotency_key_in_flight",
    "message_retracted",
)


class MessagesQuery(PageQuery, frozen=True, kw_only=True):
    """Which messages to list."""

    bucket_id: Annotated[str, text("Of one bucket only: its id or its name.", most=LONGEST_NAME)] | None = (
        None
    )


@dataclass(frozen=True)
class Messages:
    db: Database
    clock: Clock
    random: Random
    wake: Callable[[], None]
    sender: Sender
    storage: Storage
    resolver: Resolver

    @describes(
        "Send a message",
        detail="In JSON, or as a form with everything as text: lists as JSON, with commas or repeated, objects as JSON."
        " Parts named `attachments` that are files are stored and come with it."
        " With an Idempotency-Key it is sent once, however often it is asked for.",
        takes=MessageBody,
        media=(JSON, FORM, MULTIPART),
        form=MessageForm,
        parts=MessageParts,
        gives=MessageView,
        status=201,
        errors=_SENDING,
        headers=KEY_HEADER,
    )
    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        kind = media_type(request)
        if kind == MULTIPART:
            with self.storage.receiving(_sender_of(caller)):
                return await self._create_with_files(request, caller)
        given = await (self._form(request) if kind == FORM else self._json(request))
        return show_sent(await self._send(request, caller, given))

    @describes(
        "Send a message by its address",
        detail="For what can only open a URL: all fields stand in the query. HEAD never sends.",
        query=MessageForm,
        gives=MessageView,
        status=201,
        errors=_SENDING,
        headers=KEY_HEADER,
    )
    async def create_by_get(self, request: web.Request, caller: Caller) -> web.Response:
        meant = {"query": sorted(request.query.items())}
        given = Given(MessageForm, Query(request, now=self.clock()), meant)
        return show_sent(await self._send(request, caller, given))

    async def _create_with_files(self, request: web.Request, caller: Caller) -> web.Response:
        uploads = Uploads(self.storage, self.clock, self.random)
        async with discarded_if_refused(uploads):
            pairs = await read_multipart(request, uploads.take)
            meant = {"form": sorted(pairs), "files": uploads.meant}
            given = Given(MessageForm, Texts(pairs, now=self.clock()), meant, uploads.attachments)
            if uploads.received:
                _check_owner(caller)
            sent = await self._send(request, caller, given, uploads.received)
        if sent.repeated:
            await uploads.discard()
        return show_sent(sent)

    async def _json(self, request: web.Request) -> Given:
        values = await read_json(request)
        return Given(MessageBody, Fields(values, now=self.clock()), values)

    async def _form(self, request: web.Request) -> Given:
        pairs = await read_urlencoded(request)
        return Given(MessageForm, Texts(pairs, now=self.clock()), {"form": sorted(pairs)})

    async def _send(
        self, request: web.Request, caller: Caller, given: Given, received: Sequence[ReceivedFile] = ()
    ) -> Sent:
        now, bound = given.fields.now, caller.grant.only_bucket
        try:
            manages = caller.grant.meets(Need.MANAGE)
            command = read_message(given, bucket_known=bound is not None, manages=manages)
        except Invalid:  # a time that was still to come when the same was sent first may have passed
            sent = await find_sent(self.sender, _key_of(request, caller, given), now)
            if sent is None:
                raise
            return sent
        caller = await settle(self.db, caller, now=now, random=self.random)
        key, enclosed = _key_of(request, caller, given), Enclosed(received, self.storage.per_user)
        return await send(self.sender, caller, command, key=key, now=now, enclosed=enclosed)

    @describes(
        "List messages",
        query=MessagesQuery,
        gives=MessagesView,
        errors=("bucket_not_found", "bucket_ambiguous"),
    )
    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        query = read_query(MessagesQuery, request)
        command = ListMessages(before=query.place, bucket=query.bucket_id, limit=query.limit)
        page = await list_messages(self.db, caller.user, command)
        cursor = page.messages[-1].id if page.more else None
        shown: MessagesView = {
            "messages": [show_message(message) for message in await self.resolver.fill(page.messages)],
            "nextCursor": cursor,
        }
        return show(shown)

    @describes("Show a message", gives=MessageView, errors=("message_not_found", "message_retracted"))
    async def get(self, request: web.Request, caller: Caller) -> web.Response:
        message = await get_message(
            self.db, caller.user, request.match_info["id"].lower(), manages=caller.manages
        )
        return show(show_message(await fill_one(self.resolver, message)))

    @describes(
        "Take a message back, from every device", status=204, errors=("message_not_found", "forbidden")
    )
    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        await retract(
            self.db,
            caller.user,
            request.match_info["id"].lower(),
            manages=caller.manages,
            clock=self.clock,
            random=self.random,
            wake=self.wake,
        )
        return nothing()


def _sender_of(caller: Caller) -> str:
    """Return who takes a place for files: of those who are nobody yet none takes another's, least of all another tenant's."""
    acting = caller.acting
    return caller.user.id or ("" if acting is None else f"{acting.tenant}\0{acting.user or ''}")


def _check_owner(caller: Caller) -> None:
    """Invalid where files would be nobody's: they count against somebody's room, and are theirs to delete."""
    if caller.acting is not None and caller.acting.user is None:
        raise invalid("X-User-ID", "is missing", "name the user whose files these are")


def show_sent(sent: Sent) -> web.Response:
    """Answer with the message, and say where it was made before."""
    headers = {"Location": f"/api/v1/messages/{sent.message.id}"}
    if sent.repeated:
        headers[REPEATED] = "true"
    return show(show_message(sent.message), status=201, headers=headers)


def _key_of(request: web.Request, caller: Caller, sending: Given) -> KeyOfSend | None:
    key = read_key(request)
    if key is None:
        return None
    # Two tokens that are each bound to a bucket mean different things by leaving it out.
    bucket = sending.meant.get("bucketId") or caller.grant.only_bucket
    canonical = orjson.dumps({**sending.meant, "bucketId": bucket}, option=orjson.OPT_SORT_KEYS)
    return key_of_send(caller, f"{request.method} /api/v1/messages", key, canonical)
