"""Sending: at once, at a time, after a while, to many and to a topic."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, TypedDict

import orjson

from server.api.bodies import Body, Id, items, note, own, text, whole
from server.api.describe import describes
from server.api.message_fields import Data, DeepLink, Text, Title
from server.api.reading import Fields
from server.api.schedule import LONGEST_DELAY, ZoneName, read_time_of_sending
from server.commands.repeats import LONGEST_KEY, KeyOfSend, key_of_tenant
from server.commands.send import Sender, Sent, find_sent, send
from server.dialects.socayo.fields import TopicKey, UserName
from server.dialects.socayo.rpc import Call
from server.domain import rules
from server.domain.delivery import Channel
from server.domain.message import (
    LONGEST_TTL,
    LONGEST_URL,
    MOST_RECIPIENTS_NAMED,
    NO_OPTIONS,
    Attachment,
    Category,
    DeliveryType,
    MediaType,
    SendMessage,
)

MOST_NAMED = 100
SECOND = 1000
_KEY = re.compile(rf"[\x21-\x7e]{{1,{LONGEST_KEY}}}")
_KEY_NAME = "idempotencyKey"
_ERRORS = ("idempotency_key_reused", "idempotency_key_in_flight")


def _read_key(fields: Fields, name: str) -> str | None:
    given = fields.value(name)
    if given is not None and not (isinstance(given, str) and _KEY.fullmatch(given)):
        fields.fault(
            name, "is no key", f"send 1 to {LONGEST_KEY} visible ASCII characters, such as those of a UUID"
        )
        return None
    return given


class SocayoContentBody(Body, frozen=True, kw_only=True):
    """What a notification says."""

    title: Title
    body: Text | None = None
    data: Data = None
    deep_link: DeepLink | None = None
    image_url: (
        Annotated[
            str,
            text("A picture that is shown with it.", most=LONGEST_URL, rule=rules.web_url, format="iri"),
        ]
        | None
    ) = None


class SocayoNotificationBody(Body, frozen=True, kw_only=True):
    """A notification, whoever it is for."""

    channel: Annotated[Channel, note("How it travels.")]
    category: Annotated[
        Category,
        note("What it is about, for preferences. What is SYSTEM comes whatever these are."),
    ] = Category.TRANSACTIONAL
    content: Annotated[SocayoContentBody, note("What it says.")]
    idempotency_key: Annotated[
        str | None,
        own(
            _read_key,
            "Your name for this request: sent again with it within a day, it sends nothing a second time.",
            type="string",
            maxLength=LONGEST_KEY,
            examples=["unique-key-123"],
        ),
    ] = None


class SocayoSendBody(SocayoNotificationBody, frozen=True, kw_only=True):
    """A notification for one user."""

    user_id: UserName


class SocayoScheduledBody(SocayoSendBody, frozen=True, kw_only=True):
    """A notification for one user, at a time."""

    scheduled_at: Annotated[
        int,
        own(
            read_time_of_sending,
            "When to send it: an instant (RFC 3339), or a local time without an offset in `timezone`. At most a year ahead.",
            type="string",
            examples=["2030-03-20T09:00:00Z"],
        ),
    ]
    timezone: ZoneName | None = None


class SocayoDelayedBody(SocayoSendBody, frozen=True, kw_only=True):
    """A notification for one user, after a while."""

    delay_seconds: Annotated[int, whole("After how many seconds.", least=1, most=LONGEST_DELAY)]


class SocayoBulkBody(SocayoNotificationBody, frozen=True, kw_only=True):
    """A notification for several users."""

    user_ids: Annotated[
        tuple[UserName, ...],
        items("The users; who is named twice gets it once.", least=1, most=MOST_NAMED),
    ]


class SocayoToTopicBody(SocayoNotificationBody, frozen=True, kw_only=True):
    """A notification for the subscribers of a topic."""

    topic_key: TopicKey
    exclude_user_ids: Annotated[
        tuple[UserName, ...],
        items(
            "Who of them is not to get it; a name that nobody has is nobody's.", most=MOST_RECIPIENTS_NAMED
        ),
    ] = ()


class TransactionView(TypedDict):
    """What was sent, or will be."""

    transactionId: Annotated[
        Id, note("By which it is cancelled and asked for; in the native API a message's.")
    ]


@dataclass(frozen=True)
class SocayoSending:
    sender: Sender

    @describes("Send to a user", takes=SocayoSendBody, gives=TransactionView, errors=_ERRORS)
    async def send(self, call: Call[SocayoSendBody]) -> TransactionView:
        return await self._send(call, to_users(call.body, (call.body.user_id,)))

    @describes(
        "Send to a user at a time",
        detail="A local time that a change of clocks leaves out moves forward; of one that comes twice the first is meant.",
        takes=SocayoScheduledBody,
        gives=TransactionView,
        errors=_ERRORS,
    )
    async def send_scheduled(self, call: Call[SocayoScheduledBody]) -> TransactionView:
        command = to_users(call.body, (call.body.user_id,))
        return await self._send(call, replace(command, send_at=call.body.scheduled_at))

    @describes("Send to a user after a while", takes=SocayoDelayedBody, gives=TransactionView, errors=_ERRORS)
    async def send_delayed(self, call: Call[SocayoDelayedBody]) -> TransactionView:
        command = to_users(call.body, (call.body.user_id,))
        return await self._send(call, replace(command, send_at=call.now + SECOND * call.body.delay_seconds))

    @describes(
        "Send to several users",
        detail="To all of them, or where something is wrong to none.",
        takes=SocayoBulkBody,
        gives=TransactionView,
        errors=_ERRORS,
    )
    async def send_bulk(self, call: Call[SocayoBulkBody]) -> TransactionView:
        return await self._send(call, to_users(call.body, call.body.user_ids))

    @describes(
        "Send to a topic",
        detail="Who is subscribed when it is sent gets it. Of many the answer does not wait until all have it.",
        takes=SocayoToTopicBody,
        gives=TransactionView,
        errors=("topic_not_found", *_ERRORS),
    )
    async def send_to_topic(self, call: Call[SocayoToTopicBody]) -> TransactionView:
        return await self._send(call, to_topic(call.body))

    async def repeat(self, call: Call[None]) -> TransactionView | None:
        """Answer a call whose time has passed since it came first (`Rpc.repeat`)."""
        given = call.given.get(_KEY_NAME)
        key = key_of(call, given) if isinstance(given, str) else None
        sent = await find_sent(self.sender, key, call.now)
        return None if sent is None else show_sent(sent)

    async def _send(self, call: Call[SocayoNotificationBody], command: SendMessage) -> TransactionView:
        key = key_of(call, call.body.idempotency_key)
        return show_sent(await send(self.sender, call.caller, command, key=key, now=call.now))


def to_users(body: SocayoNotificationBody, names: Sequence[str]) -> SendMessage:
    """Return what to send to users, of whom those come to be who are unknown."""
    return _command(body, topic=None, names=tuple(dict.fromkeys(names)), exclude=())


def to_topic(body: SocayoToTopicBody) -> SendMessage:
    """Return what to send to the subscribers of a topic."""
    return _command(body, topic=body.topic_key, names=None, exclude=body.exclude_user_ids)


def key_of(call: Call[None] | Call[SocayoNotificationBody], key: str | None) -> KeyOfSend | None:
    """Return what is kept of a call's idempotency key."""
    if key is None:
        return None
    canonical = orjson.dumps(call.given, option=orjson.OPT_SORT_KEYS)
    return key_of_tenant(call.caller, call.route, key, canonical, place=_KEY_NAME)


def show_sent(sent: Sent) -> TransactionView:
    return TransactionView(transactionId=sent.message.id)


def _command(
    body: SocayoNotificationBody,
    *,
    topic: str | None,
    names: tuple[str, ...] | None,
    exclude: tuple[str, ...],
) -> SendMessage:
    content = body.content
    return SendMessage(
        bucket=None,
        topic=topic,
        title=content.title,
        subtitle=None,
        body=content.body or None,
        delivery_type=DeliveryType.NORMAL,
        user_ids=names,
        makes_users=True,
        everyone=False,
        exclude=exclude,
        within=None,
        subject=None,
        channels=(body.channel,),
        category=body.category,
        data=content.data,
        deep_link=content.deep_link,
        collapse_id=None,
        group_id=None,
        sound=None,
        locale=None,
        attachments=_pictures(content),
        actions=(),
        tap_action=None,
        snoozes=(),
        postpones=(),
        tags=(),
        options=NO_OPTIONS,
        send_at=None,
        ttl=LONGEST_TTL,
    )


def _pictures(content: SocayoContentBody) -> tuple[Attachment, ...]:
    if content.image_url is None:
        return ()
    return (Attachment(MediaType.IMAGE, None, content.image_url, None, save=False),)
