"""A message to many: page after page, each recipient once, others in between, and an end when it is retracted."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
import structlog

from server.commands.due import run_due
from server.commands.messages import retract
from server.commands.send import send
from server.commands.spread import AHEAD, HELD
from server.domain.delivery import LEASE, Channel
from server.domain.ids import new_id
from server.domain.message import DAY, DeliveryType, Message
from server.domain.ports import Database, Transaction
from server.domain.task import Kind
from server.domain.turns import BULK, SPREAD
from server.store import leases
from server.store.tallies import audit
from tests.harness.calendar import PLAIN
from tests.harness.model_world import World

PAGE = 3


@dataclass(frozen=True)
class Crowd:
    """A bucket of ann's with readers, in the order in which a message reaches them."""

    world: World
    bucket: str

    @property
    def db(self) -> Database:
        return self.world.db

    async def join(self, *phones: int) -> list[str]:
        """Add readers with so many phones each and return their ids."""
        now, random = self.world.clock(), self.world.random
        ann = self.world.users[0]
        users = sorted(new_id(now, random) for _ in phones)

        async def job(tx: Transaction) -> None:
            await tx.many(
                "INSERT INTO users (id, tenant_id, role, profile, created_at) VALUES ($1, $2, 'user', '{}', 1)",
                [(user, ann.tenant_id) for user in users],
            )
            await tx.many(
                "INSERT INTO bucket_members (bucket_id, user_id, permissions, created_at) VALUES ($1, $2, '[\"READ\"]', 1)",
                [(self.bucket, user) for user in users],
            )

        await self.db.write(job)
        for user, number in zip(users, phones, strict=True):
            await self.pair(user, number)
        return users

    async def pair(self, user: str, number: int) -> None:
        rows = [
            (new_id(self.world.clock(), self.world.random), user, self.world.random(32))
            for _ in range(number)
        ]
        sql = (
            "INSERT INTO devices (id, user_id, name, platform, handle, token_hash, head, created_at)"
            " VALUES ($1, $2, 'phone', 'ios', 'h', $3, 0, 1)"
        )
        await self.db.write(lambda tx: tx.many(sql, rows))

    async def leave(self, user: str) -> None:
        await self.db.write(lambda tx: tx.run("DELETE FROM bucket_members WHERE user_id = $1", user))

    async def send(
        self, kind: DeliveryType = DeliveryType.NORMAL, only: Sequence[str] | None = None
    ) -> Message:
        command = replace(
            PLAIN,
            bucket=self.bucket,
            delivery_type=kind,
            channels=(Channel.IN_APP,) if kind is DeliveryType.NO_PUSH else PLAIN.channels,
            user_ids=None if only is None else tuple(only),
            ttl=DAY,
        )
        caller = self.world.caller(self.world.users[0])
        return (await send(self.world.sender, caller, command, key=None, now=self.world.clock())).message

    async def step(self) -> bool:
        """Run what is due; False where nothing is."""
        log = structlog.get_logger()
        return await run_due(self.db, now=self.world.clock(), random=self.world.random, log=log) is not None

    async def reached(self) -> Counter[tuple[str, str]]:
        """Count the deliveries of each user and channel."""
        rows = await self.db.read(lambda tx: tx.all("SELECT user_id, channel FROM deliveries WHERE kind = 1"))
        return Counter((row["user_id"], row["channel"]) for row in rows)

    async def claim_all(self) -> int:
        now = self.world.clock()
        lease = new_id(now, self.world.random)
        return await self.db.write(lambda tx: leases.claim(tx, lease, now=now, until=now + LEASE, limit=500))

    async def check(self) -> None:
        found = await self.db.read(audit)
        assert found.holds


@pytest.fixture
async def crowd(database: Database, request: pytest.FixtureRequest) -> Crowd:
    page = getattr(request, "param", PAGE)
    with ThreadPoolExecutor(1) as pool:
        world = await World.make(database, page, pool)
    await database.write(lambda tx: tx.run("DELETE FROM tasks"))
    bucket = next(iter(world.buckets))
    await database.write(lambda tx: tx.run("UPDATE bucket_members SET permissions = '[\"WRITE\"]'"))
    return Crowd(world, bucket)


@pytest.mark.parametrize("crowd", [1, 2, 3, 5, 500], indirect=True)
async def test_everybody_is_reached_once_whatever_the_size_of_a_page(crowd: Crowd) -> None:
    """Also those whose devices do not fit on one page; of those who have none it is noted."""
    phones = [2, 0, 4, 1, 0, 0, 3]
    users = await crowd.join(*phones)
    message = await crowd.send()
    while await crowd.step():
        await crowd.claim_all()
    reached = await crowd.reached()
    assert message.notifications == len(users)
    assert reached == Counter(
        {(user, "IN_APP"): 1 for user in users}
        | {(user, "PUSH"): max(number, 1) for user, number in zip(users, phones, strict=True)}
    )
    items = await crowd.db.read(lambda tx: tx.all("SELECT user_id FROM inbox_items"))
    assert sorted(row["user_id"] for row in items) == users
    await crowd.check()


async def test_the_first_page_is_written_at_once_and_the_rest_stands_back(crowd: Crowd) -> None:
    users = await crowd.join(1, 1, 1, 1, 1)
    await crowd.send()
    now = crowd.world.clock()
    assert set(await crowd.reached()) == {
        (user, channel) for user in users[:PAGE] for channel in ("IN_APP", "PUSH")
    }
    assert await crowd.step()
    rows = await crowd.db.read(
        lambda tx: tx.all("SELECT user_id, turn FROM deliveries WHERE channel = 'PUSH'")
    )
    assert {row["user_id"]: row["turn"] - now for row in rows} == dict(
        zip(users, [0, 0, 0, BULK, BULK], strict=True)
    )
    assert not await crowd.step()


async def test_a_critical_message_stands_back_for_nobody(crowd: Crowd) -> None:
    await crowd.join(1, 1, 1, 1, 1)
    await crowd.send(DeliveryType.CRITICAL)
    assert await crowd.step()
    rows = await crowd.db.read(lambda tx: tx.all("SELECT turn FROM deliveries"))
    assert {row["turn"] for row in rows} == {crowd.world.clock() - SPREAD}


async def test_without_push_inboxes_are_filled_and_nothing_is_waited_for(crowd: Crowd) -> None:
    users = await crowd.join(*[2] * 20)
    await crowd.send(DeliveryType.NO_PUSH)
    steps = 0
    while await crowd.step():
        steps += 1
    assert await crowd.reached() == Counter({(user, "IN_APP"): 1 for user in users})
    assert steps == len(users) // PAGE


async def test_what_was_written_is_waited_for_but_not_for_ever(crowd: Crowd) -> None:
    """Others get in between, and an inbox does not wait for a relay that is down."""
    await crowd.join(*[1] * 30)
    await crowd.send()

    async def pages() -> int:
        """Return how many are written until one is held back."""
        before = (await crowd.reached()).total()
        while await crowd.step():
            pass
        return ((await crowd.reached()).total() - before) // (2 * PAGE)

    assert await pages() == AHEAD - 1  # beside the first
    crowd.world.clock.advance(50)
    assert await pages() == 0
    crowd.world.clock.advance(HELD)
    assert await pages() == 1
    assert await crowd.claim_all() == (AHEAD + 1) * PAGE
    crowd.world.clock.advance(50)
    assert await pages() == AHEAD
    crowd.world.clock.advance(-3_600_000)  # what it last wrote lies ahead: that is not waited for
    await crowd.db.write(lambda tx: tx.run("UPDATE tasks SET due_at = 1"))
    assert await pages() >= 1


async def test_who_joins_ahead_is_reached_and_who_leaves_is_not(crowd: Crowd) -> None:
    """A page shows the members of its moment; a phone that comes behind the cursor's place is one as well."""
    users = await crowd.join(1, 1, 1, 1, 1, 1, 1)
    message = await crowd.send()
    await crowd.leave(users[1])  # was written already
    await crowd.leave(users[5])
    crowd.world.clock.advance(1)
    await crowd.pair(users[2], 1)  # the last of the first page: its devices go on
    while await crowd.step():
        pass
    reached = await crowd.reached()
    assert [reached[user, "PUSH"] for user in users] == [1, 1, 2, 1, 1, 0, 1]
    assert [reached[user, "IN_APP"] for user in users] == [1, 1, 1, 1, 1, 0, 1]
    assert message.notifications == len(users)


async def test_a_retraction_withdraws_what_was_written_and_ends_the_rest(crowd: Crowd) -> None:
    users = await crowd.join(*[1] * 10)
    message = await crowd.send()
    assert await crowd.claim_all() == PAGE
    assert await crowd.step()
    world = crowd.world
    await retract(
        world.db, world.users[0], message.id, clock=world.clock, random=world.random, wake=lambda: None
    )
    assert not await crowd.step()
    rows = await crowd.db.read(
        lambda tx: tx.all("SELECT user_id, kind, state FROM deliveries WHERE channel = 'PUSH'")
    )
    found = Counter((row["kind"], row["state"]) for row in rows)
    assert found == {(1, "leased"): PAGE, (1, "cancelled"): PAGE, (2, "queued"): PAGE}
    assert {row["user_id"] for row in rows if row["kind"] == 2} == set(users[:PAGE])
    await crowd.check()


@pytest.mark.parametrize("crowd", [100, 500], indirect=True)
async def test_named_users_are_reached_however_many_they_are(crowd: Crowd) -> None:
    """Names are looked up 250 at a time; who may not read, or is no member, is left out."""
    users = await crowd.join(*[1] * 620)
    wanted = [user for index, user in enumerate(users) if index % 7]
    await crowd.leave(wanted[300])
    outside = wanted.pop(300)
    message = await crowd.send(only=[*reversed(wanted), outside, crowd.world.users[0].id])
    while await crowd.step():
        await crowd.claim_all()
    expected = {(user, channel): 1 for user in wanted for channel in ("IN_APP", "PUSH")}
    assert await crowd.reached() == Counter(expected)
    assert message.notifications == len(wanted)
    await crowd.check()


async def test_two_messages_take_turns(crowd: Crowd) -> None:
    """Neither is written to its end before the other goes on."""
    await crowd.join(*[0] * 12)
    first, second = await crowd.send(), await crowd.send()
    order = []
    while True:
        done = await run_due(
            crowd.db, now=crowd.world.clock(), random=crowd.world.random, log=structlog.get_logger()
        )
        if done is None:
            break
        assert done.kind is Kind.FANOUT
        order.append(done.message_id)
        crowd.world.clock.advance(1)
    assert set(order[:3]) == {first.id, second.id}
    assert Counter(order) == {first.id: 4, second.id: 4}
