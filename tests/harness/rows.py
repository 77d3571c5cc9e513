"""Rows that tests of the store and the worker start from: an account, its devices, and messages to them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crypto.keys import DeviceKey
from server.domain.delivery import Channel, Delivery, Draft, Kind, Suppressed
from server.domain.ids import new_id, new_push_id
from server.domain.ports import Clock, Database, Random, Row, Transaction
from server.store import notices, outbox

DAY = 86_400_000


@dataclass(frozen=True)
class Seeded:
    """One tenant, user and bucket, and what is made for them."""

    db: Database
    clock: Clock
    random: Random
    user_id: str
    bucket_id: str

    @classmethod
    async def make(cls, db: Database, clock: Clock, random: Random) -> "Seeded":
        tenant, user, bucket = (new_id(clock(), random) for _ in range(3))

        async def job(tx: Transaction) -> None:
            await tx.run("INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, 1)", tenant, tenant)
            await tx.run(
                "INSERT INTO users (id, tenant_id, role, profile, created_at) VALUES ($1, $2, 'user', '{}', 1)",
                user,
                tenant,
            )
            await tx.run(
                "INSERT INTO buckets (id, tenant_id, owner_id, name, created_at) VALUES ($1, $2, $3, 'b', 1)",
                bucket,
                tenant,
                user,
            )
            await tx.run(  # who sends, and receives nothing
                "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at) VALUES ($1, $2, '[\"WRITE\"]', 1)",
                bucket,
                user,
            )

        await db.write(job)
        return cls(db, clock, random, user, bucket)

    async def device(
        self, *, key: DeviceKey | None = None, handle: str | None = None, platform: str = "ios"
    ) -> str:
        id_ = new_id(self.clock(), self.random)
        await self.db.write(
            lambda tx: tx.run(
                "INSERT INTO devices (id, user_id, name, platform, suite, public_key, handle, token_hash, head,"
                " created_at) VALUES ($1, $2, 'phone', $3, $4, $5, $6, $7, 0, 1)",
                id_,
                self.user_id,
                platform,
                None if key is None else int(key.suite),
                None if key is None else key.public.raw,
                handle,
                self.random(32),
            )
        )
        return id_

    async def message(
        self, devices: Sequence[str], *, ttl: int = DAY, delivery_type: str = "NORMAL", **content: Any
    ) -> list[Delivery]:
        """Write a message with a delivery to each device and return the deliveries."""
        id_ = new_id(self.clock(), self.random)
        now = self.clock()
        drafts = [self.draft(id_, device, expires_at=now + ttl) for device in devices]

        async def job(tx: Transaction) -> list[Delivery]:
            await tx.run(
                "INSERT INTO messages (id, tenant_id, bucket_id, sender_id, delivery_type, collapse_id, content, created_at,"
                " sent_at, expires_at, notifications) SELECT $1, tenant_id, id, owner_id, $3, $4, $5, $6, $6, $7, 1 FROM buckets WHERE id = $2",
                id_,
                self.bucket_id,
                delivery_type,
                content.get("collapseId"),
                json.dumps(content, ensure_ascii=False),
                now,
                now + ttl,
            )
            return await outbox.enqueue(tx, drafts, now)

        return await self.db.write(job)

    def draft(
        self,
        message_id: str | None,
        device_id: str | None,
        *,
        expires_at: int,
        kind: Kind = Kind.MESSAGE,
        suppressed: Suppressed | None = None,
    ) -> Draft:
        return Draft(
            id=new_push_id(self.random),
            message_id=message_id,
            user_id=self.user_id,
            device_id=device_id,
            channel=Channel.IN_APP if device_id is None else Channel.PUSH,
            kind=kind,
            frame_id=message_id or new_id(self.clock(), self.random),
            body=None if message_id else '{"ids":[]}',
            suppressed=suppressed,
            due_at=self.clock(),
            turn=self.clock(),
            expires_at=expires_at,
        )

    async def retract(self, message_id: str) -> list[Delivery]:
        async def job(tx: Transaction) -> list[Delivery]:
            now = self.clock()
            await tx.run(
                "UPDATE messages SET content = NULL, retracted_at = $2 WHERE id = $1", message_id, now
            )
            written, _ = await notices.withdraw(
                tx, message_id, after="", limit=500, now=now, random=self.random
            )
            return written

        return await self.db.write(job)

    async def row(self, delivery_id: str) -> Row:
        found = await self.db.read(lambda tx: tx.one("SELECT * FROM deliveries WHERE id = $1", delivery_id))
        assert found is not None
        return found

    async def device_row(self, device_id: str) -> Row:
        found = await self.db.read(lambda tx: tx.one("SELECT * FROM devices WHERE id = $1", device_id))
        assert found is not None
        return found

    async def states(self) -> list[str]:
        rows = await self.db.read(
            lambda tx: tx.all("SELECT state FROM deliveries ORDER BY created_at, sequence")
        )
        return [row["state"] for row in rows]
