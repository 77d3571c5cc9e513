"""The other side of the model (`model.py`): a database with people in it, the commands on it, and what its tables hold in the model's words."""

import json
import random as pseudo
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import structlog

from crypto.keys import DeviceKey, IdentityKey, Suite
from server.commands.buckets import CreateBucket, create_bucket
from server.commands.devices import ServerAddress, create_pairing_code, pair
from server.commands.due import prepare_tasks
from server.commands.repeats import Repeats
from server.commands.sealing import Sealer
from server.commands.send import Sender
from server.domain.account import DEFAULT_TENANT, Caller, CallingDevice, Role, User
from server.domain.device import PairDevice
from server.domain.ids import new_id
from server.domain.ports import Database, Random, Row, Transaction
from server.domain.resolver import Resolver
from server.domain.scopes import Grant
from server.domain.turns import Turns
from server.store import accounts
from tests.harness.clock import SettableClock
from tests.harness.files import NO_FILES
from tests.harness.model_rows import NO_DEVICE, Delivery, Key
from tests.harness.resolving import resolver_on

START = 1_800_000_000_000
SEED = 8439


class Silence:
    """A log that nobody reads."""

    def error(self, event: str, **_more: object) -> None:
        raise AssertionError(event)


@dataclass
class World:
    """Commands on one database. `handles` are the ones that were given to devices, by device."""

    db: Database
    clock: SettableClock
    random: Random
    sender: Sender
    sealer: Sealer
    resolver: Resolver
    users: list[User] = field(default_factory=list)
    buckets: dict[str, str] = field(default_factory=dict)
    phones: dict[str, DeviceKey] = field(default_factory=dict)
    ids: dict[str, Key] = field(default_factory=dict)

    @classmethod
    async def make(cls, db: Database, page: int, pool: Executor) -> "World":
        """Make four people, two of whom have a bucket."""
        clock, random = SettableClock(START), pseudo.Random(SEED).randbytes  # noqa: S311 - it must repeat
        sender = Sender(db, Turns(), Repeats(), random, _nobody, page)
        sealer = Sealer(IdentityKey.generate(random), pool, clock, random, NO_FILES, structlog.get_logger())
        world = cls(db, clock, random, sender, sealer, resolver_on(db, clock=clock, random=random))
        await world._people()
        await prepare_tasks(db, clock())
        return world

    def caller(self, user: User) -> Caller:
        return Caller(user, Grant(None, operator=False), None, None)

    def calling(self, device: str, user: str) -> CallingDevice:
        return CallingDevice(device, user)

    async def pair(self, user: User, *, web: bool) -> tuple[str, str]:
        """Pair a device and return its id and handle."""
        now = self.clock()
        address = ServerAddress("https://push.example", "https://relay.example", self.sealer.identity.public)
        made = await create_pairing_code(self.db, user, address=address, now=now, random=self.random)
        key, handle = DeviceKey.generate(Suite.X25519, self.random), self.handle()
        platform = "web" if web else "ios"
        command = PairDevice(made.code, "phone", platform, int(key.suite), key.public.raw, handle)
        paired = await pair(self.db, command, now=now, random=self.random)
        self.phones[paired.device.id] = key
        return paired.device.id, handle

    def handle(self) -> str:
        return f"handle {self.random(4).hex()}"

    async def tables(self) -> dict[str, Any]:
        """Return what is stored, in the words of `told`."""
        return await self.db.read(self._tables)

    async def under(self, lease: str) -> list[Key]:
        """Return what a lease holds."""
        rows = await self.db.read(lambda tx: tx.all("SELECT * FROM deliveries WHERE lease = $1", lease))
        return [self._key(row) for row in rows]

    async def _people(self) -> None:
        now = self.clock()
        tenant = new_id(now, self.random)
        await self.db.write(lambda tx: accounts.ensure_tenant(tx, tenant, DEFAULT_TENANT, now))
        for name in ("ann", "ben", "cleo", "dan"):
            id_ = new_id(now, self.random)
            user = User(id_, tenant, id_, name, None, Role.USER, {}, now)
            await self.db.write(lambda tx, user=user: accounts.add_user(tx, user, password_hash=None))  # type: ignore[misc]  # a lambda with a default
            self.users.append(user)
        for owner in self.users[:2]:
            command = CreateBucket(f"of {owner.username}", None, None, None, protected=False, public=False)
            bucket = await create_bucket(self.db, owner, command, now=now, random=self.random)
            self.buckets[bucket.id] = owner.id

    async def _tables(self, tx: Transaction) -> dict[str, Any]:
        rows = {table: await tx.all(f"SELECT * FROM {table}") for table in _TABLES}  # noqa: S608 - our names
        return {
            "deliveries": {self._key(row): _delivery(row) for row in rows["deliveries"]},
            "devices": {row["id"]: _picked(row, _DEVICE) for row in rows["devices"]},
            "messages": {
                row["id"]: (*_picked(row, _MESSAGE), row["content"] is None) for row in rows["messages"]
            },
            "inbox": {(row["message_id"], row["user_id"]): row["read_at"] for row in rows["inbox_items"]},
            "tasks": sorted(_task(row) for row in rows["tasks"]),
            "keys": sorted((row["message_id"], row["expires_at"]) for row in rows["idempotency_keys"]),
        }

    def _key(self, row: Row) -> Key:
        what = row["message_id"] or tuple(sorted(json.loads(row["body"])["ids"]))
        nowhere = NO_DEVICE if row["channel"] == "PUSH" else ""
        key = (row["kind"], row["user_id"], row["device_id"] or nowhere, what)
        self.ids[row["id"]] = key
        return key


def _nobody() -> None:
    """Nobody is to be woken: the machine itself is the worker."""


_TABLES = ("deliveries", "devices", "messages", "inbox_items", "tasks", "idempotency_keys")
_DEVICE = (
    "user_id",
    "handle",
    "handle_fault",
    "head",
    "last_woken_at",
    "last_fault",
    "last_fault_at",
)
_MESSAGE = ("created_at", "scheduled_at", "sent_at", "expires_at", "notifications", "retracted_at")
_DELIVERY = (
    "sequence",
    "state",
    "reason",
    "attempts",
    "created_at",
    "due_at",
    "turn",
    "expires_at",
    "lease",
    "relayed_at",
    "settled_at",
    "fault",
)
_RECEIPTS = ("received", "shown", "read", "failed")


def told(delivery: Delivery) -> tuple[Any, ...]:
    """Return a delivery of the model as `World.tables` has it."""
    return (
        delivery.sequence,
        delivery.state,
        delivery.reason,
        delivery.attempts,
        delivery.created,
        delivery.due,
        delivery.turn,
        delivery.expires,
        delivery.lease,
        delivery.relayed,
        delivery.settled,
        delivery.trouble,
        *(delivery.receipts.get(name) for name in _RECEIPTS),
    )


def _delivery(row: Row) -> tuple[Any, ...]:
    return _picked(row, (*_DELIVERY, *(f"{name}_at" for name in _RECEIPTS)))


def _task(row: Row) -> tuple[str, str, int, list[str]]:
    payload = json.loads(row["payload"])
    return row["kind"], row["message_id"] or "", row["due_at"], payload.get("after", ["", ""])


def _picked(row: Row, names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)
