"""Somebody as a request names them, perhaps with what to call them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from server.domain.audience import Person, identify

WHO = "userId"  # the word of a JSON object for whom it describes


@dataclass(frozen=True, slots=True)
class Mention:
    """`key` is any of a user's names (`server.domain.audience.identify`); the rest is what the request says of them."""

    key: str
    name: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)


def profile_of(name: str | None) -> dict[str, str]:
    """Return the profile of somebody of whom a name is known: what stands before the first space is the first one."""
    first, _, last = (name or "").strip().partition(" ")
    named = {"firstName": first, "lastName": last.strip()}
    return {field: part for field, part in named.items() if part}


def full_name(profile: Mapping[str, str]) -> str | None:
    """Return the name in a profile, None where it has none."""
    return " ".join(profile[part] for part in ("firstName", "lastName") if profile.get(part)) or None


def without(value: Any, person: Person) -> Any:
    """Return a JSON value in which nothing is said any more of somebody whom it describes, but the name by which it means them."""
    if isinstance(value, list):
        return [without(one, person) for one in value]
    if not isinstance(value, dict):
        return value
    who = value.get(WHO)
    if isinstance(who, str) and identify([who], [person]) != [None]:
        return {WHO: who}
    return {name: without(one, person) for name, one in value.items()}
