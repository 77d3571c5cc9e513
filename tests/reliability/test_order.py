"""In which order deliveries go out: a device's own in the order of their numbers, whatever happened to their batches."""

from server.domain.delivery import LEASE
from server.store import leases
from server.store import outbox as store
from tests.harness.gateways import Down, Takes
from tests.reliability.writing import assert_in_order, deliver, settled, write
from tests.server.worker.conftest import World

BATCH = 500


async def test_what_is_written_in_one_moment_goes_out_in_the_order_of_its_numbers(world: World) -> None:
    phones = [await world.phone() for _ in range(2)]
    rows = await write(world, phones, 600)
    relay = await deliver(world, rows)
    assert [len(batch) for batch in relay.batches] == [500, 500, 200]
    assert_in_order(relay, rows)


async def test_what_is_taken_back_goes_out_in_the_order_of_its_numbers(world: World) -> None:
    rows = await write(world, [await world.phone()], 800)
    now = world.clock()
    assert await world.db.write(lambda tx: leases.claim(tx, "dead", now=now, until=now + LEASE, limit=BATCH))
    world.clock.advance(LEASE)
    assert_in_order(await deliver(world, rows), rows)


async def test_what_is_given_back_goes_out_before_what_came_later(world: World) -> None:
    phone = await world.phone()
    rows = dict(await write(world, [phone], 300))
    now = world.clock()
    await world.db.write(lambda tx: leases.claim(tx, "stopped", now=now, until=now + LEASE, limit=BATCH))
    world.clock.advance(100)
    rows |= await write(world, [phone], 300)
    world.clock.advance(100)
    await world.db.write(lambda tx: leases.give_back(tx, "stopped", world.clock()))
    assert_in_order(await deliver(world, rows), rows)


async def test_what_a_relay_that_was_down_held_up_goes_out_before_what_came_later(world: World) -> None:
    phone = await world.phone()
    rows = dict(await write(world, [phone], 600))
    world.gateway.behind = down = Down()
    async with world.running():
        await settled(world, reason="relay_unreachable", number=500)
        for _ in range(3):
            world.clock.advance(1)
            rows |= await write(world, [phone], 100)
    assert down.asked == 1
    world.clock.advance(60_000)
    assert_in_order(await deliver(world, rows), rows)


async def test_a_new_handle_sends_what_waited_in_the_order_of_its_numbers(world: World) -> None:
    phone = await world.phone()
    rows = dict(await write(world, [phone], 400))
    world.clock.advance(5)
    rows |= await write(world, [phone], 400)
    world.clock.advance(5)
    await world.db.write(lambda tx: store.hasten(tx, phone, world.clock()))
    assert_in_order(await deliver(world, rows), rows)


async def test_a_phone_with_much_to_get_holds_up_nobody_else(world: World) -> None:
    """While one batch of it is under way, what follows it for the same phone is passed over."""
    busy, other = [await world.phone() for _ in range(2)]
    rows = dict(await write(world, [busy], 3 * BATCH))
    world.clock.advance(1)
    world.gateway.behind = relay = Takes()
    relay.open.clear()
    async with world.running():
        await relay.until_asked(1)
        [small] = await write(world, [other], 1)
        world.outbox.wake()
        await relay.until_asked(2)
        assert relay.batches[1] == [small]
        relay.open.set()
        await settled(world, state="accepted", number=len(rows) + 1)
