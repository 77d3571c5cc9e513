"""The simulated providers of a soak: `python -m tests.harness.soak_providers DIRECTORY TOKENS`, a process of its own.

It prints one JSON line when it is ready: the addresses, and targets that pushes can go to. From then on each line is one request
that a provider recorded: provider, the push's id, the status that was answered (0 for none) and the reason or the kind of fault.
The records themselves are forgotten at once, so that its memory stays what it is. Faults are scripted at the control endpoint.

A push's id is found where its provider is told something that a server chooses: APNs has it as `apns-id`, FCM and Web Push have
it not at all; an envelope here begins with it, and Web Push's topic, which is `collapse`, is it.
"""

import asyncio
import json
import secrets
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import uvloop

from crypto.encoding import b64u, unb64u
from crypto.vapid import VapidKey
from simulator.exchange import Recorded
from simulator.providers import WEB_APP, Providers

DRAIN_SECONDS = 0.2
DEAD_PART = 4
"""One of so many targets is one where the app was removed."""

LONGEST_LINE = 1 << 24
ENVELOPE = b'"hp":"'
ID_TEXT = 24
"""Characters of b64u that hold 16 bytes and no part of a character."""


@dataclass(frozen=True)
class Target:
    """Where a push can go. `alive` is whether the app is still there."""

    provider: str
    app: str
    token: str | None = field(repr=False)
    subscription: Mapping[str, str] | None = field(repr=False)
    alive: bool


Maker = Callable[[Providers, VapidKey], dict[str, Any]]


def _device(provider: str, app: str) -> Maker:
    def make(providers: Providers, _key: VapidKey) -> dict[str, Any]:
        return {"provider": provider, "app": getattr(providers, app), "token": providers.token(provider)}

    return make


def _browser(providers: Providers, key: VapidKey) -> dict[str, Any]:
    made = providers.subscription(key.application_server_key)
    subscription = {"endpoint": made["endpoint"], **made["keys"]}
    return {"provider": "webpush", "app": WEB_APP, "subscription": subscription}


MAKERS: Mapping[str, Maker] = {
    "apns": _device("apns", "app"),
    "fcm": _device("fcm", "project"),
    "webpush": _browser,
}


def push_id(recorded: Recorded) -> str:
    """Find the id of the push that a request was for; empty where it was for none."""
    if recorded.provider == "apns":
        return recorded.header("apns-id") or ""
    if recorded.provider == "webpush":
        topic = recorded.header("Topic")
        return "" if topic is None else str(UUID(bytes=unb64u(topic)))
    at = recorded.payload.replace(b'": "', b'":"').find(ENVELOPE)
    if at < 0:
        return ""
    start = at + len(ENVELOPE)
    text = recorded.payload.replace(b'": "', b'":"')[start : start + ID_TEXT]
    return str(UUID(bytes=unb64u(text.decode())[:16]))


def make_targets(providers: Providers, key: VapidKey, count: int) -> list[Target]:
    targets = []
    for make in MAKERS.values():
        for number in range(count):
            alive = bool(number % DEAD_PART)
            target = Target(**{"token": None, "subscription": None, **make(providers, key)}, alive=alive)
            targets.append(target)
            if not alive:
                providers.uninstall(
                    target.token or (target.subscription or {})["endpoint"].rpartition("/")[2]
                )
    return targets


def write_line(recorded: Recorded) -> None:
    sys.stdout.write(
        f"{recorded.provider} {push_id(recorded) or '-'} {recorded.status} {recorded.reason or '-'}\n"
    )


async def serve(directory: Path, count: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    key = VapidKey.generate(secrets.token_bytes)
    async with Providers(directory) as providers:
        targets = [asdict(one) for one in make_targets(providers, key, count)]
        addresses = providers.addresses() | {"vapidKey": b64u(key.scalar)}
        print(json.dumps({"addresses": addresses, "targets": targets}), flush=True)
        providers.watch(write_line)
        stopped = asyncio.create_task(stop.wait())
        while not stopped.done():
            await asyncio.wait([stopped], timeout=DRAIN_SECONDS)
            sys.stdout.flush()
            providers.recorded.clear()


@dataclass
class SimulatedProviders:
    """The other end of such a process. `lines` are what it recorded, until it ends."""

    process: asyncio.subprocess.Process
    addresses: Mapping[str, str]
    targets: list[Target] = field(repr=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    async def lines(self) -> AsyncIterator[tuple[str, str, int, str]]:
        """Provider, push id, status and reason of each request."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            provider, push, status, reason = line.decode().rstrip("\n").split(" ", 3)
            yield provider, push, int(status), reason


@asynccontextmanager
async def simulated_providers(directory: Path, count: int) -> AsyncIterator[SimulatedProviders]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, str(directory), str(count)), stdout=PIPE, limit=LONGEST_LINE
    )
    try:
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        yield SimulatedProviders(process, ready["addresses"], [Target(**one) for one in ready["targets"]])
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
