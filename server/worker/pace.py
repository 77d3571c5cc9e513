"""When to ask the relay again after it could not be asked: one decision for all deliveries, since it concerns them all.

Without it a relay that is down would cost every waiting delivery an attempt, over and over. After a pause a single batch
tries first; only when that one was answered do others go out beside it.
"""

from server.domain.delivery import SECOND, backoff
from server.worker.gateway import GatewayFault

LONGEST_PAUSE = 60 * SECOND
LONGEST_ASKED = 300 * SECOND  # what an answer that nobody signed may ask for
_ANEW = 1 * SECOND


class Pace:
    """Open until a request fails; then closed for a while, longer each time until one succeeds.

    A clock that is put back opens it: it is never closed for longer than it can have been asked to be.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0

    def is_open(self, now: int) -> bool:
        return not 0 < self._until - now <= LONGEST_ASKED

    @property
    def is_trying(self) -> bool:
        """Say whether the last request failed, so that one at a time is enough to see whether the next will."""
        return self._failures > 0

    def succeeded(self) -> None:
        self._failures = 0
        self._until = 0

    def failed(self, fault: GatewayFault, *, now: int, jitter: float) -> int:
        """Close, and return until when. Requests that were in flight together count as one failure."""
        if self.is_open(now):
            self._failures += 1
            self._until = now + self._pause(fault, jitter)
        return self._until

    def _pause(self, fault: GatewayFault, jitter: float) -> int:
        if fault.anew:
            return _ANEW
        asked = 0 if fault.retry_after is None else min(fault.retry_after * SECOND, LONGEST_ASKED)
        return max(asked, min(backoff(self._failures, jitter), LONGEST_PAUSE))
