"""What comes with a message: attachments and actions, as they are sent.

What the documented API calls by two words is one here.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from server.api.bodies import Body, Reader, note, own, text
from server.api.reading import Fields
from server.domain import rules
from server.domain.message import LONGEST_LABEL, LONGEST_MINUTES, LONGEST_URL, ActionType, MediaType

_MINUTES = frozenset({ActionType.SNOOZE, ActionType.POSTPONE})
_RULES: Mapping[ActionType, rules.Rule] = {
    ActionType.NAVIGATE: rules.tap_url,
    ActionType.BACKGROUND_CALL: rules.background_call,
    ActionType.WEBHOOK: rules.call_url,
}
_SAME_MEDIA = {"DOCUMENT": MediaType.FILE}
_SAME_ACTION = {"OPEN_URL": ActionType.NAVIGATE}


def _word(choices: type[StrEnum], same: Mapping[str, StrEnum]) -> Reader:
    """Return what reads one of a few words, some of which are called by another one too."""
    return lambda fields, name: fields.choice_of(name, fields.value(name), choices, same=same)


def _words(choices: type[StrEnum], same: Mapping[str, StrEnum]) -> list[str]:
    return [*(choice.value for choice in choices), *same]


def _read_url(fields: Fields, name: str) -> str | None:
    """Read an attachment's `url`: there is either one or a reference to what is stored here."""
    url, stored = fields.value(name), fields.value("attachmentUuid")
    if url is None and stored is None:
        fields.fault(name, "is missing", "send a url or an attachmentUuid")
    elif url is not None and stored is not None:
        fields.fault(name, "is given beside attachmentUuid", "send one of the two")
    return fields.optional(name, most=LONGEST_URL, rule=rules.web_url)


def _read_value(fields: Fields, name: str) -> str | None:
    """Read an action's `value`, by what its `type` makes of it; of a type that is none only the length is looked at."""
    given, kind = fields.value(name), _type_of(fields.value("type"))
    if kind in _MINUTES:
        return _read_minutes(fields, name, given)
    if kind is None or not kind.needs_value:
        return fields.optional(name, most=LONGEST_URL, least=0) or None
    return fields.required(name, most=LONGEST_URL, rule=_RULES[kind])


def _type_of(word: object) -> ActionType | None:
    if not isinstance(word, str):
        return None
    return _SAME_ACTION.get(word) or ActionType.__members__.get(word)


def _read_minutes(fields: Fields, name: str, given: Any) -> str | None:
    if isinstance(given, str) and given.isascii() and given.isdecimal():
        given = int(given[: len(str(LONGEST_MINUTES)) + 1])  # a longer one is out of range anyway
    return str(fields.number_in(name, given, least=1, most=LONGEST_MINUTES))


class AttachmentBody(Body, frozen=True, kw_only=True):
    """A picture, sound, video or file that comes with a message: by its URL, or one that is stored on this server."""

    media_type: Annotated[
        str,
        own(
            _word(MediaType, _SAME_MEDIA),
            "What it is; DOCUMENT is another word for FILE.",
            enum=_words(MediaType, _SAME_MEDIA),
        ),
    ]
    name: Annotated[str, text("What it is called.", most=LONGEST_LABEL, examples=["invoice.pdf"])] | None = (
        None
    )
    url: Annotated[
        str | None,
        own(
            _read_url,
            "Where devices find it: http(s). Either this or `attachmentUuid`.",
            format="iri",
            maxLength=LONGEST_URL,
        ),
    ] = None
    attachment_uuid: (
        Annotated[
            str,
            text(
                "The id of an attachment that is stored on this server.",
                most=36,
                rule=rules.uuid,
                format="uuid",
            ),
        ]
        | None
    ) = None
    save_on_server: Annotated[
        bool, note("Whether the server fetches what `url` leads to and keeps a copy for the devices.")
    ] = False


class ActionBody(Body, frozen=True, kw_only=True):
    """Something that a person can do with a message: a button, or what a tap on it does."""

    type: Annotated[
        str,
        own(
            _word(ActionType, _SAME_ACTION),
            "What happens; OPEN_URL is another word for NAVIGATE.",
            enum=_words(ActionType, _SAME_ACTION),
        ),
    ]
    value: Annotated[
        str | None,
        own(
            _read_value,
            "NAVIGATE: an http(s) URL, a path or an app's URL. BACKGROUND_CALL: `METHOD::url`. WEBHOOK: an http(s) URL. Neither"
            " of these with a user name. SNOOZE and POSTPONE: minutes, 1 to 10080. Needless for the others.",
            type=["string", "integer", "null"],
            maxLength=LONGEST_URL,
        ),
    ] = None
    destructive: Annotated[bool, note("Whether it is shown as one that destroys something.")] = False
    icon: Annotated[str, text("The name of its icon.", most=LONGEST_LABEL)] | None = None
    title: Annotated[str, text("What the button says.", most=LONGEST_LABEL)] | None = None
