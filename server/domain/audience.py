"""Whom a sender means: users by any of the names under which they may be known, and who of them gets a message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.domain.account import matching_key
from server.domain.errors import Fault


@dataclass(frozen=True, slots=True)
class Within:
    """Only who has access to a document: where `listed`, who is on its access list; to every one of these values of its fields."""

    document_id: str
    listed: bool
    fields: tuple[tuple[str, str], ...]  # field and value, without repetitions


@dataclass(frozen=True, slots=True)
class Recipients:
    """Who gets a message: readers of its bucket, or every user of the tenant whose id is `everyone`, who are made readers.

    `only` (user ids; None: all) who are not in `but`, and within the limits of a document.
    """

    only: Sequence[str] | None
    but: Sequence[str] = ()
    everyone: str | None = None
    within: Within | None = None

    def payload(self) -> dict[str, Any]:
        """Return what a task keeps of it."""
        within = self.within
        limits = None if within is None else [within.document_id, within.listed, within.fields]
        return {"only": self.only, "but": self.but, "everyone": self.everyone, "within": limits}


def recipients_of(payload: Mapping[str, Any]) -> Recipients:
    """Return what a task has kept; one of an earlier version has less."""
    limits = payload.get("within")
    within = limits and Within(limits[0], limits[1], tuple((field, value) for field, value in limits[2]))
    return Recipients(payload["only"], payload.get("but", ()), payload.get("everyone"), within)


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
