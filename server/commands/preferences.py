"""Preferences: which messages a user wants, by channel and category. They count from the next message on that spreads."""

from server.commands.people import stays
from server.domain.ports import Database, Transaction
from server.domain.preferences import Preference, SetPreference, preferences_of
from server.store.preferences import list_opt_outs, opt_in, opt_out


async def list_preferences(db: Database, user_id: str) -> list[Preference]:
    """Return what somebody wants; who is unknown, everything."""
    return preferences_of(await db.read(lambda tx: list_opt_outs(tx, user_id)))


async def set_preference(db: Database, user_id: str, command: SetPreference, *, now: int) -> list[Preference]:
    """Write down what a user wants and return all of it; the same again changes nothing. NotFound where they are deleted."""

    async def job(tx: Transaction) -> list[Preference]:
        await stays(tx, user_id)
        what = (command.channel, command.category)
        if command.enabled:
            await opt_in(tx, user_id, what)
        else:
            await opt_out(tx, user_id, what, now)
        return preferences_of(await list_opt_outs(tx, user_id))

    return await db.write(job)
