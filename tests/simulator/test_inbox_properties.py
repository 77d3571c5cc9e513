"""Whatever a provider loses, repeats and reorders, and whenever the phone fetches: each message is shown once."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.frame import Frame, Kind
from simulator import inbox as rules
from simulator.inbox import new_inbox
from simulator.mail import Arrival, Asked, Inbox, Page, Settled
from simulator.numbering import Numbering

NOW = 1_800_000_000_000
PAGE = 3
unhurried = settings(deadline=None)


@dataclass(frozen=True)
class Sent:
    """What a server has for a device: a message, or an update of one."""

    sequence: int
    of: int | None = None

    @property
    def message_id(self) -> UUID:
        return UUID(int=self.sequence, version=4)

    def arrival(self) -> Arrival:
        content: dict[str, Any] = {"body": f"text {self.sequence}"}
        if self.of is not None:
            content["of"] = str(Sent(self.of).message_id)
        kind = Kind.MESSAGE if self.of is None else Kind.UPDATE
        return Arrival(Frame(self.message_id, self.sequence, NOW + self.sequence, kind, b"{}"), content, NOW)


@dataclass
class Server:
    """Answers fetches as PROTOCOL §6 says, a few entries at a time."""

    sent: list[Sent]
    cancelled: set[int] = field(default_factory=set)

    def answer(self, asked: Asked) -> Page:
        after = [one for one in self.sent if one.sequence > asked.after]
        chosen, more = after[:PAGE], len(after) > PAGE
        entries = [
            Settled(str(one.message_id)) if one.sequence in self.cancelled else one.arrival()
            for one in chosen
        ]
        head = self.sent[-1].sequence if self.sent else 0
        return Page(entries, (), (), chosen[-1].sequence if more else head, head, more)


def refresh(inbox: Inbox, server: Server) -> Inbox:
    """Fetch as the phone does: until nothing is due."""
    inbox = rules.woken(inbox, NOW)
    for _ in range(100):
        if not inbox.fetch_due:
            return inbox
        asked = Asked(inbox.numbering.resume, inbox.numbering.head)
        inbox = rules.take_page(inbox, server.answer(asked), asked, NOW + 1000)
    raise AssertionError("the phone never stops fetching")


def shown_ids(inbox: Inbox) -> list[str]:
    return sorted(one.message_id for one in inbox.log if one.replaces is None)


def ids(sent: list[Sent]) -> list[str]:
    return sorted(str(one.message_id) for one in sent if one.of is None)


@st.composite
def deliveries(draw: st.DrawFn) -> list[Sent]:
    """Messages numbered from 1, some of them updates of earlier ones."""
    sent: list[Sent] = []
    for sequence in range(1, draw(st.integers(1, 12)) + 1):
        earlier = [one.sequence for one in sent if one.of is None]
        of = draw(st.none() | st.sampled_from(earlier)) if earlier else None
        sent.append(Sent(sequence, of))
    return sent


@st.composite
def journeys(draw: st.DrawFn) -> tuple[list[Sent], list[int | None]]:
    """A server's deliveries, and what reaches the phone: indices in any order and number, None for a fetch."""
    sent = draw(deliveries())
    steps = st.none() | st.integers(0, len(sent) - 1)
    return sent, draw(st.lists(steps, max_size=30))


def travel(sent: list[Sent], steps: list[int | None]) -> Inbox:
    inbox, known = new_inbox(0), 0
    for step in steps:
        if step is None:
            # The server knows what was pushed so far, as it commits before it pushes.
            inbox = refresh(inbox, Server(sent[:known]))
        else:
            known = max(known, step + 1)
            inbox = rules.take(inbox, sent[step].arrival(), NOW + 1000)
    return inbox


@unhurried
@given(journeys())
def test_every_message_is_shown_exactly_once(journey: tuple[list[Sent], list[int | None]]) -> None:
    sent, steps = journey
    inbox = refresh(travel(sent, steps), Server(sent))
    assert shown_ids(inbox) == ids(sent)
    assert inbox.numbering == Numbering(len(sent), ())


@unhurried
@given(journeys())
def test_every_message_stands_with_its_newest_text(journey: tuple[list[Sent], list[int | None]]) -> None:
    sent, steps = journey
    inbox = refresh(travel(sent, steps), Server(sent))
    newest = {one.of or one.sequence: one.sequence for one in sent}
    assert {str(Sent(key).message_id): f"text {value}" for key, value in newest.items()} == {
        card.message_id: card.content["body"] for card in inbox.visible
    }


@unhurried
@given(journeys())
def test_a_gap_never_hides_what_was_pushed(journey: tuple[list[Sent], list[int | None]]) -> None:
    sent, steps = journey
    pushed = [sent[step] for step in steps if step is not None]
    assert set(ids(pushed)) <= set(shown_ids(travel(sent, steps)))


@unhurried
@given(journeys(), st.data())
def test_a_cancelled_message_is_shown_at_most_once(
    journey: tuple[list[Sent], list[int | None]], data: st.DataObject
) -> None:
    sent, steps = journey
    cancelled = data.draw(st.sets(st.sampled_from([one.sequence for one in sent])))
    inbox = refresh(travel(sent, steps), Server(sent, cancelled))
    wanted = [one for one in sent if one.sequence not in cancelled]
    shown = shown_ids(inbox)
    assert len(shown) == len(set(shown))
    assert set(ids(wanted)) <= set(shown)


@unhurried
@given(journeys(), st.integers(1, 12), st.lists(st.integers(0, 30), max_size=10))
def test_a_restored_server_loses_and_repeats_nothing_of_what_it_still_has(
    journey: tuple[list[Sent], list[int | None]], backup: int, after: list[int]
) -> None:
    sent, steps = journey
    inbox = refresh(travel(sent, steps), Server(sent))
    kept = sent[:backup]
    # It goes on with numbers that it has used before, for messages of other ids.
    fresh = [Restored(len(kept) + number, None) for number in range(1, 4)]
    server = Server([*kept, *fresh])
    for step in after:
        inbox = rules.take(inbox, server.sent[step % len(server.sent)].arrival(), NOW + 1000)
    inbox = refresh(inbox, server)
    # A used number that comes as a push, or a lower head, gives the restore away; otherwise only the 2^32 would.
    pushed = {server.sent[step % len(server.sent)] for step in after}
    if len(server.sent) < len(sent) or any(one in fresh and one.sequence <= len(sent) for one in pushed):
        assert shown_ids(inbox) == sorted([*ids(sent), *(str(one.message_id) for one in fresh)])
    assert len(set(shown_ids(inbox))) == len(shown_ids(inbox))


class Restored(Sent):
    @property
    def message_id(self) -> UUID:
        return UUID(int=1000 + self.sequence, version=4)


@unhurried
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=20))
def test_numbering_agrees_with_a_plain_set(steps: list[tuple[int, int]]) -> None:
    numbering, known = Numbering(0, ()), set[int]()
    head = 0
    for first, second in steps:
        after, upto = min(first, second), max(first, second)
        if first <= second:
            numbering = numbering.arrived(upto + 1)
            known.add(upto + 1)
            head = max(head, upto + 1)
        elif after <= head:
            numbering = numbering.covered(after, upto)
            known |= set(range(after + 1, upto + 1))
            head = max(head, upto)
        assert numbering.head == head
        assert {n for n in range(1, head + 1) if numbering.missing(n)} == set(range(1, head + 1)) - known
