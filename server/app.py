"""The composition of the server: the only place where its pieces are built and joined.

`build_server` takes the settings and the pieces that somebody else opened (database, keys, clock, randomness, the worker)
and returns an application that is not frozen yet, so that the relay can be mounted beside it (`app.add_subapp`). What the
application starts it also stops.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web
from argon2 import PasswordHasher
from prometheus_client import CollectorRegistry

from crypto.keys import IdentityKey
from server.api.auth import Auth
from server.api.buckets import Buckets
from server.api.device import Device
from server.api.devices import Devices
from server.api.gate import Gate
from server.api.health import Health
from server.api.keys import Keys
from server.api.messages import Messages
from server.api.metrics import DeliveryGauges, RequestMetrics
from server.api.outer import Outer, described
from server.api.reading import MAX_BODY
from server.api.routes import Resources, install, routes
from server.api.tokens import Tokens
from server.commands.accounts import AccountRules, prepare
from server.commands.derive import SESSIONS, derive, first_account_code
from server.commands.devices import ServerAddress
from server.commands.mint import Mint
from server.commands.passwords import Passwords
from server.commands.sealing import Sealer
from server.commands.sessions import SignInLimits
from server.commands.signing import Signer
from server.commands.usage import Usage
from server.config import AccountSettings, Settings, is_for_this_machine, trusted_networks
from server.domain.ports import Clock, Database, DatabaseError, Random
from server.domain.throttle import Quota, Throttle

# An account's own mistakes fit; guessing does not. An address may be an office's.
SIGN_INS_BY_ACCOUNT = Quota("sign-in", 10, 300)
SIGN_INS_BY_ADDRESS = Quota("sign-in-address", 60, 300)
REGISTRATIONS_BY_ADDRESS = Quota("registration", 20, 3600)
_KEYS_REMEMBERED = 10_000
_WRITE_USAGE_EVERY = 30.0  # seconds


class Worker(Protocol):
    """What delivers."""

    def wake(self) -> None:
        """Look for deliveries now."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...


@dataclass(frozen=True)
class ServerPieces:
    """What a server is given beside its settings.

    `db` is open, its tables are up to date, and who opened it closes it after the application. `identity` is the server's identity key,
    `secret` 32 random bytes that stay the same for ever. `clock` is in milliseconds, `monotonic` in seconds. `log` is
    a structlog logger. `worker` is started and stopped with the application.
    """

    db: Database
    identity: IdentityKey
    secret: bytes = field(repr=False)
    clock: Clock
    monotonic: Callable[[], float]
    random: Random
    sealer: Sealer
    worker: Worker
    registry: CollectorRegistry
    log: Any


def build_server(settings: Settings, pieces: ServerPieces) -> web.Application:
    """Build the server's application. Run it with its own access log off: `Outer` writes one without secrets."""
    passwords = _passwords(settings.accounts, pieces.random)
    mint = Mint(derive(pieces.secret, SESSIONS), pieces.identity.public.id, pieces.random)
    usage = Usage()
    outer = Outer(pieces.log, pieces.monotonic, RequestMetrics(pieces.registry))
    app = web.Application(client_max_size=MAX_BODY, middlewares=[outer.middleware])
    gate = Gate(pieces.db, mint, usage, pieces.clock)
    running = Running(pieces, usage, passwords)
    install(app, gate, routes(_resources(settings, pieces, mint, passwords, running)))
    app.cleanup_ctx.append(running.context)
    return app


class Running:
    """What runs beside the requests: the worker, and the writing down of what was used when."""

    def __init__(self, pieces: ServerPieces, usage: Usage, passwords: Passwords) -> None:
        self._pieces = pieces
        self._usage = usage
        self._passwords = passwords
        self._worker: asyncio.Task[None] | None = None

    @property
    def working(self) -> bool:
        """Say whether the worker runs."""
        return self._worker is not None and not self._worker.done()

    async def context(self, _app: web.Application) -> AsyncIterator[None]:
        """Start, and stop in the opposite order."""
        await self._prepare()
        self._worker = asyncio.create_task(self._pieces.worker.run(), name="worker")
        self._worker.add_done_callback(self._report)
        writing = asyncio.create_task(self._write_usage(), name="usage")
        yield
        for task in (self._worker, writing):
            task.cancel()
        await asyncio.wait((self._worker, writing))
        with suppress(DatabaseError):
            await self._usage.write(self._pieces.db)
        await asyncio.to_thread(self._passwords.close)

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
            self._pieces.log.error("the worker has stopped", **described(error))


def _resources(
    settings: Settings, pieces: ServerPieces, mint: Mint, passwords: Passwords, running: Running
) -> Resources:
    db, clock, random, wake = pieces.db, pieces.clock, pieces.random, pieces.worker.wake
    address = _address(settings, pieces)
    signer = Signer(pieces.identity)
    gauges = DeliveryGauges(pieces.registry)
    return Resources(
        auth=_auth(settings, pieces, mint, passwords),
        tokens=Tokens(db, clock, random),
        buckets=Buckets(db, clock, random),
        messages=Messages(db, clock, random, wake),
        devices=Devices(db, clock, random, wake, address, signer),
        device=Device(db, clock, random, wake, pieces.sealer),
        keys=Keys(address, signer, clock),
        health=Health(db, pieces.registry, gauges, lambda: running.working),
    )


def _auth(settings: Settings, pieces: ServerPieces, mint: Mint, passwords: Passwords) -> Auth:
    return Auth(
        db=pieces.db,
        clock=pieces.clock,
        random=pieces.random,
        passwords=passwords,
        mint=mint,
        rules=AccountRules(settings.accounts.registration, first_account_code(pieces.secret)),
        sign_ins=SignInLimits(
            Throttle(SIGN_INS_BY_ACCOUNT, keys=_KEYS_REMEMBERED),
            Throttle(SIGN_INS_BY_ADDRESS, keys=_KEYS_REMEMBERED),
        ),
        registrations=Throttle(REGISTRATIONS_BY_ADDRESS, keys=_KEYS_REMEMBERED),
        loopback=is_for_this_machine(settings.server),
        proxies=trusted_networks(settings.server),
    )


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
