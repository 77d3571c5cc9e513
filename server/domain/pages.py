"""Lists in pages by number, and how far their rows are counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_COUNTED = 10_000
"""How far a list is counted: its total must not cost a look at each of a million rows."""


@dataclass(frozen=True)
class Numbered(Generic[T]):
    """One page of a list. `total` is one more than MOST_COUNTED where the list is longer than that."""

    rows: Sequence[T]
    more: bool
    total: int
