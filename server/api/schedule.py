"""Reading when a message is to be sent: at an instant, at a local time in a time zone, or after some seconds."""

from server.api.reading import Fields
from server.domain.message import FURTHEST
from server.domain.schedule import is_local, is_zone, read_moment

LONGEST_DELAY = 86_400  # seconds
_LONGEST_ZONE = 100
_TIME = "send a time like 2030-01-31T12:00:00Z, or 2030-01-31T12:00:00 with a timezone"


def read_schedule(fields: Fields, now: int) -> int | None:
    """Read `scheduledSendAt` with `timezone`, or `delaySeconds`; None where neither is there: at once."""
    zone = fields.optional("timezone", most=_LONGEST_ZONE)
    if zone is not None and not is_zone(zone):
        fields.fault("timezone", "is no time zone", "send the name of one, such as Europe/Berlin")
        zone = None
    text, delay = fields.value("scheduledSendAt"), fields.value("delaySeconds")
    if text is not None and delay is not None:
        fields.fault("delaySeconds", "is given beside scheduledSendAt", "send one of the two")
    if delay is not None:
        return now + 1000 * fields.whole("delaySeconds", least=1, most=LONGEST_DELAY)
    return None if text is None else _read_moment(fields, text, zone, now)


def _read_moment(fields: Fields, text: object, zone: str | None, now: int) -> int | None:
    if isinstance(text, str) and is_local(text) and zone is None:
        fields.fault("scheduledSendAt", "has no offset", "add Z or an offset like +01:00, or send a timezone")
        return None
    try:
        at = read_moment(text, zone) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        at = None
    if at is None:
        fields.fault("scheduledSendAt", "is not a time (RFC 3339)", _TIME)
    elif at <= now:
        fields.fault(
            "scheduledSendAt", "has passed", "send a time in the future, or leave it out to send at once"
        )
    elif at > now + FURTHEST:
        fields.fault("scheduledSendAt", "is more than a year ahead", "send a time within a year")
    return at
