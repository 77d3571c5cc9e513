"""The composition of the server: the only place where its pieces are built and joined.

`build_server` takes the settings and the pieces that somebody else opened (database, keys, clock, randomness, the workers)
and returns an application that is not frozen yet, so that the relay can be mounted beside it (`app.add_subapp`).
`build_worker` makes the one of a process that only works: it answers nobody but its operator. What the application starts
it also stops.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web
from argon2 import PasswordHasher
from prometheus_client import CollectorRegistry, Gauge

from crypto.keys import IdentityKey
from relay.shared import Shared
from server.api.actions import Actions
from server.api.address import Proxies
from server.api.attachments import Attachments
from server.api.auth import Auth
from server.api.buckets import Buckets
from server.api.cors import Cors
from server.api.deliveries import Deliveries
from server.api.device import Device
from server.api.devices import Devices
from server.api.gate import Gate
from server.api.headers import Headers, headers_of
from server.api.health import Health, Pulse
from server.api.invitations import Invitations
from server.api.keys import Keys
from server.api.limits import UNLIMITED, WINDOW, RequestLimits
from server.api.live import Live, LiveViews
from server.api.members import Members
from server.api.message_changes import MessageChanges
from server.api.messages import Messages
from server.api.metrics import DeviceMetrics, LiveMetrics, RequestMetrics
from server.api.notifications import Notifications
from server.api.outer import Outer, described
from server.api.reading import MAX_BODY
from server.api.reference import Reference
from server.api.relay import Relay
from server.api.routes import Resources, install, operators_routes, routes
from server.api.tokens import Tokens
from server.api.users import Users
from server.api.webhooks import Webhooks
from server.commands.accounts import AccountRules, prepare
from server.commands.actions import Acting
from server.commands.attachments import Storage
from server.commands.callers import Callers
from server.commands.derive import SESSIONS, SHARED, derive, first_account_code
from server.commands.devices import ServerAddress
from server.commands.inbox import Marking
from server.commands.mint import Mint
from server.commands.passwords import Passwords
from server.commands.repeats import Repeats
from server.commands.sealing import Sealer
from server.commands.send import Sender
from server.commands.sessions import SignInLimits
from server.commands.signing import Signer
from server.commands.spread import PAGE
from server.commands.usage import Usage
from server.commands.webhooks import WebhookSecrets
from server.config import (
    AccountSettings,
    ServerSettings,
    Settings,
    allowed_origins,
    attachments_dir,
    is_for_this_machine,
    page_origins,
    trusted_networks,
)
from server.domain.ports import Clock, Database, DatabaseError, Random
from server.domain.relay import AskRelay
from server.domain.throttle import Quota, Throttle
from server.domain.turns import Turns
from server.live.counting import CountedThrottle
from server.live.hint import Hint
from server.live.hub import Hub
from server.live.throttles import SharedThrottle
from server.store.files import Files

# A person's own mistakes fit; guessing does not. An address may be an office's. What strangers guess at an account leaves
# its owner, who is at another address, free, until there are so many addresses that only the account can be counted.
SIGN_INS_BY_PAIR = Quota("sign-in", 10, 300)
SIGN_INS_BY_ADDRESS = Quota("sign-in-address", 60, 300)
SIGN_INS_BY_ACCOUNT = Quota("sign-in-account", 300, 3600)
REGISTRATIONS_BY_ADDRESS = Quota("registration", 20, 3600)
_KEYS_REMEMBERED = 10_000
_WRITE_USAGE_EVERY = 30.0  # seconds


class Worker(Protocol):
    """What works beside the requests: the outbox, the scheduler."""

    def wake(self) -> None:
        """Look for work now."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...


@dataclass(frozen=True)
class ServerPieces:
    """What a server is given beside its settings.

    `db` is open, its tables are up to date, and who opened it closes it after the application. `identity` is the server's identity key,
    `secret` 32 random bytes that stay the same for ever. `clock` is in milliseconds, `monotonic` in seconds. `log` is
    a structlog logger. `workers` are started and stopped with the application, by name; a process that only answers requests
    has none. `hint` is called when something was committed, here or elsewhere. `ask_relay` asks the relay what it says to this server. `wake` tells workers and streams, here and in other processes, that something was committed; it returns at once.
    Counters are made in `counted`, `/metrics` shows `shown`: of one process both are the same.
    """

    db: Database
    identity: IdentityKey
    secret: bytes = field(repr=False)
    clock: Clock
    monotonic: Callable[[], float]
    random: Random
    sealer: Sealer
    workers: Mapping[str, Worker]
    wake: Callable[[], None]
    hint: Hint
    ask_relay: AskRelay
    counted: CollectorRegistry
    shown: CollectorRegistry
    log: Any


def build_server(settings: Settings, pieces: ServerPieces) -> web.Application:
    """Build the server's application. Run it with its own access log off: `Outer` writes one without secrets."""
    passwords = _passwords(settings.accounts, pieces.random)
    mint, usage = _mint(pieces), Usage()
    running = Running(pieces, usage)
    headers = headers_of(settings.server.public_url, Cors(allowed_origins(settings.server)))
    app = _application(pieces, headers)
    shared = _shared(settings.redis.url, pieces)
    if shared is not None:
        app.cleanup_ctx.append(_opened(shared))
    by_credential = _counted("requests", settings.limits.credential, pieces, shared)
    by_address = _counted("requests-address", settings.limits.address, pieces, shared)
    app.cleanup_ctx.extend(_telling(throttle) for throttle in (by_credential, by_address) if throttle)
    limits = RequestLimits(by_credential, by_address, _proxies(settings.server))
    gate, hub = _gate(pieces, mint, usage, limits), _hub(app, pieces)
    resources = _resources(settings, pieces, mint, passwords, running, shared, gate, hub)
    install(app, gate, routes(resources))
    app.cleanup_ctx.extend([_hashing(passwords), running.context])
    return app


def build_worker(pieces: ServerPieces) -> web.Application:
    """Build the application of a process that only works; it says whether it does, and its figures."""
    usage = Usage()
    running = Running(pieces, usage)
    app = _application(pieces, headers_of("", Cors(())))
    install(app, _gate(pieces, _mint(pieces), usage, UNLIMITED), operators_routes(_health(pieces, running)))
    app.cleanup_ctx.append(running.context)
    return app


class Running:
    """What runs beside the requests: the workers, and the writing down of what was used when."""

    def __init__(self, pieces: ServerPieces, usage: Usage) -> None:
        self._pieces = pieces
        self._usage = usage
        self._workers: dict[str, asyncio.Task[None]] = {}

    def working(self) -> dict[str, bool]:
        """Say of each worker whether it runs."""
        tasks = self._workers
        return {name: name in tasks and not tasks[name].done() for name in self._pieces.workers}

    async def context(self, _app: web.Application) -> AsyncIterator[None]:
        """Start, and stop in the opposite order."""
        await self._prepare()
        for name, worker in self._pieces.workers.items():
            self._workers[name] = asyncio.create_task(worker.run(), name=name)
            self._workers[name].add_done_callback(self._report)
        writing = asyncio.create_task(self._write_usage(), name="usage")
        yield
        tasks = (*self._workers.values(), writing)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        with suppress(DatabaseError):
            await self._usage.write(self._pieces.db)

    async def _prepare(self) -> None:
        pieces = self._pieces
        if await prepare(pieces.db, now=pieces.clock(), random=pieces.random):
            # The one secret that is logged: it is good until the first account exists, and whoever can read the log
            # of a server that has none yet is meant to be its operator.
            pieces.log.warning(
                "there is no account yet: POST /api/v1/auth/register makes the admin's, from elsewhere with this code",
                code=first_account_code(pieces.secret),
            )

    async def _write_usage(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_USAGE_EVERY)
            try:
                await self._usage.write(self._pieces.db)
            except DatabaseError as error:
                self._pieces.log.warning("usage not written", error=type(error).__name__)

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._pieces.log.error("a worker has stopped", worker=task.get_name(), **described(error))


def _application(pieces: ServerPieces, headers: Headers) -> web.Application:
    outer = Outer(pieces.log, pieces.monotonic, RequestMetrics(pieces.counted))
    app = web.Application(client_max_size=MAX_BODY, middlewares=[outer.middleware])
    app.on_response_prepare.append(headers.added)
    return app


def _mint(pieces: ServerPieces) -> Mint:
    return Mint(derive(pieces.secret, SESSIONS), pieces.identity.public.id, pieces.random)


def _gate(pieces: ServerPieces, mint: Mint, usage: Usage, limits: RequestLimits) -> Gate:
    return Gate(Callers(pieces.db, mint, usage), pieces.clock, limits)


def _proxies(settings: ServerSettings) -> Proxies:
    return Proxies(trusted_networks(settings), settings.forwarded_header)


def _counted(name: str, amount: int, pieces: ServerPieces, shared: Shared | None) -> CountedThrottle | None:
    if not amount:
        return None
    return CountedThrottle(
        Throttle(Quota(name, amount, WINDOW), keys=_KEYS_REMEMBERED), shared, pieces.monotonic
    )


def _telling(throttle: CountedThrottle) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        telling = asyncio.create_task(throttle.run(), name="counting")
        yield
        telling.cancel()
        await asyncio.wait({telling})

    return context


def _health(pieces: ServerPieces, running: Running) -> Health:
    pulse = Pulse(pieces.db, pieces.monotonic)
    return Health(pieces.db, pulse, pieces.clock, pieces.shown, running.working)


def _hashing(passwords: Passwords) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(passwords.close)

    return context


def _resources(
    settings: Settings,
    pieces: ServerPieces,
    mint: Mint,
    passwords: Passwords,
    running: Running,
    shared: Shared | None,
    gate: Gate,
    hub: Hub,
) -> Resources:
    db, clock, random, wake = pieces.db, pieces.clock, pieces.random, pieces.wake
    address = _address(settings, pieces)
    signer = Signer(pieces.identity)
    auth = _auth(settings, pieces, mint, passwords, shared)
    return Resources(
        auth=auth,
        users=Users(db, clock, passwords, auth.sign_ins, auth.proxies),
        tokens=Tokens(db, clock, random),
        buckets=Buckets(db, clock, random, wake),
        members=Members(db, clock),
        invitations=Invitations(db, clock, random),
        messages=Messages(
            db, clock, random, wake, Sender(db, Turns(), Repeats(), random, wake, PAGE), _storage(settings)
        ),
        attachments=Attachments(db, clock, random, _storage(settings)),
        notifications=Notifications(Marking(db, clock, random, wake)),
        actions=Actions(Acting(db, random, wake), clock),
        webhooks=Webhooks(WebhookSecrets(db, pieces.secret)),
        live=Live(gate, hub, clock, LiveMetrics(pieces.counted), page_origins(settings.server)),
        changes=MessageChanges(db, clock, random, wake),
        deliveries=Deliveries(db, clock, wake),
        devices=Devices(db, clock, random, wake, address, signer),
        device=Device(db, clock, random, wake, pieces.sealer, DeviceMetrics(pieces.counted)),
        keys=Keys(address, signer, clock),
        relay=Relay(pieces.ask_relay, pieces.monotonic),
        health=_health(pieces, running),
        reference=Reference(),
    )


def _hub(app: web.Application, pieces: ServerPieces) -> Hub:
    """Make what streams are told by; it runs with the application, and ends them before requests are waited for."""
    hub = Hub(pieces.db, LiveViews(), clock=pieces.clock, log=pieces.log)
    pieces.hint.add(hub.wake)

    async def running(_app: web.Application) -> AsyncIterator[None]:
        work = asyncio.create_task(hub.run(), name="live")
        yield
        work.cancel()
        await asyncio.wait((work,))

    async def close(_app: web.Application) -> None:
        hub.close()

    app.cleanup_ctx.append(running)
    app.on_shutdown.append(close)
    return hub


def _storage(settings: Settings) -> Storage:
    limits = settings.attachments
    return Storage(Files(attachments_dir(settings)), limits.max_bytes, limits.user_bytes)


def _auth(
    settings: Settings, pieces: ServerPieces, mint: Mint, passwords: Passwords, shared: Shared | None
) -> Auth:
    return Auth(
        db=pieces.db,
        clock=pieces.clock,
        random=pieces.random,
        passwords=passwords,
        mint=mint,
        rules=AccountRules(settings.accounts.registration, first_account_code(pieces.secret)),
        sign_ins=SignInLimits(
            by_address=_throttle(SIGN_INS_BY_ADDRESS, shared),
            by_pair=_throttle(SIGN_INS_BY_PAIR, shared),
            by_account=_throttle(SIGN_INS_BY_ACCOUNT, shared),
        ),
        registrations=_throttle(REGISTRATIONS_BY_ADDRESS, shared),
        loopback=is_for_this_machine(settings.server),
        proxies=_proxies(settings.server),
    )


def _throttle(quota: Quota, shared: Shared | None) -> SharedThrottle:
    return SharedThrottle(Throttle(quota, keys=_KEYS_REMEMBERED), shared)


def _shared(url: str, pieces: ServerPieces) -> Shared | None:
    if not url:
        return None
    up = Gauge(
        "hushpost_redis_up",
        "Whether the Redis that processes share answers.",
        registry=pieces.counted,
        multiprocess_mode="min",
    )
    return Shared(url, secret=derive(pieces.secret, SHARED), show=up.set, log=pieces.log)


def _opened(shared: Shared) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        await shared.open()
        yield
        await shared.close()

    return context


def _passwords(settings: AccountSettings, random: Random) -> Passwords:
    hasher = PasswordHasher(
        time_cost=settings.argon2_time,
        memory_cost=settings.argon2_memory_kib,
        parallelism=settings.argon2_lanes,
    )
    return Passwords(hasher, random=random, threads=settings.argon2_threads, waiting=settings.argon2_waiting)


def _address(settings: Settings, pieces: ServerPieces) -> ServerAddress:
    return ServerAddress(
        public_url=settings.server.public_url.rstrip("/"),
        relay_url=settings.server.relay_url.rstrip("/"),
        server_key=pieces.identity.public,
    )
