"""From deliveries whose texts are to be asked for to what is asked, and from what came of it to what is written. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from server.commands.resolving import fill_parcel, unresolved_in
from server.domain.delivery import SECOND, Parcel, Settlement
from server.domain.message import Message
from server.worker.asker import REST, Without
from server.worker.pushes import again
from server.worker.resolver import Asked

_ATTEMPTS = 3
_NO_ROOM_WAIT = (
    5 * SECOND
)  # of thousands that are in nobody's way, but would be taken and put back all the time


@dataclass(frozen=True, slots=True)
class Group:
    """Deliveries of one tenant, and their messages, each once."""

    parcels: list[Parcel] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)


def by_tenant(
    parcels: Sequence[Parcel], messages: Sequence[Message]
) -> tuple[dict[str, Group], list[Parcel]]:
    """Return deliveries by their tenants, and those whose messages are gone."""
    known = {message.id: message for message in messages}
    groups: dict[str, Group] = {}
    for message in messages:
        groups.setdefault(message.tenant_id, Group()).messages.append(message)
    gone = []
    for parcel in parcels:
        found = known.get(parcel.message_id or "")
        if found is None:
            gone.append(parcel)
        else:
            groups[found.tenant_id].parcels.append(parcel)
    return groups, gone


def with_texts(
    parcels: Sequence[Parcel], asked: Mapping[str, Asked], now: int, jitter: Callable[[], float]
) -> tuple[list[Parcel], list[Settlement]]:
    """Return the deliveries that go out now, with what was answered, and what becomes of the others."""
    without = {parcel.id for parcel in unresolved_in(parcels)}
    going, later = [], []
    for parcel in parcels:
        answer = asked.get(parcel.message_id or "") if parcel.id in without else None
        settlement = None if answer is None else _later(parcel, answer.without, now, jitter())
        if settlement is not None:
            later.append(settlement)
        else:
            going.append(parcel if answer is None else fill_parcel(parcel, answer.message))
    return going, later


def no_room(parcel: Parcel, now: int, jitter: float) -> Settlement:
    """Put off a delivery that there is no room for beside the batches."""
    return busy(parcel, now, jitter, _NO_ROOM_WAIT)


def busy(parcel: Parcel, now: int, jitter: float, least: int = SECOND) -> Settlement:
    """Put off a delivery that nobody was asked for: it has lost no attempt."""
    wait = least + int(SECOND * jitter)
    return replace(again(replace(parcel, attempts=0), "resolver_busy", now, wait, 0.0), counts=False)


def _later(parcel: Parcel, why: Without | None, now: int, jitter: float) -> Settlement | None:
    """Return when a delivery comes again whose texts were asked for in vain; None where it goes out with what there is.

    That is when whoever was asked has rested. After the third attempt it goes without: a phone that stays silent would be worse.
    """
    if why is Without.BUSY:
        return busy(parcel, now, jitter)
    if why is not Without.FAILED or parcel.attempts >= _ATTEMPTS:
        return None
    return again(parcel, "resolver_failed", now, int(SECOND * (REST + jitter)), jitter)
