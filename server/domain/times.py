"""Times as every API shows and takes them: RFC 3339 in UTC, with milliseconds and `Z`."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

# Python reads more: weeks, commas, years that only an offset brings within the calendar.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def show_time(at: int) -> str:
    """Return milliseconds since the epoch as `2025-01-01T12:00:00.000Z`."""
    second, milliseconds = divmod(at, 1000)
    return f"{_show_second(second)}.{milliseconds:03}Z"


@lru_cache(maxsize=1024)  # the same second is shown for every message of it
def _show_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).isoformat(timespec="seconds").removesuffix("+00:00")


def show_when(at: int | None) -> str | None:
    """Return a time as `show_time` does, None where there is none."""
    return None if at is None else show_time(at)


def read_time(text: str) -> int:
    """Return the milliseconds of an RFC 3339 instant that can be shown again.

    ValueError or OverflowError for anything else: one without an offset, one that UTC puts outside the calendar.
    """
    if _RFC3339.fullmatch(text) is None:
        raise ValueError("an instant has a date, a T, a time and an offset")
    return (datetime.fromisoformat(text.upper()).astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
