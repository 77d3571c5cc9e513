"""The outbox between a database and a real relay: what devices get, and what becomes of every delivery."""

import asyncio
import json
from collections.abc import Sequence
from uuid import UUID

import msgspec

from crypto.claim import open_claim
from crypto.encoding import unb64u
from crypto.keys import Suite
from relay.wire import Outcome, Push
from server.domain.delivery import LEASE, Event, Kind
from server.domain.ports import Transaction
from server.store import leases
from server.store import outbox as store
from server.store.claims import find_blob
from tests.harness.gateways import Down
from tests.server.worker.conftest import World

HOUR = 3_600_000


async def test_a_message_reaches_every_device_sealed_for_each(world: World) -> None:
    phones = [await world.phone(suite=Suite.XWING), await world.phone(provider="fcm")]
    deliveries = await world.seeded.message(phones, title="Backup finished ✓", body="all of it")
    await world.run_until("accepted", "accepted")
    for phone, delivery in zip(phones, deliveries, strict=True):
        [frame] = world.frames(phone)
        assert json.loads(frame.body)["title"] == "Backup finished ✓"
        assert (str(frame.message_id), frame.sequence, frame.kind) == (delivery.frame_id, 1, Kind.MESSAGE)
        assert frame.sent_at == delivery.created_at
    assert len(world.gateway.batches) == 1
    assert world.metric("hushpost_outbox_outcomes_total", event=Event.ACCEPT, reason="") == 2


async def test_a_retry_repeats_push_id_frame_and_number(world: World) -> None:
    phone = await world.phone()
    [delivery] = await world.seeded.message([phone], title="again")
    world.providers.script("apns", reason="ServiceUnavailable", times=1)
    async with world.running():
        await world.until_row(delivery.id, state="queued", attempts=1, lease=None, settled_at=None)
        row = await world.seeded.row(delivery.id)
        assert world.clock() < row["due_at"] <= world.clock() + HOUR
        world.clock.now = row["due_at"]
        world.outbox.wake()
        await world.until("accepted")
    first, second = world.frames(phone)
    assert (first.message_id, first.sequence, first.sent_at) == (
        second.message_id,
        second.sequence,
        second.sent_at,
    )
    assert [one.header("apns-id") for one in world.pushed(phone)] == [delivery.id] * 2
    assert (await world.seeded.row(delivery.id))["attempts"] == 2


async def test_retry_after_is_honoured(world: World) -> None:
    phone = await world.phone(provider="fcm")
    [delivery] = await world.seeded.message([phone], title="later")
    world.providers.script("fcm", reason="UNAVAILABLE", times=1, retry_after=600)
    async with world.running():
        await world.until_row(delivery.id, state="queued", attempts=1)
    assert (await world.seeded.row(delivery.id))["due_at"] >= world.clock() + 600_000


async def test_a_dead_token_retires_the_handle_and_nothing_else(world: World) -> None:
    phone = await world.phone()
    world.providers.uninstall(world.tokens[phone])
    deliveries = await world.seeded.message([phone], title="first")
    await world.run_until("gone")
    device = await world.seeded.device_row(phone)
    assert (device["handle"], device["handle_fault"]) == (None, "unregistered")
    assert device["public_key"] is not None
    assert (await world.seeded.row(deliveries[0].id))["reason"] == "unregistered"


async def test_a_new_handle_sends_what_was_waiting_and_what_was_gone(world: World) -> None:
    phone = await world.phone()
    world.providers.uninstall(world.tokens[phone])
    await world.seeded.message([phone], title="first")
    async with world.running():
        await world.until("gone")
        world.clock.advance(1)
        [second] = await world.seeded.message([phone], title="second")
        world.outbox.wake()
        await world.until_row(second.id, state="queued", reason="no_handle")
        await set_handle(world, phone)
        await world.until("accepted", "accepted")
    assert [frame.sequence for frame in world.frames(phone)] == [1, 2]


async def set_handle(world: World, phone: str) -> None:
    handle = world.new_handle(phone)

    async def job(tx: Transaction) -> None:
        await tx.run("UPDATE devices SET handle = $2, handle_fault = NULL WHERE id = $1", phone, handle)
        await store.hasten(tx, phone, world.clock())

    await world.db.write(job)
    world.outbox.wake()


async def test_a_handle_that_was_replaced_meanwhile_stays_and_is_used(world: World) -> None:
    phone = await world.phone()
    old = world.tokens[phone]
    world.providers.uninstall(old)
    await world.seeded.message([phone], title="moved")
    world.gateway.before_answer = lambda: set_handle(world, phone)
    await world.run_until("accepted")
    assert world.tokens[phone] != old
    assert len(world.frames(phone)) == 1
    assert (await world.seeded.device_row(phone))["handle_fault"] is None


async def test_a_rejected_push_fails_its_delivery_and_tells_the_operator(world: World) -> None:
    phone = await world.phone()
    deliveries = await world.seeded.message([phone], title="canary")
    world.providers.script("apns", reason="BadTopic", times=1)
    await world.run_until("failed")
    [entry] = [entry for entry in world.log.entries if entry["log_level"] == "error"]
    assert entry["pushes"] == 1
    assert entry["reason"] == (await world.seeded.row(deliveries[0].id))["reason"]
    device = await world.seeded.device_row(phone)
    assert device["handle"] is not None
    assert not any(
        secret in str(world.log.entries) for secret in ("canary", device["handle"], world.tokens[phone])
    )


async def test_one_bad_push_costs_the_others_nothing(world: World) -> None:
    phones = [await world.phone() for _ in range(3)]
    world.providers.uninstall(world.tokens[phones[1]])
    for phone in phones:
        await world.seeded.message([phone], title="each alone")
        world.clock.advance(1)
    await world.run_until("accepted", "gone", "accepted")


async def test_what_expired_while_it_waited_is_not_sent(world: World) -> None:
    phone = await world.phone()
    await world.seeded.message([phone], ttl=1000, title="old news")
    world.clock.advance(1000)
    await world.run_until("expired")
    assert world.gateway.batches == []


async def test_what_was_retracted_before_sealing_is_cancelled(world: World) -> None:
    phone = await world.phone()
    [delivery] = await world.seeded.message([phone], title="a mistake")
    now = world.clock()
    await world.db.write(lambda tx: leases.claim(tx, "held", now=now, until=now + LEASE, limit=1))
    world.clock.advance(1)
    assert await world.seeded.retract(delivery.message_id or "") != []
    world.clock.advance(LEASE)
    await world.run_until("cancelled", "accepted")
    [notice] = world.frames(phone)
    assert (notice.kind, json.loads(notice.body)) == (Kind.RETRACT, {"ids": [delivery.frame_id]})
    [push] = world.gateway.batches[0]
    assert (push.type, push.priority) == ("background", "normal")


async def test_a_device_without_a_handle_waits_for_one(world: World) -> None:
    phone = await world.phone()
    await world.db.write(lambda tx: tx.run("UPDATE devices SET handle = NULL"))
    [delivery] = await world.seeded.message([phone], title="wait")
    async with world.running():
        await world.until_row(delivery.id, reason="no_handle")
        assert world.gateway.batches == []
        await set_handle(world, phone)
        await world.until("accepted")


async def test_a_device_without_a_key_is_woken_once_for_all_and_not_again_soon(world: World) -> None:
    phone = await world.phone(keyless=True)
    for title in ("one", "two"):
        await world.seeded.message([phone], title=title)
        world.clock.advance(1)
    async with world.running():
        await world.until("accepted", "accepted")
        [recorded] = world.pushed(phone)
        assert "hp" not in msgspec.json.decode(recorded.payload)
        [third] = await world.seeded.message([phone], title="three")
        world.outbox.wake()
        await world.until_row(third.id, reason="woken_before")
        world.clock.advance(30_000)
        world.outbox.wake()
        await world.until("accepted", "accepted", "accepted")
    assert len(world.pushed(phone)) == 2


async def test_a_message_too_large_for_a_push_arrives_whole(world: World) -> None:
    phone = await world.phone()
    text = "".join(chr(0x4E00 + i * 37 % 9000) for i in range(9000))
    [delivery] = await world.seeded.message([phone], title="long", body=text)
    world.providers.script("apns", reason="ServiceUnavailable", times=1)
    async with world.running():
        await world.until_row(delivery.id, state="queued", attempts=1)
        world.clock.advance(60_000)
        world.outbox.wake()
        await world.until("accepted")
    first, second = (json.loads(frame.body) for frame in world.frames(phone))
    assert first == second
    assert first["truncated"] is True
    assert text.startswith(first["body"])
    claim = first["claim"]
    blob = await world.db.read(lambda tx: find_blob(tx, claim["id"], phone))
    content = open_claim(
        blob or b"",
        message_id=UUID(delivery.frame_id),
        device_id=UUID(phone),
        key=unb64u(claim["key"]),
        sha256=unb64u(claim["sha256"]),
        size=claim["size"],
    )
    assert json.loads(content)["body"] == text


async def test_what_a_dead_worker_held_is_sent_again_as_the_same(world: World) -> None:
    phone = await world.phone()
    [delivery] = await world.seeded.message([phone], title="twice")

    async def die() -> None:
        raise RuntimeError("the process died between the relay's answer and the commit")

    world.gateway.before_answer = die
    async with world.running():
        await world.until_logged("a batch failed, its deliveries are tried again")
        world.clock.advance(LEASE)
        world.outbox.wake()
        await world.until("accepted")
    assert [one.header("apns-id") for one in world.pushed(phone)] == [delivery.id] * 2
    assert len({frame.message_id for frame in world.frames(phone)}) == 1


async def test_only_the_process_that_owns_the_database_takes_leases_back_at_its_start(world: World) -> None:
    phone = await world.phone()
    await world.seeded.message([phone], title="left over")
    now = world.clock()
    await world.db.write(lambda tx: leases.claim(tx, "old", now=now, until=now + LEASE, limit=1))
    if not world.db.exclusive:
        world.clock.advance(LEASE)
    await world.run_until("accepted")


async def test_a_stop_waits_for_what_is_in_flight(world: World) -> None:
    phone = await world.phone()
    await world.seeded.message([phone], title="last")
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        asked.set()
        await go_on.wait()

    world.gateway.before_answer = hold
    async with world.running():
        await asked.wait()
        asyncio.get_running_loop().call_soon(go_on.set)
    assert await world.seeded.states() == ["accepted"]


async def test_a_stop_gives_back_what_takes_too_long(hasty: World) -> None:
    phone = await hasty.phone()
    [delivery] = await hasty.seeded.message([phone], title="stuck")
    asked = asyncio.Event()

    async def hang() -> None:
        asked.set()
        await asyncio.Event().wait()

    hasty.gateway.before_answer = hang
    async with hasty.running():
        await asked.wait()
    row = await hasty.seeded.row(delivery.id)
    assert (row["state"], row["lease"], row["attempts"]) == ("queued", None, 1)


async def test_a_stop_gives_back_what_was_claimed_in_that_moment(world: World) -> None:
    phone = await world.phone()
    await world.seeded.message([phone], title="caught")
    outbox = asyncio.create_task(world.outbox.run())

    async def stop() -> None:
        if await world.seeded.states() == ["leased"]:
            outbox.cancel()
            await asyncio.Event().wait()

    world.db.after_write = stop
    await asyncio.wait([outbox])
    assert outbox.cancelled()
    assert await world.seeded.states() == ["queued"]


async def test_many_deliveries_go_in_batches_and_each_once(world: World) -> None:
    phones = [await world.phone() for _ in range(3)]
    for _ in range(40):
        await world.seeded.message(phones, title="many")
    await world.run_until(*["accepted"] * 120)
    for phone in phones:
        assert sorted(frame.sequence for frame in world.frames(phone)) == list(range(1, 41))
    assert all(len(batch) <= 500 for batch in world.gateway.batches)


async def test_a_reason_that_is_no_word_is_not_written_down(world: World) -> None:
    phone = await world.phone()
    [delivery] = await world.seeded.message([phone], title="odd")

    class Odd:
        async def push(self, pushes: Sequence[Push]) -> list[Outcome]:
            return [Outcome(id=push.id, status="rejected", reason="Not a word of ours!") for push in pushes]

    world.gateway.behind = Odd()
    await world.run_until("failed")
    assert (await world.seeded.row(delivery.id))["reason"] == "other"


async def test_a_relay_that_is_down_costs_one_request_at_a_time_and_no_attempts(world: World) -> None:
    phones = [await world.phone() for _ in range(3)]
    await world.seeded.message(phones, title="patience")
    up, down = world.gateway.behind, Down()
    world.gateway.behind = down
    async with world.running():
        [row] = await world.db.read(lambda tx: tx.all("SELECT id FROM deliveries LIMIT 1"))
        await world.until_row(row["id"], state="queued", reason="relay_unreachable", attempts=0)
        await world.seeded.message(phones[:1], title="while it is down")
        world.outbox.wake()
        world.clock.advance(2000)
        world.outbox.wake()
        await world.until_row(row["id"], state="leased")
        await world.until_row(row["id"], state="queued", attempts=0)
        world.gateway.behind = up
        world.clock.advance(60_000)
        world.outbox.wake()
        await world.until(*["accepted"] * 4)
    assert down.asked == 2
    assert world.metric("hushpost_outbox_batches_total", result="relay_unreachable") == 2
    assert (await world.seeded.row(row["id"]))["attempts"] == 1


async def test_an_operator_sees_that_the_relay_is_away(world: World) -> None:
    """While it is waited for, until it answers, or until nothing waits for it any more."""
    phone = await world.phone()
    up, world.gateway.behind = world.gateway.behind, Down()
    async with world.running():
        for ended in (False, True):
            [sent] = await world.seeded.message([phone], title="x", ttl=5000 if ended else 86_400_000)
            world.outbox.wake()
            await world.until_row(sent.id, state="queued", reason="relay_unreachable")
            await until_paused(world, 1)
            if ended:
                world.clock.advance(300_000)
                await world.until_row(sent.id, state="expired")
            else:
                world.gateway.behind = up
                world.clock.advance(300_000)
                await world.until_row(sent.id, state="accepted")
                world.gateway.behind = Down()
            await until_paused(world, 0)
    assert world.metric("hushpost_outbox_pauses_total", reason="relay_unreachable") == 2


async def until_paused(world: World, value: float) -> None:
    async with asyncio.timeout(10):
        while world.metric("hushpost_outbox_paused") != value:
            await world.seeded.states()  # a question to the database gives the outbox its turn


async def test_whatever_goes_wrong_in_a_look_the_next_one_comes(world: World) -> None:
    phone = await world.phone()
    world.db.fail_once = RuntimeError("what nobody thought of")
    async with world.running():
        await world.until_logged("the outbox failed and goes on")
        await world.seeded.message([phone], title="after it")
        await world.until("accepted")


async def test_an_idle_outbox_sends_and_writes_nothing(world: World) -> None:
    phone = await world.phone()
    await world.seeded.message([phone], title="one")
    await world.run_until("accepted")
    await world.run_until("accepted")
    assert len(world.gateway.batches) == 1
    assert world.metric("hushpost_outbox_step_seconds_count", step="settle") == 1


async def test_what_is_put_off_is_looked_for_at_its_time_however_seldom_the_outbox_looks(
    world: World,
) -> None:
    phone = await world.phone()
    [delivery] = await world.seeded.message([phone], title="later")
    dispatcher = world.outbox._dispatcher
    assert dispatcher.again_at(world.clock()) is None
    world.providers.script("apns", reason="ServiceUnavailable", retry_after=600, times=1)
    async with world.running():
        await world.until_row(delivery.id, state="queued", attempts=1)
    due_at = (await world.seeded.row(delivery.id))["due_at"]
    assert dispatcher.again_at(world.clock()) == due_at
    assert dispatcher.again_at(due_at) is None
