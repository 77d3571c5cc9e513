"""Who receives a message: the members of the bucket who may read it, or those of them that the sender names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.domain.account import matching_key
from server.domain.bucket import Permission, holds
from server.domain.errors import Fault


@dataclass(frozen=True)
class Person:
    """The three names under which a sender may know a user."""

    id: str
    external_id: str | None
    username_key: str | None


def find_people(named: Sequence[str], people: Sequence[Person]) -> tuple[list[str], list[Fault]]:
    """Return the ids of the users that are named, and a fault for each name that is nobody's.

    A name is looked for among the external ids first, then the ids, then the usernames.
    """
    external = {person.external_id: person.id for person in people if person.external_id is not None}
    ids = {person.id: person.id for person in people}
    usernames = {person.username_key: person.id for person in people if person.username_key is not None}
    found: dict[str, None] = {}
    faults = []
    for index, name in enumerate(named):
        user_id = external.get(name) or ids.get(name.lower()) or usernames.get(matching_key(name))
        if user_id is None:
            fix = "name users of this server by id, external id or username"
            faults.append(Fault(f"userIds[{index}]", f"no such user: {name}", fix))
        else:
            found[user_id] = None
    return list(found), faults


def recipients(members: Mapping[str, frozenset[Permission]], wanted: Sequence[str] | None) -> list[str]:
    """Return the ids of the members who receive: all who may READ, or those among `wanted`.

    Who is named but is not a member is left out: membership is not a secret that a send should probe.
    """
    readers = [user_id for user_id, granted in members.items() if holds(granted, Permission.READ)]
    return readers if wanted is None else [user_id for user_id in readers if user_id in set(wanted)]
