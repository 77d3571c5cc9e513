"""A database as an earlier version of Hushpost left it, with rows, for what brings it up to date."""

import asyncio
from typing import Any

import asyncpg
from alembic import command
from sqlalchemy import Connection, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from server.domain.ports import Transaction
from server.store.database import open_database
from server.store.migrations.upgrade import alembic_config
from tests.harness.databases import in_thread

STATES = ("queued", "leased", "accepted", "gone", "expired", "failed", "cancelled", "suppressed")
_AT_0001 = """
INSERT INTO tenants (id, name, created_at) VALUES ('t', 'default', 1);
INSERT INTO users (id, tenant_id, role, profile, created_at) VALUES
    ('u1', 't', 'admin', '{}', 1), ('u2', 't', 'user', '{}', 1);
INSERT INTO buckets (id, tenant_id, owner_id, name, created_at) VALUES ('b', 't', 'u1', 'default', 1);
INSERT INTO messages (id, tenant_id, bucket_id, sender_id, delivery_type, content, created_at, expires_at) VALUES
    ('to two', 't', 'b', 'u1', 'NORMAL', '{}', 1000, 9000),
    ('to nobody', 't', 'b', NULL, 'SILENT', NULL, 2000, 9000);
INSERT INTO inbox_items (id, message_id, user_id, created_at) VALUES
    ('i1', 'to two', 'u1', 1000), ('i2', 'to two', 'u2', 1000)
"""
_DEVICE = (
    "INSERT INTO devices (id, user_id, name, platform, token_hash, head, created_at)"
    " VALUES ('d', 'u1', 'phone', 'ios', $1, 8, 1)"
)
_DELIVERY = (
    "INSERT INTO deliveries (id, message_id, user_id, device_id, channel, kind, frame_id, sequence, state, attempts,"
    " created_at, due_at, expires_at, lease)"
    " VALUES ($1, 'to two', 'u1', 'd', 'PUSH', 1, 'to two', $2, $3, 1, 1000, $4, 9000, $5)"
)


def fill_at_0001(url: str) -> None:
    """Make the tables of revision 0001, with messages to two and to nobody, and a delivery in each state."""
    in_thread(lambda: migrate_to(url, "0001"))
    in_thread(lambda: asyncio.run(_fill(url)))


async def _fill(url: str) -> None:
    db = await open_database(url)

    async def job(tx: Transaction) -> None:
        for sql in _AT_0001.split(";"):
            await tx.run(sql)
        await tx.run(_DEVICE, b"hash")
        for number, state in enumerate(STATES, start=1):
            lease = "l" if state == "leased" else None
            await tx.run(_DELIVERY, f"delivery {state}", number, state, 1000 + number, lease)

    try:
        await db.write(job)
    finally:
        await db.close()


def migrate_to(url: str, revision: str) -> None:
    """Make the tables of a revision, or bring older ones there. Blocks."""

    def upgrade(connection: Connection) -> None:
        command.upgrade(alembic_config(connection), revision)

    if url.startswith("sqlite"):
        with create_engine(url, poolclass=NullPool).begin() as connection:
            upgrade(connection)
    else:
        asyncio.run(_migrate_postgres(url, upgrade))


async def _migrate_postgres(url: str, upgrade: Any) -> None:
    async def creator() -> Any:
        return await asyncpg.connect(url)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(upgrade)
    await engine.dispose()
