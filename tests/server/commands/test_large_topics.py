"""A message to a topic, whose subscribers are many: the answer at once, then page after page, and an end wherever it is cancelled."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
import structlog

from server.commands.cancel import Cancelled, cancel
from server.commands.due import run_due
from server.commands.preferences import set_preference
from server.commands.send import send
from server.commands.status import find_status
from server.commands.topics import subscribe
from server.domain.account import Caller
from server.domain.delivery import LEASE, Channel, Event, Settlement
from server.domain.ids import new_id
from server.domain.message import Category, Message
from server.domain.ports import Database, Transaction
from server.domain.preferences import SetPreference
from server.domain.result import Result
from server.domain.scopes import Grant
from server.store import leases
from server.store.leases import Times
from server.store.tallies import audit
from tests.harness.calendar import PLAIN, Calendar
from tests.harness.model_world import World

PAGE = 5
NAMES = [f"user-{number:02}" for number in range(23)]


@dataclass(frozen=True)
class Topic:
    """A topic with subscribers; each has `phones` by the last digit of their number: 0, 1 or 2."""

    calendar: Calendar
    users: dict[str, str]  # ids by name

    @property
    def world(self) -> World:
        return self.calendar.world

    @property
    def db(self) -> Database:
        return self.world.db

    @property
    def tenant(self) -> str:
        return self.world.users[0].tenant_id

    @classmethod
    async def make(cls, world: World, names: Sequence[str]) -> "Topic":
        calendar = await Calendar.make(world)
        made = cls(calendar, {})
        await subscribe(world.db, made.tenant, "news", names, now=world.clock(), random=world.random)
        rows = await world.db.read(
            lambda tx: tx.all("SELECT id, external_id FROM users WHERE external_id LIKE 'user-%'")
        )
        made.users.update({row["external_id"]: row["id"] for row in rows})
        for index, name in enumerate(names):
            await made.pair(name, index % 3)
        return made

    async def pair(self, name: str, number: int) -> None:
        rows = [
            (new_id(1, self.world.random), self.users[name], self.world.random(32)) for _ in range(number)
        ]
        sql = (
            "INSERT INTO devices (id, user_id, name, platform, handle, token_hash, head, created_at)"
            " VALUES ($1, $2, 'phone', 'ios', 'h', $3, 0, 1)"
        )
        await self.db.write(lambda tx: tx.many(sql, rows))

    async def send(
        self,
        *channels: Channel,
        but: Sequence[str] = (),
        category: Category = Category.PRODUCT,
    ) -> Message:
        command = replace(PLAIN, topic="news", exclude=tuple(but), channels=channels, category=category)
        manager = Caller(self.world.users[0], Grant(frozenset({"admin"}), operator=True), None, "token")
        sent = await send(self.world.sender, manager, command, key=None, now=self.calendar.now)
        return sent.message

    async def refuse(self, channel: Channel, *names: str) -> None:
        for name in names:
            refusal = SetPreference(channel, Category.PRODUCT, enabled=False)
            await set_preference(self.db, self.users[name], refusal, now=self.calendar.now)

    async def accept(self) -> int:
        """Hand over what waits; return how many pushes that are."""
        now, lease = self.calendar.now, new_id(self.calendar.now, self.world.random)

        async def job(tx: Transaction) -> int:
            parcels = (await leases.read_batch(tx, lease)).parcels
            ended = [
                Settlement(
                    one.id,
                    one.device_id,
                    Event.CANCEL if one.is_withdrawn else Event.ACCEPT,
                    None,
                    now,
                )
                for one in parcels
            ]
            return len(await leases.settle(tx, lease, ended, now, Times(now, now)))

        await self.db.write(lambda tx: leases.claim(tx, lease, now=now, until=now + LEASE, limit=500))
        return await self.db.write(job)

    async def step(self) -> None:
        """Do one thing that is due."""
        await run_due(self.db, now=self.calendar.now, random=self.world.random, log=structlog.get_logger())

    async def finish(self) -> None:
        """Do what is left, until nothing waits; a page waits a moment where those before it were not handed over."""
        while await self.calendar.run() or await self.accept() or await self.calendar.rows("tasks"):
            self.world.clock.advance(50)

    async def outcomes(self) -> Counter[tuple[str, str, str]]:
        """Count the deliveries of each user, channel and state."""
        names = {id_: name for name, id_ in self.users.items()}
        rows = await self.calendar.rows("deliveries", kind=1)
        return Counter((names[row["user_id"]], row["channel"], row["state"]) for row in rows)

    async def result(self, message: Message) -> Result:
        found = await find_status(self.db, self.tenant, message.id, offset=0, limit=1)
        return found.result

    async def cancel(self, message: Message) -> Cancelled:
        return await cancel(
            self.db,
            self.tenant,
            message.id,
            clock=self.world.clock,
            random=self.world.random,
            wake=lambda: None,
        )

    async def check(self) -> None:
        found = await self.db.read(audit)
        assert found.holds, found


@pytest.fixture
async def topic(database: Database, request: pytest.FixtureRequest) -> Topic:
    with ThreadPoolExecutor(1) as pool:
        world = await World.make(database, getattr(request, "param", PAGE), pool)
    return await Topic.make(world, NAMES)


@pytest.mark.parametrize("topic", [1, 2, 3, 5, 22, 23, 24, 500], indirect=True)
async def test_each_subscriber_gets_it_once_but_who_is_excluded_or_does_not_want_it(topic: Topic) -> None:
    """Whatever the size of a page; those who have several phones on each, those who have none hear why not."""
    excluded, unwilling = ["user-00", "user-05", "user-22"], ["user-04", "user-06", "user-08", "user-20"]
    await topic.refuse(Channel.PUSH, *unwilling)
    message = await topic.send(Channel.PUSH, but=[*excluded, "user-05", "nobody"])
    while await topic.accept():
        pass
    await topic.finish()
    expected: Counter[tuple[str, str, str]] = Counter()
    for index, name in enumerate(NAMES):
        if name in excluded:
            continue
        refused = name in unwilling or index % 3 == 0
        expected[name, "PUSH", "suppressed" if refused else "accepted"] = 1 if refused else index % 3
    assert await topic.outcomes() == expected
    assert message.notifications == len(NAMES) - len(excluded)
    why = {row["reason"] for row in await topic.calendar.rows("deliveries", state="suppressed")}
    assert why == {"opted_out", "no_channel"}
    assert await topic.result(message) is Result.DELIVERED
    await topic.check()


@pytest.mark.parametrize("topic", [1, 4, 500], indirect=True)
async def test_an_inbox_is_filled_once_or_not_at_all(topic: Topic) -> None:
    await topic.refuse(Channel.IN_APP, "user-07")
    await topic.send(Channel.IN_APP, but=["user-11"])
    await topic.finish()
    names = {id_: name for name, id_ in topic.users.items()}
    got = sorted(names[row["user_id"]] for row in await topic.calendar.rows("inbox_items"))
    assert got == [name for name in NAMES if name not in ("user-07", "user-11")]
    await topic.check()


async def test_what_is_of_the_system_comes_whatever_anybody_wants(topic: Topic) -> None:
    await topic.refuse(Channel.IN_APP, *NAMES)
    await topic.send(Channel.IN_APP, category=Category.SYSTEM)
    await topic.finish()
    assert await topic.outcomes() == Counter({(name, "IN_APP", "accepted"): 1 for name in NAMES})


async def test_the_answer_comes_with_the_first_page_and_the_rest_page_by_page(topic: Topic) -> None:
    """While that lasts the whole of it is on its way, whatever became of the first page."""
    message = await topic.send(Channel.EMAIL)
    assert message.notifications == len(NAMES)
    assert (await topic.outcomes()).total() == PAGE
    assert await topic.result(message) is Result.SENT
    written = []
    while await topic.calendar.rows("tasks", kind="fanout"):
        assert len(await topic.calendar.rows("tasks", kind="fanout")) == 1
        await topic.calendar.run()
        written.append((await topic.outcomes()).total())
    assert written[-1] == len(NAMES)
    assert await topic.result(message) is Result.NO_CHANNEL


@pytest.mark.parametrize("steps", range(6))
async def test_cancelled_in_the_middle_it_goes_no_further(topic: Topic, steps: int) -> None:
    """Who has it is told to drop it; nobody else ever gets it."""
    message = await topic.send(Channel.PUSH)
    await topic.accept()
    for _ in range(steps):
        await topic.step()
    there = await topic.outcomes()
    handed_over = sum(number for (_, _, state), number in there.items() if state == "accepted")
    assert await topic.cancel(message) == Cancelled(whole=False, retracted=handed_over)
    assert len(await topic.calendar.rows("deliveries", kind=2)) == handed_over
    await topic.finish()
    after = await topic.outcomes()
    assert after.total() == there.total()
    assert {state for _, _, state in after} <= {"accepted", "cancelled", "suppressed"}
    assert await topic.cancel(message) == Cancelled(whole=False, retracted=handed_over)
    await topic.check()


async def test_cancelled_while_pages_are_written_and_handed_over_nothing_is_left(topic: Topic) -> None:
    message = await topic.send(Channel.IN_APP, Channel.PUSH)

    async def schedule() -> None:
        for _ in range(4):
            await topic.calendar.run()

    async def work() -> None:
        for _ in range(8):
            await topic.accept()

    answer, again, *_ = await asyncio.gather(
        topic.cancel(message), topic.cancel(message), schedule(), schedule(), work(), work()
    )
    await topic.finish()
    assert answer == again == await topic.cancel(message)
    assert not answer.whole  # the first page of inboxes was there with the answer
    assert [one for one in await topic.calendar.rows("inbox_items") if one["deleted_at"] is None] == []
    assert await topic.calendar.rows("tasks", message_id=message.id) == []
    assert all(number <= 2 for number in (await topic.outcomes()).values())
    accepted = [one for one in await topic.calendar.rows("deliveries", state="accepted") if one["kind"] == 1]
    assert len(accepted) <= answer.retracted  # what was under way is said to have gone out
    await topic.check()
