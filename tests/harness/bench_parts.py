"""What single pieces cost: a seal, a signed push through the relay; and how long one message is on its way to a phone."""

import secrets
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import UUID, uuid4

from crypto.envelope import SIZES, seal
from crypto.frame import Frame, Kind
from crypto.keys import DeviceKey, IdentityKey, Suite
from tests.harness.bench_figures import rate, say, stopwatch
from tests.harness.stack import Stack, running

SEALS = 1_000
MESSAGE = 250
TOKENS = 200
IN_FLIGHT = 4
ONE_AT_A_TIME = 205
WARM_UP = 5


async def seals(_directory: Path) -> None:
    signer = IdentityKey.generate(secrets.token_bytes)
    for suite in Suite:
        device = DeviceKey.generate(suite, secrets.token_bytes).public
        frame = Frame(uuid4(), 1, 1, Kind.MESSAGE, secrets.token_bytes(MESSAGE))

        async def run(frame: Frame = frame, device: Any = device) -> int:
            for _ in range(SEALS):
                seal(frame, signer=signer, device=device, device_id=UUID(int=1), largest=SIZES[-1])
            return SEALS

        say(f"seals, suite {suite.value} ({suite.name}), {MESSAGE} bytes, one core", await rate(run))


async def latency(directory: Path) -> None:
    async with running(directory) as stack:
        await _latency(stack)


async def _latency(stack: Stack) -> None:
    phones = [
        await stack.pair(platform="ios", suite=2, name="apns"),
        await stack.pair(platform="android", suite=1, name="fcm"),
    ]
    for phone, name in zip(phones, ("APNs, suite 2", "FCM, suite 1"), strict=True):
        times = []
        for number in range(ONE_AT_A_TIME):
            text = f"{name} {number}"
            with stopwatch() as took:
                await stack.send(title="bench", body=text)
                await phone.shows(text)
            times.append(took[0] * 1000)
        cuts = quantiles(times[WARM_UP:], n=100)
        say(f"from POST to shown, {name}, one at a time", f"p50 {cuts[49]:.1f} ms   p99 {cuts[98]:.1f} ms")
    for phone in phones:
        await phone.close()
