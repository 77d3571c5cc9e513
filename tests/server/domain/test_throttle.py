"""Quotas over time."""

from hypothesis import given
from hypothesis import strategies as st

from server.domain.throttle import Quota, Throttle

QUOTA = Quota("test", 5, 10)


def test_a_quota_is_used_up_and_comes_back() -> None:
    """Evenly: one attempt every window / amount."""
    throttle = Throttle(QUOTA, keys=10)
    left = [throttle.take("a", 0) for _ in range(5)]
    assert [allowance.remaining for allowance in left if allowance] == [4, 3, 2, 1, 0]
    assert throttle.take("a", 0) is None
    assert throttle.left("a", 0).reset == 2
    assert throttle.take("a", 1_999) is None
    assert throttle.take("a", 2_000) is not None
    assert throttle.take("b", 0) is not None


@given(st.lists(st.integers(0, 3_000), max_size=200))
def test_no_window_holds_more_than_twice_the_quota(gaps: list[int]) -> None:
    """The whole quota at once, and then what was refilled meanwhile."""
    throttle, now, granted = Throttle(QUOTA, keys=1), 0, []
    for gap in gaps:
        now += gap
        if throttle.take("a", now) is not None:
            granted.append(now)
    for start in granted:
        assert sum(start <= at < start + QUOTA.window * 1000 for at in granted) <= 2 * QUOTA.amount


def test_given_back_attempts_count_no_more() -> None:
    """A right password is not an attempt at guessing."""
    throttle = Throttle(QUOTA, keys=10)
    for _ in range(100):
        assert throttle.take("a", 0) is not None
        throttle.give_back("a")
    throttle.forget("a")
    assert throttle.left("a", 0).remaining == 5


def test_memory_is_bounded_and_the_longest_unused_key_goes_first() -> None:
    """A flood of names takes no more than its room."""
    throttle = Throttle(QUOTA, keys=100)
    for n in range(1000):
        throttle.take(str(n), 0)
        throttle.take("kept", 0)
    assert len(throttle._whole_at) == 100
    assert throttle.take("kept", 0) is None
