"""Times as every API shows and takes them: RFC 3339 in UTC, with milliseconds and `Z`."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def show_time(at: int) -> str:
    """Return milliseconds since the epoch as `2025-01-01T12:00:00.000Z`."""
    return (_EPOCH + timedelta(milliseconds=at)).isoformat(timespec="milliseconds").removesuffix(
        "+00:00"
    ) + "Z"


def read_time(text: str) -> int:
    """Return the milliseconds of an RFC 3339 instant; ValueError for anything else, one without an offset too."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or "T" not in text.upper():
        raise ValueError("an instant has a date, a T, a time and an offset")
    return (moment - _EPOCH) // timedelta(milliseconds=1)
