"""What a relay does with every check on: signature, replay, handles, limits, metrics; beside what its HTTP/2 client does alone.

The relay is the real process; the provider is one that is not the bottleneck (`bench_fake`), the load is signed beforehand and
runs in a process of its own (`bench_load`). One relay process has a core for itself, the others share the second; two have
both, and then its CPU time is the figure to read. Latency is at half of the maximum that was measured just before, counted from
when a request was due.
"""

import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import aiohttp
import psutil

from crypto.encoding import b64u
from crypto.handle import HandleClaims, seal_handle
from crypto.keys import EpochKey, IdentityKey
from simulator.providers import Providers
from tests.harness.bench_fake import Fake, fake_provider
from tests.harness.bench_figures import RUNS, family_seconds, say
from tests.harness.bench_http2 import client_alone
from tests.harness.bench_load import Loaded, Order, PushLoad, Sender, push_load
from tests.harness.ports import free_port
from tests.harness.process import Process

TOKENS = 200
CONNECTIONS = 16
SERVERS = 4
SECONDS = 2.5
BATCHES = (1, 10, 100, 500)
EXPECTED = {1: 4_000, 10: 20_000, 100: 30_000, 500: 30_000}
"""Pushes a second that are signed for, by the batch; more than are sent cost only their signing."""

RELAY_CPU = frozenset({0})
REST_CPU = frozenset({1})
FOR_EVER_MS = 1 << 42


@dataclass(frozen=True)
class Setting:
    """A relay under measurement, and who pushes to it."""

    process: Process
    senders: Mapping[str, Sequence[Sender]]
    load: PushLoad

    def order(self, provider: str, batch: int, *, rate: float | None = None) -> Order:
        count = int(SECONDS * (EXPECTED[batch] / batch if rate is None else rate))
        return Order(
            url=self.process.url,
            public_url=self.process.url,
            senders=self.senders[provider],
            batch=batch,
            count=count,
            connections=CONNECTIONS,
            rate=rate,
        )


@dataclass(frozen=True)
class Measured:
    rate: float
    cpu_us: float


async def relay(directory: Path) -> None:
    async with Providers(directory / "providers") as providers:
        tokens = [secrets.token_hex(32) for _ in range(TOKENS)]
        faked = fake_provider(
            directory / "providers", tokens=tokens, project=providers.project, cpus=REST_CPU
        )
        async with faked as fake, push_load(REST_CPU) as load:
            bare = await client_alone(fake, tokens[0], RELAY_CPU)
            for workers in (1, 2):
                async with _relay(
                    directory / str(workers), providers, fake, tokens, workers, load
                ) as setting:
                    await _series(setting, "apns", BATCHES, workers, bare)
                    if workers == 1:
                        await _series(setting, "fcm", (1, 100), workers, bare)


async def _series(setting: Setting, provider: str, batches: Sequence[int], workers: int, bare: float) -> None:
    for batch in batches:
        name = f"relay, {provider}, {batch} a request, {workers} worker{'s' if workers > 1 else ''}"
        best = await _maximum(setting, provider, batch)
        late = await setting.load.run(setting.order(provider, batch, rate=best.rate / 2 / batch))
        _check(late, batch)
        say(
            name,
            f"{best.rate:>10,.0f} /s   {best.cpu_us:.1f} µs of CPU each   {best.rate / bare:.0%} of the client alone   "
            f"at half load p50 {late.p50 * 1000:.1f} ms p99 {late.p99 * 1000:.1f} ms   {_memory(setting.process)}",
        )


async def _maximum(setting: Setting, provider: str, batch: int) -> Measured:
    """The median of some runs; the first only warms up."""
    rates, costs = [], []
    for run in range(RUNS + 1):
        before = family_seconds(setting.process)
        loaded = await setting.load.run(setting.order(provider, batch))
        used = family_seconds(setting.process) - before
        _check(loaded, batch)
        if run:
            rates.append(loaded.accepted / loaded.seconds)
            costs.append(used / loaded.accepted)
    return Measured(median(rates), median(costs) * 1e6)


def _check(loaded: Loaded, batch: int) -> None:
    if loaded.wrong or loaded.accepted != loaded.answered * batch:
        raise RuntimeError(
            f"not every push was accepted: {loaded.accepted} of {loaded.answered * batch}, {loaded.wrong}"
        )


def _memory(process: Process) -> str:
    root = psutil.Process(process.pid)
    sizes = [one.memory_info().rss / 1e6 for one in (root, *root.children(recursive=True))]
    return " + ".join(f"{size:.0f}" for size in sizes) + " MB"


@asynccontextmanager
async def _relay(
    directory: Path,
    providers: Providers,
    fake: Fake,
    tokens: Sequence[str],
    workers: int,
    load: PushLoad,
) -> AsyncIterator[Setting]:
    directory.mkdir(parents=True)
    identity, epoch = IdentityKey.generate(secrets.token_bytes), EpochKey.generate(1, secrets.token_bytes)
    servers = [IdentityKey.generate(secrets.token_bytes) for _ in range(SERVERS)]
    keys = directory / "relay.keys"
    keys.touch(mode=0o600)
    keys.write_text(f"{identity.text}\n{epoch.text}\n")
    (directory / "empty.toml").touch()
    url = f"http://127.0.0.1:{free_port()}"
    settings = _settings(providers, fake) | {
        "PUBLIC_URL": url,
        "LISTEN": url.removeprefix("http://"),
        "KEY_FILE": str(keys),
        "ALLOWLIST": ",".join(server.public.id for server in servers),
    }
    process = Process(
        "relay",
        ("relay", "--workers", str(workers)),
        directory / "empty.toml",
        url,
        directory / "relay.log",
        {f"HUSHPOST_RELAY_{name}": value for name, value in settings.items()}
        | {"HUSHPOST_LOG_FORMAT": "json", "HUSHPOST_SERVER_DATA_DIR": str(directory)},
        RELAY_CPU if workers == 1 else frozenset(),
    )
    senders = {
        provider: [_sender(server, epoch, provider, app, tokens) for server in servers]
        for provider, app in (("apns", providers.app), ("fcm", providers.project))
    }
    async with AsyncExitStack() as ending:
        session = await ending.enter_async_context(aiohttp.ClientSession())
        ending.push_async_callback(process.stop)
        await process.start(session)
        began = time.time()
        # Until then a relay answers `starting` to what was signed in its first second.
        while time.time() < began + 1:
            await _ready(session, process)
        yield Setting(process, senders, load)


def _settings(providers: Providers, fake: Fake) -> dict[str, str]:
    """The provider that answers at once, and limits that nobody reaches."""
    return {
        "LIMITS_SERVER": "1000000000",
        "LIMITS_TOKEN": "1000000000",
        "LIMITS_NONCES": "10000000",
        "APNS_0_TOPIC": providers.app,
        "APNS_0_KEY_ID": providers.key_id,
        "APNS_0_TEAM_ID": providers.team_id,
        "APNS_0_KEY_FILE": str(providers.apns_key_file),
        "APNS_0_HOST": fake.host,
        "APNS_0_PORT": str(fake.apns_port),
        "APNS_0_CA_FILE": str(fake.ca_file),
        "FCM_0_SERVICE_ACCOUNT_FILE": str(providers.service_account_file),
        "FCM_0_ENDPOINT": fake.fcm_url,
        "FCM_0_CA_FILE": str(fake.ca_file),
        "FCM_0_QUOTA": "1000000000",
    }


async def _ready(session: aiohttp.ClientSession, process: Process) -> None:
    async with session.get(f"{process.url}/readyz") as answer:
        if answer.status != 200:
            raise RuntimeError(f"the relay is not ready: {json.dumps(await answer.json())}")


def _sender(server: IdentityKey, epoch: EpochKey, provider: str, app: str, tokens: Sequence[str]) -> Sender:
    handles = [
        seal_handle(
            HandleClaims(provider, app, "production", token, None, server.public.id, 1, FOR_EVER_MS),
            epoch=epoch,
            nonce=secrets.token_bytes(12),
        )
        for token in tokens
    ]
    return Sender(b64u(server.seed), handles)
