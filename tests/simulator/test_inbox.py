"""What a device decides about what it receives: replays, gaps, restored servers, updates, retractions, receipts."""

import json
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest

from crypto.frame import Frame, Kind
from simulator import inbox as rules
from simulator.inbox import new_inbox
from simulator.mail import DAY, HOUR, WINDOW, Arrival, Asked, Inbox, Page, Receipt, Settled
from simulator.numbering import Numbering

NOW = 1_800_000_000_000


def uid(number: int) -> UUID:
    return UUID(int=number, version=4)


def text_id(number: int) -> str:
    return str(uid(number))


@dataclass(frozen=True)
class Made:
    """An arrival of message `number`; its id, sequence and text all follow from the number."""

    number: int
    kind: int = Kind.MESSAGE
    sequence: int | None = None
    sent_at: int = NOW
    content: dict[str, Any] | None = None

    @property
    def arrival(self) -> Arrival:
        content = {"title": "t", "body": f"text {self.number}", **(self.content or {})}
        sequence = self.number if self.sequence is None else self.sequence
        frame = Frame(uid(self.number), sequence, self.sent_at, self.kind, json.dumps(content).encode())
        return Arrival(frame, content, NOW)


def pushed(inbox: Inbox, *made: Made, now: int = NOW) -> Inbox:
    for one in made:
        inbox = rules.take(inbox, one.arrival, now)
    return inbox


def fetched(
    inbox: Inbox,
    *entries: Arrival | Settled,
    head: int,
    upto: int | None = None,
    retracted: tuple[str, ...] = (),
    read: tuple[str, ...] = (),
    asked: Asked | None = None,
    now: int = NOW,
) -> Inbox:
    asked = asked or Asked(inbox.numbering.resume, inbox.numbering.head)
    more = upto is not None
    return rules.take_page(
        inbox, Page(entries, retracted, read, head if upto is None else upto, head, more), asked, now
    )


def texts(inbox: Inbox) -> list[str]:
    return [one.text for one in inbox.log]


def visible(inbox: Inbox) -> list[str]:
    return [str(card.content["body"]) for card in inbox.visible]


def events(inbox: Inbox) -> list[tuple[str | None, str]]:
    return [(one.message_id, one.event) for one in inbox.receipts]


EMPTY = new_inbox(0)


def test_messages_in_order_are_shown_and_nothing_is_due() -> None:
    inbox = pushed(EMPTY, Made(1), Made(2))
    assert texts(inbox) == ["text 1", "text 2"]
    assert inbox.numbering == Numbering(2, ())
    assert not inbox.fetch_due


def test_a_message_id_is_shown_once() -> None:
    inbox = pushed(EMPTY, Made(1), Made(1))
    assert texts(inbox) == ["text 1"]
    assert not rules.is_news(inbox, Made(1).arrival.frame, NOW)


def test_a_gap_shows_what_came_and_makes_a_fetch_due() -> None:
    inbox = pushed(EMPTY, Made(1), Made(4))
    assert texts(inbox) == ["text 1", "text 4"]
    assert inbox.numbering == Numbering(4, ((2, 3),))
    assert inbox.fetch_due
    assert inbox.numbering.resume == 1


def test_a_late_push_fills_its_gap() -> None:
    inbox = pushed(EMPTY, Made(1), Made(4), Made(3))
    assert inbox.numbering == Numbering(4, ((2, 2),))
    assert pushed(inbox, Made(2)).numbering == Numbering(4, ())


def test_a_fetch_brings_what_is_missing_and_settles_the_rest() -> None:
    inbox = pushed(EMPTY, Made(1), Made(5))
    inbox = fetched(inbox, Made(2).arrival, Settled(text_id(3)), Made(5).arrival, head=5)
    assert texts(inbox) == ["text 1", "text 5", "text 2"]
    assert inbox.numbering == Numbering(5, ())
    assert not inbox.fetch_due


def test_a_cancelled_message_that_is_pushed_late_is_not_shown() -> None:
    inbox = fetched(pushed(EMPTY, Made(2)), Settled(text_id(1)), head=2)
    assert texts(pushed(inbox, Made(1))) == ["text 2"]


def test_a_page_speaks_only_for_its_own_numbers() -> None:
    inbox = pushed(EMPTY, Made(9))
    inbox = fetched(inbox, Made(1).arrival, Made(3).arrival, head=9, upto=3)
    assert inbox.numbering == Numbering(9, ((4, 8),))
    assert inbox.fetch_due
    inbox = fetched(inbox, Made(4).arrival, head=9)
    assert inbox.numbering == Numbering(9, ())
    assert not inbox.fetch_due


def test_a_push_during_a_fetch_keeps_its_gap() -> None:
    asked = Asked(0, 3)
    inbox = pushed(pushed(EMPTY, Made(3)), Made(6))
    inbox = fetched(inbox, Made(1).arrival, Made(2).arrival, head=4, asked=asked)
    assert inbox.numbering == Numbering(6, ((5, 5),))
    assert inbox.fetch_due


def test_a_push_older_than_the_window_is_refused() -> None:
    inbox = pushed(EMPTY, Made(1))
    old = Made(2, sent_at=NOW - WINDOW - 1)
    assert texts(pushed(inbox, old)) == ["text 1"]
    assert not rules.is_news(inbox, old.arrival.frame, NOW)
    assert texts(pushed(inbox, Made(2, sent_at=NOW - WINDOW))) == ["text 1", "text 2"]


def test_the_window_is_not_applied_to_what_is_fetched() -> None:
    inbox = fetched(pushed(EMPTY, Made(2)), Made(1, sent_at=NOW - WINDOW - 1).arrival, head=2)
    assert texts(inbox) == ["text 2", "text 1"]


def test_a_message_from_the_future_does_not_move_the_window() -> None:
    inbox = pushed(EMPTY, Made(1, sent_at=NOW + 10 * WINDOW))
    assert inbox.newest == NOW
    assert texts(pushed(inbox, Made(2))) == ["text 1", "text 2"]


def test_an_id_is_kept_until_the_window_refuses_its_replay() -> None:
    ahead = Made(1, sent_at=NOW + 60 * DAY)
    inbox = pushed(EMPTY, ahead)
    for day in (30, 61, 89):
        later = NOW + day * DAY
        inbox = pushed(inbox, Made(day, sequence=inbox.numbering.head + 1, sent_at=later), now=later)
        assert texts(pushed(inbox, ahead, now=later)).count("text 1") == 1
    assert text_id(1) not in inbox.seen


def test_a_number_that_cannot_be_means_a_restored_server() -> None:
    inbox = pushed(EMPTY, *(Made(n) for n in range(1, 6)))
    inbox = pushed(inbox, Made(77, sequence=3))
    assert texts(inbox)[-1] == "text 77"
    assert inbox.fetch_due
    assert inbox.numbering.resume == 0


def test_a_replayed_number_of_a_seen_message_means_nothing() -> None:
    inbox = pushed(EMPTY, Made(1), Made(2), Made(1))
    assert not inbox.fetch_due


def test_a_head_below_the_devices_own_means_a_restored_server() -> None:
    inbox = pushed(EMPTY, *(Made(n) for n in range(1, 6)))
    inbox = fetched(inbox, head=3)
    assert (inbox.fetch_due, inbox.numbering.resume) == (True, 0)
    inbox = fetched(inbox, Made(1).arrival, Made(2).arrival, Made(99, sequence=3).arrival, head=3)
    assert texts(inbox)[5:] == ["text 99"]
    assert inbox.numbering == Numbering(3, ())
    assert not inbox.fetch_due


def test_a_restored_server_that_starts_higher_leaves_one_wide_gap() -> None:
    inbox = pushed(EMPTY, Made(1))
    inbox = pushed(inbox, Made(50, sequence=2**32 + 1))
    assert inbox.numbering.gaps == ((2, 2**32),)
    assert fetched(inbox, Made(50).arrival, head=2**32 + 1).numbering == Numbering(2**32 + 1, ())


def test_an_answer_from_before_the_restore_was_noticed_settles_nothing() -> None:
    inbox = pushed(EMPTY, *(Made(n) for n in range(1, 6)))
    asked = Asked(5, 5)
    inbox = pushed(inbox, Made(77, sequence=3))
    inbox = fetched(inbox, head=6, asked=asked)
    assert (inbox.fetch_due, inbox.numbering.resume) == (True, 0)


@pytest.mark.parametrize("kind", [Kind.RETRACT, Kind.READ, 9])
def test_a_kind_without_a_number_of_its_own_carries_the_head(kind: int) -> None:
    inbox = pushed(EMPTY, Made(1), Made(100, kind=kind, sequence=3, content={"ids": []}))
    assert inbox.numbering == Numbering(3, ((2, 3),))
    assert inbox.fetch_due
    inbox = pushed(inbox, Made(101, kind=kind, sequence=1, content={"ids": []}))
    assert inbox.numbering == Numbering(3, ((2, 3),))


def test_an_unknown_kind_shows_nothing() -> None:
    inbox = pushed(EMPTY, Made(1, kind=9, sequence=0))
    assert inbox.log == ()
    assert inbox.receipts == ()


def test_a_retracted_message_disappears() -> None:
    inbox = pushed(EMPTY, Made(1), Made(100, kind=Kind.RETRACT, sequence=1, content={"ids": [text_id(1)]}))
    assert inbox.cards == {}
    assert texts(inbox) == ["text 1"]


def test_a_message_retracted_before_it_came_is_never_shown() -> None:
    inbox = pushed(EMPTY, Made(100, kind=Kind.RETRACT, sequence=1, content={"ids": [text_id(1)]}), Made(1))
    assert inbox.log == ()
    assert inbox.numbering == Numbering(1, ())


def test_a_message_that_a_fetch_names_as_retracted_is_not_shown_by_it() -> None:
    inbox = fetched(EMPTY, Made(1).arrival, Made(2).arrival, head=2, retracted=(text_id(1),))
    assert texts(inbox) == ["text 2"]


def test_a_reminder_of_a_retracted_message_is_not_shown() -> None:
    retract = Made(100, kind=Kind.RETRACT, sequence=1, content={"ids": [text_id(1)]})
    reminder = Made(2, content={"of": text_id(1)})
    assert texts(pushed(EMPTY, Made(1), retract, reminder)) == ["text 1"]
    assert pushed(EMPTY, Made(1), reminder, retract).cards == {}


def test_a_message_read_elsewhere_leaves_the_screen() -> None:
    read = Made(100, kind=Kind.READ, sequence=1, content={"ids": [text_id(1)]})
    inbox = pushed(EMPTY, Made(1), read)
    assert visible(inbox) == []
    assert inbox.cards[text_id(1)].state == "read"


def test_a_message_read_elsewhere_before_it_came_goes_to_the_history() -> None:
    inbox = fetched(EMPTY, Made(1).arrival, head=1, read=(text_id(1),))
    assert inbox.log == ()
    assert inbox.cards[text_id(1)].state == "history"


def test_reading_clears_the_screen_and_is_reported() -> None:
    inbox = rules.read(pushed(EMPTY, Made(1)), text_id(1), NOW)
    assert visible(inbox) == []
    assert events(inbox) == [(text_id(1), "received"), (text_id(1), "shown"), (text_id(1), "read")]


def update(number: int, of: int, text: str, **changed: Any) -> Made:
    return Made(number, kind=Kind.UPDATE, content={"of": text_id(of), "body": text}, **changed)


def test_an_update_takes_the_place_of_what_is_shown() -> None:
    inbox = pushed(EMPTY, Made(1), update(2, 1, "new"))
    assert visible(inbox) == ["new"]
    assert [(one.text, one.replaces) for one in inbox.log] == [("text 1", None), ("new", text_id(1))]


def test_an_update_that_came_first_is_shown_once_its_message_comes() -> None:
    inbox = pushed(EMPTY, update(3, 1, "newest"), update(2, 1, "new"), Made(1))
    assert texts(inbox) == ["newest"]


def test_an_update_is_kept_for_as_long_as_its_message_may_still_come() -> None:
    inbox = pushed(EMPTY, update(2, 1, "new"))
    inbox = pushed(inbox, update(4, 3, "new", sent_at=NOW + WINDOW), now=NOW + WINDOW)
    assert inbox.updates.keys() == {text_id(1), text_id(3)}
    inbox = pushed(inbox, update(6, 5, "new", sent_at=NOW + WINDOW + 1), now=NOW + WINDOW + 1)
    assert inbox.updates.keys() == {text_id(3), text_id(5)}


def reminder(number: int, of: int, **changed: Any) -> Made:
    return Made(number, content={"of": text_id(of), "body": f"again {number}"}, **changed)


def test_an_update_changes_what_reminds_of_its_message_too() -> None:
    """Whether the message itself has come or not, and in whatever order they come."""
    inbox = pushed(EMPTY, Made(1), reminder(2, 1), update(3, 1, "new"))
    assert visible(inbox) == ["new", "new"]
    assert [one.of for one in inbox.visible] == [None, text_id(1)]
    assert texts(inbox) == ["text 1", "again 2", "new"]
    assert visible(pushed(EMPTY, reminder(2, 1), update(3, 1, "new"))) == ["new"]
    late = pushed(EMPTY, Made(1), update(3, 1, "new", sent_at=NOW + 2), reminder(2, 1, sent_at=NOW + 1))
    assert visible(late) == ["new", "new"]
    newer = pushed(EMPTY, Made(1), update(2, 1, "new"), reminder(3, 1, sent_at=NOW + 1))
    assert visible(newer) == ["new", "again 3"]


def test_reading_a_reminder_reads_the_message_and_its_other_reminders() -> None:
    inbox = pushed(EMPTY, Made(1), reminder(2, 1), reminder(3, 1), Made(4))
    inbox = rules.read(inbox, text_id(2), NOW)
    assert visible(inbox) == ["text 4"]
    assert events(inbox)[-1] == (text_id(2), "read")


def test_retracting_a_reminder_takes_it_away_alone() -> None:
    """A phone that was paired after the message has only what reminds of it."""
    retract = Made(100, kind=Kind.RETRACT, sequence=2, content={"ids": [text_id(2)]})
    assert visible(pushed(EMPTY, Made(1), reminder(2, 1), retract)) == ["text 1"]
    assert visible(pushed(EMPTY, reminder(2, 1, sequence=1), replace(retract, sequence=1))) == []


def test_an_older_update_does_not_undo_a_newer_one() -> None:
    inbox = pushed(EMPTY, Made(1), update(3, 1, "newest"), update(2, 1, "new"))
    assert visible(inbox) == ["newest"]


def test_an_update_of_a_retracted_or_read_message_shows_nothing() -> None:
    retract = Made(100, kind=Kind.RETRACT, sequence=1, content={"ids": [text_id(1)]})
    assert pushed(EMPTY, Made(1), retract, update(2, 1, "new")).cards == {}
    inbox = pushed(rules.read(pushed(EMPTY, Made(1)), text_id(1), NOW), update(2, 1, "new"))
    assert texts(inbox) == ["text 1"]
    assert inbox.cards[text_id(1)].content["body"] == "new"


def test_a_reminder_is_shown_again_and_cleared_with_its_message() -> None:
    inbox = pushed(EMPTY, Made(1), Made(2, content={"of": text_id(1), "body": "again"}))
    assert texts(inbox) == ["text 1", "again"]
    assert visible(rules.read(inbox, text_id(1), NOW)) == []


@pytest.mark.parametrize(
    ("expires_at", "shown"),
    [
        ("2027-01-15T07:59:59.999Z", False),
        ("2027-01-15T08:00:00.000Z", False),
        ("2027-01-15T08:00:00.001Z", True),
        ("soon", True),
    ],
)
def test_after_its_expiry_a_message_goes_to_the_history(expires_at: str, *, shown: bool) -> None:
    inbox = pushed(EMPTY, Made(1, content={"expiresAt": expires_at}))
    assert bool(inbox.log) == shown
    assert inbox.cards[text_id(1)].state == ("shown" if shown else "history")


def test_a_newer_message_of_the_same_collapse_id_takes_the_place_of_the_older() -> None:
    one, two = (Made(n, sent_at=NOW + n, content={"collapseId": "c"}) for n in (1, 2))
    assert visible(pushed(EMPTY, one, two)) == ["text 2"]
    assert texts(pushed(EMPTY, two, one)) == ["text 2"]


def test_what_did_not_open_is_reported_once_for_each_reason_and_hour() -> None:
    inbox = rules.fail(rules.fail(EMPTY, "altered", NOW), "altered", NOW + HOUR - 1)
    assert inbox.receipts == (Receipt(None, "failed", "altered", NOW),)
    inbox = rules.fail(rules.fail(inbox, "not_my_key", NOW), "altered", NOW + HOUR)
    assert [one.reason for one in inbox.receipts] == ["altered", "not_my_key", "altered"]


def test_receipts_that_were_sent_are_dropped_and_later_ones_stay() -> None:
    inbox = pushed(EMPTY, Made(1))
    taken = inbox.receipts
    inbox = rules.sent(pushed(inbox, Made(2)), taken)
    assert events(inbox) == [(text_id(2), "received"), (text_id(2), "shown")]


def test_wakes_are_answered_every_thirty_seconds_at_most() -> None:
    assert rules.wake_time(EMPTY, NOW) == NOW
    inbox = rules.woken(EMPTY, NOW)
    assert inbox.fetch_due
    assert rules.wake_time(inbox, NOW + 1) == NOW + 30_000
    assert rules.wake_time(inbox, NOW + 40_000) == NOW + 40_000


CLAIM = {"id": "c", "key": "k", "sha256": "s", "size": 1}


def test_a_preview_is_completed_in_its_place() -> None:
    inbox = pushed(EMPTY, Made(1, content={"body": "begin", "claim": CLAIM}))
    (preview,) = rules.previews(inbox)
    inbox = rules.complete(inbox, preview, {"body": "begin and end"}, NOW)
    assert visible(inbox) == ["begin and end"]
    assert [(one.text, one.replaces) for one in inbox.log] == [("begin", None), ("begin and end", text_id(1))]
    assert rules.previews(inbox) == ()


def test_a_claim_that_comes_after_an_update_changes_nothing() -> None:
    inbox = pushed(EMPTY, Made(1, content={"body": "begin", "claim": CLAIM}))
    (preview,) = rules.previews(inbox)
    inbox = pushed(inbox, update(2, 1, "edited"))
    assert visible(rules.complete(inbox, preview, {"body": "begin and end"}, NOW)) == ["edited"]


@pytest.mark.parametrize(
    ("content", "manner", "sound"),
    [
        ({"deliveryType": "NORMAL", "sound": "ping.aiff"}, "normal", "ping.aiff"),
        ({"deliveryType": "SILENT", "sound": "ping.aiff"}, "silent", None),
        ({"deliveryType": "CRITICAL"}, "critical", None),
        ({"deliveryType": "what a newer server says"}, "normal", None),
        ({"deliveryType": 5, "actions": "none", "attachments": [7], "tapAction": []}, "normal", None),
    ],
)
def test_a_message_is_shown_as_it_asks_for(content: dict[str, Any], manner: str, sound: str | None) -> None:
    inbox = pushed(EMPTY, Made(1, content=content))
    [card] = inbox.visible
    assert (inbox.log[0].manner, card.manner, card.sound) == (manner, manner, sound)
    assert (card.actions, card.attachments, card.tap_action) == ((), (), None)


def test_messages_are_stacked_by_their_group_or_else_by_their_bucket() -> None:
    bucket = {"bucket": {"id": "b", "name": "Alerts"}}
    inbox = pushed(EMPTY, Made(1, content=bucket), Made(2, content={**bucket, "groupId": "g"}), Made(3))
    assert [card.group for card in inbox.visible] == ["b", "g", ""]
