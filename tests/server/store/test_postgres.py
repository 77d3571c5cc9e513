"""What only PostgreSQL does: it goes away while somebody uses it."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from server.domain.claim import Claim, StoredClaim
from server.domain.ports import Database, DatabaseUnavailable, Random, Transaction
from server.store import messages
from server.store.claims import keep_claims
from server.store.database import open_database
from tests.harness.clock import SettableClock
from tests.harness.rows import Seeded


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[Database]:
    db = await open_database(postgres_url)
    yield db
    await db.close()


@pytest.mark.parametrize("statements_after", [0, 1])
async def test_a_connection_that_is_cut_is_unavailable_and_the_next_job_has_another(
    postgres: Database, postgres_url: str, statements_after: int
) -> None:
    other = await asyncpg.connect(postgres_url)

    async def number(tx: Transaction) -> int:
        row = await tx.one("SELECT pg_backend_pid() AS pid")
        return int(row["pid"]) if row else 0

    async def job(tx: Transaction) -> None:
        assert await other.fetchval("SELECT pg_terminate_backend($1, 5000)", await number(tx))
        for _ in range(statements_after):
            await number(tx)

    for use in (postgres.write, postgres.read):
        for _ in range(5):  # how far the driver has understood differs from one to the next
            with pytest.raises(DatabaseUnavailable):
                await use(job)
    assert await asyncio.gather(*(postgres.read(number) for _ in range(20)))
    await other.close()


async def test_a_claim_is_not_kept_for_a_message_that_is_being_retracted(
    postgres: Database, postgres_url: str, clock: SettableClock, random: Random
) -> None:
    seeded = await Seeded.make(postgres, clock, random)
    device = await seeded.device()
    [delivery] = await seeded.message([device], title="x")
    message_id = delivery.message_id or ""
    claim = Claim("c", delivery.frame_id, device, bytes(32), bytes(32), 9)
    other = await asyncpg.connect(postgres_url)

    async def retract(tx: Transaction) -> asyncio.Task[list[Claim]]:
        await messages.blank(tx, message_id, 5)
        stored = StoredClaim(claim, message_id, b"blob", 1)
        keeping = asyncio.create_task(postgres.write(lambda inner: keep_claims(inner, [stored])))
        while not keeping.done() and not await other.fetchval(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)"
        ):
            pass
        return keeping

    assert await (await postgres.write(retract)) == []
    assert await other.fetchval("SELECT COUNT(*) FROM claims") == 0
    await other.close()
