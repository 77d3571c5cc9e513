"""What a button does to a phone's inbox, and what is left for the server."""

from dataclasses import replace

import pytest

from simulator.actions import OPEN, TAP, action_of, answered, pressed, run_here
from simulator.inbox import new_inbox
from simulator.mail import Card, Inbox, Press

BUTTONS = [{"type": "DISMISS"}, {"type": "DELETE"}, {"type": "WEBHOOK", "value": "https://shop.example/"}]
NOW = 1_800_000_000_000


@pytest.fixture
def inbox() -> Inbox:
    """One message on the screen."""
    card = Card("a", "a", (NOW, 1), {"body": "hello", "actions": BUTTONS}, "shown")
    return replace(new_inbox(0), cards={"a": card})


def test_a_button_is_named_by_its_place_and_a_tap_opens_where_nothing_is_said(inbox: Inbox) -> None:
    assert action_of(inbox, "a", 1) == {"type": "DELETE"}
    assert action_of(inbox, "a", TAP) == OPEN
    with pytest.raises(LookupError):
        action_of(inbox, "a", 3)
    with pytest.raises(LookupError):
        action_of(inbox, "b", 0)


def test_what_is_opened_is_read_and_what_is_dismissed_is_not(inbox: Inbox) -> None:
    opened = run_here(inbox, "a", OPEN, NOW)
    assert [one.event for one in opened.receipts] == ["read"]
    dismissed = run_here(inbox, "a", BUTTONS[0], NOW)
    assert (dismissed.visible, dismissed.receipts) == ((), ())


def test_a_press_is_kept_until_it_is_answered(inbox: Inbox) -> None:
    waiting = pressed(pressed(inbox, "a", 2, "k1"), "a", 1, "k2")
    first, second = waiting.presses
    assert first == Press("a", "2", "k1")
    refused = answered(waiting, first, None, NOW)
    assert (refused.presses, refused.visible) == ((second,), inbox.visible)
    deleted = answered(refused, second, "DELETE", NOW)
    assert (deleted.presses, deleted.cards) == ((), {})


@pytest.mark.parametrize(
    ("kind", "shown"), [("MARK_AS_READ", 0), ("POSTPONE", 0), ("SNOOZE", 1), ("WEBHOOK", 1)]
)
def test_what_the_server_did_for_other_devices_is_done_here(inbox: Inbox, kind: str, shown: int) -> None:
    done = answered(pressed(inbox, "a", 0, "k"), Press("a", "0", "k"), kind, NOW)
    assert len(done.visible) == shown
