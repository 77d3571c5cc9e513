"""Two processes of a relay with one Redis: what they share, and what becomes of it when that is killed under load."""

import asyncio
import random as pseudo
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from relay.app import METRICS
from relay.config import Admission, LimitSettings
from relay.wire import Outcome, encode_pushes
from simulator.providers import Providers
from tests.harness.redis import RedisServer, running_redis
from tests.relay.conftest import StartRelay, apns_app
from tests.relay.running import SERVER_KEY, Answer, Relay, push

LIMITS = LimitSettings(server=40, token=3, handles=3, nonces=10_000)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


class Pair:
    """Two processes of one relay, and a Redis between them."""

    def __init__(self, start: StartRelay, providers: Providers, redis: RedisServer) -> None:
        self._start = start
        self._providers = providers
        self.redis = redis
        self.processes: list[Relay] = []

    async def start(self, limits: LimitSettings = LIMITS, **changes: Any) -> tuple[Relay, Relay]:
        for number in range(2):
            app = apns_app(self._providers)
            relay = await self._start(apns=(app,), limits=limits, redis_url=self.redis.url, **changes)
            relay.random = pseudo.Random(number).randbytes  # noqa: S311 - it must repeat, and differ
            self.processes.append(relay)
        one, two = self.processes
        one.clock.advance(1_000)  # past the second in which they started
        return one, two

    def pushes(self, relay: Relay, count: int, *, token: str | None = None) -> bytes:
        handles = [relay.handle(token or self._providers.token("apns")) for _ in range(count)]
        return encode_pushes([push(handle, number) for number, handle in enumerate(handles)])

    async def up(self) -> None:
        """Ask both until they have found Redis again."""
        async with asyncio.timeout(10):
            for relay in self.processes:
                while not is_up(relay):
                    await relay.status()
                    await asyncio.sleep(0.02)


@pytest.fixture
def pair(start_relay: StartRelay, providers: Providers, redis_server: RedisServer) -> Pair:
    return Pair(start_relay, providers, redis_server)


def is_up(relay: Relay) -> bool:
    return b"hushpost_relay_redis_up 1.0" in generate_latest(relay.app[METRICS].registry)


def codes(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.reason or outcome.status for outcome in outcomes]


async def replay(relay: Relay, answer: Answer, body: bytes) -> Answer:
    return await relay.send("POST", "/v1/push", headers=answer.sent, body=body)


async def test_a_replay_to_another_process_is_refused(pair: Pair) -> None:
    one, two = await pair.start()
    body = pair.pushes(one, 1)
    answer = await one.post(body)
    assert codes(answer.outcomes) == ["accepted"]
    for relay in (two, one, two):
        again = await replay(relay, answer, body)
        relay.verify(again)
        assert (again.status, again.code) == (409, "nonce_replayed")


async def test_limits_hold_for_all_processes_together_and_are_told_truly(pair: Pair) -> None:
    one, two = await pair.start()
    first, second = await one.post(pair.pushes(one, 25)), await two.post(pair.pushes(two, 25))
    assert codes(first.outcomes) == ["accepted"] * 25
    assert codes(second.outcomes) == ["accepted"] * 15 + ["limited"] * 10
    assert {outcome.retryAfter for outcome in second.outcomes[15:]} <= {59, 60}
    assert first.headers["RateLimit"].startswith('"server";r=15;')
    assert second.headers["RateLimit"].startswith('"server";r=0;')
    third = await one.post(pair.pushes(one, 1))  # what the other took is known before a push is looked at
    assert (third.status, third.code) == (429, "limited")
    assert third.headers["RateLimit"].startswith('"server";r=0;')
    status = (await one.status()).document
    assert [limit["remaining"] for limit in status["limits"]] == [0, 32]


async def test_what_is_refused_costs_nothing(pair: Pair, providers: Providers) -> None:
    one, two = await pair.start()
    body = pair.pushes(one, 5, token=providers.token("apns"))
    assert codes((await one.post(body)).outcomes)[3:] == ["limited"] * 2
    assert codes((await two.post(body)).outcomes) == ["limited"] * 5
    assert (await two.status()).document["limits"][0]["remaining"] == 37


async def test_open_admission_counts_addresses_and_the_total_together(pair: Pair) -> None:
    limits = LimitSettings(open_server=30, open_address=9, open_total=1_000)
    one, two = await pair.start(limits, admission=Admission.OPEN)
    assert len((await one.post(pair.pushes(one, 6))).outcomes) == 6
    answer = await two.post(pair.pushes(two, 6))
    assert codes(answer.outcomes) == ["accepted"] * 3 + ["limited"] * 3
    assert [part.split(";")[1] for part in answer.headers["RateLimit"].split(", ")] == [
        "r=21",
        "r=0",
        "r=991",
        "r=24",
    ]


async def test_handle_requests_of_an_address_are_counted_together(pair: Pair) -> None:
    one, two = await pair.start()
    answers = [await relay.send("POST", "/v1/handles", body=b"{}") for relay in (one, two, one, two, one)]
    assert [answer.status for answer in answers] == [400, 400, 400, 429, 429]
    assert answers[3].headers["RateLimit"].startswith('"handles";r=0;')


async def test_without_redis_each_process_goes_by_itself(pair: Pair) -> None:
    one, two = await pair.start()
    await one.post(pair.pushes(one, 25))
    pair.redis.kill()
    assert codes((await two.post(pair.pushes(two, 30))).outcomes) == ["accepted"] * 30
    body = pair.pushes(one, 20)
    answer = await one.post(body)
    assert codes(answer.outcomes) == ["accepted"] * 15 + ["limited"] * 5  # what it knew, it still knows
    assert (await replay(one, answer, body)).code == "nonce_replayed"
    assert not is_up(one)
    pair.redis.start()
    await pair.up()
    again = await one.post(pair.pushes(one, 1))
    assert again.code == "limited"
    assert (await replay(two, again, pair.pushes(one, 1))).code == "nonce_replayed"


async def test_nothing_in_redis_tells_who_pushes_to_whom_and_all_of_it_goes(
    pair: Pair, providers: Providers
) -> None:
    token = providers.token("apns")
    one, _ = await pair.start()
    async with pair.redis.client(decode_responses=True) as client:
        await client.set("somebody else's", "kept")
        answer = await one.post(pair.pushes(one, 3, token=token))
        assert codes(answer.outcomes) == ["accepted"] * 3
        names = [str(name) for name in await client.keys("*")]
        ours = [name for name in names if name.startswith("{hushpost}:")]
        assert sorted(name.split(":")[1] for name in ours) == ["nonce", "server", "token"]
        assert len(ours) == len(names) - 1
        left = [await client.pttl(name) for name in ours]
        kept = [str(await client.get(name)) for name in ours]
    assert all(0 < one <= 72_000 for one in left)
    assert not any(word in f"{names}{kept}" for word in (token[:16], SERVER_KEY.public.id))
    assert sorted(kept) == ["1", "3", "3"]


async def test_a_redis_that_is_killed_under_load_costs_no_request(pair: Pair) -> None:
    limits = LimitSettings(server=100_000, token=100_000)
    processes = await pair.start(limits)
    ended = asyncio.Event()
    served = 0

    async def load(relay: Relay, token: str) -> None:
        nonlocal served
        while not ended.is_set():
            pushes = [push(relay.handle(token), number) for number in range(3)]
            assert codes(await relay.push(*pushes)) == ["accepted"] * 3
            served += 1

    token = pair._providers.token("apns")
    tasks = [asyncio.create_task(load(relay, token)) for relay in processes for _ in range(8)]
    try:
        for _ in range(2):
            await _until(lambda: all(map(is_up, processes)))
            pair.redis.kill()
            await _until(lambda: not any(map(is_up, processes)))
            await _until(partial(lambda before: served > before + 50, served))
            pair.redis.start()
        await _until(lambda: all(map(is_up, processes)))
        pair.redis.stall()
        await _until(lambda: not any(map(is_up, processes)))
        pair.redis.go_on()
        await _until(lambda: all(map(is_up, processes)))
    finally:
        ended.set()
        await asyncio.gather(*tasks)
    one, two = processes
    body = pair.pushes(one, 1)
    answer = await one.post(body)
    assert (await replay(two, answer, body)).code == "nonce_replayed"


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - other tasks make it true
            await asyncio.sleep(0.01)
