"""How deliveries end beside being settled: with their device, and by age; the book says where they went."""

import pytest

from server.domain.delivery import DAYS_KEPT, LEASE, Event, Kind, Settlement, State, Suppressed
from server.domain.ports import Database, Random, Transaction
from server.domain.tally import Tally
from server.store import idempotency, leases, outbox, pruning, tallies
from server.store.devices import delete_device
from server.store.idempotency import Record
from server.store.leases import Times
from tests.harness.clock import SettableClock
from tests.harness.rows import DAY, Seeded

KEPT = DAYS_KEPT * DAY
ALL = 1000


@pytest.fixture
async def seeded(database: Database, clock: SettableClock, random: Random) -> Seeded:
    return await Seeded.make(database, clock, random)


async def settle(seeded: Seeded, event: Event, limit: int = 500) -> None:
    """Claim what is due and let it end like that."""
    now = seeded.clock()

    async def job(tx: Transaction) -> None:
        await leases.claim(tx, "l", now=now, until=now + LEASE, limit=limit)
        batch = await leases.read_batch(tx, "l")
        ended = [Settlement(p.id, p.device_id, event, "reason", now + 5) for p in batch.parcels]
        await leases.settle(tx, "l", ended, now, Times(None, None))

    await seeded.db.write(job)


async def prune(seeded: Seeded, limit: int = ALL) -> int:
    return await seeded.db.write(lambda tx: pruning.prune(tx, seeded.clock() - KEPT, limit))


async def drop(seeded: Seeded, device: str) -> None:
    async def job(tx: Transaction) -> None:
        await pruning.drop_deliveries(tx, device)
        assert await delete_device(tx, device, seeded.user_id)

    await seeded.db.write(job)


async def test_what_was_settled_long_ago_goes_and_what_waits_stays(
    seeded: Seeded, clock: SettableClock
) -> None:
    device, waiting = await seeded.device(), await seeded.device()
    await seeded.message([device], title="x")
    await settle(seeded, Event.ACCEPT)
    await seeded.message([waiting], title="x", ttl=DAY)
    clock.advance(KEPT)
    assert await prune(seeded) == 0  # to the millisecond
    clock.advance(1)
    assert await prune(seeded) == 1
    assert await seeded.states() == ["queued"]
    found = await seeded.db.read(tallies.audit)
    assert (found.pruned, found.rows) == (Tally(created=1, accepted=1), Tally(created=1, waiting=1))
    assert found.book == Tally(created=2, waiting=1, accepted=1)
    assert found.holds
    await settle(seeded, Event.EXPIRE)
    assert await prune(seeded) == 0  # its settling is what counts
    clock.advance(KEPT + 1)
    assert await prune(seeded) == 1
    assert (await seeded.db.read(tallies.audit)).holds


@pytest.mark.parametrize("event", [Event.ACCEPT, Event.DEAD_HANDLE, Event.REJECT, Event.EXPIRE, Event.CANCEL])
async def test_every_end_is_pruned_by_its_name(seeded: Seeded, clock: SettableClock, event: Event) -> None:
    device = await seeded.device()
    await seeded.message([device], title="x")
    await settle(seeded, event)
    [state] = await seeded.states()
    clock.advance(KEPT + 1)
    assert await prune(seeded) == 1
    found = await seeded.db.read(tallies.audit)
    assert found.pruned == Tally(created=1, **{state: 1})
    assert found.holds


async def test_notices_are_pruned_as_well(seeded: Seeded, clock: SettableClock) -> None:
    device = await seeded.device()
    draft = seeded.draft(None, device, kind=Kind.READ, expires_at=clock() + DAY)
    await seeded.db.write(lambda tx: outbox.enqueue(tx, [draft], clock()))
    await settle(seeded, Event.ACCEPT)
    clock.advance(KEPT + 1)
    assert await prune(seeded) == 1


async def test_pruning_takes_a_little_at_a_time_the_oldest_first(
    seeded: Seeded, clock: SettableClock
) -> None:
    device = await seeded.device()
    ids = []
    for _ in range(5):
        ids += [delivery.id for delivery in await seeded.message([device], title="x")]
        clock.advance(1)
    await settle(seeded, Event.ACCEPT)
    clock.advance(KEPT + 1)
    assert await prune(seeded, limit=2) == 2
    left = await seeded.db.read(lambda tx: tx.all("SELECT id FROM deliveries ORDER BY sequence"))
    assert [row["id"] for row in left] == ids[2:]
    assert [await prune(seeded, limit=2) for _ in range(2)] == [2, 1]
    assert (await seeded.db.read(tallies.audit)).holds


async def test_a_device_takes_its_deliveries_with_it(seeded: Seeded, clock: SettableClock) -> None:
    """What waited is cancelled, leased or not; what had ended keeps its end; others keep theirs."""
    device, other = await seeded.device(), await seeded.device()
    await seeded.message([device], title="x")
    await settle(seeded, Event.ACCEPT)
    await seeded.message([device], title="x")
    await settle(seeded, Event.REJECT)
    await seeded.message([device, other], title="x")
    now = clock()
    await seeded.db.write(lambda tx: leases.claim(tx, "held", now=now, until=now + LEASE, limit=500))
    await seeded.message([device], title="x")
    await drop(seeded, device)
    found = await seeded.db.read(tallies.audit)
    assert found.pruned == Tally(created=4, accepted=1, failed=1, cancelled=2)
    assert found.rows == Tally(created=1, waiting=1)
    assert found.holds


async def test_an_outcome_for_a_device_that_is_gone_changes_nothing(
    seeded: Seeded, clock: SettableClock
) -> None:
    """The worker had its batch in hand when the device was unpaired."""
    device = await seeded.device()
    [delivery] = await seeded.message([device], title="x")
    now = clock()
    await seeded.db.write(lambda tx: leases.claim(tx, "held", now=now, until=now + LEASE, limit=500))
    await drop(seeded, device)
    late = [Settlement(delivery.id, device, Event.ACCEPT, None, now)]
    assert await seeded.db.write(lambda tx: leases.settle(tx, "held", late, now, Times(now, now))) == []
    found = await seeded.db.read(tallies.audit)
    assert found.book == Tally(created=1, cancelled=1)
    assert found.holds


async def test_keys_go_after_their_day(seeded: Seeded, clock: SettableClock) -> None:
    """A few at a time; one whose message is there may go."""
    [delivery] = await seeded.message([await seeded.device()], title="x")
    message, now = delivery.message_id or "", clock()
    for number in range(5):
        record = Record(bytes([number]) * 32, b"f" * 32, message, now + number)
        await seeded.db.write(lambda tx, record=record: idempotency.add_record(tx, record, now - 9))  # type: ignore[misc]  # a lambda with a default
    assert await seeded.db.write(lambda tx: idempotency.drop_expired(tx, now + 2, 2)) == 2
    assert await seeded.db.write(lambda tx: idempotency.drop_expired(tx, now + 2, 2)) == 1
    assert await seeded.db.read(lambda tx: idempotency.find_record(tx, bytes([3]) * 32, now + 2)) is not None
    assert await seeded.db.read(lambda tx: idempotency.find_record(tx, bytes([3]) * 32, now + 3)) is None


async def test_what_is_suppressed_is_in_the_book_and_goes_by_age(
    seeded: Seeded, clock: SettableClock
) -> None:
    [delivery] = await seeded.message([await seeded.device()], title="x")
    drafts = [
        seeded.draft(delivery.message_id, None, expires_at=clock() + DAY, suppressed=Suppressed.OPTED_OUT),
        seeded.draft(delivery.message_id, None, expires_at=clock() + DAY),
    ]
    written = await seeded.db.write(lambda tx: outbox.enqueue(tx, drafts, clock()))
    assert [one.state for one in written] == [State.SUPPRESSED, State.ACCEPTED]
    clock.advance(KEPT + 1)
    assert await prune(seeded) == 2
    found = await seeded.db.read(tallies.audit)
    assert found.pruned == Tally(created=2, suppressed=1, accepted=1)
    assert found.holds


async def test_a_new_handle_brings_back_what_is_gone_but_not_what_has_expired(
    seeded: Seeded, clock: SettableClock
) -> None:
    device = await seeded.device()
    await seeded.message([device], title="x", ttl=1000)
    await seeded.message([device], title="x", ttl=1001)
    await settle(seeded, Event.DEAD_HANDLE)
    clock.advance(1000)
    await seeded.db.write(lambda tx: outbox.hasten(tx, device, clock()))
    assert await seeded.states() == ["gone", "queued"]
    assert (await seeded.db.read(tallies.audit)).holds
