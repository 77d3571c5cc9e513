"""Which dead deliveries may go out again."""

from dataclasses import replace

import pytest

from server.domain.delivery import State
from server.domain.revival import Dead, why_not

FAILED = Dead("p", State.FAILED, expires_at=10, retracted=False, reachable=True)


@pytest.mark.parametrize(
    ("dead", "reason"),
    [
        (FAILED, None),
        (replace(FAILED, state=State.GONE), None),
        (replace(FAILED, expires_at=5), "expired"),
        (replace(FAILED, state=State.EXPIRED, expires_at=10), "expired"),
        (replace(FAILED, retracted=True), "retracted"),
        (replace(FAILED, reachable=False), "no_handle"),
        *(
            (replace(FAILED, state=state, expires_at=5, retracted=True, reachable=False), state.value)
            for state in (State.QUEUED, State.LEASED, State.ACCEPTED, State.CANCELLED, State.SUPPRESSED)
        ),
    ],
)
def test_each_reason_against_it_has_a_word(dead: Dead, reason: str | None) -> None:
    assert why_not(dead, 5) == reason
