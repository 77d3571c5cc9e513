"""A phone: pairs, receives through its push provider, opens, shows, fetches, reports and renews (PROTOCOL §2, §3, §6).

`Phone` is the I/O around the decisions of `inbox` and `state`. One task does everything in turn, so a push, a fetch
and a renewal never interleave. Each change is saved before it is told: what was shown is never shown again, whenever
the process dies.

    phone = await Phone.pair(link, control=providers.control_url, platform="ios", suite=2, name="Ada's phone")
    shown = await phone.shows("Backup finished")
    await phone.close()
    phone = await Phone.open(file, control=providers.control_url)
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self
from uuid import UUID

import aiohttp

from crypto.errors import CryptoError
from crypto.keys import Suite, fingerprint
from simulator import actions
from simulator import inbox as rules
from simulator.handles import Random
from simulator.home import Refused
from simulator.keeper import Event, Keeper, OnEvent
from simulator.link import read_link
from simulator.mail import Card, Inbox, Shown
from simulator.mailbox import Mailbox, Milliseconds, Push
from simulator.opening import open_text
from simulator.pairing import PairingSteps, Surroundings, Wanted
from simulator.registering import KnownServer, PassOn, RegisteringSteps
from simulator.state import Pairing, load
from simulator.sync import Sync

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 15.0
UNAUTHORIZED = 401


class Unpaired(Exception):
    """The server no longer knows this device; everything about it was deleted here too."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def ignore(_event: Event) -> None:
    """Tell nobody."""


class Phone:
    """Made by `pair` or `open`; `close` ends it. Errors of its task come out of whatever waits for it."""

    def __init__(
        self, keeper: Keeper, sync: Sync, mailbox: Mailbox, random: Random, resources: AsyncExitStack
    ) -> None:
        self._keeper = keeper
        self._random = random
        self._sync = sync
        self._mailbox = mailbox
        self._resources = resources
        self._turn = asyncio.Lock()
        self._pause = FIRST_PAUSE
        self._timer: asyncio.TimerHandle | None = None
        self._wake_waits = False
        self._opened = False
        self._task = asyncio.create_task(self._work())
        self._task.add_done_callback(self._stopped)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # seen: it is raised to whoever waits, and needs no warning when nobody does
        self._keeper.bell.ring()

    @classmethod
    async def pair(
        cls,
        link: str,
        *,
        control: str,
        platform: str,
        suite: int,
        name: str,
        app: str | None = None,
        environment: str | None = None,
        relays: Collection[str] = (),
        file: Path | None = None,
        clock: Milliseconds = now_ms,
        random: Random = secrets.token_bytes,
        on_event: OnEvent = ignore,
        ca_file: Path | None = None,
    ) -> Self:
        """Pair by a link. `BadLink`, `NotVerified` or `Refused`: then nothing was kept."""
        checked = read_link(link, known_relays=relays)
        wanted = Wanted(platform, Suite(suite), name, app, environment)
        around = Surroundings(control, file, clock, random, on_event, ca_file)
        async with AsyncExitStack() as resources:
            session = await resources.enter_async_context(around.session())
            steps = PairingSteps(around, session, checked, resources)
            keeper, mailbox = await steps.run(wanted)
            return cls._start(keeper, session, mailbox, random, resources.pop_all())

    @classmethod
    async def register(
        cls,
        server: KnownServer,
        pass_on: PassOn,
        *,
        control: str,
        platform: str,
        suite: int,
        name: str,
        clock: Milliseconds = now_ms,
        random: Random = secrets.token_bytes,
        on_event: OnEvent = ignore,
    ) -> Self:
        """Be registered by the app's own servers; `name` is what these call the phone."""
        around = Surroundings(control, None, clock, random, on_event, None)
        async with AsyncExitStack() as resources:
            session = await resources.enter_async_context(around.session())
            steps = RegisteringSteps(around, session, server, resources)
            keeper, mailbox = await steps.run(Wanted(platform, Suite(suite), name, None, None), pass_on)
            return cls._start(keeper, session, mailbox, random, resources.pop_all())

    @classmethod
    async def open(
        cls,
        file: Path,
        *,
        control: str,
        clock: Milliseconds = now_ms,
        random: Random = secrets.token_bytes,
        on_event: OnEvent = ignore,
        ca_file: Path | None = None,
    ) -> Self:
        """Go on from a saved state; like an app that is opened, it fetches first."""
        state = load(file)
        around = Surroundings(control, file, clock, random, on_event, ca_file)
        async with AsyncExitStack() as resources:
            session = await resources.enter_async_context(around.session())
            mailbox = around.mailbox(session, state.pairing.push_token, state.pairing.subscription)
            await resources.enter_async_context(mailbox)
            state = replace(state, inbox=replace(state.inbox, fetch_due=True))
            keeper = Keeper(state, file=file, clock=clock, on_event=on_event)
            phone = cls._start(keeper, session, mailbox, random, resources.pop_all())
            phone.poke()
            return phone

    @classmethod
    def _start(
        cls,
        keeper: Keeper,
        session: aiohttp.ClientSession,
        mailbox: Mailbox,
        random: Random,
        resources: AsyncExitStack,
    ) -> Self:
        sync = Sync(keeper, session=session, mailbox=mailbox, random=random)
        return cls(keeper, sync, mailbox, random, resources)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._task.cancel()
        await asyncio.wait({self._task})
        await self._resources.aclose()

    @property
    def inbox(self) -> Inbox:
        return self._keeper.inbox

    @property
    def pairing(self) -> Pairing:
        return self._keeper.state.pairing

    @property
    def fingerprint(self) -> str:
        """What the phone and the server's console show to each other."""
        return fingerprint(self.pairing.server, self._keeper.state.current.key.public)

    async def until(self, condition: Callable[[Inbox], bool]) -> None:
        """Wait until the inbox is so."""
        await self._keeper.bell.until(lambda: self._task.done() or condition(self.inbox))
        if self._task.done() and not condition(self.inbox):
            self._task.result()

    async def shows(self, text: str) -> Shown:
        """Wait until a message with exactly this text was shown."""
        await self.until(lambda inbox: any(one.text == text for one in inbox.log))
        return next(one for one in self.inbox.log if one.text == text)

    def card(self, message_id: str) -> Card:
        """Give a message as it stands; KeyError where there is none."""
        return self.inbox.cards[message_id]

    async def done(self) -> None:
        """Wait until the phone stops by itself: `Unpaired`, or whatever went wrong."""
        await asyncio.shield(self._task)

    def poke(self) -> None:
        """Look for something to do."""
        self._mailbox.pushes.put_nowait(None)

    def refresh_soon(self) -> None:
        """Like `refresh`, in the phone's own time: what fails is tried again."""
        self._opened = True
        self.poke()

    async def refresh(self) -> None:
        """Fetch now, as an app does when it is opened, and do whatever else is due."""
        async with self._turn:
            await self._keeper.keep_inbox(replace(self.inbox, fetch_due=True))
            await self._sync.run()

    async def read(self, message_id: str) -> None:
        """The user opens a message."""
        async with self._turn:
            await self._keeper.keep_inbox(rules.read(self.inbox, message_id, self._keeper.clock()))
        self.poke()

    async def tap(self, message_id: str, which: int | str = actions.TAP) -> str:
        """The user presses a button, or the message itself; return the type of its action.

        What the server runs is sent in the phone's own time, and again if need be. Where a NAVIGATE leads is told as an event.
        """
        async with self._turn:
            action = actions.action_of(self.inbox, message_id, which)
            kind, value = str(action["type"]), str(action.get("value"))
            if kind in actions.ON_SERVER:
                key = str(UUID(bytes=self._random(16), version=4))
                await self._keeper.keep_inbox(actions.pressed(self.inbox, message_id, which, key))
            else:
                now = self._keeper.clock()
                await self._keeper.keep_inbox(actions.run_here(self.inbox, message_id, action, now))
        if kind == "NAVIGATE":
            self._keeper.tell({"event": "navigated", "messageId": message_id, "url": value})
        elif kind == "BACKGROUND_CALL":
            await self._sync.call(value)
        self.poke()
        return kind

    async def attachment(self, message_id: str, index: int) -> bytes:
        """The user looks at a file that came with a message."""
        return await self._sync.attachment(self.card(message_id), index)

    async def renew_handle(self) -> None:
        async with self._turn:
            await self._sync.renew_handle()

    async def rotate_key(self) -> None:
        async with self._turn:
            await self._sync.rotate_key()

    async def unpair(self) -> None:
        """Unpair on both sides, and close."""
        async with self._turn:
            await self._sync.home.unpair()
            self._keeper.forget()
        await self.close()

    async def _work(self) -> None:
        while True:
            push = await self._mailbox.pushes.get()
            async with self._turn:
                if push is not None:
                    await self._receive(push)
                if self._mailbox.pushes.empty():
                    await self._catch_up()

    async def _receive(self, push: Push) -> None:
        if push.deleted:
            await self._keeper.keep_inbox(replace(self.inbox, fetch_due=True))
        elif push.fault is not None:
            await self._keeper.fail(push.fault)
        elif push.envelope is None:
            self._keeper.tell({"event": "woken"})
            self._wake_waits = True
        else:
            await self._take(push, push.envelope)

    async def _take(self, push: Push, envelope: str) -> None:
        try:
            opened = open_text(envelope, self._keeper.state)
        except CryptoError as error:
            await self._keeper.fail(error.reason)
            return
        self._keeper.tell(
            {
                "event": "received",
                "messageId": str(opened.frame.message_id),
                "kind": opened.frame.kind,
                "envelopeBytes": opened.size,
                "acceptedAt": push.accepted_at,
                "receivedAt": push.received_at,
            }
        )
        if not rules.is_news(self.inbox, opened.frame, self._keeper.clock()):
            self._keeper.tell({"event": "refused", "reason": "replay"})
        arrival = await self._sync.arrive(opened, push.received_at)
        await self._keeper.keep_inbox(rules.take(self.inbox, arrival, self._keeper.clock()))

    async def _catch_up(self) -> None:
        """Do what is due; what fails is tried again, later and later."""
        await self._answer_wake()
        if self._opened:
            self._opened = False
            await self._keeper.keep_inbox(replace(self.inbox, fetch_due=True))
        try:
            await self._sync.run()
            self._pause = FIRST_PAUSE
        except Refused as refused:
            if refused.status == UNAUTHORIZED and refused.code == "device_token_invalid":
                self._keeper.forget()
                raise Unpaired from refused
            self._later(refused)
        except (aiohttp.ClientError, TimeoutError, CryptoError) as error:
            self._later(error)

    async def _answer_wake(self) -> None:
        """Fetch for a wake, at most every 30 seconds."""
        if not self._wake_waits:
            return
        now = self._keeper.clock()
        wait = rules.wake_time(self.inbox, now) - now
        if wait > 0:
            self._at(wait / 1000)
            return
        self._wake_waits = False
        await self._keeper.keep_inbox(rules.woken(self.inbox, now))

    def _later(self, error: Exception) -> None:
        self._keeper.tell({"event": "trying_again", "reason": type(error).__name__})
        self._at(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _at(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.poke)
