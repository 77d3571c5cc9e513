"""Templates: what a kind of notification says, with placeholders like `{{delegation_id}}` that each one fills.

A placeholder is whatever stands between two pairs of braces, without the spaces around it; it holds no brace. Filling goes over a
text once: what is put in is text, whatever it looks like.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from server.domain.delivery import Channel
from server.domain.errors import Fault, Invalid

Value = str | int | float | bool
LONGEST_TEMPLATE_TITLE = 1_000
LONGEST_TEMPLATE_BODY = 4_000
LONGEST_FILLED_TITLE = 2_000
LONGEST_FILLED_BODY = 4_000
CHANNELS = (Channel.IN_APP, Channel.PUSH)
"""How what is made from a template travels where it does not say."""
_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")


@dataclass(frozen=True)
class Template:
    """`key` is unique in a tenant, `label` the app's own word for the kind of notification. `channels` has no repetitions.

    `actionable`: something is to be done about what is made from it.
    """

    id: str
    tenant_id: str
    key: str
    label: str | None
    title: str = field(repr=False)
    body: str = field(repr=False)
    channels: tuple[Channel, ...]
    actionable: bool
    created_at: int
    updated_at: int | None

    @property
    def placeholders(self) -> list[str]:
        """Return what it needs, in the order in which it is named."""
        return list(dict.fromkeys([*_names(self.title), *_names(self.body)]))


@dataclass(frozen=True)
class Filled:
    """What one notification says."""

    title: str = field(repr=False)
    body: str = field(repr=False)


def fill(template: Template, values: Mapping[str, Value]) -> Filled:
    """Return the texts with each placeholder's value; Invalid names all that are missing, and texts that come out too long, or empty."""
    missing = [name for name in template.placeholders if name not in values]
    if missing:
        raise Invalid("placeholders are missing", faults=[_missing(name) for name in missing])
    filled = Filled(_fill(template.title, values), _fill(template.body, values))
    faults = [
        *_too_long("title", filled.title, LONGEST_FILLED_TITLE),
        *_too_long("message", filled.body, LONGEST_FILLED_BODY),
        *([] if filled.title.strip() else [_fault("the title that they make is empty", "send a text")]),
    ]
    if faults:
        raise Invalid(f"placeholders: {faults[0].reason}", faults=faults)
    return filled


def _names(text: str) -> list[str]:
    """Return the placeholders of a text; braces around nothing are text."""
    return [name for found in _PLACEHOLDER.findall(text) if (name := found.strip())]


def _fill(text: str, values: Mapping[str, Value]) -> str:
    def value_of(found: re.Match[str]) -> str:
        name = found[1].strip()
        return _text(values[name]) if name else found[0]

    return _PLACEHOLDER.sub(value_of, text)


def _text(value: Value) -> str:
    """Return a value as a text: a number, true and false as JSON writes them."""
    return value if isinstance(value, str) else json.dumps(value)


def _missing(name: str) -> Fault:
    return Fault(
        f"placeholders.{name}", "is missing", "send what the template needs: a text, a number, true or false"
    )


def _too_long(what: str, text: str, most: int) -> list[Fault]:
    if len(text) <= most:
        return []
    return [
        _fault(
            f"the {what} that they make has {len(text)} characters", f"send texts that make at most {most}"
        )
    ]


def _fault(reason: str, fix: str) -> Fault:
    return Fault("placeholders", reason, fix)
