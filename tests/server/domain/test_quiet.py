"""When a member is left in peace: by the clock on their wall, also in the nights in which that clock is changed."""

from datetime import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.delivery import Quiet
from server.domain.quiet import Day, QuietTime, mute, quiet_at, read_quiet_times, write_quiet_times
from tests.harness.clock import at

BERLIN, NEW_YORK, LORD_HOWE, KOLKATA = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
)


def window(days: str, start: str, end: str) -> QuietTime:
    return QuietTime(frozenset(map(Day, days.split())), time.fromisoformat(start), time.fromisoformat(end))


NIGHT = window("MON", "22:00", "07:00")
NOON = window("MON", "12:00", "13:00")


# 2027-01-04 is a Monday.
@pytest.mark.parametrize(
    ("quiet", "zone", "now", "expected"),
    [
        (NOON, None, "2027-01-04T11:59:59.999+00:00", False),
        (NOON, None, "2027-01-04T12:00:00+00:00", True),
        (NOON, None, "2027-01-04T12:59:59.999+00:00", True),
        (NOON, None, "2027-01-04T13:00:00+00:00", False),
        (NOON, None, "2027-01-05T12:30:00+00:00", False),
        (NOON, None, "2027-01-03T12:30:00+00:00", False),
        (NOON, BERLIN, "2027-01-04T12:30:00+01:00", True),
        (NOON, BERLIN, "2027-01-04T12:30:00+00:00", False),
        (NOON, BERLIN, "2027-07-05T12:30:00+02:00", True),
        (NOON, KOLKATA, "2027-01-04T12:30:00+05:30", True),
        (NOON, KOLKATA, "2027-07-05T12:30:00+05:30", True),
        (NOON, "Nowhere/Never", "2027-01-04T12:30:00+00:00", True),  # as in UTC
        (NOON, "Pacific/Kiritimati", "2027-01-03T22:30:00+00:00", True),  # Monday there, Sunday in UTC
    ],
)
def test_a_window_is_on_the_clock_of_its_owner(
    quiet: QuietTime, zone: str | None, now: str, *, expected: bool
) -> None:
    assert quiet_at(at(now), zone, [quiet]) is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2027-01-04T06:59:00+01:00", False),  # the night from Sunday to Monday is Sunday's
        ("2027-01-04T21:59:00+01:00", False),
        ("2027-01-04T22:00:00+01:00", True),
        ("2027-01-04T23:59:59+01:00", True),
        ("2027-01-05T00:00:00+01:00", True),
        ("2027-01-05T06:59:59+01:00", True),
        ("2027-01-05T07:00:00+01:00", False),
        ("2027-01-05T22:00:00+01:00", False),
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(now: str, *, expected: bool) -> None:
    assert quiet_at(at(now), BERLIN, [NIGHT]) is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2027-01-04T07:59:00+01:00", False),
        ("2027-01-04T08:00:00+01:00", True),
        ("2027-01-05T07:59:00+01:00", True),
        ("2027-01-05T08:00:00+01:00", False),
    ],
)
def test_a_window_that_ends_when_it_began_is_a_day(now: str, *, expected: bool) -> None:
    assert quiet_at(at(now), BERLIN, [window("MON", "08:00", "08:00")]) is expected


# Berlin: 2027-03-28, 02:00 becomes 03:00. New York: 2027-03-14, 02:00 becomes 03:00. Lord Howe: 2027-10-03, 02:00 becomes 02:30.
@pytest.mark.parametrize(
    ("quiet", "zone", "now", "expected"),
    [
        # it goes over the change
        (window("SAT", "22:00", "07:00"), BERLIN, "2027-03-28T01:59:00+01:00", True),
        (window("SAT", "22:00", "07:00"), BERLIN, "2027-03-28T03:00:00+02:00", True),
        (window("SAT", "22:00", "07:00"), BERLIN, "2027-03-28T06:59:00+02:00", True),
        (window("SAT", "22:00", "07:00"), BERLIN, "2027-03-28T07:00:00+02:00", False),
        # it ends in the hour that is skipped: 02:30 is 03:30
        (window("SAT", "22:00", "02:30"), BERLIN, "2027-03-28T03:29:00+02:00", True),
        (window("SAT", "22:00", "02:30"), BERLIN, "2027-03-28T03:30:00+02:00", False),
        (window("SUN", "00:00", "02:30"), NEW_YORK, "2027-03-14T03:29:00-04:00", True),
        (window("SUN", "00:00", "02:30"), NEW_YORK, "2027-03-14T03:30:00-04:00", False),
        (window("SUN", "00:00", "02:15"), LORD_HOWE, "2027-10-03T02:44:00+11:00", True),
        (window("SUN", "00:00", "02:15"), LORD_HOWE, "2027-10-03T02:45:00+11:00", False),
        # it begins there
        (window("SUN", "02:30", "07:00"), BERLIN, "2027-03-28T03:29:00+02:00", False),
        (window("SUN", "02:30", "07:00"), BERLIN, "2027-03-28T03:30:00+02:00", True),
        (window("SUN", "02:15", "07:00"), LORD_HOWE, "2027-10-03T02:44:00+11:00", False),
        (window("SUN", "02:15", "07:00"), LORD_HOWE, "2027-10-03T02:45:00+11:00", True),
        # all of it is there
        (window("SUN", "02:10", "02:50"), BERLIN, "2027-03-28T03:09:00+02:00", False),
        (window("SUN", "02:10", "02:50"), BERLIN, "2027-03-28T03:10:00+02:00", True),
        (window("SUN", "02:10", "02:50"), BERLIN, "2027-03-28T03:49:00+02:00", True),
        (window("SUN", "02:10", "02:50"), BERLIN, "2027-03-28T03:50:00+02:00", False),
        # it ends when it has not begun: nothing of it is left
        (window("SUN", "02:30", "03:15"), BERLIN, "2027-03-28T03:20:00+02:00", False),
        (window("SUN", "02:30", "03:15"), BERLIN, "2027-03-28T03:40:00+02:00", False),
    ],
)
def test_what_is_skipped_moves_forward(quiet: QuietTime, zone: str, now: str, *, expected: bool) -> None:
    assert quiet_at(at(now), zone, [quiet]) is expected


# Berlin: 2027-10-31, 03:00 becomes 02:00. New York: 2027-11-07, 02:00 becomes 01:00. Lord Howe: 2027-04-04, 02:00 becomes 01:30.
@pytest.mark.parametrize(
    ("quiet", "zone", "now", "expected"),
    [
        # it goes over the change
        (window("SAT", "22:00", "07:00"), BERLIN, "2027-10-31T02:30:00+02:00", True),
        (window("SAT", "22:00", "07:00"), BERLIN, "2027-10-31T02:30:00+01:00", True),
        (window("SAT", "22:00", "07:00"), BERLIN, "2027-10-31T07:00:00+01:00", False),
        # it ends in the hour that is repeated: the second time, without a gap
        (window("SAT", "22:00", "02:30"), BERLIN, "2027-10-31T02:29:00+02:00", True),
        (window("SAT", "22:00", "02:30"), BERLIN, "2027-10-31T02:45:00+02:00", True),
        (window("SAT", "22:00", "02:30"), BERLIN, "2027-10-31T02:29:00+01:00", True),
        (window("SAT", "22:00", "02:30"), BERLIN, "2027-10-31T02:30:00+01:00", False),
        (window("SUN", "00:00", "01:30"), NEW_YORK, "2027-11-07T01:29:00-05:00", True),
        (window("SUN", "00:00", "01:30"), NEW_YORK, "2027-11-07T01:30:00-05:00", False),
        (window("SUN", "00:00", "01:45"), LORD_HOWE, "2027-04-04T01:44:00+10:30", True),
        (window("SUN", "00:00", "01:45"), LORD_HOWE, "2027-04-04T01:45:00+10:30", False),
        # it begins there: the first time
        (window("SUN", "02:30", "07:00"), BERLIN, "2027-10-31T02:29:00+02:00", False),
        (window("SUN", "02:30", "07:00"), BERLIN, "2027-10-31T02:30:00+02:00", True),
        (window("SUN", "02:30", "07:00"), BERLIN, "2027-10-31T02:15:00+01:00", True),
        (window("SUN", "01:45", "07:00"), LORD_HOWE, "2027-04-04T01:44:00+11:00", False),
        (window("SUN", "01:45", "07:00"), LORD_HOWE, "2027-04-04T01:45:00+11:00", True),
        (window("SUN", "01:45", "07:00"), LORD_HOWE, "2027-04-04T01:31:00+10:30", True),
        # all of it is there: both times, and what is between them
        (window("SUN", "02:10", "02:50"), BERLIN, "2027-10-31T02:09:00+02:00", False),
        (window("SUN", "02:10", "02:50"), BERLIN, "2027-10-31T02:10:00+02:00", True),
        (window("SUN", "02:10", "02:50"), BERLIN, "2027-10-31T02:49:00+01:00", True),
        (window("SUN", "02:10", "02:50"), BERLIN, "2027-10-31T02:50:00+01:00", False),
    ],
)
def test_what_is_repeated_counts_both_times(quiet: QuietTime, zone: str, now: str, *, expected: bool) -> None:
    assert quiet_at(at(now), zone, [quiet]) is expected


@given(
    st.integers(at("1990-01-01T00:00:00Z"), at("2060-01-01T00:00:00Z")),
    st.sampled_from([BERLIN, NEW_YORK, LORD_HOWE, KOLKATA, "Africa/Cairo", "America/Sao_Paulo", "UTC"]),
    st.times(),
)
def test_who_is_quiet_around_the_clock_is_never_disturbed(now: int, zone: str, start: time) -> None:
    start = start.replace(second=0, microsecond=0)
    always = QuietTime(frozenset(Day), start, start)
    assert quiet_at(now, zone, [always])


def test_a_snooze_comes_before_a_quiet_time() -> None:
    now = at("2027-01-04T12:30:00+00:00")
    assert mute(now, now + 1, [NOON], None) is Quiet.SNOOZED
    assert mute(now, now, [NOON], None) is Quiet.QUIET_TIME
    assert mute(now, None, [NIGHT, NOON], None) is Quiet.QUIET_TIME
    assert mute(now, now, [NIGHT], None) is None
    assert mute(now, None, [], BERLIN) is None


def test_quiet_times_are_read_as_they_were_written() -> None:
    written = write_quiet_times([window("SUN MON", "22:00", "07:30"), NOON])
    assert written == (
        '[{"days": ["MON", "SUN"], "from": "22:00", "to": "07:30"}, {"days": ["MON"], "from": "12:00", "to": "13:00"}]'
    )
    assert read_quiet_times(written) == (window("SUN MON", "22:00", "07:30"), NOON)


def test_no_quiet_times_are_written_as_nothing() -> None:
    assert write_quiet_times([]) is None
    assert read_quiet_times(None) == ()
