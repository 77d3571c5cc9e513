"""Whether this machine's clock and a provider's agree: a clock that is minutes off makes credentials look wrong, and nothing says why.

Google and Web Push services write the time into every answer; one is looked at in a minute. Apple writes none, but that it calls a
token expired which is not an hour old here says enough. What is found is said once an hour, shown as a metric, and added to the
reason for which a relay is not ready.
"""

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

import structlog
from prometheus_client import Gauge

from relay.http2 import Response
from relay.providers.transport import header

ALLOWED_SECONDS: Final = 30
"""An answer's time is in whole seconds, and it was some seconds under way."""

_LOOK_SECONDS: Final = 60
_SAY_SECONDS: Final = 3_600


class Skew:
    """For one provider; `clock` in seconds, `gauge` seconds that ours is ahead."""

    def __init__(
        self, provider: str, *, clock: Callable[[], float], gauge: Gauge, log: structlog.stdlib.BoundLogger
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._gauge = gauge
        self._log = log
        self._looked_at = float("-inf")
        self._said_at = float("-inf")
        self._ahead = 0.0

    def look(self, answer: Response) -> None:
        """Take the time from an answer, now and then."""
        now = self._clock()
        if not 0 <= now - self._looked_at < _LOOK_SECONDS:
            self._looked_at = now
            self.take(header(answer, b"date"))

    def take(self, date: str | None) -> None:
        """Take the `Date` of an answer that has just come."""
        try:
            theirs = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, OverflowError):
            return
        self.found(self._clock() - theirs)

    def found(self, ahead: float) -> None:
        """Our clock is ahead by so many seconds, behind where that is negative."""
        self._ahead = ahead
        self._gauge.set(ahead)
        if abs(ahead) > ALLOWED_SECONDS:
            self._say("clock_skew", clock=_words(ahead))

    def suspect(self) -> None:
        """Something was refused that nothing else explains."""
        self._say("clock_skew_suspected")

    def explain(self, trouble: str | None) -> str | None:
        """Add the skew to a trouble that it may be the cause of."""
        if trouble is None or abs(self._ahead) <= ALLOWED_SECONDS:
            return trouble
        return f"{trouble}: the clock is {_words(self._ahead)} the provider's"

    def _say(self, event: str, **values: str) -> None:
        now = self._clock()
        if not 0 <= now - self._said_at < _SAY_SECONDS:
            self._said_at = now
            self._log.warning(event, provider=self._provider, **values)


def _words(ahead: float) -> str:
    return f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'}"
