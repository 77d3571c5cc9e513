"""The states of deliveries, what is conserved, and when they are tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.delivery import (
    LONGEST_RETRY_AFTER,
    SETTLED,
    TRANSITIONS,
    WAITING,
    Event,
    State,
    after,
    backoff,
    jitter_of,
    retry_at,
)

JITTER = st.floats(0, 1, exclude_max=True)
MINUTE = 60_000


def test_every_transition_leads_where_the_table_says() -> None:
    for state in State:
        for event in Event:
            if (state, event) in TRANSITIONS:
                assert after(state, event) is TRANSITIONS[state, event]
            else:
                with pytest.raises(ValueError, match="cannot"):
                    after(state, event)


def test_what_is_settled_stays_so_but_for_a_dead_handle_and_an_admins_wish() -> None:
    assert {(state, event) for state, event in TRANSITIONS if state in SETTLED} == {
        (State.GONE, Event.NEW_HANDLE),
        (State.GONE, Event.REVIVE),
        (State.FAILED, Event.REVIVE),
    }


def test_every_state_waits_or_is_settled() -> None:
    assert set(State) == WAITING | SETTLED
    assert not WAITING & SETTLED


@given(st.integers(-1, 10_000), JITTER)
def test_backoff_grows_to_a_quarter_of_an_hour_and_stays_positive(attempts: int, jitter: float) -> None:
    wait = backoff(attempts, jitter)
    assert 1000 <= wait <= 15 * MINUTE
    assert backoff(attempts + 2, 0) >= backoff(attempts, 0)


def test_backoff_doubles() -> None:
    assert [backoff(attempts, 0) for attempts in (1, 2, 3, 4)] == [1000, 2000, 4000, 8000]
    assert backoff(30, 0) == 450_000


@given(st.integers(-5, 10**9), JITTER)
def test_what_the_relay_asks_for_is_honoured_up_to_an_hour(asked: int, jitter: float) -> None:
    wait = retry_at(0, attempts=50, retry_after=asked, jitter=jitter)
    assert min(max(asked, 0) * 1000, LONGEST_RETRY_AFTER) <= wait <= LONGEST_RETRY_AFTER * 1.1


@given(st.binary(min_size=1, max_size=8))
def test_jitter_is_below_one(noise: bytes) -> None:
    assert 0 <= jitter_of(noise) < 1
