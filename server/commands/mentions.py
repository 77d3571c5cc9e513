"""Users whom a request mentions: made where they are not there yet, and called by their names in headlines.

Who is there already stays as they are, whatever is said of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from server.domain.account import Role, User, matching_key
from server.domain.audience import identify
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
    found = await _find(tx, tenant_id, keys)
    if len(found) < len(keys):
        fresh = _merged(one for one in mentions if one.key not in found)
        await _make(tx, [_new_user(tenant_id, one, now, random) for one in fresh])
        found = await _find(tx, tenant_id, keys)
    if len(found) < len(keys):  # somebody took an address in this moment
        bare = [_new_user(tenant_id, Mention(key), now, random) for key in sorted({*keys} - {*found})]
        await accounts.ensure_users(tx, bare)
        found = await _find(tx, tenant_id, keys)
    return found


async def render_headline(tx: Transaction, tenant_id: str, headline: Headline) -> str:
    """Return a headline as it is shown, with stored names for those whom it mentions without one."""
    nameless = list({one.key: None for one in headline.mentions() if one.name is None})
    found = await _find(tx, tenant_id, nameless)
    users = {user.id: user for user in await accounts.load_users(tx, sorted(set(found.values())))}
    known = {key: users[user_id] for key, user_id in found.items() if user_id in users}
    return headline.render(known)


async def _find(tx: Transaction, tenant_id: str, keys: Sequence[str]) -> dict[str, str]:
    """Return the ids of users by their names; who is unknown is left out."""
    people = await accounts.find_people(tx, tenant_id, keys)
    return {key: user_id for key, user_id in zip(keys, identify(keys, people), strict=True) if user_id}


async def _make(tx: Transaction, users: Sequence[User]) -> None:
    """Store users, each address with the first of those who are to have it and with nobody where it is another's."""
    if not users:
        return
    tenant_id = users[0].tenant_id
    addresses = _owners(users)
    taken = await accounts.emails_taken(tx, tenant_id, sorted(addresses))
    owners = {user_id for address, user_id in addresses.items() if address not in taken}
    await accounts.ensure_users(
        tx, [user if user.id in owners else replace(user, email=None) for user in users]
    )


def _owners(users: Sequence[User]) -> Mapping[str, str]:
    """Return the first user of each address, by its key."""
    owners: dict[str, str] = {}
    for user in users:
        if user.email is not None:
            owners.setdefault(matching_key(user.email), user.id)
    return owners


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
