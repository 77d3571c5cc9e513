"""What a device has and receives, as values: cards, receipts, arrivals, pages of a fetch, and the inbox."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from crypto.frame import Frame
from simulator.numbering import Numbering

DAY = 86_400_000
WINDOW = 28 * DAY
"""Milliseconds: the longest ttl; ids are kept, and older pushes refused, by it."""
HOUR = 3_600_000
WAKE_PAUSE = 30_000

Content = Mapping[str, Any]
State = Literal["shown", "read", "history"]
Manner = Literal["normal", "silent", "critical"]
"""How something is shown: as usual, without a sound, or with all that the platform allows."""


_MANNERS: Mapping[str, Manner] = {"SILENT": "silent", "CRITICAL": "critical"}


@dataclass(frozen=True)
class Shown:
    """One thing that the user saw. `replaces` is set where it took the place of a text shown before."""

    message_id: str
    title: str = field(repr=False)
    text: str = field(repr=False)
    manner: Manner
    replaces: str | None
    sent_at: int
    received_at: int
    shown_at: int


@dataclass(frozen=True)
class Card:
    """A message as it stands now; `history` was never shown, or another took its place.

    `source` is the message id of the frame that brought the text, and `version` its place in the order of texts:
    sent_at, then sequence (sequence numbers alone do not survive a restored server).
    """

    message_id: str
    source: str
    version: tuple[int, int]
    content: Content = field(repr=False)
    state: State

    @property
    def of(self) -> str | None:
        """The message that this one is about: a reminder's."""
        return text_of(self.content, "of") or None

    @property
    def about(self) -> str:
        """The message itself, whether this is it or reminds of it."""
        return self.of or self.message_id

    @property
    def title(self) -> str:
        return text_of(self.content, "title")

    @property
    def subtitle(self) -> str:
        return text_of(self.content, "subtitle")

    @property
    def text(self) -> str:
        return text_of(self.content, "body")

    @property
    def manner(self) -> Manner:
        return _MANNERS.get(text_of(self.content, "deliveryType"), "normal")

    @property
    def sound(self) -> str | None:
        """What is played; None is the platform's own sound, or no sound at all where it is shown without one."""
        return None if self.manner == "silent" else text_of(self.content, "sound") or None

    @property
    def group(self) -> str:
        """What it is stacked with."""
        bucket = self.content.get("bucket")
        return text_of(self.content, "groupId") or text_of(
            bucket if isinstance(bucket, Mapping) else {}, "id"
        )

    @property
    def attachments(self) -> tuple[Content, ...]:
        """What is shown beside the text or offered with it, in its order."""
        return _objects(self.content, "attachments")

    @property
    def actions(self) -> tuple[Content, ...]:
        return _objects(self.content, "actions")

    @property
    def tap_action(self) -> Content | None:
        value = self.content.get("tapAction")
        return value if isinstance(value, Mapping) else None


@dataclass(frozen=True)
class Receipt:
    message_id: str | None
    event: Literal["received", "shown", "read", "failed"]
    reason: str | None
    at: int


@dataclass(frozen=True)
class Press:
    """A button that the server is to run the action of: its index, or "tap". `key` is the same each time it is sent."""

    message_id: str
    which: str
    key: str


@dataclass(frozen=True)
class Arrival:
    """An opened frame with its content, which is the claim's where the frame named one and it could be had."""

    frame: Frame
    content: Content = field(repr=False)
    received_at: int


@dataclass(frozen=True)
class Settled:
    """An entry of a fetch that brings no message: cancelled, expired, or one that did not open."""

    message_id: str | None


@dataclass(frozen=True)
class Page:
    """One answer to a fetch. `upto` is the last number that it speaks for: its `head` unless there is more."""

    entries: Sequence[Arrival | Settled]
    retracted: Sequence[str]
    read: Sequence[str]
    upto: int
    head: int
    more: bool


@dataclass(frozen=True)
class Asked:
    """What a fetch asked for, and the device's head when it did."""

    after: int
    head: int


@dataclass(frozen=True)
class Inbox:
    """`seen`, `retracted` and `read_ids`: id to the time (ms) from which its 28 days count. `newest` in ms.

    `updates`: the newest text of each message that was changed, for frames of it that are still to come.
    """

    numbering: Numbering
    fetch_due: bool = False
    newest: int = 0
    seen: Mapping[str, int] = field(default_factory=dict, repr=False)
    retracted: Mapping[str, int] = field(default_factory=dict, repr=False)
    read_ids: Mapping[str, int] = field(default_factory=dict, repr=False)
    updates: Mapping[str, Card] = field(default_factory=dict, repr=False)
    cards: Mapping[str, Card] = field(default_factory=dict, repr=False)
    log: tuple[Shown, ...] = field(default=(), repr=False)
    receipts: tuple[Receipt, ...] = field(default=(), repr=False)
    presses: tuple[Press, ...] = ()
    failures: Mapping[str, int] = field(default_factory=dict)
    woken_at: int = -WAKE_PAUSE

    @property
    def visible(self) -> tuple[Card, ...]:
        return tuple(card for card in self.cards.values() if card.state == "shown")


def text_of(content: Content, name: str) -> str:
    value = content.get(name)
    return value if isinstance(value, str) else ""


def _objects(content: Content, name: str) -> tuple[Content, ...]:
    """Give the objects of a list; what a newer server puts there besides is passed over."""
    value = content.get(name)
    return tuple(one for one in value if isinstance(one, Mapping)) if isinstance(value, list) else ()
