"""When something planned is due: instants, and times on the clock on the wall, also where that clock is changed."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.schedule import is_local, is_zone, read_moment
from tests.harness.clock import at

BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2030-01-31T12:00:00Z", "2030-01-31T12:00:00+00:00"),
        ("2030-01-31T12:00:00.250+01:00", "2030-01-31T11:00:00.250+00:00"),
        ("2030-01-31t12:00:00z", "2030-01-31T12:00:00+00:00"),
    ],
)
def test_an_instant_is_what_it_says_whatever_the_zone(text: str, instant: str) -> None:
    assert read_moment(text, None) == read_moment(text, BERLIN) == at(instant)


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2030-01-31T12:00:00", BERLIN, "2030-01-31T11:00:00+00:00"),
        ("2030-07-31T12:00:00", BERLIN, "2030-07-31T10:00:00+00:00"),
        ("2030-07-31T12:00", BERLIN, "2030-07-31T10:00:00+00:00"),
        ("2030-07-31T12:00:00.5", "Asia/Kolkata", "2030-07-31T06:30:00.500+00:00"),
        ("2030-07-31T12:00:00", "UTC", "2030-07-31T12:00:00+00:00"),
        ("2030-07-31T12:00:00", "America/Argentina/Buenos_Aires", "2030-07-31T15:00:00+00:00"),
    ],
)
def test_a_local_time_is_read_in_its_zone(text: str, zone: str, instant: str) -> None:
    assert read_moment(text, zone) == at(instant)


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2027-03-28T02:30:00", BERLIN, "2027-03-28T03:30:00+02:00"),
        ("2027-03-28T02:00:00", BERLIN, "2027-03-28T03:00:00+02:00"),
        ("2027-03-14T02:30:00", "America/New_York", "2027-03-14T03:30:00-04:00"),
        ("2027-10-03T02:15:00", "Australia/Lord_Howe", "2027-10-03T02:45:00+11:00"),  # by half an hour
    ],
)
def test_a_time_that_is_skipped_moves_forward(text: str, zone: str, instant: str) -> None:
    assert read_moment(text, zone) == at(instant)


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2027-10-31T02:30:00", BERLIN, "2027-10-31T02:30:00+02:00"),
        ("2027-11-07T01:30:00", "America/New_York", "2027-11-07T01:30:00-04:00"),
    ],
)
def test_of_a_time_that_is_repeated_the_first_counts(text: str, zone: str, instant: str) -> None:
    assert read_moment(text, zone) == at(instant)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2030-01-31",
        "2030-02-30T00:00:00",
        "2030-01-31 12:00:00",
        "2030-01-31T24:30:00",
        "\uff12030-01-31T12:00:00",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is for nobody
        read_moment(text, BERLIN)


def test_a_local_time_needs_a_zone() -> None:
    for zone in (None, "Nowhere/Nothing"):
        with pytest.raises(ValueError, match="time zone"):
            read_moment("2030-01-31T12:00:00", zone)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Europe",
        "Europe/",
        "/etc/passwd",
        "../../etc/passwd",
        "Mars/Base",
        "europe berlin",
        "x" * 200,
        "Europe/Berlin\n",
    ],
)
def test_what_is_no_zone_is_none(name: str) -> None:
    assert not is_zone(name)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "Etc/GMT+3", "America/Argentina/Ushuaia"])
def test_zones_have_names(name: str) -> None:
    assert is_zone(name)


@given(
    st.datetimes(datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2099-01-01")),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
)
def test_a_day_on_the_wall_has_23_to_25_hours(local: datetime, zone: str) -> None:
    local = local.replace(microsecond=0)
    today, tomorrow = (read_moment(day.isoformat(), zone) for day in (local, local + timedelta(days=1)))
    assert is_local(local.isoformat())
    assert 23 <= (tomorrow - today) / 3_600_000 <= 25
