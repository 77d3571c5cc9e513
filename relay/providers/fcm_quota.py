"""What is held back after Google has said that a project's quota is spent.

Google counts every request, refused ones too: what would be refused is therefore answered here, with the seconds that are left.
Normal pushes are held first. Urgent ones go on, since normal ones may have spent it all, until one of them is refused as well.
"""

import math

from relay.providers.provider import LONGEST_WAIT, Verdict


class Quota:
    """Times in seconds, by the clock of whoever asks."""

    def __init__(self) -> None:
        self._normal_until = 0.0
        self._high_until = 0.0

    def held(self, now: float, *, high: bool) -> Verdict | None:
        """The answer in the provider's place, or None where the push may go."""
        left = _left(self._high_until if high else self._normal_until, now)
        return Verdict("retry", "throttled", retry_after=math.ceil(left)) if left else None

    def spent(self, now: float, seconds: int, *, high: bool) -> None:
        """A push of this priority was refused; nothing more for so many seconds."""
        self._normal_until = now + max(_left(self._normal_until, now), seconds)
        if high:
            self._high_until = now + max(_left(self._high_until, now), seconds)


def _left(until: float, now: float) -> float:
    left = until - now
    # More than can have been asked for: the clock was put back.
    return left if 0 < left <= LONGEST_WAIT else 0
