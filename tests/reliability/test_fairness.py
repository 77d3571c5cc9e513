"""Who waits for whom: nobody for a message to everybody, for a sender who floods, or for anything where it is critical."""

from server.domain.ids import new_id
from server.domain.ports import Transaction
from server.domain.turns import Turns, critical_turn
from tests.harness.gateways import Takes
from tests.reliability.conftest import let_pass
from tests.reliability.scheduling import plan, scheduling
from tests.reliability.writing import deliver, settled, write
from tests.server.worker.conftest import World

MEMBERS = 2_500
BATCH = 500


async def test_a_small_message_does_not_wait_for_a_message_to_everybody(world: World) -> None:
    await add_members(world, MEMBERS)
    phone = await world.phone()
    await plan(world, world.clock(), member=False)
    world.gateway.behind = relay = Takes()
    relay.open.clear()
    async with world.running(), scheduling(world):
        await relay.until_asked(1)
        [small] = await write(world, [phone], 1)
        world.outbox.wake()
        await relay.until_asked(2)
        assert relay.batches[1] == [small], "the last place is kept for it"
        relay.open.set()
        while len(relay.pushes) < MEMBERS + 1:
            await let_pass(world, 100)  # a page that is held back looks again in a while
        await settled(world, state="accepted", number=2 * MEMBERS + 1)  # in an inbox and on a phone
    assert len(relay.pushes) == len(set(relay.pushes)) == MEMBERS + 1


async def test_a_sender_who_floods_stands_behind_one_who_does_not(world: World) -> None:
    turns, now = Turns(), world.clock()
    phones = [await world.phone() for _ in range(10)]
    rows = dict[str, tuple[str, int]]()
    for _ in range(20):
        rows |= await write(world, phones, 10, turn=turns.take("loud", now))
        turns.count("loud", 100, now)
    world.clock.advance(2)
    quiet = await write(world, [await world.phone()], 1, turn=turns.take("quiet", world.clock()))
    relay = await deliver(world, rows | dict(quiet))
    assert [number for number, batch in enumerate(relay.batches) if set(quiet) & set(batch)] == [0]
    assert len(relay.batches) >= 4


async def test_what_is_critical_goes_before_all_that_waits(world: World) -> None:
    rows = dict(await write(world, [await world.phone() for _ in range(10)], 2 * BATCH // 10))
    world.clock.advance(1_000)
    now = world.clock()
    alarm = await write(world, [await world.phone()], 1, turn=critical_turn(now))
    relay = await deliver(world, rows | dict(alarm))
    assert [number for number, batch in enumerate(relay.batches) if set(alarm) & set(batch)] == [0]


async def add_members(world: World, number: int) -> None:
    """Give a bucket so many members, each with a device that is only woken: sealing is not what is looked at."""
    seeded, now = world.seeded, world.clock()
    handle = world.relay.handle(world.providers.token("apns"))

    async def job(tx: Transaction) -> None:
        row = await tx.one("SELECT tenant_id FROM buckets WHERE id = $1", seeded.bucket_id)
        assert row is not None
        users = [new_id(now, seeded.random) for _ in range(number)]
        await tx.many(
            "INSERT INTO users (id, tenant_id, role, profile, created_at) VALUES ($1, $2, 'user', '{}', 1)",
            [(user, row["tenant_id"]) for user in users],
        )
        await tx.many(
            "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at) VALUES ($1, $2, $3, 1)",
            [(seeded.bucket_id, user, '["READ"]') for user in users],
        )
        await tx.many(
            "INSERT INTO devices (id, user_id, name, platform, handle, token_hash, head, created_at)"
            " VALUES ($1, $2, 'phone', 'ios', $3, $4, 0, 1)",
            [(new_id(now, seeded.random), user, handle, seeded.random(32)) for user in users],
        )

    await world.db.write(job)
