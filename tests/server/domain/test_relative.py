"""How long ago something was, in words, and the same day some months before: by the calendar, in UTC."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.relative import months_before, time_ago
from server.domain.times import read_time, show_time

NOW = "2026-03-31T12:00:00Z"
AGO = {
    "2026-03-31T12:00:00Z": "just now",
    "2026-03-31T11:59:00.001Z": "just now",
    "2026-03-31T11:59:00Z": "1 minute ago",
    "2026-03-31T11:58:00.001Z": "1 minute ago",
    "2026-03-31T11:00:00.001Z": "59 minutes ago",
    "2026-03-31T11:00:00Z": "1 hour ago",
    "2026-03-31T10:00:00Z": "2 hours ago",
    "2026-03-30T12:00:00.001Z": "23 hours ago",
    "2026-03-30T12:00:00Z": "1 day ago",
    "2026-03-28T12:00:00Z": "3 days ago",
    "2026-03-01T12:00:00Z": "30 days ago",
    "2026-02-28T12:00:00.001Z": "1 month ago",  # of that month nothing is left
    "2026-01-31T12:00:00.001Z": "1 month ago",
    "2026-01-31T12:00:00Z": "2 months ago",
    "2025-03-31T12:00:00.001Z": "11 months ago",
    "2025-03-31T12:00:00Z": "1 year ago",
    "2024-04-01T00:00:00Z": "1 year ago",
    "2020-01-01T00:00:00Z": "6 years ago",
}
BEFORE = {
    ("2026-03-31T12:00:00.000Z", 1): "2026-02-28T12:00:00.000Z",
    ("2024-03-31T12:00:00.000Z", 1): "2024-02-29T12:00:00.000Z",
    ("2026-05-31T23:59:59.999Z", 3): "2026-02-28T23:59:59.999Z",
    ("2026-03-15T00:00:00.000Z", 3): "2025-12-15T00:00:00.000Z",
    ("2026-08-31T00:00:00.000Z", 6): "2026-02-28T00:00:00.000Z",
    ("2026-01-01T00:00:00.001Z", 1): "2025-12-01T00:00:00.001Z",
}
INSTANTS = st.integers(min_value=0, max_value=4_000_000_000_000)


@pytest.mark.parametrize("at", AGO)
def test_how_long_ago_it_was_is_told_in_the_largest_whole_unit(at: str) -> None:
    assert time_ago(read_time(at), read_time(NOW)) == AGO[at]


def test_the_last_day_of_a_shorter_month_completes_one() -> None:
    start = read_time("2026-01-31T12:00:00Z")
    assert time_ago(start, read_time("2026-02-28T11:59:59Z")) == "27 days ago"
    assert time_ago(start, read_time("2026-02-28T12:00:00Z")) == "1 month ago"


@given(INSTANTS, INSTANTS)
def test_it_is_never_negative(at: int, now: int) -> None:
    """What a clock that is ahead has made is just now."""
    said = time_ago(at, now)
    assert "-" not in said
    assert not said.startswith("0")
    assert (said == "just now") is (now - at < 60_000)


@pytest.mark.parametrize(("at", "months"), BEFORE)
def test_some_months_before_it_is_the_same_day_or_the_last_one(at: str, months: int) -> None:
    assert show_time(months_before(read_time(at), months)) == BEFORE[at, months]


@given(INSTANTS.filter(lambda at: at > 100_000_000_000), st.sampled_from([1, 3, 6]))
def test_what_came_that_day_is_so_many_months_ago(now: int, months: int) -> None:
    """The two agree; of a month that is shorter than the day's number one is over at its end."""
    said = time_ago(months_before(now, months), now)
    assert said == ("1 month ago" if months == 1 else f"{months} months ago")
