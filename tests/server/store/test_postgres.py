"""What only PostgreSQL does: it goes away while somebody uses it."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from server.commands.usage import Usage
from server.domain.claim import Claim, StoredClaim
from server.domain.delivery import Event, Settlement
from server.domain.ports import Database, DatabaseUnavailable, Random, Transaction
from server.store import leases, messages
from server.store.claims import keep_claims
from server.store.database import open_database
from server.store.leases import Times
from server.store.postgres import open_postgres
from tests.harness.clock import SettableClock
from tests.harness.rows import Seeded

_WAITS = "SELECT pid FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"


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
        stored, contents = StoredClaim(claim, message_id, b"blob", 1), {message_id: '{"title": "x"}'}
        keeping = asyncio.create_task(postgres.write(lambda inner: keep_claims(inner, [stored], contents)))
        while not keeping.done() and not await other.fetchval(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)"
        ):
            pass
        return keeping

    assert await (await postgres.write(retract)) == []
    assert await other.fetchval("SELECT COUNT(*) FROM claims") == 0
    await other.close()


@pytest.mark.parametrize("what", ["usage", "outcomes"])
async def test_who_writes_to_several_devices_locks_them_in_the_order_of_their_ids(
    postgres: Database, clock: SettableClock, random: Random, what: str
) -> None:
    """As everybody who sends to them does, else the two deadlock."""
    seeded = await Seeded.make(postgres, clock, random)
    first, last = sorted([await seeded.device(handle="h") for _ in range(2)])
    sent = {delivery.device_id: delivery.id for delivery in await seeded.message([last, first], title="x")}
    await postgres.write(lambda tx: leases.claim(tx, "l", now=clock(), until=clock() + 9, limit=9))
    usage = Usage()
    usage.note_device(last, 5)
    usage.note_device(first, 5)
    settlements = [
        Settlement(sent[last], last, Event.DEAD_HANDLE, "unregistered", 5, handle="h"),
        Settlement(sent[first], first, Event.ACCEPT, None, 5, handle="h", woken=True),
    ]

    async def write() -> None:
        if what == "usage":
            await usage.write(postgres)
        else:
            await postgres.write(lambda tx: leases.settle(tx, "l", settlements, 5, Times(5, 5)))

    writing: list[asyncio.Task[None]] = []

    async def send(tx: Transaction) -> None:
        await tx.run("SET LOCAL deadlock_timeout = '10ms'")  # it is the one that would be ended
        await tx.one("SELECT id FROM devices WHERE id = $1 FOR NO KEY UPDATE", first)
        writing.append(asyncio.create_task(write()))
        waits = await tx.one(_WAITS)
        while not writing[-1].done() and waits is None:
            waits = await tx.one(_WAITS)
        await tx.one("SELECT id FROM devices WHERE id = $1 FOR NO KEY UPDATE", last)

    await postgres.write(send)
    await asyncio.gather(*writing)
    assert len(writing) == 1


async def test_more_rows_than_the_database_takes_in_time_hold_nobody(postgres_url: str) -> None:
    """A driver that is told to stop while it still sends would wait for ever, and hold its locks."""
    db = await open_postgres(postgres_url, patience=0.3)
    rows = [(str(number),) for number in range(300_000)]
    sql = "INSERT INTO tenants (id, name, created_at) VALUES ($1, $1, 1)"
    with pytest.raises(DatabaseUnavailable):
        await asyncio.wait_for(db.write(lambda tx: tx.many(sql, rows)), 30)
    assert await db.write(lambda tx: tx.run(sql, *rows[0])) == 1
    await db.close()
