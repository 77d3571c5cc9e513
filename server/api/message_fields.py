"""What a message may say: the fields of a send, which forms, queries and changes of a message share.

The limits and defaults are those of the documented API (docs/publish-to-it.md).
"""

from typing import Annotated, Any

from server.api.bodies import Body, items, note, own, text, whole
from server.api.message_parts import ActionBody, AttachmentBody
from server.api.reading import Fields
from server.api.schedule import Delay, SendAt, ZoneName
from server.domain import rules
from server.domain.account import LONGEST_NAME
from server.domain.delivery import Channel
from server.domain.message import (
    DEEPEST_DATA,
    LONGEST_BODY,
    LONGEST_LABEL,
    LONGEST_MINUTES,
    LONGEST_TITLE,
    LONGEST_URL,
    MOST_DATA,
    MOST_PARTS,
    MOST_RECIPIENTS_NAMED,
    MOST_REMINDERS,
    Category,
    DeliveryType,
)


def _read_user_ids(fields: Fields, name: str) -> tuple[str, ...] | None:
    """Read `userIds`: a list, the JSON text of one, or names with commas between them."""
    named = fields.items(name, most=MOST_RECIPIENTS_NAMED, split=True)
    if named is None:
        return None
    if not named:
        fields.fault(name, "names nobody", "name someone, or leave it out to reach the whole bucket")
    return tuple(
        fields.text(f"{name}[{index}]", one, most=LONGEST_NAME, rule=rules.label) or ""
        for index, one in enumerate(named)
    )


Title = Annotated[
    str,
    text("The title that is shown.", most=LONGEST_TITLE, rule=rules.prose, examples=["Order Confirmed"]),
]
Subtitle = Annotated[
    str,
    text(
        "A line below the title; an empty one is none.",
        most=LONGEST_TITLE,
        least=0,
        rule=rules.prose,
        examples=["Payment received"],
    ),
]
Text = Annotated[
    str,
    text(
        "What there is to say; an empty one is none.",
        most=LONGEST_BODY,
        least=0,
        rule=rules.prose,
        examples=["Your order #12345 has been confirmed"],
    ),
]
Sound = Annotated[
    str, text("The sound that a device plays, by its name.", most=LONGEST_LABEL, examples=["ping.aiff"])
]
Locale = Annotated[
    str,
    text(
        "The language tag (BCP 47) of the text.",
        most=LONGEST_LABEL,
        rule=rules.language_tag,
        examples=["en-EN"],
    ),
]
Tags = Annotated[
    tuple[Annotated[str, text("A tag.", most=LONGEST_LABEL)], ...],
    items("Words to sort and find messages by.", most=MOST_PARTS),
]
Actions = Annotated[tuple[ActionBody, ...], items("What can be done with it.", most=MOST_PARTS)]
TapAction = Annotated[ActionBody, note("What a tap on the message does.")]
TapUrl = Annotated[
    str,
    text(
        "Sets a `tapAction` that navigates there, unless there is a `tapAction`.",
        most=LONGEST_URL,
        rule=rules.tap_url,
        examples=["https://app.zentik.app/orders/123"],
    ),
]
Minutes = Annotated[
    tuple[Annotated[int, whole("Minutes.", least=1, most=LONGEST_MINUTES)], ...],
    items("Minutes that a person may choose from.", most=MOST_PARTS),
]
_Url = Annotated[
    str,
    text("Adds an attachment of that kind.", most=LONGEST_URL, rule=rules.web_url, format="iri"),
]
_Flag = Annotated[bool, note("Adds that action, unless it is among `actions`.")]


def _read_data(fields: Fields, name: str) -> dict[str, Any] | None:
    return fields.object_of(name, most=MOST_DATA, deepest=DEEPEST_DATA)


Data = Annotated[
    dict[str, Any] | None,
    own(_read_data, f"For the app: an object of at most {MOST_DATA} bytes.", type="object"),
]
DeepLink = Annotated[
    str,
    text(
        "Where the app goes when the message is opened.",
        most=LONGEST_URL,
        rule=rules.tap_url,
        examples=["socayo://conversation/conv_abc"],
    ),
]


class MessageBody(Body, frozen=True, kw_only=True):
    """A message to send."""

    title: Title
    subtitle: Subtitle | None = None
    body: Text | None = None
    bucket_id: (
        Annotated[
            str,
            text(
                "The bucket's id or name. Only a token that is bound to one bucket may leave it out.",
                most=LONGEST_NAME,
                examples=["Marketing"],
            ),
        ]
        | None
    ) = None
    delivery_type: Annotated[
        DeliveryType,
        note(
            "NORMAL; SILENT, shown without a sound; CRITICAL, first and through quiet times; NO_PUSH, for the inbox only. In a form or a"
            " query NORMAL where it is left out."
        ),
    ]
    attachments: Annotated[tuple[AttachmentBody, ...], items("What is shown with it.", most=MOST_PARTS)] = ()
    actions: Actions = ()
    tap_action: TapAction | None = None
    sound: Sound | None = None
    add_mark_as_read_action: _Flag = False
    add_open_notification_action: _Flag = False
    add_delete_action: _Flag = False
    snoozes: Minutes = ()
    postpones: Minutes = ()
    locale: Locale | None = None
    group_id: (
        Annotated[
            str,
            text(
                "What devices stack together; the bucket's id where it is left out.",
                most=LONGEST_LABEL,
                examples=["orders"],
            ),
        ]
        | None
    ) = None
    collapse_id: (
        Annotated[
            str,
            text(
                "A later message with the same one takes this one's place.",
                most=LONGEST_LABEL,
                examples=["order-update-123"],
            ),
        ]
        | None
    ) = None
    topic_key: (
        Annotated[str, text("The topic, in place of a bucket; for an admin.", most=LONGEST_NAME)] | None
    ) = None
    channels: (
        Annotated[
            tuple[Channel, ...],
            items(
                "How it travels; into the inbox and to devices where it is left out. A NO_PUSH goes to no device.",
                most=len(Channel),
            ),
        ]
        | None
    ) = None
    category: Annotated[
        Category,
        note("What it is about, for its recipients' preferences. What is SYSTEM comes whatever these are."),
    ] = Category.TRANSACTIONAL
    data: Data | None = None
    deep_link: DeepLink | None = None
    user_ids: Annotated[
        tuple[str, ...] | None,
        own(
            _read_user_ids,
            "Only these members of the bucket, by id or username: a list, the JSON text of one, or names with commas between them."
            " An admin may leave the bucket out: it goes to these users of the tenant then.",
            type=["array", "string", "null"],
            maxItems=MOST_RECIPIENTS_NAMED,
        ),
    ] = None
    image_url: _Url | None = None
    video_url: _Url | None = None
    gif_url: _Url | None = None
    tap_url: TapUrl | None = None
    tags: Tags = ()
    ephemeral: Annotated[
        bool,
        note("Whether it lives for a day at most, and is deleted from everywhere once it was read."),
    ] = False
    remind_every_minutes: (
        Annotated[
            int, whole("Pushes it again so often, as long as it is unread.", least=1, most=LONGEST_MINUTES)
        ]
        | None
    ) = None
    max_reminders: (
        Annotated[int, whole("How often at most, 10 where it is left out.", least=1, most=MOST_REMINDERS)]
        | None
    ) = None
    scheduled_send_at: SendAt = None
    timezone: ZoneName | None = None
    delay_seconds: Delay | None = None


class MessageForm(MessageBody, frozen=True, kw_only=True):
    """A message to send, as a form or a query has it: everything as text."""

    delivery_type: Annotated[
        DeliveryType,
        note(
            "NORMAL; SILENT, shown without a sound; CRITICAL, first and through quiet times; NO_PUSH, for the inbox only."
        ),
    ] = DeliveryType.NORMAL


class MessageParts(MessageForm, frozen=True, kw_only=True):
    """A message to send, as a form with files has it."""

    attachments: Annotated[
        tuple[bytes, ...],
        items(
            "The files that come with it, each a part; or, as text, what stands there in JSON.",
            most=MOST_PARTS,
        ),
    ] = ()  # type: ignore[assignment] # for the reference alone: files are received as they come, and never one of its fields
