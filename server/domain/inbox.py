"""Inboxes: what one user has of each message, and the order in which that changes.

Every change of an item raises its `changed_at`. So the newest state of whatever changed after a position is all that somebody
needs who knows how things stood there: streams are resumed that way, without a table of events.
"""

from dataclasses import dataclass
from enum import StrEnum

from server.domain.message import DAY, Message
from server.domain.rules import is_id

OVERLAP = 30_000  # milliseconds: a transaction may end 15 s after the time it bears, and the clocks of two machines differ
KEPT = 28 * DAY  # how far back changes can be asked for
_START = "00000000-0000-0000-0000-000000000000"
_MOST_DIGITS = 15


class Mark(StrEnum):
    """How somebody marks what is in their inbox: what is read is seen, and what is unseen is unread."""

    SEEN = "SEEN"
    READ = "READ"
    UNSEEN = "UNSEEN"
    UNREAD = "UNREAD"  # what was seen stays so


@dataclass(frozen=True, slots=True)
class InboxItem:
    """`deleted_at` is set where it is gone, for its user or because the message was retracted."""

    id: str
    user_id: str
    message: Message
    created_at: int
    seen_at: int | None
    read_at: int | None
    deleted_at: int | None
    postponed_until: int | None
    changed_at: int

    @property
    def position(self) -> "Position":
        return Position(self.changed_at, self.id)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the order of a user's changes; written `<changed_at>.<item id>`."""

    changed_at: int
    item_id: str

    def __str__(self) -> str:
        return f"{self.changed_at}.{self.item_id}"

    def is_kept(self, now: int) -> bool:
        """Say whether changes since then can be told: it is neither too old, nor from a clock that was put back since."""
        return now - KEPT <= self.changed_at <= now + OVERLAP


def start_of(at: int) -> Position:
    """Return the position before every change of that millisecond."""
    return Position(at, _START)


def read_position(text: str) -> Position:
    """Return the position that a text stands for; ValueError."""
    digits, _, item_id = text.partition(".")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS and is_id(item_id)):
        raise ValueError("a position is <milliseconds>.<id>")
    return Position(int(digits), item_id.lower())


@dataclass(frozen=True, slots=True)
class Counts:
    """Of what is in an inbox; `unread_by_bucket` has the buckets that have unread items, by their ids.

    What is unseen is unread as well.
    """

    total: int
    unseen: int
    unread_by_bucket: dict[str, int]

    @property
    def unread(self) -> int:
        return sum(self.unread_by_bucket.values())


@dataclass(frozen=True, slots=True)
class Unseen:
    """How many of the items in an inbox nobody has seen, and how many are unread."""

    unseen: int
    unread: int
