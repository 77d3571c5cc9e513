"""Nothing that changes is lost on the way to who follows it, whoever comes late, falls behind or goes away in between."""

import asyncio
import random as pseudo
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import aiohttp
import orjson
import pytest

from server.api.live import say
from server.config import Settings
from server.domain.bucket import Permission
from server.domain.errors import Limited, Unavailable
from server.domain.ids import new_id
from server.domain.inbox import OVERLAP, Position
from server.domain.ports import Transaction
from server.domain.throttle import Quota
from server.live.connection import MOST_WAITING, End, Ended, Event
from server.live.hub import PAGE, Hub
from server.store.messages import add_inbox_items, add_message, load_message
from tests.harness.streams import SECONDS, Stream, event_stream, until, web_socket
from tests.server.conftest import House, Person

INBOX = "/api/v1/notifications"
Connect = Callable[..., AbstractAsyncContextManager[Stream]]


@dataclass
class Follower:
    """Takes what a hub tells, keeps the newest state of each item, and counts how often each state was told."""

    events: AsyncGenerator[Sequence[Event]]
    place: Position | None
    items: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    counts: Any = None

    async def take(self) -> None:
        async with asyncio.timeout(SECONDS):
            for event in await anext(self.events):
                self.place = event.place
                data = orjson.loads(event.news.said(say))
                if event.name == "notification":
                    self.told.append(str(event.place))
                    self.items[data["id"]] = data
                elif event.name == "counts":
                    self.counts = data

    async def until_told(self, number: int) -> None:
        while len(self.told) < number:
            await self.take()


@asynccontextmanager
async def following(hub: Hub, user: Person, after: Position | None = None) -> AsyncIterator[Follower]:
    with hub.connect(user.id, lambda: False) as connection:
        events = cast("AsyncGenerator[Sequence[Event]]", hub.follow(connection, after))
        async with aclosing(events):
            yield Follower(events, after)


@asynccontextmanager
async def running(house: House, **limits: int) -> AsyncIterator[Hub]:
    """A hub as another process of the server has it."""
    hub = Hub(house.pieces.db, clock=house.clock, log=house.pieces.log, **limits)
    house.pieces.hint.add(hub.wake)
    work = asyncio.create_task(hub.run())
    yield hub
    work.cancel()
    await asyncio.wait((work,))


@pytest.fixture
async def hub(house: House) -> AsyncIterator[Hub]:
    async with running(house) as hub:
        yield hub


@pytest.fixture
async def sent(house: House, admin: Person) -> str:
    """A message from long ago, to make others like it."""
    answer = await house.send(admin.api, await house.bucket(admin))
    house.clock.advance(10 * OVERLAP)
    return str(answer["id"])


async def add_items(house: House, sent: str, person: Person, count: int, at: int) -> None:
    """Commit messages for one inbox in a transaction that bears the time `at`."""

    async def job(tx: Transaction) -> None:
        message = await load_message(tx, sent)
        assert message is not None
        for _ in range(count):
            another = replace(message, id=new_id(at, house.random))
            await add_message(tx, another)
            await add_inbox_items(tx, another, [(new_id(at, house.random), person.id)], at)

    await house.pieces.db.write(job)
    house.pieces.hint()


async def test_what_is_committed_later_than_the_time_it_bears_is_told(
    house: House, admin: Person, hub: Hub, sent: str
) -> None:
    async with following(hub, admin) as follower:
        await follower.take()  # the counts: it listens
        await add_items(house, sent, admin, 1, house.clock())
        await follower.until_told(1)
        await add_items(house, sent, admin, 1, house.clock() - 15_000)
        house.clock.advance(5_000)
        house.pieces.hint()
        await follower.until_told(2)
    assert len(set(follower.told)) == 2


async def test_who_connects_is_not_told_what_was_there_but_what_comes_late(
    house: House, admin: Person, hub: Hub, sent: str
) -> None:
    await add_items(house, sent, admin, 3, house.clock() - 1)
    async with following(hub, admin) as follower:
        await follower.take()
        assert follower.counts["total"] == 4
        await add_items(house, sent, admin, 1, house.clock() - 15_000)
        house.clock.advance(5_000)
        house.pieces.hint()
        await follower.until_told(1)
    assert len(follower.told) == 1


async def test_what_is_committed_while_one_is_away_is_told_though_it_bears_an_earlier_time(
    house: House, admin: Person, hub: Hub, sent: str
) -> None:
    async with following(hub, admin) as follower:
        await follower.take()
        await add_items(house, sent, admin, 1, house.clock())
        await follower.until_told(1)
    await add_items(house, sent, admin, 1, house.clock() - 15_000)
    async with following(hub, admin, follower.place) as again:
        await again.until_told(2)
    assert len(set(again.told)) == 2


async def test_a_long_absence_is_made_up_for_in_pages_and_in_order(
    house: House, admin: Person, hub: Hub, sent: str
) -> None:
    before = Position(house.clock(), sent)
    house.clock.advance(2 * OVERLAP)
    for _ in range(5):
        await add_items(house, sent, admin, PAGE // 2, house.clock())
        house.clock.advance(1)
    async with following(hub, admin, before) as follower:
        await follower.until_told(5 * PAGE // 2)
        await add_items(house, sent, admin, 1, house.clock())
        await follower.until_told(5 * PAGE // 2 + 1)
    assert len(set(follower.told)) == len(follower.told)
    assert follower.told == sorted(follower.told)


async def test_who_does_not_take_what_waits_is_ended_and_misses_nothing_by_coming_again(
    house: House, admin: Person, hub: Hub, sent: str
) -> None:
    async with following(hub, admin) as slow:
        await slow.take()
        await add_items(house, sent, admin, 1, house.clock())
        await slow.until_told(1)
        house.clock.advance(2 * OVERLAP)
        await add_items(house, sent, admin, MOST_WAITING + 1, house.clock())
        with pytest.raises(Ended) as ended:
            await slow.until_told(MOST_WAITING)
        assert ended.value.end is End.BEHIND
    async with following(hub, admin, slow.place) as again:
        await again.until_told(MOST_WAITING + 2)  # what it was told last comes again
    assert len(set(again.told)) == MOST_WAITING + 2


async def test_the_clock_may_be_set_forward_or_back(house: House, admin: Person, hub: Hub, sent: str) -> None:
    async with following(hub, admin) as follower:
        await follower.take()
        for number, step in enumerate((0, 86_400_000, -86_400_000, 1, -3_600_000), start=1):
            await add_items(house, sent, admin, 1, house.clock())
            house.clock.advance(step)
            await follower.until_told(number)
    assert len(set(follower.told)) == 5


async def test_a_process_takes_so_many_connections_and_so_many_of_one_user(
    house: House, admin: Person
) -> None:
    other = await house.register("other")
    async with running(house, of_a_user=2, most=3) as hub, AsyncExitStack() as stack:
        for person in (admin, admin):
            stack.enter_context(hub.connect(person.id, lambda: False))
        with pytest.raises(Limited), hub.connect(admin.id, lambda: False):
            pass
        with (
            hub.connect(other.id, lambda: False),
            pytest.raises(Unavailable),
            hub.connect("third", lambda: False),
        ):
            pass
        stack.enter_context(hub.connect(other.id, lambda: False))  # there is a place again


async def test_a_socket_that_is_closed_takes_no_place_of_its_users(house: House, admin: Person) -> None:
    async with running(house, of_a_user=1) as hub:
        with hub.connect(admin.id, lambda: True), hub.connect(admin.id, lambda: False):
            pass


async def test_a_server_that_goes_ends_what_is_open_and_takes_no_more(admin: Person, hub: Hub) -> None:
    async with following(hub, admin) as follower:
        await follower.take()
        hub.close()
        with pytest.raises(Ended) as ended:
            await follower.take()
        assert ended.value.end is End.CLOSING
    with pytest.raises(Unavailable), hub.connect(admin.id, lambda: False):
        pass


@pytest.mark.parametrize("seed", range(6))
async def test_a_client_that_comes_and_goes_knows_in_the_end_what_the_server_knows(
    house: House, admin: Person, seed: int
) -> None:
    """Whatever happens meanwhile, on whichever process, and over whichever transport."""
    chance = pseudo.Random(seed)  # noqa: S311 - it must repeat
    bucket = await house.bucket(admin)
    known: dict[str, Any] = {}
    after: str | None = None
    acting = asyncio.create_task(act(house, admin, bucket, chance, steps=60))
    done = False
    while not done:
        done = acting.done()  # once more after the last act
        connect: Connect = event_stream if chance.random() < 0.5 else web_socket
        async with connect(admin.api, after) as stream:
            takes = chance.randrange(1, 12)
            while takes or done:
                told = await stream.next()
                assert told is not None
                takes = max(takes - 1, 0)
                after = told.id
                if told.event == "notification":
                    known[told.data["id"]] = told.data
                elif done:
                    break  # what was missed came first
                elif acting.done():
                    break
    await acting
    there = {item["id"]: item for item in (await admin.api.get(f"{INBOX}?limit=100"))["notifications"]}
    assert {key: item for key, item in known.items() if "deletedAt" not in item} == there
    counts = (await admin.api.get(f"{INBOX}/counts")).json
    assert counts["total"] == len(there)
    assert counts["unread"] == sum(item["readAt"] is None for item in there.values())


async def act(house: House, person: Person, bucket: str, chance: pseudo.Random, *, steps: int) -> None:
    """Do what people do, at random; now and then a long time passes."""
    for _ in range(steps):
        there = (await person.api.get(f"{INBOX}?limit=100"))["notifications"]
        item = chance.choice(there) if there else None
        match chance.choice(
            ("send", "send", "read", "unread", "delete", "retract", "all", "wait", "wait long")
        ):
            case "read" | "unread" as mark if item:
                await person.api.call("PATCH", f"{INBOX}/{item['id']}/{mark}")
            case "delete" if item:
                await person.api.delete(f"{INBOX}/{item['id']}")
            case "retract" if item:
                await person.api.delete(f"/api/v1/messages/{item['messageId']}")
            case "all":
                await person.api.post(f"{INBOX}/read-all")
            case "wait":
                house.clock.advance(chance.randrange(2_000))
            case "wait long":
                house.clock.advance(chance.randrange(2 * OVERLAP))
                await house.pieces.db.write(lambda tx: tx.run("UPDATE sessions SET expires_at = $1", 1 << 60))
            case _:
                await house.send(person.api, bucket)


async def test_a_thousand_connections_are_told(
    open_house: Callable[[Settings], Awaitable[House]],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.app.accounts.REGISTRATIONS_BY_ADDRESS", Quota("registration", 100, 3600))
    house = await open_house(settings)
    people = [await house.register(f"p{number}") for number in range(40)]
    bucket = await house.bucket(people[0])
    for person in people[1:]:
        await house.join(person, bucket, Permission.READ)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        opened = [event_stream(replace(person.api, session=session)) for person in people for _ in range(25)]
        streams = [await stack.enter_async_context(one) for one in opened]
        for stream in streams:
            await until(stream, "counts")
        await house.send(people[0].api, bucket, title="to all of you")
        told = [await until(stream, "notification") for stream in streams]
    assert {one.data["message"]["title"] for one in told} == {"to all of you"}
