"""Pushes through the relay to the simulated APNs and FCM, over their real protocols."""

import json

import pytest

from crypto.encoding import b64u
from relay.config import LimitSettings
from relay.wire import SIZES
from simulator.faults import APNS_REASONS, FCM_CODES
from simulator.providers import Providers
from tests.relay.conftest import StartRelay, apns_app
from tests.relay.running import (
    COLLAPSE,
    ENVELOPE,
    PROJECT,
    Relay,
    body_of,
    push,
    push_id,
    to_apns,
    to_fcm,
)


async def test_an_alert_reaches_apns_with_the_protocols_headers_and_bytes(
    connected: Relay, providers: Providers
) -> None:
    [outcome] = await connected.push(to_apns(connected, providers))
    assert (outcome.status, outcome.reason, outcome.providerId) == ("accepted", None, push_id(1))
    [sent] = providers.recorded
    assert sent.payload == (
        b'{"aps":{"alert":{"loc-key":"HP_NEW_MESSAGE"},"mutable-content":1,"sound":"default"},"hp":"'
        + ENVELOPE.encode()
        + b'"}'
    )
    assert {name: sent.header(name) for name in ("apns-push-type", "apns-priority", "apns-topic")} == {
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-topic": "org.hushpost.app",
    }
    assert sent.header("apns-id") == push_id(1)
    assert sent.header("apns-collapse-id") == COLLAPSE
    assert sent.header("apns-expiration") == str(connected.now + 60)


async def test_a_background_push_has_priority_five_whatever_was_asked(
    connected: Relay, providers: Providers
) -> None:
    await connected.push(to_apns(connected, providers, type="background", ttl=0))
    [sent] = providers.recorded
    assert sent.payload == b'{"aps":{"content-available":1},"hp":"' + ENVELOPE.encode() + b'"}'
    assert (sent.header("apns-priority"), sent.header("apns-push-type")) == ("5", "background")
    assert sent.header("apns-expiration") == "0"


async def test_a_message_reaches_fcm_with_the_protocols_payload(
    connected: Relay, providers: Providers
) -> None:
    [outcome] = await connected.push(to_fcm(connected, providers, priority="normal"))
    assert outcome.status == "accepted"
    assert (outcome.providerId or "").startswith(f"projects/{PROJECT}/messages/")
    sent = providers.recorded[-1]
    assert json.loads(sent.payload) == {
        "message": {
            "token": sent.token,
            "data": {"hp": ENVELOPE},
            "android": {"priority": "NORMAL", "ttl": "60s"},
        }
    }


async def test_a_wake_has_no_envelope(connected: Relay, providers: Providers) -> None:
    handles = [to_apns(connected, providers).handle, to_fcm(connected, providers).handle]
    wakes = [
        {
            "id": push_id(n),
            "handle": handle,
            "priority": "high",
            "ttl": 60,
            "collapse": COLLAPSE,
            "type": "alert",
        }
        for n, handle in enumerate(handles)
    ]
    answer = await connected.post(body_of(wakes))
    assert [outcome.status for outcome in answer.outcomes] == ["accepted", "accepted"]
    by_provider = {sent.provider: json.loads(sent.payload) for sent in providers.recorded if sent.token}
    assert "hp" not in by_provider["apns"]
    assert by_provider["fcm"]["message"]["data"] == {"hp": ""}


@pytest.mark.parametrize("size", SIZES)
async def test_every_size_fits_both_providers(connected: Relay, providers: Providers, size: int) -> None:
    envelope = b64u(bytes(size))
    pushes = [
        to_apns(connected, providers, 1, envelope=envelope),
        to_fcm(connected, providers, 2, envelope=envelope),
    ]
    assert [outcome.status for outcome in await connected.push(*pushes)] == ["accepted"] * 2
    assert max(len(sent.payload) for sent in providers.recorded if sent.provider == "apns") <= 4018


async def test_outcomes_keep_the_order_and_one_bad_push_costs_nobody(
    connected: Relay, providers: Providers
) -> None:
    good = [to_apns(connected, providers, number) for number in range(20)]
    token = providers.token("apns")
    dead = push(connected.handle(token), 20)
    providers.script("apns", reason="Unregistered", token=token)
    outcomes = await connected.push(*good[:10], push("not a handle", 21), *good[10:], dead)
    assert [outcome.id for outcome in outcomes] == [push_id(n) for n in (*range(10), 21, *range(10, 20), 20)]
    reasons = [outcome.reason for outcome in outcomes]
    assert reasons == [None] * 10 + ["handle_invalid"] + [None] * 10 + ["unregistered"]


async def test_five_hundred_pushes_fit_one_request(start_relay: StartRelay, providers: Providers) -> None:
    relay = await start_relay(apns=(apns_app(providers),), limits=LimitSettings(token=1000))
    handle = to_apns(relay, providers).handle
    outcomes = await relay.push(*(push(handle, number) for number in range(500)))
    assert [outcome.status for outcome in outcomes] == ["accepted"] * 500


@pytest.mark.parametrize("reason", [*APNS_REASONS, "SomethingNew"])
async def test_every_reason_of_apns_has_an_outcome_that_retires_only_dead_tokens(
    connected: Relay, providers: Providers, reason: str
) -> None:
    status = None if reason in APNS_REASONS else 400
    providers.script("apns", reason=reason, status=status, times=1)
    [outcome] = await connected.push(to_apns(connected, providers))
    assert (outcome.status == "gone") == (reason in {"Unregistered", "ExpiredToken"})
    assert outcome.status != "accepted"
    assert outcome.reason
    assert reason not in outcome.reason
    code = APNS_REASONS.get(reason, 400)
    assert code not in {429, 500, 503} or outcome.status == "retry"


@pytest.mark.parametrize("code", FCM_CODES)
async def test_every_code_of_fcm_has_an_outcome_that_retires_only_dead_tokens(
    connected: Relay, providers: Providers, code: str
) -> None:
    providers.script("fcm", reason=code, times=1)
    [outcome] = await connected.push(to_fcm(connected, providers))
    assert (outcome.status == "gone") == (code == "UNREGISTERED")
    assert (outcome.status == "retry") == (
        code in {"UNSPECIFIED_ERROR", "QUOTA_EXCEEDED", "UNAVAILABLE", "INTERNAL"}
    )


async def test_a_token_that_died_before_its_handle_was_issued_is_tried_again(
    connected: Relay, providers: Providers
) -> None:
    earlier, later = connected.clock() - 5, connected.clock() + 5
    handle = connected.handle(providers.token("apns"))
    providers.script("apns", reason="Unregistered", since=earlier, times=1)
    [outcome] = await connected.push(push(handle))
    assert (outcome.status, outcome.reason, outcome.since) == ("retry", "registered_since", earlier)
    providers.script("apns", reason="Unregistered", since=later, times=1)
    [outcome] = await connected.push(push(handle))
    assert (outcome.status, outcome.reason, outcome.since) == ("gone", "unregistered", later)


async def test_an_uninstalled_app_is_gone_at_both(connected: Relay, providers: Providers) -> None:
    tokens = providers.token("apns"), providers.token("fcm")
    handles = connected.handle(tokens[0]), connected.handle(tokens[1], provider="fcm", app=PROJECT)
    connected.clock.advance(1)
    for token in tokens:
        providers.uninstall(token)
    outcomes = await connected.push(push(handles[0], 1), push(handles[1], 2))
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [("gone", "unregistered")] * 2
