"""The book of deliveries: what was created is what was settled and what waits, at every moment.

    created = accepted + gone + expired + failed + cancelled + suppressed + waiting

Whatever creates or moves deliveries notes the differences in the transaction in which it does so. The book thus knows nothing
of the rows, and the rows nothing of the book: held against each other (`Audit`), each shows what the other lost.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from server.domain.delivery import WAITING, State


@dataclass(frozen=True, slots=True)
class Tally:
    """How many deliveries were created, and how many more or fewer are in each state; queued and leased ones wait."""

    created: int = 0
    waiting: int = 0
    accepted: int = 0
    gone: int = 0
    expired: int = 0
    failed: int = 0
    cancelled: int = 0
    suppressed: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, name) + getattr(other, name) for name in COLUMNS))

    @property
    def by_state(self) -> dict[str, int]:
        """Return all but what was created."""
        return {name: getattr(self, name) for name in COLUMNS if name != "created"}

    @property
    def lost(self) -> int:
        """Conservation: always 0."""
        return self.created - sum(self.by_state.values())


COLUMNS = tuple(field.name for field in fields(Tally))


@dataclass(frozen=True, slots=True)
class Audit:
    """The book held against the rows. `pruned` are deliveries that were deleted, in the states that they had."""

    book: Tally
    rows: Tally
    pruned: Tally

    @property
    def differences(self) -> dict[str, int]:
        """Return what the rows have more (or fewer, below 0) than the book says, by state: always empty."""
        there = self.rows + self.pruned
        found = {name: getattr(there, name) - getattr(self.book, name) for name in COLUMNS}
        return {name: number for name, number in found.items() if number}

    @property
    def holds(self) -> bool:
        return not self.differences and self.book.lost == 0


def written(states: Mapping[State, int]) -> Tally:
    """Return the entry for deliveries that are written, or deleted, in these states."""
    return Tally(created=sum(states.values()), **_by_name(states, 1))


def moved(before: Mapping[State, int], after: Mapping[State, int]) -> Tally:
    """Return the entry for deliveries that went from states to states."""
    return Tally(**_by_name(before, -1)) + Tally(**_by_name(after, 1))


def total(tallies: Iterable[Tally]) -> Tally:
    return sum(tallies, Tally())


def _by_name(states: Mapping[State, int], sign: int) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for state, number in states.items():
        name = "waiting" if state in WAITING else state.value
        numbers[name] = numbers.get(name, 0) + sign * number
    return numbers
