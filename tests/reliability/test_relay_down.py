"""A relay that is down for an hour: what waits loses nothing but time, and the relay is left in peace."""

import json
from collections import Counter

from server.commands.health import look_at_queue
from server.domain.delivery import Delivery, Kind
from server.domain.ports import Transaction
from server.store import notices, outbox
from tests.harness.gateways import Down, Takes
from tests.reliability.conftest import let_pass
from tests.server.worker.conftest import World

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
STEP = 6 * SECOND
MESSAGES = 200


async def test_an_hour_without_a_relay_costs_nothing_but_the_hour(world: World) -> None:
    phones = [await phone_for_a_day(world) for _ in range(4)]
    up, down = world.gateway.behind, Down()
    world.gateway.behind = down
    sent: list[Delivery] = []
    async with world.running():
        for second in range(0, HOUR, STEP):
            if second % (HOUR // MESSAGES) == 0:
                sent += await world.seeded.message([phones[len(sent) % 4]], title=f"{len(sent)}")
            await let_pass(world, STEP)
        assert len(sent) == MESSAGES
        assert 60 <= down.asked <= 70
        queue = await look_at_queue(world.db, world.clock())
        assert (queue.due, queue.oldest) == (MESSAGES, HOUR)
        assert queue.tally.waiting == MESSAGES
        assert world.metric("hushpost_outbox_batches_total", result="relay_unreachable") == down.asked
        world.gateway.behind = up
        before = len(world.gateway.batches)
        await let_pass(world, MINUTE)
    assert await states(world) == {"accepted": MESSAGES}
    assert len(world.gateway.batches) - before == 1
    assert {(await world.seeded.row(one.id))["attempts"] for one in sent} == {1}
    for phone in phones:
        assert [frame.sequence for frame in world.frames(phone)] == list(range(1, MESSAGES // 4 + 1))


async def test_what_ends_meanwhile_is_expired_and_nothing_else_is(world: World) -> None:
    phone = await phone_for_a_day(world)
    world.gateway.behind = Down()
    async with world.running():
        short = await world.seeded.message([phone], ttl=10 * MINUTE, title="the kettle boils")
        long = await world.seeded.message([phone], ttl=2 * HOUR, title="the pipe leaks")
        for _ in range(HOUR // MINUTE):
            await let_pass(world, MINUTE)
        assert (await world.seeded.row(short[0].id))["state"] == "expired"
        assert (await world.seeded.row(long[0].id))["state"] == "queued"
        world.gateway.behind = relay = Takes()
        await let_pass(world, MINUTE)
    assert relay.pushes == [long[0].id]


async def test_what_was_retracted_read_or_moved_meanwhile_is_so_when_it_comes_back(world: World) -> None:
    phones = [await phone_for_a_day(world) for _ in range(2)]
    up = world.gateway.behind
    world.gateway.behind = down = Down()
    async with world.running():
        await let_pass(world, SECOND)
        mistake = await world.seeded.message(phones, title="a mistake")
        await let_pass(world, MINUTE)  # it has been tried, so a phone may have it
        read = await world.seeded.message(phones, title="read at the desk")
        unseen = await world.seeded.message(phones, title="taken back at once")
        await world.seeded.retract(unseen[0].message_id or "")
        await let_pass(world, MINUTE)
        await world.seeded.retract(mistake[0].message_id or "")
        await tell_read(world, read[0], at=phones[0])
        asked = down.asked
        await move(world, phones[1])
        await let_pass(world, SECOND)
        assert down.asked - asked <= 1
        world.gateway.behind = up
        await let_pass(world, MINUTE)
    assert [(await world.seeded.row(one.id))["state"] for one in mistake + unseen] == ["cancelled"] * 4
    assert [(await world.seeded.row(one.id))["state"] for one in read] == ["accepted"] * 2
    got = [
        [(frame.kind, json.loads(frame.body).get("ids")) for frame in world.frames(phone)] for phone in phones
    ]
    retraction = (Kind.RETRACT, [mistake[0].frame_id])
    assert sorted(got[0]) == [(Kind.MESSAGE, None), retraction]
    assert sorted(got[1]) == [(Kind.MESSAGE, None), retraction, (Kind.READ, [read[1].frame_id])]


async def test_a_batch_that_the_relay_cannot_take_lets_the_others_pass(world: World) -> None:
    """Whatever it is about one batch, such as a fault of the relay's own, goes behind what is new."""
    phones = [await world.phone() for _ in range(2)]
    world.gateway.behind = Down("relay_internal", general=False)
    async with world.running():
        poison = await world.seeded.message(phones[:1], title="poison")
        await let_pass(world, SECOND)
    fresh = await world.seeded.message(phones[1:], title="fresh")
    world.clock.advance(MINUTE)
    row = await world.seeded.row(poison[0].id)
    assert row["state"] == "queued"
    assert row["due_at"] > row["created_at"] + SECOND, "no other worker takes it at once"
    assert row["turn"] >= (await world.seeded.row(fresh[0].id))["turn"]


async def phone_for_a_day(world: World) -> str:
    phone = await world.phone()
    await set_handle(world, phone, world.tokens[phone])
    return phone


async def move(world: World, phone: str) -> None:
    """The app was installed anew: its old token is dead, it has a new handle."""
    world.providers.uninstall(world.tokens[phone])
    world.tokens[phone] = world.providers.token("apns")
    await set_handle(world, phone, world.tokens[phone])


async def set_handle(world: World, phone: str, token: str) -> None:
    handle = world.relay.handle(token, expires_at=world.clock() + 24 * HOUR)

    async def job(tx: Transaction) -> None:
        await tx.run("UPDATE devices SET handle = $2, handle_fault = NULL WHERE id = $1", phone, handle)
        await outbox.hasten(tx, phone, world.clock())

    await world.db.write(job)


async def tell_read(world: World, delivery: Delivery, *, at: str) -> None:
    seeded = world.seeded
    await world.db.write(
        lambda tx: notices.tell_read(
            tx, seeded.user_id, [delivery.message_id or ""], but=at, now=world.clock(), random=seeded.random
        )
    )


async def states(world: World) -> Counter[str]:
    return Counter(await world.seeded.states())
