"""What users want: every message on every channel, but for what they have said that they do not.

A channel is wanted or not as a whole, and beside that each category on it. What is of the system is nobody's to refuse
(`server.domain.message.Category.SYSTEM`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from server.domain.delivery import Channel
from server.domain.message import Category

CHANNELS = (Channel.PUSH, Channel.IN_APP, Channel.EMAIL, Channel.SMS, Channel.CHAT)
CHOSEN = (Category.TRANSACTIONAL, Category.PRODUCT, Category.PROMOTIONAL)

OptOut = tuple[Channel, Category | None]
"""What is not wanted: a category on a channel, or, with None, anything on it."""


@dataclass(frozen=True)
class Preference:
    """What somebody wants of one channel: a message comes where both it and the message's category are wanted."""

    channel: Channel
    enabled: bool
    categories: Mapping[Category, bool]


@dataclass(frozen=True)
class SetPreference:
    """Want something, or not. `category` None: the channel as a whole."""

    channel: Channel
    category: Category | None
    enabled: bool


def preferences_of(opted_out: Collection[OptOut]) -> list[Preference]:
    """Return all preferences there are, in an order that stays."""
    return [
        Preference(
            channel,
            (channel, None) not in opted_out,
            {category: (channel, category) not in opted_out for category in CHOSEN},
        )
        for channel in CHANNELS
    ]
