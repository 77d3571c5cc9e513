"""Everything at once, by an app's own servers: what they send by name and to topics, cancel, subscribe, register and delete.

As `test_at_once.py`: what happens in what order is left to the loop and to PostgreSQL. Whoever asks twice is told the same, and
when all has come to rest nothing is left of who was deleted. A longer run:

    HUSHPOST_TEST_EXAMPLES=20000 .venv/bin/python -m pytest tests/reliability/test_at_once_by_name.py
"""

import asyncio
import random as pseudo
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from server.commands import push_devices, subscribers, takeback, topics
from server.commands.cancel import Cancelled, cancel
from server.commands.due import prepare_tasks
from server.commands.people import ensure_people
from server.commands.preferences import set_preference
from server.commands.push_devices import PushDevices
from server.commands.send import send
from server.commands.status import find_status
from server.domain.account import Caller, Role, User
from server.domain.delivery import Channel
from server.domain.device import Platform, RegisterDevice
from server.domain.message import Category
from server.domain.ports import Database, Transaction
from server.domain.preferences import SetPreference
from server.domain.relay import RelayApp
from server.domain.scopes import Grant
from tests.harness.calendar import PLAIN, Calendar
from tests.harness.model_world import World
from tests.reliability.test_at_once import (
    LEFT_OF_RETRACTED,
    NUMBERED_TWICE,
    PAGE,
    SENT_TWICE,
    STEPS,
    Crowd,
    nobody,
)

NAMES = [f"user-{number}" for number in range(8)]
_PHONES = [f"token-{number}" for number in range(6)]
_TOPICS = ["news", "offers"]
_CHANNELS = [(Channel.PUSH,), (Channel.IN_APP,), (Channel.IN_APP, Channel.PUSH), (Channel.EMAIL,)]
_LEFT_OF_DELETED = " UNION ALL ".join(
    f"SELECT '{table}' AS what, user_id FROM {table} WHERE user_id IN (SELECT id FROM users WHERE deleted_at IS NOT NULL)"  # noqa: S608 - our names
    for table in ("devices", "inbox_items", "opt_outs", "bucket_members")
)
_LEFT_OF_TOPICS = """
    SELECT m.bucket_id FROM bucket_members m JOIN buckets b ON b.id = m.bucket_id WHERE b.owner_id IS NULL AND b.topic_key IS NULL
"""
_TO_ONE_TWICE = """
    SELECT message_id, user_id, channel FROM deliveries WHERE device_id IS NULL AND frame_id = message_id
        GROUP BY message_id, user_id, channel HAVING COUNT(*) > 1
"""


@dataclass
class Servers(Crowd):
    """An app's servers. `told`: what each message's cancelling was answered with; it is always the same."""

    told: dict[str, Cancelled] = field(default_factory=dict)

    @property
    def deeds(self) -> list[Callable[[], Awaitable[Any]]]:
        return [
            self.send_by_name,
            self.send_by_name,
            self.send_to_topic,
            self.send_to_topic,
            self.cancel,
            self.cancel,
            self.ask,
            self.subscribe,
            self.unsubscribe,
            self.end_topic,
            self.register,
            self.register,
            self.unregister,
            self.refuse,
            self.change,
            self.delete_subscriber,
        ]

    async def send_by_name(self) -> None:
        names = self.dice.sample(NAMES, self.dice.randint(1, 4))
        await self._send(user_ids=tuple(names))

    async def send_to_topic(self) -> None:
        await self._send(topic=self.topic(), exclude=tuple(self.dice.sample(NAMES, 1)))

    async def _send(self, **to: Any) -> None:
        command = replace(
            PLAIN,
            makes_users=True,
            channels=self.dice.choice(_CHANNELS),
            category=self.dice.choice([Category.PRODUCT, Category.SYSTEM]),
            send_at=self.dice.choice([None, None, self.now + 60_000]),
            **to,
        )
        sent = await send(self.calendar.world.sender, self.manager, command, key=None, now=self.now)
        self.sent.append(sent.message.id)

    async def cancel(self) -> None:
        await self.cancelled(self.any_message())

    async def cancelled(self, message: str) -> None:
        answer = await cancel(
            self.calendar.db,
            self.tenant,
            message,
            clock=self.calendar.world.clock,
            random=self.random,
            wake=nobody,
        )
        assert answer == self.told.setdefault(message, answer)

    async def ask(self) -> None:
        await find_status(self.calendar.db, self.tenant, self.any_message(), offset=0, limit=10)

    async def subscribe(self) -> None:
        names = self.dice.sample(NAMES, self.dice.randint(1, 5))
        await topics.subscribe(
            self.calendar.db, self.tenant, self.topic(), names, now=self.now, random=self.random
        )

    async def unsubscribe(self) -> None:
        await topics.unsubscribe(self.calendar.db, self.tenant, self.topic(), [self.name()])

    async def end_topic(self) -> None:
        await topics.delete_topic(
            self.calendar.db, self.tenant, self.topic(), now=self.now, random=self.random, wake=nobody
        )

    async def register(self) -> None:
        token = self.dice.choice(_PHONES)
        name = self.dice.choice(["phone", "tablet"])
        command = RegisterDevice(name, Platform.IOS, token, None, None, None, None)
        await push_devices.register(self.phones, await self.user(), command, now=self.now)

    async def unregister(self) -> None:
        await push_devices.unregister(self.phones, await self.user(), self.dice.choice(_PHONES), None)

    async def refuse(self) -> None:
        what = SetPreference(
            self.dice.choice([Channel.IN_APP, Channel.PUSH]), None, enabled=self.dice.random() < 0.5
        )
        await set_preference(self.calendar.db, (await self.user()).id, what, now=self.now)

    async def delete_subscriber(self) -> None:
        await subscribers.delete_subscriber(
            self.calendar.db, self.tenant, self.name(), now=self.now, random=self.random, wake=nobody
        )

    @property
    def now(self) -> int:
        return self.calendar.now

    @property
    def random(self) -> Callable[[int], bytes]:
        return self.calendar.world.random

    @property
    def tenant(self) -> str:
        return self.calendar.ann.tenant_id

    @property
    def manager(self) -> Caller:
        return Caller(self.calendar.ann, Grant(frozenset({"admin"}), operator=True), None, "token")

    @property
    def phones(self) -> PushDevices:
        app = RelayApp("app", "https://relay.example", "apns")
        apps = dict.fromkeys(Platform, app)
        return PushDevices(self.calendar.db, self.random, bytes(32), apps, self._handle, nobody)

    async def _handle(self, _app: RelayApp, _token: str) -> str:
        return self.calendar.world.handle()

    async def user(self) -> User:
        """Return somebody as a request finds them: they may be deleted before it is carried out."""
        [user_id] = await self.calendar.db.write(
            lambda tx: ensure_people(tx, self.tenant, [self.name()], self.now, self.random)
        ) or [""]
        return User(user_id, self.tenant, None, None, None, Role.USER, {}, 0)

    def name(self) -> str:
        return self.dice.choice(NAMES)

    def topic(self) -> str:
        return self.dice.choice(_TOPICS)


class Fickle(Servers):
    """Servers whose users come and go, and want this and that, but for some who stay."""

    @property
    def deeds(self) -> list[Callable[[], Awaitable[Any]]]:
        return [
            self.subscribe,
            self.subscribe,
            self.unsubscribe,
            self.register,
            self.unregister,
            self.refuse,
            self.delete_subscriber,
        ]

    def topic(self) -> str:
        return _TOPICS[0]


@pytest.fixture
async def servers(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Servers]:
    monkeypatch.setattr(takeback, "PAGE", 1)
    with ThreadPoolExecutor(1) as pool:
        calendar = await Calendar.make(await World.make(database, PAGE, pool))
        await prepare_tasks(database, calendar.now)
        yield Servers(calendar, pseudo.Random(8439), STEPS)  # noqa: S311 - it repeats what it can


async def test_whatever_servers_do_at_once_nothing_is_lost_left_or_said_differently(servers: Servers) -> None:
    async with asyncio.TaskGroup() as group:
        for one in (*[servers.person] * 6, *[servers.schedule] * 2, *[servers.work] * 2):
            group.create_task(one())
    await servers.rest()
    await servers.calendar.check()
    for message in servers.told:
        await servers.cancelled(message)
    await nothing_is_left(servers)


async def nothing_is_left(servers: Servers) -> None:
    """Look at every row, when all has come to rest."""

    async def look(tx: Transaction) -> dict[str, list[dict[str, Any]]]:
        questions = {
            "of what was retracted": LEFT_OF_RETRACTED,
            "numbered": NUMBERED_TWICE,
            "sent": SENT_TWICE,
            "of who was deleted": _LEFT_OF_DELETED,
            "of topics": _LEFT_OF_TOPICS,
            "to one": _TO_ONE_TWICE,
        }
        found = {name: [dict(row) for row in await tx.all(sql)] for name, sql in questions.items()}
        return {name: rows for name, rows in found.items() if rows}

    assert await servers.calendar.db.read(look) == {}


async def test_whoever_comes_and_goes_while_a_topic_is_told_each_who_stays_is_told_once(
    servers: Servers,
) -> None:
    """A page is two of them; who is not there all the time is told once or not at all."""
    fickle = Fickle(servers.calendar, servers.dice, STEPS // 2)
    db, tenant, now = servers.calendar.db, servers.tenant, servers.now
    names = [f"faithful-{number:02}" for number in range(40)]
    for name in (*names, *NAMES):  # among each other, as users come
        await topics.subscribe(db, tenant, "news", [name], now=now, random=servers.random)
    command = replace(PLAIN, topic="news", channels=(Channel.IN_APP, Channel.EMAIL))
    sent = await send(servers.calendar.world.sender, servers.manager, command, key=None, now=now)
    async with asyncio.TaskGroup() as group:
        for one in (*[fickle.person] * 4, *[fickle.schedule] * 2, fickle.work):
            group.create_task(one())
    await fickle.rest()
    await fickle.calendar.check()
    named = {row["id"]: row["external_id"] for row in await servers.calendar.rows("users")}
    told = Counter(
        (named[row["user_id"]], row["channel"], row["state"])
        for row in await servers.calendar.rows("deliveries", frame_id=sent.message.id)
    )
    faithful = Counter({one: number for one, number in told.items() if one[0] in names})
    assert faithful == Counter(
        (name, channel, state)
        for name in names
        for channel, state in (("IN_APP", "accepted"), ("EMAIL", "suppressed"))
    )
    assert {number for (name, _, _), number in told.items() if name is not None} == {1}
