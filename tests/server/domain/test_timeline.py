"""How far a delivery has got: all its milestones, and the shorter view of a test push."""

from dataclasses import replace

import pytest

from server.domain.delivery import Channel, Kind, State
from server.domain.timeline import Hop, Track, hops, milestones

QUEUED = Track(
    id="p",
    message_id="m",
    user_id="u",
    device_id="d",
    device_name="Pixel",
    keyless=False,
    channel=Channel.PUSH,
    kind=Kind.MESSAGE,
    state=State.QUEUED,
    reason=None,
    quiet=None,
    attempts=0,
    provider_id=None,
    created_at=1,
    due_at=1,
    sealed_at=None,
    relayed_at=None,
    settled_at=None,
    received_at=None,
    shown_at=None,
    read_at=None,
    failed_at=None,
    fault=None,
)
TRIED = replace(QUEUED, attempts=1, sealed_at=2, relayed_at=3)
ACCEPTED = replace(TRIED, state=State.ACCEPTED, settled_at=4)


@pytest.mark.parametrize(
    ("track", "outcomes", "over"),
    [
        (QUEUED, ["stored", "waiting", "waiting", "waiting"], False),
        (replace(QUEUED, state=State.LEASED), ["stored", "waiting", "waiting", "waiting"], False),
        (
            replace(QUEUED, state=State.LEASED, received_at=5),
            ["stored", "waiting", "waiting", "received"],
            False,
        ),
        (replace(QUEUED, received_at=5), ["stored", "waiting", "waiting", "received"], True),
        (replace(QUEUED, reason="no_handle"), ["stored", "retry", "waiting", "waiting"], False),
        (TRIED, ["stored", "asked", "waiting", "waiting"], False),
        (ACCEPTED, ["stored", "answered", "accepted", "waiting"], False),
        (replace(ACCEPTED, state=State.GONE), ["stored", "answered", "gone", "waiting"], True),
        (replace(ACCEPTED, state=State.FAILED), ["stored", "answered", "rejected", "waiting"], True),
        (replace(QUEUED, state=State.EXPIRED), ["stored", "expired", "waiting", "waiting"], True),
        (replace(QUEUED, state=State.CANCELLED), ["stored", "cancelled", "waiting", "waiting"], True),
        (replace(ACCEPTED, received_at=5), ["stored", "answered", "accepted", "received"], True),
        (
            replace(ACCEPTED, received_at=5, failed_at=6, fault="altered"),
            ["stored", "answered", "accepted", "failed"],
            True,
        ),
    ],
)
def test_each_state_has_an_outcome_at_each_hop_of_a_test_push(
    track: Track,
    outcomes: list[str],
    over: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """And says whether there is more to wait for."""
    assert [hop.outcome for hop in hops(track)] == outcomes
    assert track.over is over


@pytest.mark.parametrize(
    ("track", "happened"),
    [
        (QUEUED, []),
        (ACCEPTED, [Hop("seal", "sealed", at=2), Hop("relay", "answered", at=3), Hop("provider", "accepted", at=4)]),
        (replace(TRIED, keyless=True), [Hop("seal", "wake", at=2), Hop("relay", "asked", at=3)]),
        (replace(TRIED, reason="throttled"), [Hop("seal", "sealed", at=2), Hop("relay", "retry", "throttled", 3)]),
        (replace(QUEUED, relayed_at=3, reason="no_handle"), [Hop("relay", "retry", "no_handle")]),
        (
            replace(ACCEPTED, state=State.FAILED, reason="bad_topic", sealed_at=None),
            [Hop("relay", "answered", at=3), Hop("provider", "rejected", "bad_topic", 4)],
        ),
        (replace(QUEUED, state=State.CANCELLED, settled_at=4), [Hop("relay", "cancelled", at=4)]),
        (
            replace(QUEUED, received_at=5, shown_at=6, read_at=8, failed_at=7, fault="altered"),
            [
                Hop("device", "received", at=5),
                Hop("device", "shown", at=6),
                Hop("device", "read", at=8),
                Hop("device", "failed", "altered", 7),
            ],
        ),
    ],
)  # fmt: skip
def test_a_timeline_has_what_happened_and_when(track: Track, happened: list[Hop]) -> None:
    """In the order of the hops, after the message was stored; the time of an earlier attempt is not passed off as this one's."""
    assert milestones(track) == [Hop("server", "stored", at=1), *happened]


def test_an_inbox_has_no_way_to_go() -> None:
    assert milestones(replace(QUEUED, channel=Channel.IN_APP, state=State.ACCEPTED, settled_at=1)) == [
        Hop("server", "stored", at=1)
    ]


def test_what_was_suppressed_says_why() -> None:
    suppressed = replace(QUEUED, state=State.SUPPRESSED, reason="opted_out", settled_at=1)
    assert milestones(suppressed) == [Hop("server", "suppressed", "opted_out", 1)]
    assert suppressed.over


def test_only_what_is_queued_says_when_it_goes_out() -> None:
    """The time in a leased row is its lease's end."""
    assert QUEUED.tried_again_at == 1
    assert replace(QUEUED, state=State.LEASED).tried_again_at is None
