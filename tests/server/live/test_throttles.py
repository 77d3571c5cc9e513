"""Two processes of a server with one Redis: guessing at the one is counted at the other, as long as Redis is there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from prometheus_client import generate_latest

from server.app import build_server
from server.config import RedisSettings, Settings
from tests.harness.native import Native, Reply, listening
from tests.harness.redis import RedisServer, running_redis
from tests.server.conftest import PASSWORD, House

LOGIN = "/api/v1/auth/login"
NAME = "admin@example.com"
WRONG = "not the password"


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


@dataclass
class Houses:
    """Two processes on one database, with one Redis."""

    house: House
    processes: list[Native]
    redis: RedisServer

    async def guess(self, process: int, name: str = NAME, password: str = WRONG) -> Reply:
        return await self.processes[process].post(LOGIN, {"email": name, "password": password})

    async def statuses(self, process: int, times: int) -> list[int]:
        return [(await self.guess(process)).status for _ in range(times)]

    def is_up(self) -> bool:
        return b"hushpost_redis_up 1.0" in generate_latest(self.house.pieces.counted)


@pytest.fixture
async def houses(
    open_house: Callable[[Settings], Awaitable[House]], settings: Settings, redis_server: RedisServer
) -> AsyncIterator[Houses]:
    settings = msgspec.structs.replace(settings, redis=RedisSettings(url=redis_server.url))
    house = await open_house(settings)
    await house.register("admin")
    async with listening(build_server(settings, house.pieces_again())) as url:
        other = Native(house.api.session, url)
        yield Houses(house, [house.api, other], redis_server)


async def test_guesses_are_counted_for_all_processes_together(houses: Houses) -> None:
    assert await houses.statuses(0, 6) == [401] * 6
    assert await houses.statuses(1, 5) == [401] * 4 + [429]
    limited = await houses.guess(0, password=PASSWORD)
    assert (limited.status, limited.headers["RateLimit"]) == (429, '"sign-in";r=0;t=30')
    houses.house.clock.advance(30_000)
    assert (await houses.guess(1, password=PASSWORD)).status == 200
    assert await houses.statuses(0, 11) == [401] * 10 + [429]  # who was right begins anew everywhere


async def test_at_the_same_time_no_more_get_through(houses: Houses) -> None:
    replies = await asyncio.gather(*(houses.guess(number % 2) for number in range(24)))
    assert sorted(reply.status for reply in replies) == [401] * 10 + [429] * 14


async def test_redis_holds_neither_accounts_nor_addresses_and_for_no_longer_than_needed(
    houses: Houses,
) -> None:
    await houses.guess(0)
    async with houses.redis.client(decode_responses=True) as client:
        names = [str(name) for name in await client.keys("*")]
        left = [await client.pttl(name) for name in names]
    counted = {name.split(":")[1] for name in names}
    attempts = {"registration", "sign-in", "sign-in-account", "sign-in-address"}
    assert attempts <= counted <= attempts | {"requests", "requests-address"}  # these are told now and then
    assert not any(word in name for name in names for word in ("admin", "127.0"))
    assert all(0 < one <= 3_600_000 for one in left)


async def test_a_redis_that_is_killed_costs_no_sign_in_and_comes_back(houses: Houses) -> None:
    assert await houses.statuses(0, 6) == [401] * 6
    houses.redis.kill()
    replies = await asyncio.gather(*(houses.guess(number % 2, password=PASSWORD) for number in range(4)))
    assert {reply.status for reply in replies} == {200}
    assert await houses.statuses(0, 11) == [401] * 10 + [429]
    assert await houses.statuses(1, 11) == [401] * 10 + [429]  # each by itself: looser
    assert not houses.is_up()
    houses.redis.start()
    async with asyncio.timeout(10):
        while not houses.is_up():
            await houses.guess(0, name="nobody@example.com")
            await asyncio.sleep(0.02)
    assert [entry["event"].partition(":")[0] for entry in houses.house.log.entries].count(
        "Redis is away"
    ) == 2
