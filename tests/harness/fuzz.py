"""Searching for what breaks a parser: how many examples, and bytes that are almost right.

In `./dev check` the examples are few and always the same. HUSHPOST_TEST_EXAMPLES asks for so many, new ones each time.
"""

import os
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

T = TypeVar("T", bytes, str)

EXAMPLES = int(os.environ.get("HUSHPOST_TEST_EXAMPLES", "0"))
_MOST_CHANGES = 4


def examples(few: int) -> settings:
    return settings(
        max_examples=EXAMPLES or few,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


def almost(right: st.SearchStrategy[T], pieces: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """What is right with some pieces put in, taken out, or put in the place of others."""
    change = st.tuples(st.floats(0, 1), st.integers(0, 12), pieces)
    return st.builds(_changed, right, st.lists(change, max_size=_MOST_CHANGES))


def _changed(text: T, changes: list[tuple[float, int, T]]) -> T:
    """Each change: where, how much is taken out there, and what is put in."""
    for where, length, piece in changes:
        at = int(where * len(text))
        text = text[:at] + piece + text[at + length :]
    return text
