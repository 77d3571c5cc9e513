"""Counting: windows, bad tokens, nonces, and that none of them grows without bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config import LimitSettings
from relay.errors import Problem
from relay.limits import BadTokens, Limits, Window, headers, take
from relay.nonces import Nonces

HOUR = 3_600


def test_a_window_gives_its_limit_once_a_minute() -> None:
    window = Window("server", 2, 10)
    for _ in range(2):
        assert window.remaining(b"a", 0, 2) > 0
        window.take(b"a", 0)
    assert window.remaining(b"a", 59.9, 2) == 0
    assert window.remaining(b"b", 59.9, 2) == 2
    assert window.resets_at(b"a", 59.9) == 60
    assert window.remaining(b"a", 60, 2) == 2


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 100)), max_size=200))
def test_a_window_never_remembers_more_keys_than_it_may(uses: list[tuple[int, float]]) -> None:
    window = Window("token", 1, 7)
    now = 0.0
    for key, step in uses:
        now += step
        window.take(key.to_bytes(), now)
        assert len(window) <= 7


def test_a_full_window_forgets_the_key_that_began_first() -> None:
    window = Window("server", 1, 2)
    for now, key in enumerate([b"a", b"b", b"c"]):
        window.take(key, now)
    assert [window.remaining(key, 3, 1) for key in (b"a", b"b", b"c")] == [1, 0, 0]


def limits(*, is_open: bool = False, alone: int = 1, **settings: int) -> Limits:
    return Limits(LimitSettings(**settings), is_open=is_open, alone=lambda: alone)


def test_what_one_limit_refuses_is_not_taken_from_the_others() -> None:
    every = limits(is_open=True, open_server=5, open_address=1)
    rules = every.rules("server", None, b"address").every
    tokens = [every.token_rule("server", token) for token in ("one", "two")]
    first, second = take(rules, tokens, 0)
    assert first is None
    assert second is not None
    assert second.window.name == "address"
    assert rules[0].remaining(0) == 4
    assert [rule.remaining(0) for rule in tokens] == [119, 120]


def test_a_device_that_has_had_enough_costs_its_server_nothing() -> None:
    every = limits(token=2)
    rules = every.rules("server", None, b"")
    token = every.token_rule("server", "one")
    assert [blocked is None for blocked in take(rules.every, [token] * 3, 0)] == [True, True, False]
    assert rules.every[0].remaining(0) == 6_000 - 2


def test_a_token_counts_for_each_server_by_itself() -> None:
    every = limits(token=1)
    take((), [every.token_rule("one", "token")], 0)
    assert every.token_rule("one", "token").remaining(0) == 0
    assert every.token_rule("two", "token").remaining(0) == 1
    assert every.token_rule("one", "other").remaining(0) == 1


def test_what_is_urgent_still_goes_when_what_is_not_has_used_its_part() -> None:
    every = limits(server=10, normal_percent=80)
    rules = every.rules("server", None, b"")
    tokens = [every.token_rule("server", str(number)) for number in range(12)]
    blocked = take(rules.of(high=False), tokens, 0)
    assert [one.window.name for one in blocked if one is not None] == ["normal"] * 4
    assert [one is None for one in take(rules.of(high=True), tokens[:3], 0)] == [True, True, False]


def test_a_project_keeps_a_part_of_its_quota_for_the_urgent() -> None:
    every = limits()
    tokens = [every.token_rule("server", str(number)) for number in range(10)]
    normal = take(every.project_rules("project", 10, high=False), tokens, 0)
    assert [one is None for one in normal] == [True] * 8 + [False] * 2
    assert all(every.is_projects(one) for one in normal if one is not None)
    assert take(every.project_rules("project", 10, high=True), tokens[:3], 0)[2] is not None


def test_processes_that_count_by_themselves_have_their_parts() -> None:
    every = limits(alone=4, server=100, token=3)
    assert [rule.limit for rule in every.rules("server", None, b"").shown] == [25, 20]
    assert every.rules("server", 40, b"").every[0].limit == 10
    assert every.token_rule("server", "token").limit == 1


def test_processes_that_cannot_count_together_any_more_share_what_was_left() -> None:
    """A busy server that had used more than one's part by then is not refused by all of them."""
    alone = [1]
    every = Limits(LimitSettings(server=100), is_open=False, alone=lambda: alone[0])
    [together] = every.rules("server", None, b"").every
    together.window.note(together.key, 40, 50, 0)
    assert together.remaining(1) == 60
    alone[0] = 4
    [apart] = every.rules("server", None, b"").every
    assert (apart.limit, apart.remaining(1)) == (25, 15)
    apart.window.take(apart.key, 1, 15)
    assert apart.remaining(1) == 0
    assert apart.remaining(50) == 25
    alone[0] = 1
    [again] = every.rules("server", None, b"").every
    assert again.remaining(1) == 45


def test_the_fields_follow_the_draft() -> None:
    fields = headers(limits(is_open=True).rules("server", 7, b"address").shown, 0)
    assert fields == {
        "RateLimit-Policy": '"server";q=7;w=60, "address";q=600;w=60, "total";q=6000;w=60, "normal";q=5;w=60',
        "RateLimit": '"server";r=7;t=60, "address";r=600;t=60, "total";r=6000;t=60, "normal";r=5;t=60',
    }


def test_a_server_waits_when_more_than_half_of_its_last_hundred_tokens_are_bad() -> None:
    bad = BadTokens(wait=600, capacity=10)
    for _ in range(50):
        bad.record("server", bad=True, now=0)
        bad.record("server", bad=False, now=0)
    assert bad.waits_until("server", 0) is None
    bad.record("server", bad=True, now=0)  # takes the place of the oldest, a bad one
    assert bad.waits_until("server", 0) is None
    bad.record("server", bad=True, now=0)
    assert bad.waits_until("server", 0) == 600
    assert bad.waits_until("other", 0) is None
    assert bad.waits_until("server", 600) is None


def test_a_clock_that_is_put_back_makes_nobody_wait_longer() -> None:
    every = limits(server=1, bad_token_wait=10)
    rules = every.rules("server", None, b"")
    for rule in rules.every:
        rule.window.take(rule.key, HOUR)
    for _ in range(51):
        every.bad_tokens.record("server", bad=True, now=HOUR)
    with pytest.raises(Problem, match="bad"):
        every.admit_batch("server", rules, HOUR)
    every.admit_batch("server", rules, 1)
    assert rules.every[0].resets_at(1) == 61
    assert take(rules.every, [every.token_rule("server", "one")], 1) == [None]
    with pytest.raises(Problem, match="used up"):
        every.admit_batch("server", rules, 1)


def test_a_server_that_has_waited_begins_anew() -> None:
    bad = BadTokens(wait=600, capacity=10)
    for _ in range(51):
        bad.record("server", bad=True, now=0)
    for _ in range(50):
        bad.record("server", bad=True, now=601)
    assert bad.waits_until("server", 601) is None


def _use(nonces: Nonces, nonce: str, now: float, *, expires: int = 100) -> None:
    nonces.use("key", nonce, created=int(now), expires=expires, now=now)


def test_a_nonce_is_good_once_until_it_expires() -> None:
    nonces = Nonces(capacity=10, started=0)
    _use(nonces, "a", 50)
    with pytest.raises(Problem, match="nonce_replayed"):
        _use(nonces, "a", 100)
    assert len(nonces) == 1
    _use(nonces, "b", 101, expires=161)
    assert len(nonces) == 1


def test_a_full_store_refuses_rather_than_forgets() -> None:
    nonces = Nonces(capacity=2, started=0)
    _use(nonces, "a", 50, expires=90)
    _use(nonces, "b", 50)
    with pytest.raises(Problem, match="nonce_store_full") as refused:
        _use(nonces, "c", 60)
    assert refused.value.headers == {"Retry-After": "31"}
    with pytest.raises(Problem, match="nonce_replayed"):
        _use(nonces, "a", 60)
    _use(nonces, "c", 91)


def test_one_server_cannot_fill_the_store_for_the_others() -> None:
    """Beyond the half of it, only who holds little is served; what has expired counts for nobody."""
    nonces = Nonces(capacity=32, started=0)
    for number in range(17):
        _use(nonces, f"a{number}", 50)
    with pytest.raises(Problem, match="nonce_store_full"):
        _use(nonces, "b", 50)
    for server in ("other", "third"):
        for nonce in ("a", "b"):
            nonces.use(server, nonce, created=50, expires=100, now=50)
    with pytest.raises(Problem, match="nonce_store_full"):
        nonces.use("other", "c", created=50, expires=100, now=50)
    _use(nonces, "c", 101, expires=161)
    assert len(nonces) == 1


def test_what_was_signed_before_the_start_is_not_served() -> None:
    nonces = Nonces(capacity=2, started=50.5)
    with pytest.raises(Problem, match="starting"):
        _use(nonces, "a", 50.9)
    _use(nonces, "a", 51)


def test_a_clock_that_was_ahead_at_the_start_and_is_put_back_refuses_only_what_was_signed_before() -> None:
    nonces = Nonces(capacity=2, started=HOUR)
    with pytest.raises(Problem, match="starting"):
        nonces.use("k", "a", created=9, expires=60, now=10)
    nonces.use("k", "b", created=10, expires=70, now=10)
