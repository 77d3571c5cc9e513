"""The phone's state while it runs: each change is saved, then told, then those who wait look again."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from simulator.bell import Bell
from simulator.inbox import fail
from simulator.mail import Inbox, Shown
from simulator.mailbox import Milliseconds
from simulator.state import PhoneState, save

Event = Mapping[str, Any]
OnEvent = Callable[[Event], None]


class Keeper:
    def __init__(
        self, state: PhoneState, *, file: Path | None, clock: Milliseconds, on_event: OnEvent
    ) -> None:
        self.state = state
        self.clock = clock
        self.bell = Bell()
        self.tell = on_event
        self._file = file

    @property
    def inbox(self) -> Inbox:
        return self.state.inbox

    async def keep_new(self) -> None:
        """Save a state that was just made."""
        if self._file is not None:
            await asyncio.to_thread(save, self._file, self.state)

    async def keep(self, state: PhoneState) -> None:
        """Save first: whatever is told was kept, so nothing is told twice."""
        told = len(self.state.inbox.log)
        if self._file is not None:
            await asyncio.to_thread(save, self._file, state)
        self.state = state
        for shown in state.inbox.log[told:]:
            self.tell(show(shown))
        self.bell.ring()

    async def keep_inbox(self, inbox: Inbox) -> None:
        if inbox is not self.inbox:
            await self.keep(replace(self.state, inbox=inbox))

    async def fail(self, reason: str) -> None:
        """Tell the server, once in an hour, that something did not open."""
        self.tell({"event": "refused", "reason": reason})
        await self.keep_inbox(fail(self.inbox, reason, self.clock()))

    def forget(self) -> None:
        """Delete everything about this pairing."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)
        self.tell({"event": "unpaired"})


def show(shown: Shown) -> Event:
    return {
        "event": "shown",
        "messageId": shown.message_id,
        "title": shown.title,
        "text": shown.text,
        "manner": shown.manner,
        "replaces": shown.replaces,
        "sentAt": shown.sent_at,
        "receivedAt": shown.received_at,
        "shownAt": shown.shown_at,
    }
