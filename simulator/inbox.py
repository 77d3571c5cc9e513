"""What a device decides about what it receives (PROTOCOL §2): pure, no I/O, no clock.

Everything goes through `take` (a push), `take_page` (an answer to a fetch) or `read`, each of which gives a new
`Inbox`. Invariants:
- a message id is shown at most once, whatever is repeated, reordered, restored or restarted: `seen` is the gate;
- a gap never hides what came: it only makes a fetch due;
- `log` only grows: it is what the phone has shown, in order; `cards` is what stands on the screen and in the history.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from crypto.frame import Frame, Kind
from simulator.mail import (
    HOUR,
    WAKE_PAUSE,
    WINDOW,
    Arrival,
    Asked,
    Card,
    Content,
    Inbox,
    Page,
    Receipt,
    Shown,
    text_of,
)
from simulator.numbering import FORGOTTEN, Numbering


def new_inbox(head: int) -> Inbox:
    """Make the inbox of a device just paired, from the pairing's `head`."""
    return Inbox(Numbering(head, ()))


def is_news(inbox: Inbox, frame: Frame, now: int) -> bool:
    """Tell whether a pushed frame will be taken: its id is unseen and it is within the window."""
    return str(frame.message_id) not in inbox.seen and not _too_old(inbox, frame, now)


def take(inbox: Inbox, arrival: Arrival, now: int) -> Inbox:
    """Take a pushed frame, whose signature was verified, or refuse it as a replay."""
    frame = arrival.frame
    if _too_old(inbox, frame, now):
        return inbox
    return _settle(_count(inbox, frame), arrival, now)


def _too_old(inbox: Inbox, frame: Frame, now: int) -> bool:
    # One ahead of the device's clock counts as its clock: it must not push the window ahead for everything else.
    return min(frame.sent_at, now) < inbox.newest - WINDOW


def _count(inbox: Inbox, frame: Frame) -> Inbox:
    """Account for the number of a pushed frame; a number that cannot be means that the server was restored."""
    if frame.kind not in {Kind.MESSAGE, Kind.UPDATE}:
        numbering = inbox.numbering.expect(frame.sequence)
    elif inbox.numbering.missing(frame.sequence):
        numbering = inbox.numbering.arrived(frame.sequence)
    elif str(frame.message_id) in inbox.seen:
        return inbox
    else:
        return replace(inbox, numbering=FORGOTTEN, fetch_due=True)
    return replace(inbox, numbering=numbering, fetch_due=inbox.fetch_due or bool(numbering.gaps))


def take_page(inbox: Inbox, page: Page, asked: Asked, now: int) -> Inbox:
    """Take one answer to a fetch: authoritative for the numbers that it speaks for, without the window."""
    if page.head < asked.head:
        return replace(inbox, numbering=FORGOTTEN, fetch_due=True)
    # First what must not be shown any more, then the messages: nothing flashes up.
    inbox = _retract(inbox, page.retracted, now)
    inbox = _clear(inbox, page.read, now)
    for entry in page.entries:
        if isinstance(entry, Arrival):
            inbox = _settle(inbox, entry, now)
        elif entry.message_id is not None:
            inbox = _note(inbox, entry.message_id, now)
    if inbox.numbering.head < asked.head:
        return replace(inbox, fetch_due=True)  # forgotten since it asked: only a fetch from 0 can settle that
    numbering = inbox.numbering.covered(asked.after, page.upto)
    return replace(inbox, numbering=numbering, fetch_due=page.more or bool(numbering.gaps))


def _settle(inbox: Inbox, arrival: Arrival, now: int) -> Inbox:
    """Act on a frame, once for each message id."""
    frame = arrival.frame
    message_id = str(frame.message_id)
    if message_id in inbox.seen:
        return inbox
    newest = max(inbox.newest, min(frame.sent_at, now))
    inbox = _note(replace(inbox, newest=newest), message_id, max(frame.sent_at, now))
    if frame.kind == Kind.RETRACT:
        return _retract(inbox, _ids(arrival.content), now)
    if frame.kind == Kind.READ:
        return _clear(inbox, _ids(arrival.content), now)
    if frame.kind == Kind.MESSAGE:
        return _show(_receipt(inbox, message_id, "received", now), arrival, now)
    if frame.kind == Kind.UPDATE:
        return _update(_receipt(inbox, message_id, "received", now), arrival, now)
    return inbox


def _show(inbox: Inbox, arrival: Arrival, now: int) -> Inbox:
    message_id = str(arrival.frame.message_id)
    card = _card(message_id, arrival)
    update = inbox.updates.get(card.about)
    if update is not None and update.version > card.version:
        card = _updated(card, update)
    if card.of in inbox.retracted:
        return inbox
    quiet = _expired(card.content, now) or message_id in inbox.read_ids or _superseded(inbox, card)
    if quiet or card.content.get("deliveryType") == "NO_PUSH":
        return _put(inbox, replace(card, state="history"))
    inbox = _put(_collapse(inbox, card), card)
    return _log(inbox, arrival, card, replaces=None, now=now)


def _update(inbox: Inbox, arrival: Arrival, now: int) -> Inbox:
    """Replace the text of a message, and of what reminds of it; frames of it that are still to come show it as well."""
    of = text_of(arrival.content, "of")
    if not of or of in inbox.retracted:
        return inbox
    # An update takes the message's place, so it is no reminder of it: what it says of `of` is dropped.
    content = {name: value for name, value in arrival.content.items() if name != "of"}
    new = replace(_card(of, arrival), content=content)
    newest = inbox.updates.get(of)
    if newest is not None and newest.version > new.version:
        return inbox
    inbox = replace(inbox, updates=_recent({**inbox.updates, of: new}, inbox.newest))
    older = [one for one in inbox.cards.values() if one.about == of and one.version < new.version]
    for card in older:
        inbox = _put(inbox, _updated(card, new))
    shown = next((card for card in older if card.state == "shown"), None)
    return inbox if shown is None else _log(inbox, arrival, new, replaces=shown.message_id, now=now)


def _updated(card: Card, update: Card) -> Card:
    """Return a card with an update's text: it stays where it is, and about what it is."""
    content = update.content if card.of is None else {**update.content, "of": card.of}
    return replace(update, message_id=card.message_id, content=content, state=card.state)


def _recent(updates: Mapping[str, Card], newest: int) -> Mapping[str, Card]:
    """Forget the updates of what can be pushed no more."""
    return {key: card for key, card in updates.items() if card.version[0] >= newest - WINDOW}


def _card(message_id: str, arrival: Arrival) -> Card:
    frame = arrival.frame
    version = (frame.sent_at, frame.sequence)
    return Card(message_id, str(frame.message_id), version, arrival.content, "shown")


def _log(inbox: Inbox, arrival: Arrival, card: Card, *, replaces: str | None, now: int) -> Inbox:
    message_id = str(arrival.frame.message_id)
    shown = Shown(
        message_id=message_id,
        title=card.title,
        text=card.text,
        manner=card.manner,
        replaces=replaces,
        sent_at=arrival.frame.sent_at,
        received_at=arrival.received_at,
        shown_at=now,
    )
    return _receipt(replace(inbox, log=(*inbox.log, shown)), message_id, "shown", now)


def _put(inbox: Inbox, card: Card) -> Inbox:
    return replace(inbox, cards={**inbox.cards, card.message_id: card})


def _superseded(inbox: Inbox, card: Card) -> bool:
    """Tell whether a newer message with the same collapseId has come already."""
    same = _same_collapse(inbox, card)
    return any(other.version > card.version for other in same)


def _collapse(inbox: Inbox, card: Card) -> Inbox:
    """Put what this message takes the place of into the history."""
    for other in _same_collapse(inbox, card):
        inbox = _put(inbox, replace(other, state="history"))
    return inbox


def _same_collapse(inbox: Inbox, card: Card) -> list[Card]:
    key = text_of(card.content, "collapseId")
    current = (one for one in inbox.cards.values() if one.state != "history")
    return [one for one in current if key and text_of(one.content, "collapseId") == key]


def _retract(inbox: Inbox, ids: Iterable[str], now: int) -> Inbox:
    gone = set(ids)
    if not gone:
        return inbox
    for message_id in gone:
        inbox = _note(inbox, message_id, now)
    cards = {key: card for key, card in inbox.cards.items() if key not in gone and card.of not in gone}
    retracted = {**inbox.retracted, **dict.fromkeys(gone, now)}
    updates = {key: card for key, card in inbox.updates.items() if key not in gone}
    return replace(inbox, cards=cards, retracted=_kept(retracted, inbox.newest), updates=updates)


def _clear(inbox: Inbox, ids: Iterable[str], now: int) -> Inbox:
    """Take messages that were read, here or elsewhere, off the screen; reminders of them too."""
    done = set(ids)
    if not done:
        return inbox
    cards = {
        key: replace(card, state="read")
        if card.state == "shown" and (key in done or card.of in done)
        else card
        for key, card in inbox.cards.items()
    }
    read_ids = _kept({**inbox.read_ids, **dict.fromkeys(done, now)}, inbox.newest)
    return replace(inbox, cards=cards, read_ids=read_ids)


def read(inbox: Inbox, message_id: str, now: int) -> Inbox:
    """The user reads a message; by a reminder as well, and then the message is read with all that reminds of it."""
    card = inbox.cards.get(message_id)
    about = message_id if card is None else card.about
    return _receipt(_clear(inbox, {message_id, about}, now), message_id, "read", now)


def delete(inbox: Inbox, message_id: str, now: int) -> Inbox:
    """The user deletes a message, with all that reminds of it."""
    card = inbox.cards.get(message_id)
    return _retract(inbox, {message_id, message_id if card is None else card.about}, now)


def complete(inbox: Inbox, preview: Card, content: Content, now: int) -> Inbox:
    """Put the whole content where `preview` stands, its claim having been fetched at last."""
    card = inbox.cards.get(preview.message_id)
    if card is None or card.source != preview.source or card.state != "shown":
        return inbox
    card = replace(card, content=content)
    last = next(one for one in reversed(inbox.log) if one.message_id == card.source)
    shown = replace(
        last,
        title=card.title,
        text=card.text,
        manner=card.manner,
        replaces=card.message_id,
        shown_at=now,
    )
    return replace(_put(inbox, card), log=(*inbox.log, shown))


def previews(inbox: Inbox) -> tuple[Card, ...]:
    """Give what is shown only in part."""
    return tuple(card for card in inbox.visible if card.content.get("claim"))


def fail(inbox: Inbox, reason: str, now: int) -> Inbox:
    """Report something that did not open: once for each reason and hour, and nothing of itself."""
    hour = now // HOUR
    if inbox.failures.get(reason) == hour:
        return inbox
    receipt = Receipt(None, "failed", reason, now)
    return replace(inbox, failures={**inbox.failures, reason: hour}, receipts=(*inbox.receipts, receipt))


def sent(inbox: Inbox, receipts: Sequence[Receipt]) -> Inbox:
    """Drop the receipts that the server has taken."""
    return replace(inbox, receipts=inbox.receipts[len(receipts) :])


def wake_time(inbox: Inbox, now: int) -> int:
    """When a wake may be answered with a fetch."""
    return max(now, inbox.woken_at + WAKE_PAUSE)


def woken(inbox: Inbox, now: int) -> Inbox:
    """Note that a wake's fetch starts now."""
    return replace(inbox, woken_at=now, fetch_due=True)


def _receipt(inbox: Inbox, message_id: str, event: Literal["received", "shown", "read"], now: int) -> Inbox:
    return replace(inbox, receipts=(*inbox.receipts, Receipt(message_id, event, None, now)))


def _note(inbox: Inbox, message_id: str, time: int) -> Inbox:
    """Count an id as seen. `time` is never before its sent_at, so the window refuses what has been forgotten."""
    seen = {**inbox.seen, message_id: max(time, inbox.seen.get(message_id, 0))}
    return replace(inbox, seen=_kept(seen, inbox.newest))


def _kept(ids: Mapping[str, int], newest: int) -> Mapping[str, int]:
    """Forget what the window refuses anyway; looked at only once the oldest entry is due, as most calls find nothing."""
    limit = newest - WINDOW
    if next(iter(ids.values()), limit) >= limit:
        return ids
    return {message_id: time for message_id, time in ids.items() if time >= limit}


def _ids(content: Content) -> list[str]:
    ids = content.get("ids")
    return [one for one in ids if isinstance(one, str)] if isinstance(ids, list) else []


def _expired(content: Content, now: int) -> bool:
    """`expiresAt` is RFC 3339; one that cannot be read does not hide a message."""
    try:
        return datetime.fromisoformat(text_of(content, "expiresAt")).timestamp() * 1000 <= now
    except ValueError:
        return False
