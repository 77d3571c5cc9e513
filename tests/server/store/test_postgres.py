"""What only PostgreSQL does: it goes away while somebody uses it."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from server.domain.ports import Database, DatabaseUnavailable, Transaction
from server.store.database import open_database
from tests.harness import databases

pytestmark = pytest.mark.skipif("postgresql" not in databases.engines(), reason="no PostgreSQL")


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
