"""A batch of pushes: each is judged by itself, counted, and leaves nothing behind."""

import asyncio
from typing import Any

import pytest

from crypto.encoding import b64u
from relay.config import LimitSettings
from simulator.providers import Providers
from tests.relay.conftest import StartRelay, apns_app
from tests.relay.running import (
    COLLAPSE,
    ENVELOPE,
    EPOCH,
    SERVER_KEY,
    STRANGER_KEY,
    Relay,
    body_of,
    push,
    push_id,
    to_apns,
    to_fcm,
)


async def test_an_app_without_credentials_rejects_and_says_why(relay: Relay) -> None:
    outcomes = await relay.push(push(relay.handle("ab" * 32), 1), push(relay.webpush_handle(), 2))
    assert {(outcome.status, outcome.reason) for outcome in outcomes} == {("rejected", "not_configured")}


async def test_web_push_takes_neither_background_nor_the_largest_size(relay: Relay) -> None:
    handle = relay.webpush_handle()
    outcomes = await relay.push(
        push(handle, 1, type="background"), push(handle, 2, envelope=b64u(bytes(2944)))
    )
    assert [outcome.reason for outcome in outcomes] == ["background_unsupported", "bad_envelope"]


async def test_handles_open_only_for_their_server_and_while_they_are_valid(relay: Relay) -> None:
    token = "ab" * 32
    handles = {
        "handle_expired": relay.handle(token, expires_at=relay.clock()),
        "handle_invalid": relay.handle(token, server=STRANGER_KEY.public.id, expires_at=relay.clock()),
    }
    outcomes = await relay.push(*(push(handle, n) for n, handle in enumerate(handles.values())))
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [
        ("gone", reason) for reason in handles
    ]
    assert EPOCH.secret.hex() not in repr(relay.config)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ttl": -1}, "ttl_out_of_range"),
        ({"ttl": 2_419_201}, "ttl_out_of_range"),
        ({"collapse": b64u(bytes(15))}, "bad_collapse"),
        ({"collapse": "="}, "bad_collapse"),
        ({"envelope": b64u(bytes(767))}, "bad_envelope"),
        ({"envelope": ""}, "bad_envelope"),
        ({"envelope": None}, "malformed"),
        ({"priority": "urgent"}, "malformed"),
        ({"type": "voip"}, "malformed"),
        ({"ttl": "60"}, "malformed"),
        ({"ttl": 1.5}, "malformed"),
        ({"title": "leaked"}, "malformed"),
    ],
)
async def test_a_malformed_push_is_rejected_alone(relay: Relay, changes: dict[str, Any], reason: str) -> None:
    handle = relay.handle("ab" * 32)
    item = {
        "id": push_id(1),
        "handle": handle,
        "envelope": ENVELOPE,
        "priority": "high",
        "ttl": 60,
        "collapse": COLLAPSE,
        "type": "alert",
    }
    answer = await relay.post(body_of([item | changes, {**item, "id": push_id(2)}]))
    first, second = answer.outcomes
    assert (first.id, first.status, first.reason) == (push_id(1), "rejected", reason)
    assert second.reason == "not_configured"


async def test_a_push_without_a_usable_id_has_none_in_its_outcome(relay: Relay) -> None:
    body = b'{"pushes":[null,7,{},{"id":"%s"},{"id":"\\ud800"}]}' % push_id(0xABC).upper().encode()
    answer = await relay.post(body)
    assert [(outcome.id, outcome.reason) for outcome in answer.outcomes] == [(None, "malformed")] * 5
    assert answer.body.count(b'"id":null') == 5


async def test_the_second_of_two_equal_ids_is_rejected(relay: Relay) -> None:
    handle = relay.handle("ab" * 32)
    outcomes = await relay.push(push(handle, 1), push(handle, 1))
    assert [outcome.reason for outcome in outcomes] == ["not_configured", "duplicate_id"]


async def test_a_servers_limit_is_taken_push_by_push_and_told(
    start_relay: StartRelay, providers: Providers
) -> None:
    relay = await start_relay(apns=(apns_app(providers),), limits=LimitSettings(server=2))
    answer = await relay.post(body_of([to_apns(relay, providers, number) for number in range(3)]))
    assert (
        sorted((outcome.status, outcome.retryAfter) for outcome in answer.outcomes[:2])
        == [("accepted", None)] * 2
    )
    limited = answer.outcomes[2]
    assert (limited.status, limited.reason, limited.retryAfter) == ("retry", "limited", 60)
    assert answer.headers["RateLimit"] == '"server";r=0;t=60, "normal";r=1;t=60'
    assert answer.headers["RateLimit-Policy"] == '"server";q=2;w=60, "normal";q=1;w=60'
    whole = await relay.post(body_of([to_apns(relay, providers, 9)]))
    assert (whole.status, whole.code, whole.headers["Retry-After"]) == (429, "limited", "60")
    relay.verify(whole)
    assert (await relay.post(b'{"pushes":[]}')).status == 200
    relay.clock.advance(60_000)
    [outcome] = await relay.push(to_apns(relay, providers, 9))
    assert outcome.status == "accepted"


async def test_a_tokens_limit_spares_the_others(start_relay: StartRelay, providers: Providers) -> None:
    relay = await start_relay(apns=(apns_app(providers),), limits=LimitSettings(token=1))
    handle = to_apns(relay, providers).handle
    outcomes = await relay.push(push(handle, 1), push(handle, 2), to_apns(relay, providers, 3))
    assert [outcome.reason for outcome in outcomes] == [None, "limited", None]


async def test_a_server_with_mostly_bad_tokens_waits(start_relay: StartRelay, providers: Providers) -> None:
    relay = await start_relay(apns=(apns_app(providers),), limits=LimitSettings(bad_token_wait=600))
    dead = [push(relay.handle(bytes([number] * 32).hex()), number) for number in range(51)]
    outcomes = await relay.push(*dead)
    assert {outcome.reason for outcome in outcomes} == {"bad_device_token"}
    answer = await relay.post(body_of([to_apns(relay, providers, 60)]))
    assert (answer.code, answer.headers["Retry-After"]) == ("limited", "600")
    relay.clock.advance(600_000)
    [outcome] = await relay.push(to_apns(relay, providers, 60))
    assert outcome.status == "accepted"


async def test_requests_of_one_server_are_served_at_once(connected: Relay, providers: Providers) -> None:
    batches = [
        connected.push(to_apns(connected, providers), to_fcm(connected, providers, 2)) for _ in range(10)
    ]
    for outcomes in await asyncio.gather(*batches):
        assert {outcome.status for outcome in outcomes} == {"accepted"}


async def test_nothing_secret_stands_in_logs_or_metrics(
    connected: Relay, providers: Providers, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = to_apns(connected, providers)
    await connected.push(sent)
    await connected.post(b"{")
    metrics = (await connected.send("GET", "/metrics")).body.decode()
    written = capsys.readouterr()
    text = metrics + written.out + written.err
    assert 'hushpost_relay_pushes_total{provider="apns",reason="",status="accepted"} 1.0' in metrics
    assert 'hushpost_relay_refused_total{code="bad_json"} 1.0' in metrics
    assert "pushed" in written.out
    token = str(providers.recorded[0].token)
    for secret in (sent.handle, ENVELOPE, token, SERVER_KEY.public.id, COLLAPSE, sent.id):
        assert secret not in text
