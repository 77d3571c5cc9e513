"""Users whom a request mentions: made where they are not there yet, and called by their names in headlines.

Who is there already stays as they are, whatever is said of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from server.commands.people import find_named, load_named
from server.domain.account import Role, User
from server.domain.headline import Headline
from server.domain.ids import new_id
from server.domain.mention import Mention, profile_of
from server.domain.ports import Random, Transaction
from server.store import accounts


async def ensure_mentioned(
    tx: Transaction, tenant_id: str, mentions: Sequence[Mention], now: int, random: Random
) -> dict[str, str]:
    """Return the ids of users who are mentioned, by key; of a key that nobody has a user is made, with the first name and address given.

    An address that another user has is left out.
    """
    keys = list(dict.fromkeys(one.key for one in mentions))
    found = await find_named(tx, tenant_id, keys)
    fresh = _merged(one for one in mentions if one.key not in found)
    users = [_new_user(tenant_id, one, now, random) for one in fresh]
    without = [
        replace(user, email=None) for user in users
    ]  # what is tried then for those whose address is taken
    for tried in (users, without):
        left = [user for user in tried if user.external_id not in found]
        if left:
            await accounts.ensure_users(tx, left)
            found = await find_named(tx, tenant_id, keys)
    return found


async def render_headline(tx: Transaction, tenant_id: str, headline: Headline) -> str:
    """Return a headline as it is shown, with stored names for those whom it mentions without one."""
    return headline.render(await load_named(tx, tenant_id, headline.nameless()))


def _merged(mentions: Iterable[Mention]) -> list[Mention]:
    """Return each key once, in a fixed order, with the first name and the first address that are given with it."""
    found: dict[str, Mention] = {}
    for one in mentions:
        known = found.get(one.key, one)
        found[one.key] = Mention(one.key, known.name or one.name, known.email or one.email)
    return [found[key] for key in sorted(found)]


def _new_user(tenant_id: str, mention: Mention, now: int, random: Random) -> User:
    return User(
        id=new_id(now, random),
        tenant_id=tenant_id,
        external_id=mention.key,
        username=None,
        email=mention.email,
        role=Role.USER,
        profile=profile_of(mention.name),
        created_at=now,
    )
