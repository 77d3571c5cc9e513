"""What one server does slows no other: they take turns where a provider has no room."""

import asyncio

from relay.config import LimitSettings
from relay.wire import encode_pushes
from simulator.providers import Providers
from tests.relay.conftest import StartRelay, apns_app, fcm_project
from tests.relay.running import (
    PROJECT,
    SERVER_KEY,
    STRANGER_KEY,
    Answer,
    Relay,
    push,
    push_id,
)

FLOOD = 400
BOTH = frozenset({SERVER_KEY.public.id, STRANGER_KEY.public.id})
NARROW = LimitSettings(in_flight=1, token=10_000)


async def test_a_flood_to_apns_lets_another_servers_push_pass(
    start_relay: StartRelay, providers: Providers
) -> None:
    relay = await start_relay(apns=(apns_app(providers),), limits=NARROW, allowlist=BOTH)
    strangers = relay.handle(providers.token("apns"), server=STRANGER_KEY.public.id)
    flooding = flood(relay, relay.handle(providers.token("apns")))
    await providers.until(lambda recorded: len(recorded) > 10)
    answer = await relay.post(encode_pushes([push(strangers, FLOOD)]), key=STRANGER_KEY)
    assert [outcome.status for outcome in answer.outcomes] == ["accepted"]
    passed = len(providers.recorded)
    assert passed < FLOOD // 2
    assert (await flooding).status == 200
    assert len(providers.recorded) == FLOOD + 1


async def test_a_flood_to_fcm_lets_another_servers_push_pass(
    start_relay: StartRelay, providers: Providers
) -> None:
    relay = await start_relay(fcm=(fcm_project(providers),), limits=NARROW, allowlist=BOTH)
    mine, strangers = (
        relay.handle(providers.token("fcm"), provider="fcm", app=PROJECT, server=key.public.id)
        for key in (SERVER_KEY, STRANGER_KEY)
    )
    flooding = flood(relay, mine)
    await providers.until(lambda recorded: len(recorded) > 10)
    answer = await relay.post(encode_pushes([push(strangers, FLOOD)]), key=STRANGER_KEY)
    assert [outcome.status for outcome in answer.outcomes] == ["accepted"]
    assert len(providers.recorded) < FLOOD // 2
    assert (await flooding).status == 200


async def test_of_one_servers_own_the_urgent_goes_first(
    start_relay: StartRelay, providers: Providers
) -> None:
    relay = await start_relay(apns=(apns_app(providers),), limits=NARROW)
    handle = relay.handle(providers.token("apns"))
    flooding = flood(relay, handle, priority="normal")
    await providers.until(lambda recorded: len(recorded) > 10)
    [outcome] = await relay.push(push(handle, FLOOD))
    assert (outcome.status, outcome.providerId) == ("accepted", push_id(FLOOD))
    assert len(providers.recorded) < FLOOD // 2
    assert (await flooding).status == 200


def flood(relay: Relay, handle: str, priority: str = "high") -> "asyncio.Task[Answer]":
    pushes = [push(handle, number, priority=priority) for number in range(FLOOD)]
    return asyncio.create_task(relay.post(encode_pushes(pushes)))
