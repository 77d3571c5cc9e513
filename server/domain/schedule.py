"""When something is due that a person has planned: an instant, or a time on the clock on the wall somewhere.

A local time that the change to daylight saving time skips moves forward by what is skipped; one that the change back repeats is the
first of the two. Both follow from reading it with the offset that was in force before the change.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from server.domain.times import read_time

_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,3}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_local(text: str) -> bool:
    """Say whether a text is a time without an offset."""
    return _LOCAL.fullmatch(text) is not None


def is_zone(name: str) -> bool:
    """Say whether a text is the name of a time zone, such as Europe/Berlin."""
    return find_zone(name) is not None


def read_moment(text: str, zone: str | None) -> int:
    """Return the milliseconds of an instant (RFC 3339), or of a local time in a zone; ValueError, OverflowError."""
    if not is_local(text):
        return read_time(text)
    there = None if zone is None else find_zone(zone)
    if there is None:
        raise ValueError("a time without an offset needs a time zone")
    local = datetime.fromisoformat(text).replace(tzinfo=there, fold=0)
    return (local.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)


@lru_cache(maxsize=256)
def find_zone(name: str) -> ZoneInfo | None:
    """Return the time zone of a name, None where there is none."""
    if _ZONE.fullmatch(name) is None:  # it becomes the path of a file
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a folder; no file of a zone; not there
        return None
