"""Leases: no delivery is in two hands, and only who holds it settles it."""

import asyncio
import re
from typing import Any

import pytest

from crypto.keys import DeviceKey, Suite
from server.domain.claim import Claim, StoredClaim
from server.domain.delivery import LEASE, Event, Settlement
from server.domain.ports import Database, Random
from server.store import leases
from server.store.claims import find_blob, find_claims, keep_claims
from server.store.database import open_database
from server.store.leases import Times
from server.store.tallies import audit
from tests.harness.clock import SettableClock
from tests.harness.rows import Seeded

NEVER = Times(None, None)


@pytest.fixture
async def seeded(database: Database, clock: SettableClock, random: Random) -> Seeded:
    return await Seeded.make(database, clock, random)


async def claim(seeded: Seeded, lease: str, limit: int = 500) -> int:
    now = seeded.clock()
    return await seeded.db.write(lambda tx: leases.claim(tx, lease, now=now, until=now + LEASE, limit=limit))


async def settle(seeded: Seeded, lease: str, *settlements: Settlement) -> list[Settlement]:
    return await seeded.db.write(lambda tx: leases.settle(tx, lease, settlements, seeded.clock(), NEVER))


def settlement(id_: str, device: str, event: Event = Event.ACCEPT, **more: Any) -> Settlement:
    return Settlement(**{"id": id_, "device_id": device, "event": event, "reason": None, "due_at": 9} | more)


async def test_sixteen_workers_never_hold_the_same_delivery_nor_the_same_device(seeded: Seeded) -> None:
    devices = [await seeded.device() for _ in range(40)]
    for _ in range(5):
        await seeded.message(devices, title="x")
    done: set[str] = set()
    held: set[str] = set()

    async def worker(number: int) -> None:
        turn = 0
        while len(done) < 200:
            lease, turn = f"{number}-{turn}", turn + 1
            if not await claim(seeded, lease, limit=7):
                continue
            batch = await seeded.db.read(lambda tx, lease=lease: leases.read_batch(tx, lease))  # type: ignore[misc]  # a lambda with a default
            assert len(batch.parcels) <= 7
            taken = {parcel.device_id for parcel in batch.parcels}
            assert not taken & held
            held.update(taken)
            assert done.isdisjoint(parcel.id for parcel in batch.parcels)
            done.update(parcel.id for parcel in batch.parcels)
            held.difference_update(taken)
            await settle(seeded, lease, *(settlement(p.id, p.device_id) for p in batch.parcels))

    await asyncio.gather(*(worker(number) for number in range(16)))
    assert len(done) == 200
    assert (await seeded.db.read(audit)).holds


async def test_a_lease_ends_and_its_outcome_comes_too_late(seeded: Seeded, clock: SettableClock) -> None:
    device = await seeded.device()
    [delivery] = await seeded.message([device], title="x")
    assert await claim(seeded, "first") == 1
    assert await claim(seeded, "second") == 0
    clock.advance(LEASE)
    assert await seeded.db.read(lambda tx: leases.any_overdue(tx, clock()))
    assert await seeded.db.write(lambda tx: leases.recover(tx, clock())) == 1
    assert await claim(seeded, "second") == 1
    assert not await seeded.db.read(lambda tx: leases.any_overdue(tx, clock()))
    assert await settle(seeded, "first", settlement(delivery.id, device)) == []
    assert (await seeded.row(delivery.id))["state"] == "leased"
    done = settlement(delivery.id, device, provider_id="p")
    assert await settle(seeded, "second", done) == [done]
    row = await seeded.row(delivery.id)
    assert (row["state"], row["attempts"], row["provider_id"], row["lease"]) == ("accepted", 2, "p", None)
    assert row["settled_at"] == clock()


async def test_what_is_not_due_is_not_claimed(seeded: Seeded, clock: SettableClock) -> None:
    device = await seeded.device()
    [delivery] = await seeded.message([device], title="x")
    await claim(seeded, "a")
    await settle(seeded, "a", settlement(delivery.id, device, Event.RETRY, due_at=clock() + 5000))
    assert await claim(seeded, "b") == 0
    clock.advance(5000)
    assert await claim(seeded, "b") == 1


async def test_the_longest_due_are_claimed_first(seeded: Seeded, clock: SettableClock) -> None:
    device = await seeded.device()
    ids = []
    for _ in range(6):
        ids += [delivery.id for delivery in await seeded.message([device], title="x")]
        clock.advance(1)
    await claim(seeded, "a", limit=3)
    batch = await seeded.db.read(lambda tx: leases.read_batch(tx, "a"))
    assert [parcel.id for parcel in batch.parcels] == ids[:3]


async def test_a_handle_that_came_while_a_delivery_was_leased_sends_it_at_once(
    seeded: Seeded, clock: SettableClock
) -> None:
    had_none, had_old, had_this = [await seeded.device(handle=handle) for handle in (None, "old", "new")]
    written = await seeded.message([had_none, had_old, had_this], title="x")
    await claim(seeded, "a")
    await seeded.db.write(lambda tx: tx.run("UPDATE devices SET handle = 'new'"))
    late = clock() + 6 * 3_600_000
    settled = await settle(
        seeded,
        "a",
        settlement(written[0].id, had_none, Event.RETRY, reason="no_handle", due_at=late),
        settlement(written[1].id, had_old, Event.RETRY, handle="old", reason="limited", due_at=late),
        settlement(written[2].id, had_this, Event.RETRY, handle="new", reason="limited", due_at=late),
    )
    assert [(one.reason, one.due_at) for one in settled] == [
        ("handle_replaced", clock()),
        ("handle_replaced", clock()),
        ("limited", late),
    ]


async def test_a_dead_handle_is_retired_only_while_it_is_the_one_that_was_used(seeded: Seeded) -> None:
    same, newer, none = [await seeded.device(handle=handle) for handle in ("old", "new", None)]
    deliveries = await seeded.message([same, newer, none], title="x")
    await claim(seeded, "a")
    written = await settle(
        seeded,
        "a",
        *(
            settlement(d.id, d.device_id or "", Event.DEAD_HANDLE, handle="old", reason="unregistered")
            for d in deliveries
        ),
    )
    assert [(s.event, s.reason) for s in written] == [
        (Event.DEAD_HANDLE, "unregistered"),
        (Event.RETRY, "handle_replaced"),
        (Event.DEAD_HANDLE, "unregistered"),
    ]
    assert [(await seeded.device_row(device))["handle"] for device in (same, newer, none)] == [
        None,
        "new",
        None,
    ]
    assert [(await seeded.row(d.id))["state"] for d in deliveries] == ["gone", "queued", "gone"]


async def test_a_batch_has_each_content_and_address(seeded: Seeded, random: Random) -> None:
    key = DeviceKey.generate(Suite.X25519, random)
    devices = [await seeded.device(key=key, handle="h"), await seeded.device()]
    await seeded.message(devices, title="Tür ✓", collapseId="c")
    await claim(seeded, "a")
    batch = await seeded.db.read(lambda tx: leases.read_batch(tx, "a"))
    assert {parcel.body for parcel in batch.parcels} == {'{"title": "Tür ✓", "collapseId": "c"}'}
    assert {parcel.collapse_id for parcel in batch.parcels} == {"c"}
    first, second = (batch.addresses[device] for device in devices)
    assert (first.suite, first.public_key, first.handle) == (1, key.public.raw, "h")
    assert (second.suite, second.public_key, second.handle) == (None, None, None)
    assert "h'" not in repr(first)


async def test_leases_are_given_back_and_taken_back(seeded: Seeded, clock: SettableClock) -> None:
    device = await seeded.device()
    [delivery] = await seeded.message([device], title="x")
    await claim(seeded, "a")
    assert await seeded.db.write(lambda tx: leases.waiting(tx, clock() + 7)) == (1, 7)
    assert await seeded.db.write(lambda tx: leases.give_back(tx, "a", clock())) == 1
    assert await claim(seeded, "b") == 1
    assert await seeded.db.write(lambda tx: leases.release(tx, clock())) == 1
    row = await seeded.row(delivery.id)
    assert (row["state"], row["lease"], row["due_at"], row["attempts"]) == ("queued", None, clock(), 2)


async def test_a_claim_is_kept_once_and_goes_with_its_message(seeded: Seeded) -> None:
    device, other = await seeded.device(), await seeded.device()
    [delivery] = await seeded.message([device], title="x")
    contents = {delivery.message_id or "": '{"title": "x"}'}

    def made(id_: str) -> StoredClaim:
        return StoredClaim(
            Claim(id_, delivery.frame_id, device, b"k" * 32, b"s" * 32, 10),
            delivery.message_id or "",
            b"blob",
            1,
        )

    [first] = await seeded.db.write(lambda tx: keep_claims(tx, [made("one")], contents))
    [second] = await seeded.db.write(lambda tx: keep_claims(tx, [made("two")], contents))
    assert first == second == made("one").claim
    assert await seeded.db.read(lambda tx: find_blob(tx, "one", device)) == b"blob"
    assert await seeded.db.read(lambda tx: find_blob(tx, "one", other)) is None
    await seeded.db.write(lambda tx: tx.run("DELETE FROM claims"))
    await seeded.retract(delivery.message_id or "")
    assert await seeded.db.write(lambda tx: keep_claims(tx, [made("three")], contents)) == []
    pairs = [(delivery.frame_id, device)]
    assert await seeded.db.read(lambda tx: find_claims(tx, pairs)) == []


@pytest.mark.parametrize("asked", [leases._CANDIDATES, leases._WAITING])
async def test_what_is_asked_all_the_time_reads_no_settled_delivery(sqlite_url: str, asked: str) -> None:
    """A month of them may lie beside a few that wait."""
    numbers = [1] * len(set(re.findall(r"\$\d", asked)))
    database = await open_database(sqlite_url)
    plan = await database.read(lambda tx: tx.all(f"EXPLAIN QUERY PLAN {asked}", *numbers))
    await database.close()
    steps = [row["detail"] for row in plan]
    indexed = ("USING INDEX ix_deliveries_queued", "USING INDEX ix_deliveries_leased")
    reading = [step for step in steps if re.match(r"(SCAN|SEARCH) (d|deliveries)\b", step)]
    assert len(reading) == 2
    assert all(any(index in step for index in indexed) for step in reading), steps
