"""The book of deliveries: every entry balances, and what it does not balance with is shown."""

from hypothesis import given
from hypothesis import strategies as st

from server.domain.delivery import TRANSITIONS, State
from server.domain.tally import Audit, Tally, moved, total, written

STATES = st.dictionaries(st.sampled_from(State), st.integers(0, 1000))


@given(STATES)
def test_what_is_written_is_created_and_in_some_state(states: dict[State, int]) -> None:
    entry = written(states)
    assert (entry.created, entry.lost) == (sum(states.values()), 0)


@given(st.sampled_from(sorted(TRANSITIONS)), st.integers(0, 1000))
def test_no_transition_creates_or_loses_anything(transition: tuple[State, str], number: int) -> None:
    state = transition[0]
    entry = moved({state: number}, {TRANSITIONS[transition]: number})  # type: ignore[index]  # sampled from the keys
    assert (entry.created, entry.lost) == (0, 0)


def test_queued_and_leased_ones_wait() -> None:
    assert written({State.QUEUED: 2, State.LEASED: 3}) == Tally(created=5, waiting=5)
    assert moved({State.QUEUED: 2}, {State.LEASED: 2}) == Tally()


@given(st.lists(STATES), st.lists(STATES))
def test_a_book_that_knows_all_holds(there: list[dict[State, int]], pruned: list[dict[State, int]]) -> None:
    book = total(written(states) for states in [*there, *pruned])
    audit = Audit(book, total(map(written, there)), total(map(written, pruned)))
    assert audit.holds
    assert audit.differences == {}


def test_a_row_that_vanished_is_missing() -> None:
    book = written({State.ACCEPTED: 3, State.QUEUED: 1})
    audit = Audit(book, written({State.ACCEPTED: 2, State.QUEUED: 1}), Tally())
    assert not audit.holds
    assert audit.differences == {"created": -1, "accepted": -1}


def test_an_entry_that_does_not_balance_shows() -> None:
    assert Tally(created=2, accepted=1).lost == 1
    assert not Audit(Tally(created=1), Tally(created=1), Tally()).holds
