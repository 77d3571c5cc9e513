"""What stays of pushes in a relay's memory: of the last ones something, of all others nothing.

Python frees what it no longer needs and does not wipe it, so that a part of the last batches can be found until others take their
place. What is promised is that this does not grow: no cache, table or queue keeps tokens, handles or envelopes.
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from aiohttp import ClientSession

from crypto.encoding import b64u
from crypto.handle import HandleClaims, seal_handle
from crypto.httpsig import PUSH, sign_request
from crypto.keys import IdentityKey
from relay.wire import JSON_TYPE, PUSH_PATH, Push, decode_outcomes, encode_pushes
from simulator.providers import Providers
from tests.harness.canaries import kept_in
from tests.harness.lone_relay import LoneRelay, lone_relay

BATCH = 200
BATCHES = 20
FEW = 5 * BATCH
"""The last batches, of which a part can be found in several places."""

MARK = bytes.fromhex("ca11ab1e" * 3)
"""Begins each token, and each envelope, that is looked for. Twelve bytes are sixteen characters of base64url."""

MARKED_TOKEN = rb"(?:ca11ab1e){3}[0-9a-f]{40}"
MARKED_ENVELOPE = b64u(MARK).encode() + rb"[A-Za-z0-9_-]{200}"
HANDLE = rb"AQAAA[A-Za-z0-9_-]{700,}"
DAY_MS = 86_400_000


@dataclass
class Sender:
    """A server that is admitted to a relay process."""

    relay: LoneRelay
    session: ClientSession = field(repr=False)
    key: IdentityKey = field(repr=False)
    app: str

    async def push(self, tokens: Sequence[str], *, mark: bytes) -> None:
        """A batch to these tokens; its envelopes begin with the mark."""
        body = encode_pushes(self._push(token, mark) for token in tokens)
        headers = sign_request(
            PUSH,
            key=self.key,
            method="POST",
            target_uri=self.relay.url + PUSH_PATH,
            content_type=JSON_TYPE,
            body=body,
            created=int(time.time()),
            lifetime=60,
            nonce=secrets.token_bytes(16),
        )
        url = self.relay.url + PUSH_PATH
        async with self.session.post(url, data=BytesIO(body), headers=headers) as answer:
            outcomes = decode_outcomes(await answer.read())
        assert {one.status for one in outcomes} == {"accepted"}

    def _push(self, token: str, mark: bytes) -> Push:
        return Push(
            id=str(uuid4()),
            handle=self._handle(token),
            envelope=b64u(mark + secrets.token_bytes(768 - len(mark))),
            priority="high",
            ttl=0,
            collapse=b64u(secrets.token_bytes(16)),
            type="alert",
        )

    def _handle(self, token: str) -> str:
        now = int(time.time() * 1000)
        claims = HandleClaims(
            provider="apns",
            app=self.app,
            environment="production",
            token=token,
            subscription=None,
            server=self.key.public.id,
            issued_at=now - DAY_MS,
            expires_at=now + DAY_MS,
        )
        return seal_handle(claims, epoch=self.relay.epoch, nonce=secrets.token_bytes(12))


def _random(length: int) -> bytes:
    """Marks what has the length of an APNs token."""
    return MARK + secrets.token_bytes(length - len(MARK)) if length == 32 else secrets.token_bytes(length)


@pytest.fixture
async def providers(tmp_path: Path) -> AsyncIterator[Providers]:
    async with Providers(tmp_path / "providers", random=_random) as running:
        yield running


@pytest.fixture
async def sender(tmp_path: Path, providers: Providers) -> AsyncIterator[Sender]:
    key = IdentityKey.generate(secrets.token_bytes)
    relay = await lone_relay(
        tmp_path,
        credentials=providers.addresses(),
        reached={
            "apns": providers.apns_address,
            "fcm": providers.fcm_url.removeprefix("https://"),
        },
        relay=f'allowlist = ["{key.public.id}"]',
        limits="server = 1000000",
    )
    async with ClientSession() as session:
        await relay.process.start(session)
        await asyncio.sleep(1.1)  # a signature from the second of its start is refused
        try:
            yield Sender(relay, session, key, providers.app)
        finally:
            await relay.process.stop()


@pytest.mark.skipif(not os.access("/proc/self/mem", os.R_OK), reason="there is no /proc/PID/mem")
async def test_a_relay_keeps_no_more_than_the_last_pushes(sender: Sender, providers: Providers) -> None:
    for _ in range(BATCHES):
        await sender.push([providers.token("apns") for _ in range(BATCH)], mark=MARK)
    pid = sender.relay.process.pid
    kept = [len(kept_in(pid, pattern)) for pattern in (MARKED_TOKEN, MARKED_ENVELOPE, HANDLE)]
    assert max(kept) > 0, "what was pushed a moment ago is there, or the search is wrong"
    assert max(kept) <= FEW


async def test_a_relay_that_crashes_writes_no_memory_to_the_disk(sender: Sender) -> None:
    assert psutil.Process(sender.relay.process.pid).rlimit(psutil.RLIMIT_CORE) == (0, 0)


async def test_large_pieces_of_memory_go_back_to_the_system(sender: Sender) -> None:
    """What it was told at its start; that it helps is seen in an hour, not in a test."""
    assert psutil.Process(sender.relay.process.pid).environ()["MALLOC_MMAP_THRESHOLD_"] == "131072"
