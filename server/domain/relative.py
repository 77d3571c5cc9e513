"""Times as they are to another time: "2 hours ago", the same day some months before. By the calendar, in UTC."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
_YEAR = 12  # months


def time_ago(at: int, now: int) -> str:
    """Return how long ago something was: "just now", "1 minute ago", "3 days ago". What a slow clock puts ahead is just now."""
    passed = now - at
    if passed < _MINUTE:
        return "just now"
    if passed < _HOUR:
        return _ago(passed // _MINUTE, "minute")
    if passed < _DAY:
        return _ago(passed // _HOUR, "hour")
    months = _months_between(_moment(at), _moment(now))
    if months == 0:
        return _ago(passed // _DAY, "day")
    return _ago(months, "month") if months < _YEAR else _ago(months // _YEAR, "year")


def months_before(at: int, months: int) -> int:
    """Return the same time of the same day so many months before; of a shorter month the last day."""
    moment = _moment(at)
    year, month = divmod(moment.year * _YEAR + moment.month - 1 - months, _YEAR)
    day = min(moment.day, monthrange(year, month + 1)[1])
    return (moment.replace(year=year, month=month + 1, day=day) - _EPOCH) // timedelta(milliseconds=1)


def _months_between(first: datetime, last: datetime) -> int:
    """Return how many whole months have passed; of a shorter month the last day completes one."""
    months = (last.year - first.year) * _YEAR + last.month - first.month
    day = min(first.day, monthrange(last.year, last.month)[1])
    return months - (last < first.replace(year=last.year, month=last.month, day=day))


def _moment(at: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at)


def _ago(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'} ago"
