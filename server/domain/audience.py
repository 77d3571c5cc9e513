"""Whom a sender means: users by any of the names under which they may be known."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.domain.account import matching_key
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
    found: dict[str, None] = {}
    faults = []
    for index, (name, user_id) in enumerate(zip(named, identify(named, people), strict=True)):
        if user_id is None:
            fix = "name users of this server by id, external id or username"
            faults.append(Fault(f"userIds[{index}]", f"no such user: {name}", fix))
        else:
            found[user_id] = None
    return list(found), faults


def identify(named: Sequence[str], people: Sequence[Person]) -> list[str | None]:
    """Return the id of each user who is named, None where nobody has the name."""
    external = {person.external_id: person.id for person in people if person.external_id is not None}
    ids = {person.id: person.id for person in people}
    usernames = {person.username_key: person.id for person in people if person.username_key is not None}
    return [
        external.get(name) or ids.get(name.lower()) or usernames.get(matching_key(name)) for name in named
    ]
