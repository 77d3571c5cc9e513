"""Whatever providers do, every push ends once, and none reaches a device twice in one attempt."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from relay.config import ApnsClient, FcmClient
from relay.providers.provider import Verdict
from simulator.providers import Providers
from tests.harness.clock import SettableClock
from tests.relay.sending import apns, delivery, fcm, send

PUSHES = 150
FAULTS: list[dict[str, Any]] = [
    {"kind": kind}
    for kind in (
        *("close", "hang_up", "lose", "reset", "reset_after", "refused", "padded", "continued", "trailers"),
        *("goaway", "goaway_open", "goaway_drain", "goaway_taken", "goaway_answered", "goaway_graceful"),
    )
]
FAULTS += [
    {"kind": "wrong", "form": "settings_window"},
    {"kind": "wrong", "form": "hpack_index"},
    {"kind": "delay", "delay": 0.05},
    {"kind": "settings", "settings": {"MAX_CONCURRENT_STREAMS": 1}, "delay": 0.1},
    {"kind": "settings", "settings": {"INITIAL_WINDOW_SIZE": 100}, "delay": 0.1},
]
REFUSED: dict[str, list[dict[str, Any]]] = {
    "apns": [{"reason": "Unregistered"}, {"reason": "ServiceUnavailable"}, {"reason": "BadTopic"}],
    "fcm": [{"reason": "UNREGISTERED"}, {"reason": "UNAVAILABLE"}, {"reason": "SENDER_ID_MISMATCH"}],
}
OPEN = {"connection_lost", "stream_reset", "protocol_error", "timeout"}
"""Reasons with which nobody knows whether the provider took the push."""


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("provider", "client"), [("apns", one) for one in ApnsClient] + [("fcm", one) for one in FcmClient]
)
async def test_every_push_is_accounted_for_by_exactly_one_verdict(
    providers: Providers, clock: SettableClock, provider: str, client: str, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  it must repeat
    tokens = [providers.token(provider) for _ in range(PUSHES)]
    for token in chance.sample(tokens, PUSHES // 3):
        providers.script(provider, token=token, times=1, **chance.choice(FAULTS + REFUSED[provider] * 3))
    opened = apns if provider == "apns" else fcm
    async with (
        opened(providers, lambda: clock() / 1000, in_flight=60, client=client) as sender,
        asyncio.timeout(30),
    ):
        verdicts = await send(sender, *(delivery(token, number) for number, token in enumerate(tokens)))
    taken = Counter(sent.token for sent in providers.recorded if sent.accepted)
    assert max(taken.values()) == 1
    assert wrong(tokens, verdicts, taken) == []


def wrong(tokens: list[str], verdicts: list[Verdict], taken: Counter[str | None]) -> list[Verdict]:
    """The verdicts that do not tell the truth about what was taken."""
    return [
        verdict
        for token, verdict in zip(tokens, verdicts, strict=True)
        if verdict.reason not in OPEN and (verdict.status == "accepted") != (taken[token] == 1)
    ]
