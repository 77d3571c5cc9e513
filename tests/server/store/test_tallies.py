"""The book of deliveries: differences are added, sums are read, and the rows that are there are held against it."""

import asyncio

import pytest

from server.domain.ports import Database, Random, Transaction
from server.domain.tally import Tally
from server.store import outbox, tallies
from server.store.database import open_database
from tests.harness.clock import SettableClock
from tests.harness.rows import DAY, Seeded


@pytest.fixture
async def seeded(database: Database, clock: SettableClock, random: Random) -> Seeded:
    return await Seeded.make(database, clock, random)


async def rows(db: Database) -> int:
    row = await db.read(lambda tx: tx.one("SELECT COUNT(*) AS n FROM delivery_tallies"))
    assert row is not None
    return int(row["n"])


async def clear(tx: Transaction) -> None:
    """Take out what a migration has written: the sums of the time before the book."""
    await tx.run("DELETE FROM delivery_tallies")


async def test_an_empty_book_is_all_zeros(database: Database) -> None:
    await database.write(clear)
    assert await database.read(tallies.count) == Tally()
    found = await database.read(tallies.audit)
    assert found.holds
    await database.write(tallies.compact)
    assert await rows(database) == 0


async def test_entries_add_up_and_stay_so_when_they_are_compacted(database: Database) -> None:
    await database.write(clear)
    await database.write(lambda tx: tallies.note(tx, Tally(created=3, waiting=3)))
    await database.write(lambda tx: tallies.note(tx, Tally(waiting=-2, accepted=1, failed=1)))
    await database.write(lambda tx: tallies.note(tx, Tally()))
    await database.write(lambda tx: tallies.note_pruned(tx, Tally(created=1, accepted=1)))
    expected = Tally(created=3, waiting=1, accepted=1, failed=1)
    assert await rows(database) == 3
    for _ in range(2):
        assert await database.read(tallies.count) == expected
        assert (await database.read(tallies.audit)).pruned == Tally(created=1, accepted=1)
        await database.write(tallies.compact)
        assert await rows(database) == 2


async def test_very_many_entries_are_added_up_some_at_a_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a day without a scheduler: none of what is there has to fit into memory at once."""
    monkeypatch.setattr(tallies, "_AT_ONCE", 10)
    await database.write(clear)
    for _ in range(13):
        await database.write(lambda tx: tallies.note(tx, Tally(created=2, accepted=2)))
        await database.write(lambda tx: tallies.note_pruned(tx, Tally(created=1, accepted=1)))
    for left in (18, 10, 2):  # ten of both books become two
        assert await database.write(tallies.compact)
        assert await rows(database) == left
        found = await database.read(tallies.audit)
        assert (found.book.created, found.pruned.created) == (26, 13)
    assert not await database.write(tallies.compact)
    assert await rows(database) == 2


async def test_numbers_beyond_32_bits_add_up(database: Database) -> None:
    many = 1 << 40
    for _ in range(2):
        await database.write(lambda tx: tallies.note(tx, Tally(created=many, accepted=many)))
    await database.write(tallies.compact)
    assert await database.read(tallies.count) == Tally(created=2 * many, accepted=2 * many)


async def test_what_is_rolled_back_is_in_no_book(seeded: Seeded) -> None:
    device = await seeded.device()

    async def job(tx: Transaction) -> None:
        draft = seeded.draft(None, device, expires_at=seeded.clock() + DAY)
        await outbox.enqueue(tx, [draft], seeded.clock())
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await seeded.db.write(job)
    assert await seeded.db.read(tallies.count) == Tally()


async def test_compacting_loses_nothing_that_is_written_at_the_same_time(
    seeded: Seeded, database_url: str
) -> None:
    """By several at once, on connections of their own where there can be."""
    device = await seeded.device()
    others = [] if seeded.db.exclusive else [await open_database(database_url) for _ in range(2)]
    over = asyncio.Event()

    async def compact(db: Database) -> None:
        while not over.is_set():
            await db.write(tallies.compact)

    compacting = [asyncio.create_task(compact(db)) for db in [seeded.db, *others]]
    await asyncio.gather(*(seeded.message([device], title="x") for _ in range(60)))
    over.set()
    await asyncio.gather(*compacting)
    for db in others:
        await db.close()
    found = await seeded.db.read(tallies.audit)
    assert found.book == Tally(created=60, waiting=60)
    assert found.holds


async def test_the_audit_sees_a_row_that_vanished_and_one_that_moved_by_itself(seeded: Seeded) -> None:
    """That is what it is for."""
    device = await seeded.device()
    deliveries = [d for _ in range(3) for d in await seeded.message([device], title="x")]
    assert (await seeded.db.read(tallies.audit)).holds
    await seeded.db.write(lambda tx: tx.run("DELETE FROM deliveries WHERE id = $1", deliveries[0].id))
    await seeded.db.write(
        lambda tx: tx.run("UPDATE deliveries SET state = 'accepted' WHERE id = $1", deliveries[1].id)
    )
    found = await seeded.db.read(tallies.audit)
    assert found.differences == {"created": -1, "waiting": -2, "accepted": 1}
    assert not found.holds
