"""Requests counted for several processes together, which none of them waits for."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import structlog

from relay.shared import Shared
from server.domain.throttle import Quota, Throttle
from server.live.counting import CountedThrottle
from tests.harness.redis import RedisServer, running_redis

QUOTA = Quota("requests", 10, 1000)  # what is used does not come back while a test runs


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


@asynccontextmanager
async def process(server: RedisServer | None, *, monotonic: float = 0.0) -> AsyncIterator[CountedThrottle]:
    """One process of a server, with a clock that has nothing to do with the others'."""
    own = Throttle(QUOTA, keys=100)
    if server is None:
        yield CountedThrottle(own, None, lambda: monotonic)
        return
    log = structlog.wrap_logger(structlog.PrintLogger(), processors=[])
    shared = Shared(server.url, secret=b"s" * 32, show=lambda _up: None, log=log)
    await shared.open()
    try:
        yield CountedThrottle(own, shared, lambda: monotonic)
    finally:
        await shared.close()


@pytest.fixture
async def two(redis_server: RedisServer) -> AsyncIterator[list[CountedThrottle]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(process(redis_server, monotonic=now)) for now in (5.0, 90_000.0)
        ]


def taken(throttle: CountedThrottle, times: int, key: str = "k") -> int:
    """Return how many of so many requests there was room for."""
    return sum(throttle.take(key) is not None for _ in range(times))


async def test_what_one_has_counted_the_other_knows_a_moment_later(two: list[CountedThrottle]) -> None:
    one, other = two
    assert (taken(one, 6), taken(other, 3)) == (6, 3)
    await one.tell()
    await other.tell()
    assert taken(other, 5) == 1
    await other.tell()
    assert taken(one, 1) == 1  # which it did not know yet
    await one.tell()
    assert taken(one, 1) == 0
    assert taken(one, 3, key="another") == 3


async def test_what_comes_while_the_answer_is_on_its_way_is_not_forgotten(
    two: list[CountedThrottle],
) -> None:
    """Nor counted twice."""
    one, other = two
    assert taken(one, 2) == 2
    await one.tell()
    await one.tell()
    assert taken(other, 1) == 1
    await other.tell()
    assert taken(other, 10) == 7


async def test_each_counts_by_itself_where_there_is_no_redis(redis_server: RedisServer) -> None:
    """None was given, or it is away: no request fails, or waits."""
    async with process(None) as alone, process(redis_server) as left:
        redis_server.kill()
        for throttle in (alone, left):
            assert taken(throttle, 12) == 10
            await throttle.tell()
            assert taken(throttle, 1) == 0


async def test_redis_names_nobody_and_keeps_no_longer_than_the_quota_is_used(
    redis_server: RedisServer, two: list[CountedThrottle]
) -> None:
    taken(two[0], 2, key="secret-token-id")
    await two[0].tell()
    async with redis_server.client(decode_responses=True) as client:
        [name] = [str(name) for name in await client.keys("*")]
        assert re.fullmatch(r"\{hushpost\}:requests:[0-9a-f]{32}", name)
        assert await client.get(name) == "1"
        assert 190_000 < await client.pttl(name) <= 200_000
