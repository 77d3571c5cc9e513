"""From a delivery to a push, and from its outcome to what is written. Pure: no clock, no I/O.

What the relay and the provider see of a message is decided here, and is as little as PROTOCOL.md, section 2 allows: which
of two priorities, alert or background, and a collapse value that tells them nothing.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from msgspec import UNSET

from crypto.encoding import b64u
from relay.wire import MAX_TTL, Outcome, Priority, Push
from server.domain.delivery import (
    NO_HANDLE,
    NO_HANDLE_WAIT,
    SECOND,
    WAKE_INTERVAL,
    Address,
    Event,
    Kind,
    Parcel,
    Settlement,
    retry_at,
)
from server.domain.message import DeliveryType
from server.worker.gateway import GatewayFault

_EVENTS: Mapping[str, Event] = {
    "accepted": Event.ACCEPT,
    "gone": Event.DEAD_HANDLE,
    "retry": Event.RETRY,
    "rejected": Event.REJECT,
}
_REASON = re.compile(r"[a-z0-9_]{1,64}")
_PROVIDER_ID = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with a batch. A wake stands for all of its device's deliveries, the most urgent of them first."""

    over: list[Settlement]  # nothing is sent for these
    seal: list[Parcel]
    wake: list[list[Parcel]]


@dataclass(frozen=True, slots=True)
class Sending:
    """One push and the deliveries that its outcome settles."""

    push: Push = field(repr=False)
    parcels: Sequence[Parcel]

    @property
    def is_wake(self) -> bool:
        return self.push.envelope is UNSET


def plan(parcels: Sequence[Parcel], addresses: Mapping[str, Address], now: int) -> Plan:
    """Sort out what is expired, retracted or cannot be reached, what is sealed, and whom to wake."""
    made = Plan([], [], [])
    wakes: dict[str, list[Parcel]] = {}
    for parcel in parcels:
        address = addresses[parcel.device_id]
        over = _over(parcel, address, now)
        if over is not None:
            made.over.append(over)
        elif address.public_key is None:
            wakes.setdefault(parcel.device_id, []).append(parcel)
        else:
            made.seal.append(parcel)
    made.wake.extend(sorted(parcels, key=_haste) for parcels in wakes.values())
    return made


def push_for(
    parcel: Parcel, address: Address, envelope: bytes | None, *, now: int, collapse_key: bytes
) -> Push:
    """Return the push of one delivery; without an envelope it is a wake."""
    return Push(
        id=parcel.id,
        handle=address.handle or "",
        envelope=UNSET if envelope is None else b64u(envelope),
        priority=_priority(parcel),
        ttl=min(max(parcel.expires_at - now, 0) // SECOND, MAX_TTL),
        collapse=collapse(parcel, collapse_key),
        type="alert" if parcel.kind.numbered else "background",
    )


def collapse(parcel: Parcel, key: bytes) -> str:
    """Return the collapse value (PROTOCOL.md, section 2): equal for what replaces each other, and never absent."""
    device = UUID(parcel.device_id).bytes
    if parcel.collapse_id is not None:
        named = b"\x01" + device + parcel.collapse_id.encode()
    else:
        named = b"\x00" + device + UUID(parcel.frame_id).bytes
    return b64u(hmac.digest(key, named, "sha256")[:16])


def settled(
    sending: Sending, outcome: Outcome, addresses: Mapping[str, Address], *, now: int, jitter: float
) -> list[Settlement]:
    """Return what an outcome means for the deliveries of its push."""
    event = _EVENTS[outcome.status]
    woken = sending.is_wake and event is Event.ACCEPT
    return [
        Settlement(
            id=parcel.id,
            device_id=parcel.device_id,
            event=event,
            reason=_word(outcome.reason),
            due_at=_retry_at(parcel, now, outcome.retryAfter, jitter),
            handle=addresses[parcel.device_id].handle,
            provider_id=_identifier(outcome.providerId, parcel.id),
            woken=woken,
            relayed=True,
        )
        for parcel in sending.parcels
    ]


def unsettled(sending: Sending, fault: GatewayFault, *, now: int, until: int) -> list[Settlement]:
    """Return what it means for deliveries that nothing is known about their push; `until` is when the relay may be asked again.

    Where it was not they that were in the way, they are due, and go before what came later, as they would have done. Else they may
    have been sent, and the next time may go as this one did: they wait, for other workers as well, and then go behind what is new,
    lest they be in everybody's way for ever.
    """
    due_at = now if fault.general else until
    return [
        replace(
            _settlement(parcel, Event.RETRY, _word(fault.reason), min(due_at, max(parcel.expires_at, now))),
            relayed=True,
            counts=False,
            keeps_turn=fault.general,
        )
        for parcel in sending.parcels
    ]


def put_off(parcel: Parcel, now: int, jitter: float) -> Settlement:
    """Return what it means for a delivery that its batch failed for a reason that nobody foresaw.

    It may be to blame or not: each goes its own way, later each time, so that one that is spoils other company the next time.
    """
    return _settlement(parcel, Event.RETRY, "batch_failed", _retry_at(parcel, now, None, jitter))


def not_sealed(parcel: Parcel, now: int, *, bad_key: bool = False) -> Settlement:
    """Settle what could not be sealed: retracted at the last moment, which the next look finds, or not to be sealed ever."""
    if bad_key:
        return _settlement(parcel, Event.REJECT, "bad_key", now)
    if parcel.message_id is not None:
        return _settlement(parcel, Event.RETRY, "not_sealed", now)
    return _settlement(parcel, Event.REJECT, "too_large", now)


def _over(parcel: Parcel, address: Address, now: int) -> Settlement | None:
    if parcel.is_withdrawn:
        return _settlement(parcel, Event.CANCEL, "retracted", now)
    if parcel.expires_at <= now:
        return _settlement(parcel, Event.EXPIRE, None, now)
    if address.handle is None:
        return _settlement(parcel, Event.RETRY, NO_HANDLE, min(now + NO_HANDLE_WAIT, parcel.expires_at))
    if address.public_key is None and address.woken_at is not None:
        again_at = address.woken_at + WAKE_INTERVAL
        if 0 < again_at - now <= WAKE_INTERVAL:  # not where the clock was put back since
            return _settlement(parcel, Event.RETRY, "woken_before", min(again_at, parcel.expires_at))
    return None


def again(parcel: Parcel, reason: str, now: int, wait: int, jitter: float) -> Settlement:
    """Have a delivery tried again, not sooner than after so many milliseconds."""
    due_at = max(_retry_at(parcel, now, None, jitter), min(now + wait, parcel.expires_at))
    return _settlement(parcel, Event.RETRY, reason, due_at)


def _settlement(parcel: Parcel, event: Event, reason: str | None, due_at: int) -> Settlement:
    return Settlement(parcel.id, parcel.device_id, event, reason, due_at)


def _retry_at(parcel: Parcel, now: int, retry_after: int | None, jitter: float) -> int:
    at = retry_at(now, attempts=parcel.attempts, retry_after=retry_after, jitter=jitter)
    return min(at, max(parcel.expires_at, now))  # to be found expired then, not later


def _priority(parcel: Parcel) -> Priority:
    """Return what the provider is told: it wakes the phone at once unless there is nothing to show or to hear."""
    silent = parcel.delivery_type == DeliveryType.SILENT or parcel.quiet is not None
    return "normal" if silent or parcel.kind in (Kind.RETRACT, Kind.READ) else "high"


def _haste(parcel: Parcel) -> tuple[bool, bool]:
    """Sort what is shown before notices, and what may be heard before what is silent: a wake goes as its first one does."""
    return not parcel.kind.numbered, _priority(parcel) == "normal"


def _word(reason: str | None) -> str | None:
    """Keep to words: what another program says ends in the database, in metrics and in logs."""
    return None if reason is None else reason if _REASON.fullmatch(reason) else "other"


def _identifier(text: str | None, push_id: str) -> str | None:
    """Keep to what an id looks like: a single NUL would keep PostgreSQL from settling the batch, which then goes out again.

    APNs answers with the push id: that is known already.
    """
    return text if text is not None and text.lower() != push_id and _PROVIDER_ID.fullmatch(text) else None
