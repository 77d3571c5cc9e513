"""`/api/v1/preferences`: what a user wants on which channel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypedDict

from aiohttp import web

from server.api.answers import show
from server.api.bodies import Body, note, own, read
from server.api.describe import describes
from server.api.reading import Fields, read_json
from server.commands.acting import settle
from server.commands.preferences import list_preferences, set_preference
from server.domain.account import Caller
from server.domain.delivery import Channel
from server.domain.message import Category
from server.domain.ports import Clock, Database, Random
from server.domain.preferences import CHOSEN, Preference, SetPreference


def _read_category(fields: Fields, name: str) -> Category | None:
    given = fields.value(name)
    if given is None or given in CHOSEN:
        return None if given is None else Category(given)
    said = "always comes" if given == Category.SYSTEM else "is none that can be chosen"
    fields.fault(name, said, f"send one of {', '.join(CHOSEN)}, or leave it out for the whole channel")
    return None


def _read_enabled(fields: Fields, name: str) -> bool:
    if fields.value(name) is None:
        fields.fault(name, "is missing", "send true or false")
    return fields.flag(name)


class PreferenceChange(Body, frozen=True, kw_only=True):
    """What somebody wants, or does not."""

    channel: Annotated[Channel, note("On which channel.")]
    category: Annotated[
        Category | None,
        own(
            _read_category,
            "Messages of which category; left out: the channel as a whole.",
            anyOf=[{"type": "string", "enum": [one.value for one in CHOSEN]}, {"type": "null"}],
        ),
    ] = None
    enabled: Annotated[bool, own(_read_enabled, "Whether they are wanted.", type="boolean")]

    @property
    def command(self) -> SetPreference:
        """What is to be done."""
        return SetPreference(self.channel, self.category, self.enabled)


class PreferredCategories(TypedDict):
    """Which categories are wanted on a channel."""

    TRANSACTIONAL: Annotated[bool, note("Messages about what the user does.")]
    PRODUCT: Annotated[bool, note("Messages about what there is to do.")]
    PROMOTIONAL: Annotated[bool, note("Messages that advertise.")]


class PreferenceView(TypedDict):
    """What somebody wants of a channel: a message comes where the channel and its category are both wanted."""

    channel: Annotated[Channel, note("The channel.")]
    channelEnabled: Annotated[bool, note("Whether anything is wanted on it.")]
    categories: Annotated[PreferredCategories, note("Which categories are wanted on it.")]


class PreferencesView(TypedDict):
    """What somebody wants: always of every channel. Messages of the category SYSTEM come whatever is said here."""

    preferences: Annotated[list[PreferenceView], note("One for each channel.")]


@dataclass(frozen=True)
class Preferences:
    db: Database
    clock: Clock
    random: Random

    @describes(
        "Say what one wants",
        detail="By channel and category. Who has said nothing wants everything.",
        gives=PreferencesView,
    )
    async def list(self, _request: web.Request, caller: Caller) -> web.Response:
        return show(show_preferences(await list_preferences(self.db, caller.user.id)))

    @describes(
        "Change what one wants",
        detail="One channel, or one category on it. It counts for every message from then on, and for who of a large audience is still to get one.",
        takes=PreferenceChange,
        gives=PreferencesView,
    )
    async def change(self, request: web.Request, caller: Caller) -> web.Response:
        command, now = read(PreferenceChange, await read_json(request)).command, self.clock()
        caller = await settle(self.db, caller, now=now, random=self.random)
        return show(show_preferences(await set_preference(self.db, caller.user.id, command, now=now)))


def show_preferences(preferences: Sequence[Preference]) -> PreferencesView:
    return PreferencesView(preferences=[_show(one) for one in preferences])


def _show(preference: Preference) -> PreferenceView:
    wanted = preference.categories
    return PreferenceView(
        channel=preference.channel,
        channelEnabled=preference.enabled,
        categories=PreferredCategories(
            TRANSACTIONAL=wanted[Category.TRANSACTIONAL],
            PRODUCT=wanted[Category.PRODUCT],
            PROMOTIONAL=wanted[Category.PROMOTIONAL],
        ),
    )
