"""How much of request bodies is in memory at once, from the arrival of each to its answer.

What a batch becomes (pushes, what waits for a provider, outcomes) grows with its body, so this one bound holds for all of it:
memory stays constant, whatever is sent. Who comes when it is used up is refused at once, with a wait; one server gets no more
than its share, so that nobody takes all of it. Whose room it is says `limits.Rules.holder`.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from relay.errors import Problem

_SHARE: Final = 4
_WAIT_SECONDS: Final = 1


class Bodies:
    """`capacity` in bytes: at least four of the largest body."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held: Counter[str] = Counter()
        self.bytes = 0

    @contextmanager
    def held(self, holder: str, length: int) -> Iterator[None]:
        """Hold room for a body. Raises the problem `limited`."""
        if self.bytes + length > self._capacity or self._held[holder] + length > self._capacity // _SHARE:
            raise Problem(
                "limited",
                "too much is under way at once; wait for answers before you send more",
                retry_after=_WAIT_SECONDS,
            )
        self.bytes += length
        self._held[holder] += length
        try:
            yield
        finally:
            self.bytes -= length
            self._held[holder] -= length
            if not self._held[holder]:
                del self._held[holder]
