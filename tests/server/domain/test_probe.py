"""How far a test push has got."""

from dataclasses import replace

import pytest

from server.domain.delivery import State
from server.domain.probe import Probe, hops

WAITING = Probe("p", "m", "d", State.QUEUED, None, 0, None, 1, None, None, None)


@pytest.mark.parametrize(
    ("probe", "outcomes", "over"),
    [
        (WAITING, ["stored", "waiting", "waiting", "waiting"], False),
        (replace(WAITING, state=State.LEASED), ["stored", "waiting", "waiting", "waiting"], False),
        (replace(WAITING, reason="timeout"), ["stored", "retry", "waiting", "waiting"], False),
        (replace(WAITING, state=State.ACCEPTED), ["stored", "answered", "accepted", "waiting"], False),
        (replace(WAITING, state=State.GONE), ["stored", "answered", "gone", "waiting"], True),
        (replace(WAITING, state=State.FAILED), ["stored", "answered", "rejected", "waiting"], True),
        (replace(WAITING, state=State.EXPIRED), ["stored", "expired", "waiting", "waiting"], True),
        (replace(WAITING, state=State.CANCELLED), ["stored", "cancelled", "waiting", "waiting"], True),
        (
            replace(WAITING, state=State.ACCEPTED, received_at=5),
            ["stored", "answered", "accepted", "received"],
            True,
        ),
        (
            replace(WAITING, state=State.ACCEPTED, fault="altered"),
            ["stored", "answered", "accepted", "failed"],
            True,
        ),
    ],
)
def test_each_state_has_an_outcome_at_each_hop(probe: Probe, outcomes: list[str], over: bool) -> None:  # noqa: FBT001 - a column of the table
    """And says whether there is more to wait for."""
    assert [hop.outcome for hop in hops(probe)] == outcomes
    assert probe.over is over
