"""The activity of a tenant: what was sent to whom on which channel, and what came of it. The newest comes first."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from server.domain.delivery import Channel, State
from server.domain.message import Category


@dataclass(frozen=True, slots=True)
class Filter:
    """Which part of the activity: what was queued from `since` until `until`, both inclusive, None for no bound.

    No channels, or no categories, are all of them.
    """

    channels: Sequence[Channel]
    categories: Sequence[Category]
    since: int | None
    until: int | None

    @property
    def pairs(self) -> list[tuple[Channel, Category]]:
        """Return each channel with each category, in one order however they are given."""
        return [
            (channel, category)
            for channel in Channel
            if channel in (self.channels or Channel)
            for category in Category
            if category in (self.categories or Category)
        ]


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the activity, by which the next page is found."""

    created_at: int
    id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One delivery as the activity tells of it.

    `user` is the name by which the tenant's own servers know the user. `item_id` is the message's in their inbox, None where it did
    not go there. `device` is the name by which its app knows the device, its id where it has none. `title` is None once the message is
    retracted.
    """

    id: str
    message_id: str
    item_id: str | None
    user: str
    channel: Channel
    category: Category
    device_id: str | None
    device: str | None
    title: str | None = field(repr=False)
    state: State
    reason: str | None
    provider_id: str | None
    created_at: int
    settled_at: int | None
    received_at: int | None
    read_at: int | None

    @property
    def place(self) -> Place:
        return Place(self.created_at, self.id)

    @property
    def delivered_at(self) -> int | None:
        """Return when the provider took it, or when it lay in the inbox."""
        return self.settled_at if self.state is State.ACCEPTED else None
