"""Texts as the servers of tenants answer them: read like whatever comes from outside, one message's after the other. Pure.

What is wrong with one costs that one: it is as if it were not there. An answer that is no object at all is no answer.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from server.domain import rules
from server.domain.headline import LONGEST_TEMPLATE, Headline, variables_of
from server.domain.mention import Mention
from server.domain.message import DEEPEST_DATA, MOST_DATA, UNRESOLVED

LONGEST_BODY = 4000
LONGEST_VALUE = 1000  # of a variable
RECIPIENT = "recipientUser"  # a variable whose text may be the name of a user
ACTOR = "actionUser"  # one that need not be given: the message itself knows them (`Subject.details`)
_MOST_VALUES = 16_384  # bytes of JSON


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one message; what its headline mentions is looked up when they are put in."""

    headline: Headline = field(repr=False)
    body: str | None = field(repr=False)
    data: Mapping[str, Any] | None = field(repr=False)


class NoAnswer(ValueError):
    """What was answered is not what was asked for."""


def read_answer(answer: bytes, names: Collection[str]) -> dict[str, Texts]:
    """Return the texts in an answer, of the messages that were asked for; NoAnswer."""
    try:
        entries = orjson.loads(answer)
    except orjson.JSONDecodeError:
        raise NoAnswer("the answer is not JSON") from None
    if not isinstance(entries, dict):
        raise NoAnswer("the answer is not a JSON object")
    read = {name: _texts(entries[name]) for name in names if name in entries}
    return {name: texts for name, texts in read.items() if texts is not None}


def put_in(content: Mapping[str, Any], texts: Texts, title: str) -> dict[str, Any]:
    """Return a message's content with its texts, of which the title is rendered."""
    kept = {name: value for name, value in content.items() if name != UNRESOLVED}
    found = {"title": title, "body": texts.body, "data": None if texts.data is None else dict(texts.data)}
    return {**kept, **{name: value for name, value in found.items() if value}}


def with_actor(headline: Headline, details: Mapping[str, Any]) -> Headline:
    """Return a headline that knows who has done something, where the answer does not say it, by what is stored of its message."""
    stored = {ACTOR: details.get(ACTOR)}
    return replace(headline, values={**_values(headline.template, stored), **headline.values})


def _texts(entry: Any) -> Texts | None:
    """Return what an entry says; None where anything in it is wrong."""
    if not isinstance(entry, dict):
        return None
    template, values = (
        entry.get("displayHeadlineMessageTemplate"),
        entry.get("displayHeadlineMessageTemplateData") or {},
    )
    body, data = entry.get("displayBodyMessage"), entry.get("notificationSourceData")
    if not isinstance(template, str) or not _is_prose(template, LONGEST_TEMPLATE) or not template.strip():
        return None
    if not isinstance(values, dict) or not _is_small(values, _MOST_VALUES):
        return None
    if not (body is None or _is_prose(body, LONGEST_BODY)) or not (data is None or _is_data(data)):
        return None
    known = _values(template, values)
    if any(values.get(name) is not None and name not in known for name in variables_of(template)):
        return None
    return Texts(Headline(template, known), body, data)


def _values(template: str, given: Mapping[str, Any]) -> dict[str, str | Mention]:
    """Return what the variables of a template stand for, without those that are given wrongly or not at all."""
    read = {name: _value(name, given[name]) for name in variables_of(template) if given.get(name) is not None}
    return {name: value for name, value in read.items() if value is not None}


def _value(name: str, value: Any) -> str | Mention | None:
    """Return what a variable stands for: somebody, or a text; None where it is neither."""
    if isinstance(value, dict):
        return _mention(value)
    if not _is_prose(value, LONGEST_VALUE):
        return None
    text: str = value
    return Mention(text) if name == RECIPIENT and _is_label(text) else text


def _mention(value: Any) -> Mention | None:
    """Return who is meant by an object with a userId."""
    if not isinstance(value, dict) or not _is_label(value.get("userId")):
        return None
    name, email = value.get("name"), value.get("email")
    if not all(one is None or one == "" or _is_label(one) for one in (name, email)):
        return None
    return Mention(value["userId"], name or None, email or None)


def _is_prose(value: Any, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and rules.prose(value) is None


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_VALUE and rules.label(value) is None


def _is_data(value: Any) -> bool:
    """Say whether data for the app is within the limits that it has anywhere."""
    return isinstance(value, dict) and _is_small(value, MOST_DATA)


def _is_small(value: Any, most: int) -> bool:
    """Say whether a value has no more levels than data for the app, and so many bytes as JSON: what is too deep cannot even be written."""
    return not rules.is_deeper(value, DEEPEST_DATA) and len(orjson.dumps(value)) <= most
