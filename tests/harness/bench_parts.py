"""What single pieces cost: a seal, a signed push through the relay; and how long one message is on its way to a phone."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import UUID, uuid4

from crypto.encoding import b64u
from crypto.envelope import SIZES, seal
from crypto.frame import Frame, Kind
from crypto.httpsig import PUSH, sign_request
from crypto.keys import DeviceKey, IdentityKey, Suite, read_keys
from relay.wire import HANDLES_PATH, JSON_TYPE, PUSH_PATH, Push, decode_outcomes, encode_pushes
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


async def handles(stack: Stack, provider: str, app: str, server: str) -> list[str]:
    made = []
    for _ in range(TOKENS):
        request = {
            "provider": provider,
            "app": app,
            "environment": "production",
            "token": stack.providers.token(provider, app=app, environment="production"),
            "server": server,
            "request": b64u(secrets.token_bytes(16)),
        }
        async with stack.session.post(stack.relay.url + HANDLES_PATH, json=request) as answer:
            made.append((await answer.json())["handle"])
    return made


def batch(addresses: Sequence[str], size: int) -> list[Push]:
    return [
        Push(
            id=str(uuid4()),
            handle=secrets.choice(addresses),
            envelope=b64u(secrets.token_bytes(1536)),
            priority="high",
            ttl=60,
            collapse=b64u(secrets.token_bytes(16)),
            type="alert",
        )
        for _ in range(size)
    ]


async def push(stack: Stack, key: IdentityKey, pushes: list[Push]) -> int:
    body = encode_pushes(pushes)
    headers = sign_request(
        PUSH,
        key=key,
        method="POST",
        target_uri=stack.relay.url + PUSH_PATH,
        content_type=JSON_TYPE,
        body=body,
        created=int(time.time()),
        lifetime=60,
        nonce=secrets.token_bytes(16),
    )
    async with stack.session.post(stack.relay.url + PUSH_PATH, data=body, headers=headers) as answer:
        outcomes = decode_outcomes(await answer.read())
    faults = [outcome.reason for outcome in outcomes if outcome.status != "accepted"]
    if faults:
        raise RuntimeError(
            f"{len(faults)} of {len(pushes)} pushes were not accepted: {sorted(set(map(str, faults)))}"
        )
    return len(outcomes)


async def relay(directory: Path) -> None:
    async with running(directory) as stack:
        await _relay(stack)


async def _relay(stack: Stack) -> None:
    [key] = [
        key
        for key in read_keys((stack.directory / "server" / "keys" / "server.key").read_text())
        if isinstance(key, IdentityKey)
    ]
    for provider, app in (("apns", stack.providers.app), ("fcm", stack.providers.project)):
        addresses = await handles(stack, provider, app, key.public.id)
        for size, requests in ((100, 12), (1, 200)):

            async def run(
                addresses: list[str] = addresses, size: int = size, requests: int = requests
            ) -> int:
                todo = iter(range(requests))

                async def sender() -> int:
                    return sum([await push(stack, key, batch(addresses, size)) for _ in todo])

                return sum(await asyncio.gather(*(sender() for _ in range(IN_FLIGHT))))

            await run()  # connections and provider tokens are made once
            stack.providers.clear()
            say(
                f"signed pushes through the relay, {provider}, {size} a request", await rate(run, stack.relay)
            )
            stack.providers.clear()


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
