"""Soft state in Redis: it is asked, it goes away in every way there is, and comes back by itself; nobody waits or fails for it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from redis.asyncio import Redis
from structlog.testing import LogCapture

from relay import shared
from relay.config import LimitSettings
from relay.counts import Counts
from relay.limits import Limits
from relay.nonces import Nonces
from relay.shared import ANSWER_SECONDS, Shared
from relay.wire import MAX_PUSHES
from tests.harness.redis import RedisServer, running_redis

ADD = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


class Asker:
    """A link to Redis, with what it shows and says."""

    def __init__(self, url: str) -> None:
        self.log = LogCapture()
        self.shown: list[float] = []
        log = structlog.wrap_logger(structlog.PrintLogger(), processors=[self.log])
        self.shared = Shared(url, secret=bytes(32), show=self.shown.append, log=log)
        self.key = self.shared.name("test", b"key")

    async def add(self, number: int = 1) -> Any:
        return await self.shared.ask(ADD, [self.key], number)

    async def returns(self) -> Any:
        """Ask until there is an answer, as requests do that come one after the other."""
        async with asyncio.timeout(10):
            while (answer := await self.add()) is None:  # noqa: ASYNC110 - nobody tells when a Redis is back
                await asyncio.sleep(0.02)
        return answer

    @property
    def said(self) -> list[str]:
        return [
            f"{entry['event'].split(':')[0]} {entry.get('error', '')}".strip() for entry in self.log.entries
        ]


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Asker]:
    asker = Asker(url)
    await asker.shared.open()
    try:
        yield asker
    finally:
        await asker.shared.close()


async def test_what_is_asked_at_the_same_time_is_answered_each_for_itself(redis_server: RedisServer) -> None:
    async with asking(redis_server.url) as asker:
        answers = await asyncio.gather(*(asker.add() for _ in range(500)))
        assert sorted(answers) == list(range(1, 501))
        async with redis_server.client() as client:
            connections = [one for one in await client.client_list() if "hushpost" not in one["name"]]
        assert len(connections) == 2  # ours, and the one that looks
        assert asker.shown == [1]
        assert asker.said == []


async def test_many_full_batches_at_once_do_not_make_it_seem_dead(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One goes out at a time, which takes Redis a small part of the time that it has.

    By its processor's time and not by the clock, which on a busy machine runs for others too.
    """
    monkeypatch.setattr(shared, "ANSWER_SECONDS", 30)
    async with redis_server.client() as operator, asking(redis_server.url) as asker:
        together = _exchanges(asker.shared, monkeypatch)
        limits = Limits(LimitSettings(server=1_000_000), is_open=False, alone=lambda: 1)
        counts = Counts(limits, Nonces(capacity=1, started=0), asker.shared)
        tokens = [limits.token_rule("server", str(number)) for number in range(MAX_PUSHES)]
        rules = limits.rules("server", None, b"").every
        began = await _processor_seconds(operator)
        await asyncio.gather(*(counts.take(rules, tokens, 0) for _ in range(100)))
        each = (await _processor_seconds(operator) - began) / 100
        assert asker.said == []
        assert rules[0].remaining(0) == 1_000_000 - 100 * MAX_PUSHES
        assert together == [1] * 100
        assert each < ANSWER_SECONDS / 4


def _exchanges(link: Shared, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many questions go out together, each time."""
    found: list[int] = []
    exchange = link._exchange

    async def noted(calls: Sequence[Any]) -> list[Any] | None:
        found.append(len(calls))
        return await exchange(calls)

    monkeypatch.setattr(link, "_exchange", noted)
    return found


async def _processor_seconds(operator: Redis) -> float:
    spent = await operator.info("cpu")
    return float(spent["used_cpu_user"] + spent["used_cpu_sys"])


async def test_names_tell_nothing_and_differ_by_kind_and_secret(redis_server: RedisServer) -> None:
    async with asking(redis_server.url) as asker, asking(redis_server.url) as other:
        other.shared._secret = bytes([1]) * 32
        names = {link.shared.name(kind, b"203.0.113.7") for link in (asker, other) for kind in ("a", "b")}
    assert len(names) == 4
    assert not any("203" in name.rpartition(":")[0] for name in names)
    assert all(len(name) == len("{hushpost}:a:") + 32 for name in names)


async def test_a_killed_redis_costs_nobody_an_error_and_comes_back_by_itself(
    redis_server: RedisServer,
) -> None:
    async with asking(redis_server.url) as asker:
        assert await asker.add() == 1
        redis_server.kill()
        assert await asyncio.gather(*(asker.add() for _ in range(50))) == [None] * 50
        redis_server.start()
        assert await asker.returns() == 1
        assert asker.shown == [1, 0, 1]
        assert asker.said == ["Redis is away ConnectionError", "Redis is back"]


async def test_a_redis_that_says_nothing_is_waited_for_once(redis_server: RedisServer) -> None:
    async with asking(redis_server.url) as asker:
        redis_server.stall()
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await asyncio.gather(*(asker.add() for _ in range(50))) == [None] * 50
        assert loop.time() - began < 3 * ANSWER_SECONDS
        began = loop.time()
        assert await asker.add() is None
        assert loop.time() - began < ANSWER_SECONDS
        redis_server.go_on()
        assert await asker.returns() is not None
        assert asker.said == ["Redis is away TimeoutError", "Redis is back"]


async def test_a_late_answer_is_never_taken_for_another(redis_server: RedisServer) -> None:
    async with asking(redis_server.url) as asker:
        redis_server.stall()
        assert await asker.add(1_000) is None  # carried out when Redis goes on, answered to nobody
        redis_server.go_on()
        first = await asker.returns()
        assert await asker.add() == first + 1


async def test_a_busy_loop_is_no_fault_of_redis(redis_server: RedisServer) -> None:
    async with asking(redis_server.url) as asker:
        answer = asyncio.create_task(asker.add())
        for _ in range(4):
            await asyncio.sleep(0)
        _hold_up_the_loop(3 * ANSWER_SECONDS)
        assert await answer == 1
        assert asker.said == []


def _hold_up_the_loop(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        pass


@pytest.mark.parametrize(
    ("settings", "undo", "error"),
    [
        ({"maxmemory": "1"}, {"maxmemory": "0"}, "OutOfMemoryError"),
        ({"requirepass": "changed"}, {"requirepass": ""}, "AuthenticationError"),
    ],
    ids=["full", "password"],
)
async def test_a_redis_that_refuses_is_away_until_it_no_longer_does(
    redis_server: RedisServer, settings: dict[str, str], undo: dict[str, str], error: str
) -> None:
    async with redis_server.client() as operator, asking(redis_server.url) as asker:
        await operator.ping()
        for name, value in settings.items():
            await operator.config_set(name, value)
        await asker.shared._redis.connection_pool.disconnect()
        assert await asker.add() is None
        await asker.shared._look()
        assert await asker.add() is None
        for name, value in undo.items():
            await operator.config_set(name, value)
        assert await asker.returns() == 1
        assert asker.said == [f"Redis is away {error}", "Redis is back"]


async def test_a_replica_is_away(redis_server: RedisServer) -> None:
    async with redis_server.client() as operator, asking(redis_server.url) as asker:
        await operator.replicaof("127.0.0.1", "1")
        assert await asker.add() is None
        await operator.replicaof("NO", "ONE")
        assert await asker.returns() == 1


async def test_a_user_who_may_not_do_everything_that_is_needed_is_told_once(
    redis_server: RedisServer,
) -> None:
    async with redis_server.client() as operator, AsyncExitStack() as stack:
        for user, rules in {
            "enough": "+eval +get +mget +set +incrby +pttl +del",
            "less": "+eval +get +mget +set +incrby +pttl",
        }.items():
            await operator.acl_setuser(
                user,
                enabled=True,
                passwords=["+pw"],
                keys=["{hushpost}:*"],
                commands=rules.split(),
                categories=["+@connection"],
            )
        url = redis_server.url.replace("//", "//{}:pw@")
        assert await (await stack.enter_async_context(asking(url.format("enough")))).add() == 1
        less = await stack.enter_async_context(asking(url.format("less")))
        assert await less.add() is None
        assert less.said == ["Redis is away ResponseError"]


@pytest.mark.parametrize(
    "answer",
    [
        b"-MOVED 3999 127.0.0.1:1\r\n",
        b"-LOADING busy\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
        b"\x00" * 64,
    ],
    ids=["moved", "loading", "http", "closed", "noise"],
)
async def test_what_is_no_redis_of_ours_is_away(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536) and answer:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with asking(f"redis://:hidden-word@127.0.0.1:{port}/0") as asker:
        assert await asker.add() is None
        assert asker.shown == [0]
        assert "hidden-word" not in repr(asker.log.entries)
    server.close()


async def test_a_redis_that_is_not_there_from_the_start_is_found_later(redis_server: RedisServer) -> None:
    redis_server.kill()
    async with asking(redis_server.url) as asker:
        assert await asker.add() is None
        redis_server.start()
        assert await asker.returns() == 1
        assert asker.shown == [0, 1]


async def test_who_is_waiting_at_the_end_is_let_go(redis_server: RedisServer) -> None:
    asker = Asker(redis_server.url)
    await asker.shared.open()
    redis_server.stall()
    waiting = [asyncio.create_task(asker.add()) for _ in range(3)]
    await asyncio.sleep(0)
    await asker.shared.close()
    assert await asyncio.gather(*waiting) == [None] * 3
    redis_server.go_on()
