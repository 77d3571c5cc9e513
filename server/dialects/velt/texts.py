"""Texts of notifications as calls read them: the headline with its variables, and the body; and whether they are asked for."""

from server.api.bodies import take
from server.api.reading import Fields
from server.dialects.velt.fields import UserBody
from server.domain import rules
from server.domain.account import LONGEST_NAME
from server.domain.headline import LONGEST_TEMPLATE
from server.domain.mention import Mention
from server.domain.texts import LONGEST_BODY, LONGEST_VALUE, RECIPIENT

LONGEST_SOURCE = 100
MOST_VARIABLES = 100
HEADLINE = "displayHeadlineMessageTemplate"
VALUES = "displayHeadlineMessageTemplateData"
RESOLVED = "isNotificationResolverUsed"
CUSTOM = "custom"  # the source of notifications whose texts an app's own server has

Values = dict[str, str | Mention]
VALUE = {
    "anyOf": [
        {"type": ["string", "null"], "maxLength": LONGEST_VALUE},
        {
            "type": "object",
            "properties": {"userId": {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}},
            "required": ["userId"],
        },
    ]
}
"""What a schema says of a variable's value."""


def read_template(fields: Fields, name: str) -> str | None:
    """Return the headline."""
    return _read_text(fields, name, LONGEST_TEMPLATE)


def read_body(fields: Fields, name: str) -> str | None:
    """Return what stands below it."""
    return _read_text(fields, name, LONGEST_BODY)


def read_source(fields: Fields, name: str) -> str | None:
    """Return where a notification comes from, which is settled where texts are asked for."""
    source = fields.optional(name, most=LONGEST_SOURCE)
    if fields.value(RESOLVED) is True and fields.value(name) != CUSTOM:
        reason = "is missing" if fields.value(name) is None else f"is not {CUSTOM}"
        fields.fault(name, reason, f"send {CUSTOM}, which {RESOLVED} needs")
    return source


def read_values(fields: Fields, name: str) -> Values:
    """Return what the variables of a headline stand for: texts, or users."""
    given = fields.value(name)
    inner = None if given is None else fields.inner(name, given)
    if inner is None:
        return {}
    names = inner.names()
    if len(names) > MOST_VARIABLES:
        fields.fault(name, f"has {len(names)} variables", f"send at most {MOST_VARIABLES}")
        return {}
    values = {one: value for one in names if (value := _read_value(inner, one)) is not None}
    fields.faults += inner.faults
    return values


def _read_text(fields: Fields, name: str, most: int) -> str | None:
    """Read a text that may be left out only where an app's own server is asked for it."""
    if fields.value(name) is None and fields.value(RESOLVED) is not True:
        fix = f"send a text of 1 to {most} characters, or set {RESOLVED} to have your server asked for it"
        fields.fault(name, "is missing", fix)
    return fields.optional(name, most=most, rule=rules.prose)


def _read_value(fields: Fields, name: str) -> str | Mention | None:
    given = fields.value(name)
    if isinstance(given, dict):
        user = fields.inner(name, given)
        found = None if user is None else take(UserBody, user).mention
        fields.faults += [] if user is None else user.faults
        return found
    if isinstance(given, str):
        value = fields.text(name, given, most=LONGEST_VALUE, least=0, rule=rules.prose)
        return Mention(value) if value and name == RECIPIENT and _is_user_id(value) else value
    if given is not None:
        fields.fault(name, "is neither a text nor a user", "send a text, or an object with a userId")
    return None


def _is_user_id(value: str) -> bool:
    return len(value) <= LONGEST_NAME and rules.label(value) is None
