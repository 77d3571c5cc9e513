"""A running server for the tests of its API, on each database, with people, tokens and devices."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import LogCapture

from crypto.encoding import b64u
from crypto.httpsig import content_digest
from crypto.keys import DeviceKey, IdentityKey, Suite
from server.app import ServerPieces, build_server
from server.commands.resolving import PURPOSE
from server.commands.sealing import Sealer
from server.commands.vault import vault_of
from server.config import AccountSettings, ServerSettings, Settings, allowed_networks, attachments_dir
from server.domain.account import Registration
from server.domain.bucket import Permission
from server.domain.delivery import Event, Settlement
from server.domain.ports import Database, Random, Transaction
from server.live.hint import Hint
from server.store import leases
from server.store.buckets import add_member
from server.store.files import Files
from server.store.leases import Times
from server.worker.metrics import ResolverMetrics
from server.worker.resolver import TextResolver
from server.worker.web import Web
from tests.harness.clock import SettableClock
from tests.harness.native import Native, Reply, Wakes, listening

PUBLIC_URL = "http://127.0.0.1:8080"
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Person:
    """A registered user who is signed in."""

    id: str
    username: str
    api: Native
    access: str
    refresh: str


@dataclass(frozen=True)
class Phone:
    id: str
    token: str
    key: DeviceKey
    handle: str
    api: Native


@dataclass
class House:
    """The server under test and what it was given."""

    api: Native
    pieces: ServerPieces
    clock: SettableClock
    wakes: Wakes
    log: LogCapture
    random: Random
    stop: Callable[[], Coroutine[Any, Any, None]]
    secrets: list[str] = field(
        default_factory=list
    )  # everything that must never be stored or logged as it is

    def pieces_again(self) -> ServerPieces:
        """Return the same pieces for another server, with metrics of its own."""
        registry = CollectorRegistry()
        return replace(self.pieces, counted=registry, shown=registry)

    async def register(self, username: str, **more: Any) -> Person:
        body = {"email": f"{username}@example.com", "username": username, "password": PASSWORD, **more}
        answer = await self.api.post("/api/v1/auth/register", body)
        assert answer.status == 201, answer.body
        self.secrets += [body["password"], answer["accessToken"], answer["refreshToken"]]
        access = answer["accessToken"]
        return Person(
            answer["user"]["id"], username, self.api.with_token(access), access, answer["refreshToken"]
        )

    async def token(self, person: Person, *scopes: str) -> Native:
        """Make an access token and return a client that uses it."""
        answer = await person.api.post("/api/v1/access-tokens", {"name": "t", "scopes": list(scopes)})
        assert answer.status == 201, answer.body
        self.secrets.append(answer["token"])
        return self.api.with_token(answer["token"])

    async def token_of(self, admin: Person, tenant: str, *scopes: str) -> Native:
        """Make an access token that is good for one tenant only."""
        body = {"name": "t", "scopes": list(scopes), "tenantId": tenant}
        answer = await admin.api.post("/api/v1/access-tokens", body)
        assert (answer.status, answer["tenantId"]) == (201, tenant), answer.body
        self.secrets.append(answer["token"])
        return self.api.with_token(answer["token"])

    async def bucket(self, person: Person, name: str = "Marketing") -> str:
        answer = await person.api.post("/api/v1/buckets", {"name": name})
        assert answer.status == 201, answer.body
        return str(answer["id"])

    async def send(self, sender: Native, bucket: str, **more: Any) -> Reply:
        body = {"title": "Hello", "bucketId": bucket, "deliveryType": "NORMAL", **more}
        return await sender.post("/api/v1/messages", body)

    async def pairing(self, person: Person, **more: Any) -> dict[str, Any]:
        """Return a pairing's body with a fresh code."""
        code = (await person.api.post("/api/v1/devices/pairing-codes"))["code"]
        self.secrets.append(code)
        key = DeviceKey.generate(Suite.X25519, self.random)
        body = {
            "code": code,
            "name": "Pixel",
            "platform": "android",
            "suite": 1,
            "publicKey": b64u(key.public.raw),
            "handle": self.handle(),
        }
        return {**body, **more}

    async def accept_pushes(self, provider_id: str | None = None) -> int:
        """Settle what waits as a worker does when the provider takes everything; return how many there were.

        `provider_id` is what the provider calls each of them.
        """
        now = self.clock()

        async def job(tx: Transaction) -> int:
            await leases.claim(tx, "lease", now=now, until=now + 30_000, limit=500)
            batch = await leases.read_batch(tx, "lease")
            settled = [
                Settlement(parcel.id, parcel.device_id, Event.ACCEPT, None, now, provider_id=provider_id)
                for parcel in batch.parcels
            ]
            return len(await leases.settle(tx, "lease", settled, now, Times(now, now)))

        return await self.pieces.db.write(job)

    async def deliveries(self, **having: object) -> list[dict[str, Any]]:
        """Return the rows of the outbox that have these values, in the order in which they were written."""
        rows = await self.pieces.db.read(
            lambda tx: tx.all("SELECT * FROM deliveries ORDER BY created_at, sequence, id")
        )
        return [row for row in map(dict, rows) if having.items() <= row.items()]

    async def join(self, person: Person, bucket: str, *permissions: Permission) -> None:
        """Make somebody a member of a bucket."""
        await self.pieces.db.write(lambda tx: add_member(tx, bucket, person.id, permissions, self.clock()))

    def handle(self) -> str:
        """Return a handle as a relay makes it, as far as a server can see."""
        handle = b64u(b"\x01" + self.random(4 + 12 + 512 + 16))
        self.secrets.append(handle)
        return handle

    async def post_pairing(self, body: dict[str, Any], **headers: str) -> Reply:
        raw = json.dumps(body).encode()
        digest = {"Content-Digest": content_digest(raw)} | {
            k.replace("_", "-"): v for k, v in headers.items()
        }
        return await self.api.call("POST", "/api/v1/devices/pair", raw=raw, headers=digest)

    async def phone(self, person: Person, **more: Any) -> Phone:
        key = DeviceKey.generate(Suite.X25519, self.random)
        body = await self.pairing(person, publicKey=b64u(key.public.raw), **more)
        answer = await self.post_pairing(body)
        assert answer.status == 201, answer.body
        token = answer["deviceToken"]
        self.secrets.append(token)
        return Phone(answer["deviceId"], token, key, body["handle"], self.api.with_token(token))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        server=ServerSettings(
            public_url=PUBLIC_URL, relay_url="https://relay.example.org", data_dir=str(tmp_path / "data")
        ),
        accounts=AccountSettings(
            registration=Registration.OPEN, argon2_memory_kib=8192, argon2_time=1, argon2_lanes=1
        ),
    )


@pytest.fixture
async def open_house(
    database: Database, clock: SettableClock, random: Random
) -> AsyncIterator[Callable[[Settings], Awaitable[House]]]:
    """Start servers on one database with the settings that a test chooses."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        pool = stack.enter_context(ThreadPoolExecutor(1))

        async def start(settings: Settings) -> House:
            log, wakes, identity = LogCapture(), Wakes(), IdentityKey.generate(random)
            hint = Hint(wakes.wake)
            registry = CollectorRegistry()
            logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[log])
            client = Web(allowed_networks(settings.outgoing), clock=clock)
            stack.push_async_callback(client.close)
            secret, monotonic = random(32), asyncio.get_running_loop().time
            vault = vault_of(secret, PURPOSE, random)
            resolver = TextResolver(
                database,
                client,
                vault,
                clock=clock,
                monotonic=monotonic,
                random=random,
                metrics=ResolverMetrics(registry),
                log=logger,
            )
            stack.push_async_callback(resolver.close)
            pieces = ServerPieces(
                db=database,
                identity=identity,
                secret=secret,
                clock=clock,
                monotonic=monotonic,
                random=random,
                sealer=Sealer(identity, pool, clock, random, Files(attachments_dir(settings)), logger),
                workers={"outbox": wakes},
                wake=hint,
                hint=hint,
                ask_relay=wakes.ask_relay,
                ask_handle=wakes.ask_handle,
                resolver=resolver,
                counted=registry,
                shown=registry,
                log=logger,
            )
            running = await stack.enter_async_context(AsyncExitStack())
            url = await running.enter_async_context(listening(build_server(settings, pieces)))
            return House(Native(session, url), pieces, clock, wakes, log, random, running.aclose)

        yield start


@pytest.fixture
async def house(open_house: Callable[[Settings], Awaitable[House]], settings: Settings) -> House:
    return await open_house(settings)


@pytest.fixture
async def admin(house: House) -> Person:
    return await house.register("admin")
