"""What the server asks of others over HTTP: webhooks, and files that it keeps a copy of. Pure.

    queued -> leased -> done | failed, and back to queued where it is worth another try

A request keeps its id over all of its attempts: who receives a webhook twice knows it by that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from server.domain.delivery import SECOND

LEASE = 60 * SECOND  # longer than any attempt takes
LONGEST_RETRY_AFTER = 24 * 3600 * SECOND
DAYS_KEPT = 30  # of what is settled
_JITTER = 0.1  # of a wait: what failed together does not come back together


class Kind(StrEnum):
    WEBHOOK = "webhook"  # somebody pressed a button whose action is the sender's
    SAVE = "save"  # a file that a message names, before the message is sent


class State(StrEnum):
    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        return self in (State.DONE, State.FAILED)


class Reason(StrEnum):
    """Why an attempt came to nothing."""

    BAD_URL = "bad_url"  # no address, or one with two readings
    REFUSED_PORT = "refused_port"  # another protocol's
    REFUSED_INSIDE = "refused_inside"  # it leads into this network, or to this machine
    DNS_FAILED = "dns_failed"
    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"  # no certificate for that name from who is trusted
    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection_lost"
    PROTOCOL_ERROR = "protocol_error"  # the answer is no HTTP
    STATUS_3XX = "status_3xx"  # it points elsewhere: webhooks are not redirected
    STATUS_4XX = "status_4xx"
    STATUS_5XX = "status_5xx"
    GONE = "gone"  # 410: nobody wants this any more
    TOO_MANY_REDIRECTS = "too_many_redirects"
    DOWNGRADED = "downgraded"  # a redirect from https to http
    TOO_LARGE = "too_large"
    RETRACTED = "retracted"  # the message was, meanwhile
    TOO_LATE = "too_late"  # the message went without its copy
    ATTEMPT_FAILED = "attempt_failed"  # for a reason that nobody foresaw

    @property
    def is_final(self) -> bool:
        """Whether another attempt would find the same."""
        return self in _FINAL


_FINAL = frozenset(
    {
        Reason.BAD_URL,
        Reason.REFUSED_PORT,
        Reason.REFUSED_INSIDE,
        Reason.GONE,
        Reason.TOO_MANY_REDIRECTS,
        Reason.DOWNGRADED,
        Reason.TOO_LARGE,
        Reason.RETRACTED,
        Reason.TOO_LATE,
    }
)
# Seconds to wait after each attempt that failed; after the last there is none. A webhook's are those of Standard Webhooks:
# three days and more. A message waits for its files a minute at the longest.
_WAITS: Mapping[Kind, Sequence[int]] = {
    Kind.WEBHOOK: (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400),
    Kind.SAVE: (2, 8),
}
SAVED_WITHIN = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Request:
    """Something to ask. `payload` is its kind's; `bucket_id` and `epoch` are those that its webhook's key is made from."""

    id: str
    kind: Kind
    message_id: str | None
    user_id: str | None
    host: str
    payload: Mapping[str, Any] = field(repr=False)
    attempts: int  # the one that is under way included
    created_at: int
    bucket_id: str | None = None
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of asking once. Without a `reason` it went well; `status` is HTTP's, `retry_after` in seconds."""

    reason: Reason | None
    status: int | None = None
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is written of an attempt; `due_at` counts where the request is queued again."""

    state: State
    reason: Reason | None
    status: int | None
    due_at: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a request is, as people see it."""

    id: str
    payload: Mapping[str, Any] = field(repr=False)
    state: State
    reason: str | None
    status: int | None
    attempts: int
    created_at: int
    due_at: int
    settled_at: int | None


def reason_of(status: int) -> Reason | None:
    """Return what an answer's status means; None for success."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    if status == HTTPStatus.GONE:
        return Reason.GONE
    if status < HTTPStatus.BAD_REQUEST:
        return Reason.STATUS_3XX
    return Reason.STATUS_4XX if status < HTTPStatus.INTERNAL_SERVER_ERROR else Reason.STATUS_5XX


def settle(request: Request, attempt: Attempt, *, now: int, jitter: float) -> Settlement:
    """Return what becomes of a request after an attempt; `jitter` from 0 to 1. Times are in milliseconds."""
    if attempt.reason is None:
        return Settlement(State.DONE, None, attempt.status, now)
    waits = _WAITS[request.kind]
    if attempt.reason.is_final or request.attempts > len(waits):
        return Settlement(State.FAILED, attempt.reason, attempt.status, now)
    wait = int(waits[request.attempts - 1] * SECOND * (1 + _JITTER * jitter))
    asked = min((attempt.retry_after or 0) * SECOND, LONGEST_RETRY_AFTER)
    return Settlement(State.QUEUED, attempt.reason, attempt.status, now + max(wait, asked))
