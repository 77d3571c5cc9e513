"""Deliveries: written, numbered, withdrawn, fetched, acknowledged and counted, the same on both engines."""

import asyncio

import pytest

from server.domain.delivery import Channel, Delivery, Kind, Receipt, ReceiptEvent, State, Suppressed
from server.domain.ports import Database, Random, Transaction
from server.domain.tally import Tally
from server.store import notices, outbox, parcels, receipts, tallies
from tests.harness.clock import SettableClock
from tests.harness.rows import DAY, Seeded


@pytest.fixture
async def seeded(database: Database, clock: SettableClock, random: Random) -> Seeded:
    return await Seeded.make(database, clock, random)


async def settle(seeded: Seeded, delivery: Delivery, state: State) -> None:
    sql = "UPDATE deliveries SET state = $2 WHERE id = $1"
    await seeded.db.write(lambda tx: tx.run(sql, delivery.id, state.value))


async def listed(seeded: Seeded, device: str, after: int = 0, limit: int = 100) -> list[tuple[int, str]]:
    found = await seeded.db.read(lambda tx: parcels.list_parcels(tx, device, after=after, limit=limit))
    return [(parcel.sequence, parcel.frame_id) for parcel in found]


async def test_numbers_have_no_gaps_however_many_send_at_once(seeded: Seeded) -> None:
    devices = [await seeded.device() for _ in range(4)]
    targets = [devices[i % 3 :] if i % 2 else devices[::-1] for i in range(40)]
    await asyncio.gather(*(seeded.message(target, title="x") for target in targets))
    for device in devices:
        sent = sum(device in target for target in targets)
        assert [number for number, _ in await listed(seeded, device)] == list(range(1, sent + 1))
        assert (await seeded.device_row(device))["head"] == sent


async def test_one_device_may_get_several_at_once_in_their_order(seeded: Seeded) -> None:
    device = await seeded.device()
    [first] = await seeded.message([device], title="x")
    message = first.message_id
    drafts = [seeded.draft(message, device, expires_at=seeded.clock() + DAY) for _ in range(3)]
    written = await seeded.db.write(lambda tx: outbox.enqueue(tx, drafts, seeded.clock()))
    assert [(delivery.id, delivery.sequence) for delivery in written] == [
        (draft.id, number) for number, draft in enumerate(drafts, start=2)
    ]


async def test_a_transaction_that_fails_takes_its_numbers_back(seeded: Seeded) -> None:
    device = await seeded.device()

    async def job(tx: Transaction) -> None:
        draft = seeded.draft(None, device, kind=Kind.MESSAGE, expires_at=seeded.clock() + DAY)
        await outbox.enqueue(tx, [draft], seeded.clock())
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await seeded.db.write(job)
    [delivery] = await seeded.message([device], title="x")
    assert delivery.sequence == 1


async def test_states_and_numbers_of_what_is_written(seeded: Seeded) -> None:
    device = await seeded.device()
    [first] = await seeded.message([device], title="x")
    expires_at = seeded.clock() + DAY
    drafts = [
        seeded.draft(first.message_id, None, expires_at=expires_at),
        seeded.draft(first.message_id, device, expires_at=expires_at, suppressed=Suppressed.NO_CHANNEL),
        seeded.draft(None, device, expires_at=expires_at, kind=Kind.READ),
    ]
    written = await seeded.db.write(lambda tx: outbox.enqueue(tx, drafts, seeded.clock()))
    assert [(d.channel, d.state, d.reason, d.sequence) for d in written] == [
        (Channel.IN_APP, State.ACCEPTED, None, None),
        (Channel.PUSH, State.SUPPRESSED, "no_channel", None),
        (Channel.PUSH, State.QUEUED, None, None),
    ]
    assert [d.settled_at is None for d in written] == [False, False, True]
    audit = await seeded.db.read(tallies.audit)
    assert audit.book == Tally(created=4, waiting=2, accepted=1, suppressed=1)
    assert audit.holds


async def test_a_device_that_is_gone_gets_nothing_and_stops_nobody(seeded: Seeded) -> None:
    device = await seeded.device()
    written = await seeded.message(["01890a5d-0000-7000-8000-000000000000", device], title="x")
    assert [delivery.device_id for delivery in written] == [device]


async def test_a_notice_for_a_device_that_is_gone_is_none_and_stops_nobody(seeded: Seeded) -> None:
    device, now = await seeded.device(), seeded.clock()
    drafts = [
        seeded.draft(None, id_, expires_at=now + DAY, kind=Kind.RETRACT)
        for id_ in ("01890a5d-0000-7000-8000-000000000000", device)
    ]
    written = await seeded.db.write(lambda tx: outbox.enqueue(tx, drafts, now))
    assert [delivery.device_id for delivery in written] == [device]
    assert (await seeded.db.read(tallies.audit)).holds


async def test_withdrawing_cancels_what_waits_and_tells_those_that_may_have_it(seeded: Seeded) -> None:
    waiting, has_it, web = (
        await seeded.device(),
        await seeded.device(),
        await seeded.device(platform="web"),
    )
    deliveries = await seeded.message([waiting, has_it, web], title="x")
    for delivery in deliveries[1:]:
        await settle(seeded, delivery, State.ACCEPTED)
    [notice] = await seeded.retract(deliveries[0].message_id or "")
    assert (notice.device_id, notice.kind, notice.sequence) == (has_it, Kind.RETRACT, None)
    assert (await seeded.row(notice.id))["body"] == f'{{"ids":["{deliveries[0].frame_id}"]}}'
    assert (await seeded.row(deliveries[0].id))["state"] == "cancelled"
    assert await seeded.db.read(lambda tx: parcels.list_retracted(tx, waiting, 0)) == [deliveries[0].frame_id]
    [parcel] = await seeded.db.read(lambda tx: parcels.list_parcels(tx, has_it, after=0, limit=9))
    assert parcel.is_withdrawn


async def test_withdrawing_tells_whom_an_earlier_attempt_or_a_fetch_may_have_reached(seeded: Seeded) -> None:
    tried, dead, fetched, untouched = [await seeded.device() for _ in range(4)]
    deliveries = await seeded.message([tried, dead, fetched, untouched], title="x")
    await seeded.db.write(
        lambda tx: tx.run("UPDATE deliveries SET attempts = 1 WHERE device_id IN ($1, $2)", tried, dead)
    )
    await settle(seeded, deliveries[1], State.GONE)
    receipt = Receipt(deliveries[2].frame_id, ReceiptEvent.SHOWN, None, 1)
    await seeded.db.write(lambda tx: receipts.acknowledge(tx, fetched, [receipt]))
    told = await seeded.retract(deliveries[0].message_id or "")
    assert {notice.device_id for notice in told} == {tried, dead, fetched}


@pytest.mark.parametrize("state", [State.QUEUED, State.GONE])
async def test_reading_is_told_to_a_device_that_is_still_to_get_the_message(
    seeded: Seeded, state: State
) -> None:
    reader, late = await seeded.device(), await seeded.device()
    deliveries = await seeded.message([reader, late], title="x")
    await settle(seeded, deliveries[1], state)
    ids = [deliveries[0].message_id or ""]
    [notice] = await seeded.db.write(
        lambda tx: notices.tell_read(
            tx, seeded.user_id, ids, but=reader, now=seeded.clock(), random=seeded.random
        )
    )
    assert (notice.device_id, notice.kind) == (late, Kind.READ)


async def test_reading_on_one_device_tells_the_others_in_few_notices(seeded: Seeded) -> None:
    reader, other = await seeded.device(), await seeded.device()
    sent = [delivery for _ in range(45) for delivery in await seeded.message([reader, other], title="x")]
    for delivery in sent:
        await settle(seeded, delivery, State.ACCEPTED)
    ids = sorted({delivery.message_id or "" for delivery in sent})
    told = await seeded.db.write(
        lambda tx: notices.tell_read(
            tx, seeded.user_id, ids, but=reader, now=seeded.clock(), random=seeded.random
        )
    )
    assert [(notice.device_id, notice.kind) for notice in told] == [(other, Kind.READ)] * 2


async def test_a_page_of_a_device_s_deliveries_goes_on_where_the_last_one_ended(seeded: Seeded) -> None:
    device = await seeded.device()
    sent = [delivery for _ in range(5) for delivery in await seeded.message([device], title="x")]
    assert await listed(seeded, device, after=1, limit=2) == [
        (delivery.sequence, delivery.frame_id) for delivery in sent[1:3]
    ]
    assert await listed(seeded, device, after=5) == []
    assert await seeded.db.read(lambda tx: parcels.head_of(tx, device)) == 5


async def test_the_first_receipt_of_each_event_counts(seeded: Seeded) -> None:
    device, stranger = await seeded.device(), await seeded.device()
    [delivery] = await seeded.message([device], title="x")
    frame = delivery.frame_id
    told = [
        Receipt(frame, ReceiptEvent.RECEIVED, None, 5),
        Receipt(frame, ReceiptEvent.RECEIVED, None, 9),
        Receipt(frame, ReceiptEvent.READ, None, 7),
        Receipt(None, ReceiptEvent.FAILED, "altered", 8),
        Receipt("unknown", ReceiptEvent.READ, None, 8),
    ]
    done = await seeded.db.write(lambda tx: receipts.acknowledge(tx, device, told))
    assert done.read == [delivery.message_id]
    row = await seeded.row(delivery.id)
    assert (row["received_at"], row["read_at"], row["failed_at"]) == (5, 7, None)
    fault = await seeded.device_row(device)
    assert (fault["last_fault"], fault["last_fault_at"]) == ("altered", 8)
    assert (await seeded.db.write(lambda tx: receipts.acknowledge(tx, stranger, told[:3]))).read == []


async def test_a_failed_receipt_for_a_frame_says_why(seeded: Seeded) -> None:
    device = await seeded.device()
    [delivery] = await seeded.message([device], title="x")
    told = [Receipt(delivery.frame_id, ReceiptEvent.FAILED, "not_my_key", 3)]
    await seeded.db.write(lambda tx: receipts.acknowledge(tx, device, told))
    row = await seeded.row(delivery.id)
    assert (row["failed_at"], row["fault"]) == (3, "not_my_key")
