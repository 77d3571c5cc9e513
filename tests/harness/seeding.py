"""Many users with one device each, written straight into the tables: pairing ten thousand would take longer than serving them.

Every device has a public key of its own and a handle that the relay opens, for a token that its provider knows; half are
iOS, half Android, and half of each have either suite. They are members of a bucket that exists.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from crypto.handle import HandleClaims, seal_handle
from crypto.keys import DeviceKey, EpochKey, Suite, read_keys
from server.domain.ids import new_id
from server.store.database import open_database
from simulator.providers import Providers
from tests.harness.stack import Stack

AT_ONCE = 5_000
PLATFORMS = (
    ("ios", Suite.XWING),
    ("android", Suite.X25519),
    ("ios", Suite.X25519),
    ("android", Suite.XWING),
)
DAY = 86_400_000
_USER = "INSERT INTO users (id, tenant_id, role, profile, created_at) VALUES ($1, $2, 'user', '{}', $3)"
_MEMBER = "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at) VALUES ($1, $2, '[\"READ\"]', $3)"
_DEVICE = (
    "INSERT INTO devices (id, user_id, name, platform, suite, public_key, key_set_at, handle, handle_set_at,"
    " token_hash, head, created_at) VALUES ($1, $2, 'seeded', $3, $4, $5, $6, $7, $6, $8, 0, $6)"
)


@dataclass(frozen=True)
class Seeds:
    """What handles are made with. `server` is the keyid that they are bound to."""

    providers: Providers
    epoch: EpochKey
    server: str

    def handle(self, platform: str, now: int) -> str:
        provider = "apns" if platform == "ios" else "fcm"
        target = self.providers.make_token(provider, None, "production")
        claims = HandleClaims(
            provider=provider,
            app=target.app,
            environment="production",
            token=target.token,
            subscription=None,
            server=self.server,
            issued_at=now,
            expires_at=now + DAY,
        )
        return seal_handle(claims, epoch=self.epoch, nonce=secrets.token_bytes(12))


def seeds_of(stack: Stack) -> Seeds:
    """What the stack's relay would seal handles with, for the stack's server."""
    keys = read_keys((stack.directory / "server" / "keys" / "relay.keys").read_text())
    [epoch] = [key for key in keys if isinstance(key, EpochKey)]
    return Seeds(stack.providers, epoch, stack.key_id)


async def seed_devices(database_url: str, seeds: Seeds, bucket: str, count: int) -> None:
    """Add so many users and devices to the bucket of this name; no server may be using an SQLite file."""
    database = await open_database(database_url)
    try:
        found = await database.read(_bucket(bucket))
        for start in range(0, count, AT_ONCE):
            await database.write(_writing(_rows(seeds, found, min(AT_ONCE, count - start))))
    finally:
        await database.close()


def _bucket(name: str) -> Callable[[Any], Any]:
    async def job(tx: Any) -> tuple[str, str]:
        row = await tx.one("SELECT id, tenant_id FROM buckets WHERE name = $1", name)
        return row["id"], row["tenant_id"]

    return job


Rows = tuple[list[tuple[object, ...]], list[tuple[object, ...]], list[tuple[object, ...]]]


def _rows(seeds: Seeds, bucket: tuple[str, str], count: int) -> Rows:
    users: list[tuple[object, ...]] = []
    members: list[tuple[object, ...]] = []
    devices: list[tuple[object, ...]] = []
    now = time.time_ns() // 1_000_000
    for number in range(count):
        platform, suite = PLATFORMS[number % len(PLATFORMS)]
        public = DeviceKey.generate(suite, secrets.token_bytes).public
        user, device = new_id(now, secrets.token_bytes), new_id(now, secrets.token_bytes)
        token_hash = sha256(secrets.token_bytes(32)).digest()
        users.append((user, bucket[1], now))
        members.append((bucket[0], user, now))
        handle = seeds.handle(platform, now)
        devices.append((device, user, platform, suite.value, public.raw, now, handle, token_hash))
    return users, members, devices


def _writing(rows: Rows) -> Callable[[Any], Any]:
    async def job(tx: Any) -> None:
        for sql, values in zip((_USER, _MEMBER, _DEVICE), rows, strict=True):
            await tx.many(sql, values)

    return job
