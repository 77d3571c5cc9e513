"""A server whose signatures are all `http-message-sig`'s (npm) pushes through a running relay of ours, and believes its answer."""

import time
from typing import Any

import pytest
from aiohttp import ClientSession

from crypto.encoding import b64u
from crypto.keys import IdentityKey
from relay.wire import encode_pushes
from tests.harness.clock import SettableClock
from tests.harness.others import node
from tests.relay.running import RELAY_KEY, SERVER_KEY, STRANGER_KEY, Relay, config, push


async def _pushed(relay: Relay, body: bytes, key: IdentityKey, believed: IdentityKey) -> Any:
    given = {
        "url": relay.config.public_url,
        "reach": relay.url,
        "body": body.decode(),
        "server": {**key.public.jwk, "d": b64u(key.seed)},
        "keyid": key.public.id,
        "relay": believed.public.jwk,
    }
    return await node("signed_push.js", given)


@pytest.fixture
def now() -> SettableClock:
    return SettableClock(int(time.time()) * 1000 - 5_000)


async def test_a_push_and_its_outcome_are_signed_as_the_library_has_it(now: SettableClock) -> None:
    async with ClientSession() as session:
        relay = await Relay.start(config(), clock=now, session=session)
        now.advance(5_000)
        body = encode_pushes([push(relay.handle("ab" * 32)), push("nonsense", 2)])
        answer = await _pushed(relay, body, SERVER_KEY, RELAY_KEY)
        outcomes = answer.pop("body")["outcomes"]
        assert answer == {"status": 200, "tag": "hushpost-outcome", "whole": True}
        assert [one["reason"] for one in outcomes] == ["not_configured", "handle_invalid"]
        refused = await _pushed(relay, b"{", SERVER_KEY, RELAY_KEY)
        assert (refused["status"], refused["body"]["code"]) == (400, "bad_json")
        assert (await _pushed(relay, body, SERVER_KEY, STRANGER_KEY))["error"] == "VerificationFailed"
        await relay.stop()
