"""When a message is to be sent: at an instant, at a local time in a time zone, or after some seconds."""

from typing import Annotated

from server.api.bodies import own, text, whole
from server.api.reading import Fields
from server.domain.message import FURTHEST
from server.domain.rules import zone
from server.domain.schedule import is_local, is_zone, read_moment

LONGEST_DELAY = 86_400  # seconds
_LONGEST_ZONE = 100
_TIME = "send a time like 2030-01-31T12:00:00Z, or 2030-01-31T12:00:00 with a timezone"


def read_time_of_sending(fields: Fields, name: str) -> int:
    """Read a time at which something must be sent: as `SendAt`, but it has to be there."""
    given = fields.value(name)
    if given is None:
        fields.fault(name, "is missing", _TIME)
        return fields.now
    return _read_at(fields, name, given) or fields.now


def _read_send_at(fields: Fields, name: str) -> int | None:
    """Read `scheduledSendAt`."""
    given = fields.value(name)
    if given is None:
        return None
    if fields.value("delaySeconds") is not None:
        fields.fault("delaySeconds", f"is given beside {name}", "send one of the two")
    return _read_at(fields, name, given)


def _read_at(fields: Fields, name: str, given: object) -> int | None:
    """Read a time, by the clock on the wall of `timezone` where it has no offset of its own."""
    where = fields.value("timezone")
    place = where if isinstance(where, str) and is_zone(where) else None
    if isinstance(given, str) and is_local(given) and place is None:
        if where is None:  # one that is wrong is said to be so
            fields.fault(name, "has no offset", "add Z or an offset like +01:00, or send a timezone")
        return None
    return _read_moment(fields, name, given, place)


def _read_moment(fields: Fields, name: str, given: object, place: str | None) -> int | None:
    try:
        at = read_moment(given, place) if isinstance(given, str) else None
    except (ValueError, OverflowError):
        at = None
    if at is None:
        fields.fault(name, "is not a time (RFC 3339)", _TIME)
    elif at <= fields.now:
        fields.fault(name, "has passed", "send a time in the future")
    elif at > fields.now + FURTHEST:
        fields.fault(name, "is more than a year ahead", "send a time within a year")
    return at


SendAt = Annotated[
    int | None,
    own(
        _read_send_at,
        "When to send it: an instant (RFC 3339), or a local time without an offset in `timezone`. At most a year ahead.",
        type="string",
        examples=["2030-01-31T12:00:00Z"],
    ),
]
ZoneName = Annotated[
    str,
    text(
        "The time zone of a time of sending that has no offset.",
        most=_LONGEST_ZONE,
        rule=zone,
        examples=["Europe/Berlin"],
    ),
]
Delay = Annotated[
    int,
    whole("Send it after so many seconds, instead of `scheduledSendAt`.", least=1, most=LONGEST_DELAY),
]


def moment(send_at: int | None, delay: int | None, now: int) -> int | None:
    """Return when a message is to be sent that was read with `SendAt` and `Delay`; None is at once."""
    return send_at if delay is None else now + 1000 * delay
