"""What a phone does with its server and its relay: fetch, complete previews, report, renew handle and key.

Each step does what is due and nothing else; a step that fails leaves its work due, and the caller comes again.
"""

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import aiohttp

from crypto.encoding import b64u
from crypto.errors import CryptoError, Malformed
from crypto.frame import Kind
from crypto.keys import DeviceKey
from simulator import actions
from simulator import inbox as rules
from simulator.handles import Installation, Random, get_handle
from simulator.home import TIMEOUT, Home, Refused
from simulator.keeper import Keeper
from simulator.mail import Arrival, Asked, Card, Content, Page, Settled
from simulator.mailbox import Mailbox
from simulator.opening import Answer, Opened, claim_of, open_blob, open_text, open_whole, read_answer
from simulator.state import add_key, drop_old_keys, handle_is_old, key_is_old, register_key

GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
LATER = {HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class Sync:
    def __init__(
        self, keeper: Keeper, *, session: aiohttp.ClientSession, mailbox: Mailbox, random: Random
    ) -> None:
        pairing = keeper.state.pairing
        self._keeper = keeper
        self._session = session
        self._mailbox = mailbox
        self._random = random
        self.home = Home(session, pairing.server_url, pairing.device_token)

    async def run(self) -> None:
        await self.fetch()
        await self.complete_previews()
        await self.send_presses()
        await self.send_receipts()
        if handle_is_old(self._keeper.state, self._keeper.clock()):
            await self.renew_handle()
        if key_is_old(self._keeper.state, self._keeper.clock()) or not self._keeper.state.current.registered:
            await self.rotate_key()
        await self._drop_old_keys()

    async def arrive(self, opened: Opened, received_at: int) -> Arrival:
        """Make an arrival of an opened frame: with its whole content, where that can be had now."""
        frame = opened.frame
        content = opened.content
        if frame.kind in {Kind.MESSAGE, Kind.UPDATE} and str(frame.message_id) not in self._keeper.inbox.seen:
            content = await self._whole(content, str(frame.message_id)) or content
        return Arrival(frame, content, received_at)

    async def fetch(self) -> None:
        while self._keeper.inbox.fetch_due:
            numbering = self._keeper.inbox.numbering
            asked = Asked(numbering.resume, numbering.head)
            answer = read_answer(await self.home.messages(asked.after))
            page = await self._read_page(answer, asked)
            now = self._keeper.clock()
            await self._keeper.keep_inbox(rules.take_page(self._keeper.inbox, page, asked, now))
            self._keeper.tell({"event": "fetched", "after": asked.after, "messages": len(answer.messages)})
            if page.more and page.upto <= asked.after:
                raise Malformed("a page that says there is more, and ends where it began")

    async def _read_page(self, answer: Answer, asked: Asked) -> Page:
        entries = [await self._read_entry(one) for one in answer.messages]
        last = max((one["sequence"] for one in answer.messages), default=asked.after)
        upto = last if answer.more else max(answer.head, last)
        return Page(entries, answer.retracted, answer.read, upto, answer.head, answer.more)

    async def _read_entry(self, entry: Mapping[str, Any]) -> Arrival | Settled:
        if "state" in entry:
            return Settled(str(entry.get("messageId")))
        try:
            opened = open_text(str(entry.get("envelope")), self._keeper.state)
        except CryptoError as error:
            await self._keeper.fail(error.reason)
            return Settled(None)
        return await self.arrive(opened, self._keeper.clock())

    async def _whole(self, content: Content, message_id: str) -> Content | None:
        """Fetch what a preview claims. None: not now. Without its `claim`: never, so the preview is all there is."""
        try:
            claim = claim_of(content)
            if claim is None:
                return None
            blob = await self.home.claim(claim.id)
            device_id = self._keeper.state.pairing.device_id
            return open_whole(blob, claim, message_id=message_id, device_id=device_id)
        except CryptoError as error:
            await self._keeper.fail(error.reason)
        except Refused as refused:
            if refused.status not in GONE:
                return None
        except (aiohttp.ClientError, TimeoutError):
            return None
        return {name: value for name, value in content.items() if name != "claim"}

    async def attachment(self, card: Card, index: int) -> bytes:
        """Fetch a file that lies on the server; ValueError for one that lies elsewhere, Refused, CryptoError."""
        claim = claim_of(card.attachments[index])
        if claim is None:
            raise ValueError("this attachment lies elsewhere")
        blob = await self.home.claim(claim.id)
        device_id = self._keeper.state.pairing.device_id
        return open_blob(blob, claim, message_id=card.source, device_id=device_id)

    async def complete_previews(self) -> None:
        for card in rules.previews(self._keeper.inbox):
            content = await self._whole(card.content, card.source)
            if content is None:
                raise TimeoutError("a claim could not be fetched")
            now = self._keeper.clock()
            await self._keeper.keep_inbox(rules.complete(self._keeper.inbox, card, content, now))

    async def send_receipts(self) -> None:
        receipts = self._keeper.inbox.receipts[:100]
        if not receipts:
            return
        try:
            await self.home.receipts(receipts)
        except Refused as refused:
            if refused.status in LATER or refused.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            # What the server will never take must not hold up what comes after it.
            self._keeper.tell({"event": "receipts_refused", "code": refused.code})
        await self._keeper.keep_inbox(rules.sent(self._keeper.inbox, receipts))

    async def send_presses(self) -> None:
        for press in self._keeper.inbox.presses:
            kind = None
            try:
                kind = await self.home.press(press.message_id, press.which, press.key)
            except Refused as refused:
                if refused.status in LATER or refused.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                self._keeper.tell({"event": "press_refused", "code": refused.code})
            now = self._keeper.clock()
            await self._keeper.keep_inbox(actions.answered(self._keeper.inbox, press, kind, now))

    async def call(self, value: str) -> None:
        """Make a call that a button asks for (`METHOD::url`): once, whatever comes of it, and without the device's token."""
        method, _, url = value.partition("::")
        try:
            async with self._session.request(method, url, allow_redirects=False, timeout=TIMEOUT) as answer:
                self._keeper.tell({"event": "called", "status": answer.status})
        except (aiohttp.ClientError, TimeoutError) as error:
            self._keeper.tell({"event": "call_failed", "reason": type(error).__name__})

    async def renew_handle(self) -> None:
        pairing = self._keeper.state.pairing
        handle = await get_handle(
            self._session,
            self._mailbox,
            relay=pairing.relay_url,
            installation=Installation(
                pairing.provider,
                pairing.app,
                pairing.environment,
                pairing.push_token,
                pairing.subscription,
            ),
            server_key_id=pairing.server.id,
            random=self._random,
        )
        await self.home.put_handle(handle)
        renewed = replace(pairing, handle_at=self._keeper.clock())
        await self._keeper.keep(replace(self._keeper.state, pairing=renewed))
        self._keeper.tell({"event": "handle_renewed"})

    async def rotate_key(self) -> None:
        """Make a key, keep it, tell the server: in this order, so that what is sealed to it always opens."""
        state = self._keeper.state
        if state.current.registered:
            key = DeviceKey.generate(state.current.key.suite, self._random)
            state = replace(state, keys=add_key(state.keys, key, self._keeper.clock()))
            await self._keeper.keep(state)
        public = state.current.key.public
        await self.home.put_key(public.suite.value, b64u(public.raw))
        await self._keeper.keep(replace(state, keys=register_key(state.keys, self._keeper.clock())))
        self._keeper.tell({"event": "key_rotated"})

    async def _drop_old_keys(self) -> None:
        state = self._keeper.state
        keys = drop_old_keys(state.keys, self._keeper.clock())
        if keys != state.keys:
            await self._keeper.keep(replace(state, keys=keys))
