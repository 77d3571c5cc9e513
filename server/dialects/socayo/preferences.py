"""Preferences: the native API's, as RPCs."""

from dataclasses import dataclass

from server.api.describe import describes
from server.api.preferences import PreferenceChange, PreferencesView, show_preferences
from server.commands.preferences import list_preferences, set_preference
from server.dialects.socayo.fields import Nothing
from server.dialects.socayo.rpc import Call
from server.domain.ports import Database


@dataclass(frozen=True)
class SocayoPreferences:
    db: Database

    @describes(
        "Say what the user wants",
        detail="By channel and category. Who has said nothing wants everything.",
        takes=Nothing,
        gives=PreferencesView,
    )
    async def get(self, call: Call[Nothing]) -> PreferencesView:
        return show_preferences(await list_preferences(self.db, call.caller.user.id))

    @describes(
        "Change what the user wants",
        detail="One channel, or one category on it. Messages of the category SYSTEM come whatever is said here.",
        takes=PreferenceChange,
        gives=PreferencesView,
    )
    async def update(self, call: Call[PreferenceChange]) -> PreferencesView:
        command = call.body.command
        return show_preferences(await set_preference(self.db, call.caller.user.id, command, now=call.now))
