"""What the forwarder and the providers say to each other.

A `Delivery` is one push that has passed every check of ours; a `Verdict` is what became of it. Each provider
has one table from its documented reasons to verdicts, so that what an operator reads in a reason can be
looked up in one place. `reason` is ours and in snake case; a provider's own text never leaves the relay,
since it may quote the token.
"""

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final, Protocol, TypeAlias

import msgspec

from crypto.handle import Subscription
from relay.wire import App, OutcomeStatus

SEND_SECONDS: Final = 8.0
"""The deadline of one send: under the ten seconds in which a request is answered."""

LONGEST_WAIT: Final = 3_600
"""A server waits at most an hour before it tries again, so more is not said."""

BAD_TOKENS: Final = frozenset({"unregistered", "token_expired", "bad_device_token"})
"""Reasons that say the token is no good: they count towards a server's bad tokens."""

REFUSED_CREDENTIALS: Final = frozenset(
    {"access_token_refused", "credentials_refused", "credentials_unusable", "provider_token_expired"}
)
"""Reasons that say ours are no good: the relay is then not ready."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """`data` is what rides in the payload: `hp`, or `hh` and `rq`, or nothing for a wake; `ttl` in seconds.

    token: the device's, or `subscription` in its place. server: whose push it is, for fairness among them (`Rules.holder`).
    suspect: that server sends mostly to bad tokens.
    """

    id: str
    token: str
    data: Mapping[str, str]
    high: bool
    ttl: int
    collapse: str
    background: bool
    server: str
    suspect: bool = False
    subscription: Subscription | None = None

    def __repr__(self) -> str:
        return f"Delivery(id={self.id!r})"


class Verdict(msgspec.Struct, frozen=True):
    """`retry_after` in seconds, `since` in milliseconds since the epoch."""

    status: OutcomeStatus
    reason: str | None = None
    provider_id: str | None = None
    retry_after: int | None = None
    since: int | None = None

    def after(self, seconds: int | None) -> "Verdict":
        """The same with the provider's own wish, where it has one."""
        if seconds is None:
            return self
        return msgspec.structs.replace(self, retry_after=min(seconds, LONGEST_WAIT))


Done: TypeAlias = Callable[[Verdict], None]


class Provider(Protocol):
    """One app at one provider."""

    @property
    def app(self) -> App: ...

    async def open(self) -> None:
        """Make ready to send; credentials that do not load are `trouble`, not an error."""

    async def close(self) -> None: ...

    def send(self, delivery: Delivery, done: Done) -> None:
        """Make one attempt. `done` is called once, within `SEND_SECONDS`, in this loop, perhaps before this returns.

        Faults of provider or network are verdicts, not exceptions.
        """

    @property
    def trouble(self) -> str | None:
        """Why its credentials cannot be used, or None."""


class Credentials:
    """Whether a provider takes our credentials, from what it answered last.

    A refusal counts for five minutes: a process that is taken out of service for it would otherwise never
    send the push that clears it.
    """

    _COUNTS_SECONDS: Final = 300

    def __init__(self) -> None:
        self._reason: str | None = None
        self._until = 0.0

    def saw(self, verdict: Verdict, now: float) -> None:
        if verdict.status == "accepted":
            self._reason = None
        elif verdict.reason in REFUSED_CREDENTIALS:
            self._reason, self._until = verdict.reason, now + self._COUNTS_SECONDS

    def trouble(self, now: float) -> str | None:
        # More is left than there ever was where the clock was put back.
        return self._reason if 0 < self._until - now <= self._COUNTS_SECONDS else None


INTERNAL: Final = Verdict("retry", "internal")
TIMEOUT: Final = Verdict("retry", "timeout")
CONNECTION_LOST: Final = Verdict("retry", "connection_lost")
UNUSABLE: Final = Verdict("rejected", "credentials_unusable")
NOT_CONFIGURED: Final = Verdict("rejected", "not_configured")


def read_retry_after(value: str | None, now: float) -> int | None:
    """Seconds from a Retry-After field of either form (RFC 9110, section 10.2.3); None where it has neither."""
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return min(int(value[:9]), LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0, min(int(at - now) + 1, LONGEST_WAIT))
