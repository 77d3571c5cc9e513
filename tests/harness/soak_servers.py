"""The servers of a soak, good and bad, all signing with keys of their own that the relay admits.

good      small batches to living devices, at a pace; one of them sends single pushes whose time is taken
dead      mostly to devices whose app is gone, and to tokens that never were
huge      batches of 500, one after the other
flood     as much as it can, while it is let
vanishing leaves before the answer
garbage   bad signatures, replays, broken bodies, handles of others, pushes that break a rule, bytes that are no HTTP
"""

import asyncio
import random
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec

from crypto.encoding import b64u
from crypto.handle import HandleClaims, Subscription, seal_handle
from crypto.httpsig import OUTCOME, PUSH, SignatureFault, request_context, sign_request, verify_answer
from crypto.keys import EpochKey, IdentityKey, IdentityPublicKey
from relay.wire import ERROR_STATUS, JSON_TYPE, PUSH_PATH, Push, decode_outcomes, encode_pushes
from tests.harness.soak_ledger import Ledger
from tests.harness.soak_providers import Target

ANSWER_SECONDS = 15
HANDLE_MS = 86_400_000
ENVELOPES = (768, 1536, 2304)
TTL = 0
"""Providers keep nothing for devices that are away, so that the simulator's memory stays what it is."""

MAY_BE_503 = frozenset({"nonce_store_full", "starting", "draining"})


@dataclass
class Relay:
    """The relay as servers know it. `epoch`: so that they have handles without asking for each."""

    url: str
    key: IdentityPublicKey
    epoch: EpochKey = field(repr=False)


@dataclass
class Tally:
    """What the servers saw. `expects_loss`: a process of the relay is being killed, answers may be lost."""

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    expects_loss: bool = False


class Server:
    """One signing server."""

    def __init__(
        self,
        name: str,
        key: IdentityKey,
        *,
        relay: Relay,
        targets: Sequence[Target],
        ledger: Ledger,
        tally: Tally,
        chance: random.Random,
    ) -> None:
        self.name = name
        self.key = key
        self.chance = chance
        self._relay = relay
        self._ledger = ledger
        self._tally = tally
        self._handles = [(one, self.handle(one)) for one in targets]
        self.alive = [pair for pair in self._handles if pair[0].alive]
        self.gone = [pair for pair in self._handles if not pair[0].alive]

    def handle(self, target: Target, **changes: Any) -> str:
        now = int(time.time() * 1000)
        subscription = None if target.subscription is None else Subscription(**target.subscription)
        claims: dict[str, Any] = {
            "provider": target.provider,
            "app": target.app,
            "environment": "production",
            "token": target.token,
            "subscription": subscription,
            "server": self.key.public.id,
            "issued_at": now - HANDLE_MS,
            "expires_at": now + HANDLE_MS,
        }
        return seal_handle(
            HandleClaims(**claims | changes), epoch=self._relay.epoch, nonce=secrets.token_bytes(12)
        )

    def pushes(self, count: int, among: Sequence[tuple[Target, str]]) -> list[tuple[str, Push]]:
        """As many new pushes, each with its provider."""
        return [self.push(*self.chance.choice(among)) for _ in range(count)]

    def push(self, target: Target, handle: str, **changes: Any) -> tuple[str, Push]:
        identity = uuid4()
        envelope = identity.bytes + bytes(self.chance.choice(ENVELOPES) - 16)
        values: dict[str, Any] = {
            "id": str(identity),
            "handle": handle,
            "envelope": b64u(envelope),
            "priority": self.chance.choice(("high", "normal")),
            "ttl": TTL,
            "collapse": b64u(identity.bytes),
            "type": "alert",
        }
        return target.provider, Push(**values | changes)

    async def send(self, session: aiohttp.ClientSession, pushes: Sequence[tuple[str, Push]]) -> float | None:
        """Send them and note what was said of each; the seconds that a 200 took."""
        for provider, push in pushes:
            self._ledger.sent(provider, self.name, push.id)
        ids = [push.id for _, push in pushes]
        body = encode_pushes(push for _, push in pushes)
        headers = self.sign(body)
        began = time.monotonic()
        try:
            status, fields, answer = await post(session, self._relay.url, body, headers)
        except (aiohttp.ClientError, TimeoutError) as error:
            self._ledger.lost(ids, time.monotonic())
            self.note("lost")
            if not self._tally.expects_loss:
                self._ledger.violate("no answer", f"{self.name}: {type(error).__name__}")
            return None
        except asyncio.CancelledError:
            self._ledger.lost(ids, time.monotonic())
            raise
        took = time.monotonic() - began
        self._read(ids, headers, status, fields, answer)
        return took if status == 200 else None

    def sign(self, body: bytes, **changes: Any) -> dict[str, str]:
        values: dict[str, Any] = {
            "key": self.key,
            "method": "POST",
            "target_uri": self._relay.url + PUSH_PATH,
            "content_type": JSON_TYPE,
            "body": body,
            "created": int(time.time()),
            "lifetime": 60,
            "nonce": secrets.token_bytes(16),
        }
        return sign_request(PUSH, **values | changes)

    def note(self, what: str) -> None:
        self._tally.requests[self.name, what] += 1

    def expect(self, what: str, status: int, answer: bytes, *codes: str) -> None:
        """A refusal with one of these codes."""
        code = problem_code(status, answer)
        self.note(code)
        if code not in {*codes, *MAY_BE_503, "limited"}:
            self._ledger.violate(f"{what} was not refused as it should be", f"{status} {code}")

    def _read(
        self,
        ids: Sequence[str],
        headers: Mapping[str, str],
        status: int,
        fields: Sequence[tuple[str, str]],
        answer: bytes,
    ) -> None:
        if status != 200:
            self._ledger.refused(dict.fromkeys(ids))
            self.expect("a good request", status, answer)
            return
        self.note("200")
        try:
            verify_answer(
                OUTCOME,
                keys=[self._relay.key],
                status=status,
                headers=fields,
                body=answer,
                request=request_context("POST", self._relay.url + PUSH_PATH, headers.items()),
                now=time.time(),
            )
        except SignatureFault as fault:
            self._ledger.violate("an answer that does not verify", fault.code)
        outcomes = decode_outcomes(answer)
        if [one.id for one in outcomes] != list(ids):
            self._ledger.violate(
                "outcomes are not one for each push in order", f"{self.name}: {len(ids)}, {len(outcomes)}"
            )
        self._ledger.answered(outcomes, time.monotonic())


async def post(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, list[tuple[str, str]], bytes]:
    async with (
        asyncio.timeout(ANSWER_SECONDS),
        session.post(url + PUSH_PATH, data=BytesIO(body), headers=headers) as answer,
    ):
        return answer.status, list(answer.headers.items()), await answer.read()


def problem_code(status: int, answer: bytes) -> str:
    """The code of a problem document that is as it should be; else what it is instead."""
    try:
        code = str(msgspec.json.decode(answer)["code"])
    except (msgspec.DecodeError, TypeError, KeyError):
        return f"{status} without a problem document"
    return code if ERROR_STATUS.get(code) == status else f"{status} {code}"


async def good(server: Server, session: aiohttp.ClientSession) -> None:
    while True:
        await server.send(session, server.pushes(server.chance.randint(1, 20), server.alive))
        await asyncio.sleep(server.chance.uniform(0.1, 0.5))


async def probe(server: Server, session: aiohttp.ClientSession, times: Callable[[], list[float]]) -> None:
    """One push after the other, each at its own time; `times` is where its seconds are kept now."""
    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(_probe(server, session, times()))
            await asyncio.sleep(0.1)


async def _probe(server: Server, session: aiohttp.ClientSession, times: list[float]) -> None:
    took = await server.send(session, server.pushes(1, server.alive))
    if took is not None:
        times.append(took)


async def dead(server: Server, session: aiohttp.ClientSession) -> None:
    while True:
        pushes = server.pushes(7, server.gone) + server.pushes(2, server.alive)
        never = Target("apns", server.alive[0][0].app, secrets.token_hex(32), None, alive=False)
        pushes.append(server.push(never, server.handle(never)))
        await server.send(session, pushes)
        await asyncio.sleep(0.3)


async def huge(server: Server, session: aiohttp.ClientSession) -> None:
    while True:
        await server.send(session, server.pushes(500, server.alive))
        await asyncio.sleep(0.5)


async def flood(server: Server, session: aiohttp.ClientSession, is_on: asyncio.Event) -> None:
    while True:
        await is_on.wait()
        await server.send(session, server.pushes(server.chance.choice((1, 5, 100)), server.alive))
        await asyncio.sleep(0)


async def vanishing(server: Server, session: aiohttp.ClientSession) -> None:
    while True:
        try:
            async with asyncio.timeout(server.chance.uniform(0.001, 0.2)):
                await server.send(session, server.pushes(20, server.alive))
        except TimeoutError:
            server.note("left")
        await asyncio.sleep(1)
