"""Notifications: messages as the APIs see them that find them by what they are about, for a tenant or for one of its users."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.domain.inbox import InboxItem
from server.domain.message import Message
from server.domain.subject import Subject

MOST_READERS = 1000
"""How many of those who have read a notification are shown with it."""


@dataclass(frozen=True, slots=True)
class Notification:
    """A message and what it is about, None where nobody has said it.

    `document` and `sender` are the names under which an app knows the document and who sent it. `item` is what one user has of it,
    where it is shown to one. `read_by` are the names of users who have read it, MOST_READERS at most.
    """

    message: Message
    subject: Subject | None
    document: str | None
    sender: str | None
    item: InboxItem | None
    read_by: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The id under which an app knows it: its own, or the message's."""
        return (self.subject and self.subject.name) or self.message.id


def named(name: str, notifications: Sequence[Notification]) -> Notification | None:
    """Return which one a name means: an app's own ids come first."""
    for one in notifications:
        if one.subject is not None and one.subject.name == name:
            return one
    return next((one for one in notifications if one.message.id == name.lower()), None)
