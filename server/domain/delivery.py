"""Deliveries: the outbox's rows, their states, and when they are tried again. Pure; the SQL is in `server/store`.

    queued -> leased -> accepted | gone | failed | expired | cancelled, and back to queued on a retry

Every delivery is in exactly one state, so what was created is what was settled and what waits: `domain/tally.py` keeps the book.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

SECOND = 1000
LEASE = 30 * SECOND  # PROTOCOL.md, section 4: the relay answers within 10 s, the server waits 15
WAKE_INTERVAL = 30 * SECOND  # section 2: a device without a key is woken at most this often
LONGEST_RETRY_AFTER = 3600 * SECOND  # section 4: what a relay may ask for
NO_HANDLE_WAIT = (
    6 * 3600 * SECOND
)  # a new handle makes its deliveries due at once: this only finds the expired
NO_HANDLE = "no_handle"  # the reason of what waits for one
NOTICE_LIFETIME = 7 * 86_400 * SECOND  # of kinds 2 and 3: after that a device learns the same when it fetches
DAYS_KEPT = 30  # of what is settled: longer than any device may ask for it
WEB_HANDLE_LENGTH = (
    1410  # characters; section 3: only the claims of a Web Push handle are padded to 1024 bytes
)
_FIRST_BACKOFF = 2 * SECOND
_LONGEST_BACKOFF = 900 * SECOND
_DOUBLINGS = 10


class Kind(IntEnum):
    """PROTOCOL.md, section 2. MESSAGE and UPDATE are numbered, RETRACT and READ are idempotent and are not."""

    MESSAGE = 1
    RETRACT = 2
    READ = 3
    UPDATE = 4

    @property
    def numbered(self) -> bool:
        return self in (Kind.MESSAGE, Kind.UPDATE)


class Channel(StrEnum):
    """How a message travels: into the inbox, to devices, or by another service."""

    IN_APP = "IN_APP"
    PUSH = "PUSH"
    EMAIL = "EMAIL"
    SMS = "SMS"
    CHAT = "CHAT"


class Suppressed(StrEnum):
    """Why a delivery was written that does not go out."""

    OPTED_OUT = "opted_out"  # its user does not want messages of that category, or any, on that channel
    NO_CHANNEL = (
        "no_channel"  # there is nothing that the channel could lead to: no device, no address, no provider
    )


class State(StrEnum):
    """How far a delivery is."""

    QUEUED = "queued"
    LEASED = "leased"
    ACCEPTED = "accepted"  # the provider has it; for IN_APP: it is in the inbox
    GONE = "gone"  # the handle was dead; a new one queues it again
    EXPIRED = "expired"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"  # written only to say why it did not go out


class Event(StrEnum):
    CLAIM = "claim"
    ACCEPT = "accept"
    DEAD_HANDLE = "dead_handle"
    RETRY = "retry"
    REJECT = "reject"
    EXPIRE = "expire"
    CANCEL = "cancel"
    NEW_HANDLE = "new_handle"
    RELEASE = "release"  # its lease has run out, or was given back
    REVIVE = "revive"  # an admin has it tried again


TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.QUEUED, Event.CLAIM): State.LEASED,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    (State.QUEUED, Event.NEW_HANDLE): State.QUEUED,  # due at once
    (State.LEASED, Event.RELEASE): State.QUEUED,
    (State.LEASED, Event.ACCEPT): State.ACCEPTED,
    (State.LEASED, Event.DEAD_HANDLE): State.GONE,
    (State.LEASED, Event.RETRY): State.QUEUED,
    (State.LEASED, Event.REJECT): State.FAILED,
    (State.LEASED, Event.EXPIRE): State.EXPIRED,
    (State.LEASED, Event.CANCEL): State.CANCELLED,
    (State.GONE, Event.NEW_HANDLE): State.QUEUED,
    (State.GONE, Event.REVIVE): State.QUEUED,
    (State.FAILED, Event.REVIVE): State.QUEUED,
}
WAITING = frozenset({State.QUEUED, State.LEASED})
SETTLED = frozenset(State) - WAITING


def after(state: State, event: Event) -> State:
    """Return the state that follows; ValueError where the event cannot happen."""
    following = TRANSITIONS.get((state, event))
    if following is None:
        raise ValueError(f"a delivery that is {state} cannot {event}")
    return following


class Quiet(StrEnum):
    """Why a delivery goes without a sound, as if its message were SILENT: the phone's history is what it was sent."""

    SNOOZED = "snoozed"
    QUIET_TIME = "quiet_time"


@dataclass(frozen=True, slots=True)
class Activity:
    """Under what the first delivery of a message is found in the history of a tenant."""

    tenant_id: str
    category: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A delivery to be written. `id` is the push id (UUIDv4), `device_id` None for IN_APP.

    `message_id` is None for kinds 2 and 3, which bring their own `body` (JSON); `suppressed` is the reason where it
    must not go out. `frame_id` is what the device knows it by: the message's id the first time, else a new one.
    """

    id: str
    message_id: str | None
    user_id: str
    device_id: str | None
    channel: Channel
    kind: Kind
    frame_id: str
    body: str | None = field(repr=False)
    suppressed: Suppressed | None
    due_at: int
    turn: int  # of those that are due, the lowest goes first (`domain/turns.py`)
    expires_at: int
    quiet: Quiet | None = None
    activity: Activity | None = None  # None: it is no news in the history of what was sent
    cancelled: bool = False  # its message was taken back before its time: it is written to say so

    @property
    def numbered(self) -> bool:
        goes_out = self.suppressed is None and not self.cancelled
        return self.channel is Channel.PUSH and self.kind.numbered and goes_out

    @property
    def state(self) -> State:
        """Return the state in which it is written."""
        if self.cancelled:
            return State.CANCELLED
        if self.suppressed is not None:
            return State.SUPPRESSED
        return State.ACCEPTED if self.channel is Channel.IN_APP else State.QUEUED


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as people and APIs see it."""

    id: str
    message_id: str | None
    user_id: str
    device_id: str | None
    channel: Channel
    kind: Kind
    frame_id: str
    sequence: int | None
    state: State
    reason: str | None
    attempts: int
    created_at: int
    due_at: int
    expires_at: int
    settled_at: int | None


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery with what its frame is made of. `body` is the JSON of its content, None once that is retracted."""

    id: str
    message_id: str | None
    device_id: str
    kind: Kind
    frame_id: str
    sequence: int  # its own, or the device's head for kinds 2 and 3
    state: State
    attempts: int
    created_at: int
    expires_at: int
    delivery_type: str | None
    collapse_id: str | None = field(repr=False)
    body: str | None = field(repr=False)
    quiet: Quiet | None
    fleeting: bool = False  # it has texts that are not kept here: no claim on it is stored

    @property
    def of(self) -> str | None:
        """The message that this frame is about, where it is not the message itself: a reminder, a repeat, an update."""
        return self.message_id if self.message_id != self.frame_id else None

    @property
    def is_withdrawn(self) -> bool:
        """Its content is gone: it is cancelled, however far it had come."""
        return self.body is None or self.state is State.CANCELLED


@dataclass(frozen=True, slots=True)
class Address:
    """Where a device's deliveries go; without a key it is only woken, without a handle it cannot be reached."""

    device_id: str
    platform: str
    suite: int | None
    public_key: bytes | None = field(repr=False)
    handle: str | None = field(repr=False)
    woken_at: int | None

    @property
    def is_web(self) -> bool:
        """Web Push has its own largest size, and no background pushes (PROTOCOL.md, section 2).

        The platform is the device's own word, so a handle of a Web Push handle's length counts as well.
        """
        return self.platform == "web" or len(self.handle or "") >= WEB_HANDLE_LENGTH


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is written when an attempt is over.

    `handle` is the one that was used, for a compare-and-set; None where nothing is known to have been done with one.
    """

    id: str
    device_id: str
    event: Event
    reason: str | None
    due_at: int  # matters to a retry
    handle: str | None = field(default=None, repr=False)
    provider_id: str | None = None
    woken: bool = False
    relayed: bool = False  # the relay was asked
    counts: bool = True  # as an attempt
    keeps_turn: bool = False

    @property
    def hangs_on_handle(self) -> bool:
        """With another handle it would have come out differently: a dead, a throttled or a missing one was in the way."""
        waits = self.event is Event.RETRY and (self.handle is not None or self.reason == NO_HANDLE)
        return waits or self.event is Event.DEAD_HANDLE


class ReceiptEvent(StrEnum):
    """What a device says of a push."""

    RECEIVED = "received"
    SHOWN = "shown"
    READ = "read"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a device says became of a frame; `frame_id` is None for an envelope that it could not open."""

    frame_id: str | None
    event: ReceiptEvent
    reason: str | None
    at: int


def backoff(attempts: int, jitter: float) -> int:
    """Return milliseconds to wait after so many attempts: doubling, with `jitter` in [0, 1) over its upper half."""
    whole = min(_FIRST_BACKOFF << min(max(attempts - 1, 0), _DOUBLINGS), _LONGEST_BACKOFF)
    return whole // 2 + int(whole / 2 * jitter)


def retry_at(now: int, *, attempts: int, retry_after: int | None, jitter: float) -> int:
    """Return when to try again: after `retry_after` seconds where the relay says so (an hour at most), or backed off.

    What is told to many at once is spread over a tenth more, so that they do not all come back together.
    """
    if retry_after is None:
        return now + backoff(attempts, jitter)
    asked = min(max(retry_after, 0) * SECOND, LONGEST_RETRY_AFTER)
    return now + max(asked, backoff(1, jitter)) + int(asked / 10 * jitter)


def jitter_of(noise: bytes) -> float:
    """Turn random bytes into a number in [0, 1)."""
    return int.from_bytes(noise, "big") / (1 << 8 * len(noise))
