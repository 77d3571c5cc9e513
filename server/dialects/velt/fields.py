"""What calls have in common: how organizations, documents and users are named, values of access, and what says that it went well."""

from typing import Annotated, Any, Literal, TypedDict

from server.api.bodies import Body, note, text
from server.api.reading import Fields
from server.domain import rules
from server.domain.account import LONGEST_EMAIL, LONGEST_NAME
from server.domain.mention import Mention
from server.domain.rules import Wrong

LONGEST_DOCUMENT = 255
LONGEST_FIELD = 100
LONGEST_VALUE = 255
MOST_VALUES = 100  # of all fields together
SUCCESS = note("That it is so.")
MESSAGE = note("What was done, for people.")
_EXACT = 2**53  # from there on not every whole number is one that JSON's numbers can hold

OrganizationId = Annotated[
    str, text("The organization, by its id in your app.", most=LONGEST_NAME, examples=["yourOrganizationId"])
]
DocumentId = Annotated[
    str, text("The document, by its id in your app.", most=LONGEST_DOCUMENT, examples=["yourDocumentId"])
]
UserId = Annotated[
    str, text("The user, by their id in your app.", most=LONGEST_NAME, examples=["yourUserId"])
]


def _name_or_nothing(given: str) -> Wrong | None:
    return rules.label(given.strip())


def _email_or_nothing(given: str) -> Wrong | None:
    return rules.email(given) if given else None


class UserBody(Body, frozen=True, kw_only=True):
    """A user, with what to call them where they are not known yet."""

    user_id: UserId
    name: (
        Annotated[
            str,
            text(
                "The user's name.", most=LONGEST_NAME, least=0, rule=_name_or_nothing, examples=["User Name"]
            ),
        ]
        | None
    ) = None
    email: (
        Annotated[
            str,
            text(
                "The user's email address.",
                most=LONGEST_EMAIL,
                least=0,
                rule=_email_or_nothing,
                examples=["user@example.com"],
            ),
        ]
        | None
    ) = None

    @property
    def mention(self) -> Mention:
        """Return who is meant, and what is said of them."""
        return Mention(self.user_id, (self.name or "").strip() or None, self.email or None)


def show_mention(mention: Mention) -> dict[str, str]:
    """Return a user as they were named."""
    shown = {"userId": mention.key, "name": mention.name, "email": mention.email}
    return {name: value for name, value in shown.items() if value is not None}


def read_access(fields: Fields, name: str) -> tuple[tuple[str, str], ...] | None:
    """Return the fields and values of an access, each pair once: a value is a text or a number, or a list of these.

    Values are compared as texts, so 5 is "5". A field without a value is refused: to pass it over would show to everybody what is meant
    for few. None where it is left out or wrong.
    """
    given = fields.value(name)
    inner = None if given is None else fields.inner(name, given)
    if inner is None:
        return None
    pairs = [(field, value) for field in inner.names() for value in _values(inner, field)]
    fields.faults += inner.faults
    if len(pairs) > MOST_VALUES:
        fields.fault(name, f"has {len(pairs)} values", f"send at most {MOST_VALUES} of all fields together")
    if any(rules.label(field) or not 0 < len(field) <= LONGEST_FIELD for field in inner.names()):
        fix = f"name fields by 1 to {LONGEST_FIELD} characters on one line, without spaces around them"
        fields.fault(name, "has a field without a proper name", fix)
    return tuple(dict.fromkeys(pairs))


ACCESS = {
    "type": "object",
    "maxProperties": MOST_VALUES,
    "additionalProperties": {
        "anyOf": [
            {"type": ["string", "number"]},
            {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1},
        ]
    },
    "examples": [{"entityId": "numberOfVisitors", "dashboardId": "myDashboard"}],
}
"""What a schema says of an access."""


class VeltOutcomeView(TypedDict):
    """That it is so."""

    success: Annotated[bool, SUCCESS]
    message: Annotated[str, MESSAGE]


class VeltDoneView(TypedDict):
    """What was done."""

    status: Annotated[Literal["success"], SUCCESS]
    message: Annotated[str, MESSAGE]
    data: Annotated[VeltOutcomeView, note("The same, for programs.")]


class DoneAnswer(TypedDict):
    """The answer to a call that does one thing."""

    result: Annotated[VeltDoneView, note("What was done.")]


def done(message: str) -> DoneAnswer:
    """Say that it went well."""
    return DoneAnswer(
        result=VeltDoneView(
            status="success", message=message, data=VeltOutcomeView(success=True, message=message)
        )
    )


def _values(fields: Fields, name: str) -> list[str]:
    """Return the values of one field; what is wrong with one is noted, and it is left out."""
    given = fields.value(name)
    if not isinstance(given, list):
        return [] if (value := _value(fields, name, given)) is None else [value]
    if not given:
        fields.fault(name, "has 0 entries", "send a text, a number or a list of at least one")
    read = (_value(fields, f"{name}[{index}]", one) for index, one in enumerate(given))
    return [value for value in read if value is not None]


def _value(fields: Fields, name: str, given: Any) -> str | None:
    if isinstance(given, int | float) and not isinstance(given, bool):
        is_whole = given == int(given) and abs(given) < _EXACT
        return str(int(given)) if is_whole else repr(given)
    if isinstance(given, str):
        return fields.text(name, given, most=LONGEST_VALUE)
    fields.fault(name, "is neither a text nor a number", "send a text, a number or a list of these")
    return None
