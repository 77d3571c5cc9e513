"""Times as they are shown and read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.times import read_time, show_time


def test_times_have_milliseconds_and_z() -> None:
    """In the year of the epoch too."""
    assert show_time(0) == "1970-01-01T00:00:00.000Z"
    assert show_time(1_735_732_800_007) == "2025-01-01T12:00:00.007Z"


@given(st.integers(0, 4_000_000_000_000))
def test_a_shown_time_reads_as_itself(at: int) -> None:
    """To the millisecond."""
    assert read_time(show_time(at)) == at


def test_an_offset_is_an_instant() -> None:
    """Whatever the zone."""
    assert read_time("2025-01-01T13:00:00+01:00") == read_time("2025-01-01T12:00:00Z")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-01-01",
        "2025-01-01T12:00:00",
        "2025-13-01T12:00:00Z",
        "12:00Z",
        "now",
        "2030-W01-1T00:00:00Z",
        "2025-01-01T12:00:00,5Z",
        "٢٠٢٥-01-01T12:00:00Z",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    """A local time is not an instant."""
    with pytest.raises(ValueError):  # noqa: PT011 - which words it says is the library's affair
        read_time(text)


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
def test_what_is_outside_the_calendar_in_utc_is_refused(text: str) -> None:
    """It could be stored and never be shown."""
    with pytest.raises(OverflowError):
        read_time(text)
