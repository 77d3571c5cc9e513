"""What happens when a user presses a button of a message, or the message itself (PROTOCOL §2): some of it here, the rest on the server.

Pure: what is to be run, and what it does to the inbox. What the server runs is kept with a key of its own until the server has
answered, so that a press is carried out once, however often it has to be sent.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from simulator import inbox as rules
from simulator.mail import Inbox, Press

TAP: Final = "tap"
ON_SERVER: Final = frozenset({"WEBHOOK", "MARK_AS_READ", "DELETE", "SNOOZE", "POSTPONE"})
OPEN: Final[Mapping[str, Any]] = {
    "type": "OPEN_NOTIFICATION"
}  # what a tap does where the message says nothing


def action_of(inbox: Inbox, message_id: str, which: int | str) -> Mapping[str, Any]:
    """Return the action at an index of a card's buttons, or of a tap on it; LookupError where there is none."""
    content = inbox.cards[message_id].content
    found: Mapping[str, Any] = (
        content.get("tapAction", OPEN) if which == TAP else content.get("actions", ())[int(which)]
    )
    return found


def run_here(inbox: Inbox, message_id: str, action: Mapping[str, Any], now: int) -> Inbox:
    """Do what needs no server: an opened message is read, a dismissed one only off the screen."""
    if action.get("type") == "DISMISS":
        card = replace(inbox.cards[message_id], state="history")
        return replace(inbox, cards={**inbox.cards, message_id: card})
    if action.get("type") == "OPEN_NOTIFICATION":
        return rules.read(inbox, message_id, now)
    return inbox


def pressed(inbox: Inbox, message_id: str, which: int | str, key: str) -> Inbox:
    """Note that something is to be run by the server."""
    return replace(inbox, presses=(*inbox.presses, Press(message_id, str(which), key)))


def answered(inbox: Inbox, press: Press, kind: str | None, now: int) -> Inbox:
    """Do here what the server has done for the other devices; `kind` is None where it refused."""
    inbox = replace(inbox, presses=tuple(one for one in inbox.presses if one != press))
    if kind in {"MARK_AS_READ", "POSTPONE"}:
        return rules.read(inbox, press.message_id, now)
    return rules.delete(inbox, press.message_id, now) if kind == "DELETE" else inbox
