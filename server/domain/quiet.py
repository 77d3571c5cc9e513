"""When a member of a bucket is left in peace: while they have snoozed it, and at the times of the week that they chose.

Quiet times are on the clock on the wall where the member is. A window belongs to the day on which it begins, and may end on the
next. A time that the change to daylight saving time skips moves forward by what is skipped, as all planned times do
(`server/domain/schedule.py`); where the change back repeats a time, a window begins the first time that the clock shows it
and ends the last time.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache

from server.domain.delivery import Quiet
from server.domain.schedule import find_zone

MOST_QUIET_TIMES = 20
LONGEST_SNOOZE = 10_080  # minutes: a week
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Day(StrEnum):
    """A day of the week."""

    MON = "MON"
    TUE = "TUE"
    WED = "WED"
    THU = "THU"
    FRI = "FRI"
    SAT = "SAT"
    SUN = "SUN"


_WEEK = tuple(Day)


@dataclass(frozen=True, slots=True)
class QuietTime:
    """From one time on the clock to another, to the minute, on some days; until the next day where `end` is not after `start`."""

    days: frozenset[Day]
    start: time
    end: time

    def holds(self, instant: datetime, begun: date, zone: tzinfo) -> bool:
        """Say whether an instant is in the window that begins on a day, if one does."""
        if _WEEK[begun.weekday()] not in self.days:
            return False
        ends_on = begun if self.end > self.start else begun + _DAY
        return _instant(begun, self.start, zone) <= instant < _last(ends_on, self.end, zone)


def mute(
    now: int, snoozed_until: int | None, quiet_times: Collection[QuietTime], zone: str | None
) -> Quiet | None:
    """Return why a member hears nothing of a bucket at `now` (milliseconds), None where they do."""
    if snoozed_until is not None and now < snoozed_until:
        return Quiet.SNOOZED
    return Quiet.QUIET_TIME if quiet_at(now, zone, quiet_times) else None


def quiet_at(now: int, zone: str | None, quiet_times: Collection[QuietTime]) -> bool:
    """Say whether `now` (milliseconds) is in one of the quiet times of somebody in a zone; one that is unknown is UTC."""
    if not quiet_times:
        return False
    there = (zone and find_zone(zone)) or UTC
    instant = _EPOCH + timedelta(milliseconds=now)
    today = instant.astimezone(there).date()
    return any(quiet.holds(instant, day, there) for quiet in quiet_times for day in (today, today - _DAY))


@lru_cache(maxsize=1024)  # read for each recipient of each message
def read_quiet_times(text: str | None) -> tuple[QuietTime, ...]:
    """Return what `write_quiet_times` wrote."""
    return tuple(
        QuietTime(
            frozenset(map(Day, one["days"])), time.fromisoformat(one["from"]), time.fromisoformat(one["to"])
        )
        for one in json.loads(text or "[]")
    )


def write_quiet_times(quiet_times: Sequence[QuietTime]) -> str | None:
    """Return quiet times as the database has them: JSON, None for none."""
    words = [
        {"days": days_of(quiet), "from": show_clock(quiet.start), "to": show_clock(quiet.end)}
        for quiet in quiet_times
    ]
    return json.dumps(words) if words else None


def days_of(quiet: QuietTime) -> list[Day]:
    """Return the days of a quiet time in the order of the week."""
    return [day for day in _WEEK if day in quiet.days]


def show_clock(at: time) -> str:
    """Return a time on the clock as `07:30`."""
    return at.isoformat("minutes")


def _instant(day: date, at: time, zone: tzinfo) -> datetime:
    """Return when the clock shows a time of a day, or would have; the first of two, unless `at` means the second."""
    return datetime.combine(day, at, zone).astimezone(UTC)


def _last(day: date, at: time, zone: tzinfo) -> datetime:
    """Return when the clock last shows a time of a day. Of one that is skipped, the second reading is the earlier."""
    return max(_instant(day, at, zone), _instant(day, at.replace(fold=1), zone))
