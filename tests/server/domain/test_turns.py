"""Turns: who writes much stands back for the others, a little, and never for ever."""

from hypothesis import given
from hypothesis import strategies as st

from server.domain.turns import SPREAD, Turns, bulk_turn, critical_turn

NOW = 1_800_000_000_000


def test_first_come_first_served() -> None:
    turns = Turns()
    turns.count("ann", 1, NOW)
    assert turns.take("bob", NOW + 1) == NOW + 1
    assert turns.take("ann", NOW + 1) == NOW + 1


def test_a_sender_who_floods_stands_back_for_one_who_does_not() -> None:
    turns = Turns()
    turns.count("ann", 5_000, NOW)
    assert turns.take("ann", NOW) > turns.take("bob", NOW + 1_000)


def test_what_was_written_is_forgiven_with_time() -> None:
    turns = Turns()
    turns.count("ann", 5_000, NOW)
    assert turns.take("ann", NOW + 5_000) == NOW + 5_000


@given(st.lists(st.integers(0, 100_000), max_size=20))
def test_nobody_stands_back_further_than_the_spread(floods: list[int]) -> None:
    turns = Turns()
    for deliveries in floods:
        turns.count("ann", deliveries, NOW)
    assert NOW <= turns.take("ann", NOW) <= NOW + SPREAD


def test_a_clock_that_is_put_back_holds_nobody_back_for_longer() -> None:
    turns = Turns()
    turns.count("ann", 1, NOW)
    assert turns.take("ann", NOW - 3_600_000) <= NOW - 3_600_000 + SPREAD


def test_critical_goes_first_and_the_rest_of_a_large_message_last() -> None:
    assert critical_turn(NOW) <= NOW - SPREAD
    assert NOW < bulk_turn(NOW) <= NOW + SPREAD
