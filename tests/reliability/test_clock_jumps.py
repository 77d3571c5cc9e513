"""A clock that is set: forward by a day, back by two hours. Nothing is stuck, and nothing happens twice."""

import pytest

from server.commands.due import prepare_tasks, run_due
from server.domain.delivery import LEASE
from server.store import leases
from tests.harness.gateways import Down, Takes
from tests.reliability.conftest import let_pass
from tests.reliability.scheduling import WEEK, look, plan, scheduling, times_sent
from tests.server.worker.conftest import World

HOUR = 3_600_000
DAY = 24 * HOUR
BACK = -2 * HOUR


@pytest.mark.parametrize("jump", [DAY, BACK])
async def test_what_waits_for_a_retry_goes_out(world: World, jump: int) -> None:
    phone = await world.phone()
    [row] = await world.seeded.message([phone], ttl=WEEK, title="later")
    world.providers.script("apns", reason="ServiceUnavailable", retry_after=600, times=1)
    async with world.running():
        await world.until_row(row.id, state="queued", attempts=1)
        world.gateway.behind = relay = Takes()
        await let_pass(world, jump)
        await world.until_row(row.id, state="accepted")
    assert relay.pushes == [row.id]


@pytest.mark.parametrize("jump", [DAY, BACK])
async def test_what_a_dead_worker_held_goes_out(world: World, jump: int) -> None:
    phones = [await world.phone() for _ in range(2)]
    rows = await world.seeded.message(phones, ttl=WEEK, title="held")
    world.gateway.behind = relay = Takes()
    async with world.running():
        await world.until("accepted", "accepted")
        world.clock.advance(1)
        rows += await world.seeded.message(phones, ttl=WEEK, title="and again")
        now = world.clock()
        await world.db.write(lambda tx: leases.claim(tx, "dead", now=now, until=now + LEASE, limit=9))
        await let_pass(world, jump)
        await world.until(*["accepted"] * 4)
    assert sorted(relay.pushes) == sorted(row.id for row in rows)


async def test_what_was_written_before_the_clock_was_put_back_goes_before_what_comes_after(
    world: World,
) -> None:
    phone = await world.phone()
    async with world.running():
        await let_pass(world, 0)
    [first] = await world.seeded.message([phone], ttl=WEEK, title="first")
    world.clock.advance(BACK)
    [second] = await world.seeded.message([phone], ttl=WEEK, title="second")
    world.gateway.behind = relay = Takes()
    async with world.running():
        await world.until_row(first.id, state="accepted")
        await world.until_row(second.id, state="accepted")
    assert relay.pushes == [first.id, second.id]


async def test_a_relay_that_was_down_is_asked_again_after_the_clock_was_put_back(world: World) -> None:
    phone = await world.phone()
    [row] = await world.seeded.message([phone], ttl=WEEK, title="patience")
    world.gateway.behind = Down()
    async with world.running():
        for _ in range(5):
            await let_pass(world, 60_000)
        world.gateway.behind = Takes()
        await let_pass(world, BACK)
        await world.until_row(row.id, state="accepted")


@pytest.mark.parametrize("jump", [DAY, BACK])
async def test_what_was_planned_for_a_time_is_sent_then_and_once(world: World, jump: int) -> None:
    at = world.clock() + HOUR
    message = await plan(world, at)
    async with scheduling(world):
        await look(world)
        world.clock.advance(jump)
        await look(world)
        assert await times_sent(world, message) == (1 if jump > 0 else 0)
        world.clock.now = at
        await look(world)
        assert await times_sent(world, message) == 1
        for again in (-HOUR, 2 * DAY):
            world.clock.advance(again)
            await look(world)
    assert await times_sent(world, message) == 1


async def test_a_scheduled_message_that_failed_once_does_not_wait_for_the_clock_to_catch_up(
    world: World,
) -> None:
    message = await plan(world, world.clock())
    await world.db.write(
        lambda tx: tx.run(
            "UPDATE tasks SET attempts = 1, due_at = due_at + 2000 WHERE message_id = $1", message
        )
    )
    async with scheduling(world):
        await look(world)
        world.clock.advance(BACK)
        await look(world)
    assert await times_sent(world, message) == 1


async def test_what_comes_round_again_comes_round_after_the_clock_was_put_back(world: World) -> None:
    async with scheduling(world):
        await look(world)
        world.clock.advance(BACK)
        await look(world)
        rows = await world.db.read(lambda tx: tx.all("SELECT kind, due_at FROM tasks"))
    assert {row["kind"] for row in rows} >= {"prune", "compact"}
    assert all(row["due_at"] <= world.clock() + HOUR for row in rows)


async def test_a_clock_that_was_put_back_while_nothing_ran_is_noticed_at_the_start(world: World) -> None:
    phone = await world.phone()
    [row] = await world.seeded.message([phone], ttl=WEEK, title="later")
    assert not await prepare_tasks(world.db, world.clock())
    world.providers.script("apns", reason="ServiceUnavailable", retry_after=600, times=1)
    async with world.running():
        await world.until_row(row.id, state="queued", attempts=1)
    world.clock.advance(BACK)
    assert await prepare_tasks(world.db, world.clock())
    world.gateway.behind = Takes()
    await world.run_until("accepted")
    while await run_due(world.db, now=world.clock(), random=world.seeded.random, log=world.log):
        pass
    assert not await prepare_tasks(world.db, world.clock())
