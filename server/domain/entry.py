"""Entries of an inbox with what their messages are about, and by what they are looked for."""

from dataclasses import dataclass

from server.domain.inbox import InboxItem
from server.domain.subject import Subject


@dataclass(frozen=True, slots=True)
class Entry:
    """`subject` is None where nobody has said what the message is about."""

    item: InboxItem
    subject: Subject | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: those that are read, or unread; of a template, a label, a type of entity; that came at a time or later. None: all."""

    read: bool | None = None
    template_key: str | None = None
    label: str | None = None
    entity_type: str | None = None
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose entries: the names by which an app's servers know the tenant and the user."""

    tenant: str
    user: str


@dataclass(frozen=True, slots=True)
class Tally:
    """How many entries there are, and how many of them are unread."""

    total: int
    unread: int
