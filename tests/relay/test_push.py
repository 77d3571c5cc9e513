"""Pushes through the relay to the simulated APNs and FCM, over their real protocols."""

import asyncio
import json
from typing import Any

import pytest

from crypto.encoding import b64u
from relay.config import Environment, LimitSettings
from relay.providers.apns import ProviderToken
from relay.wire import SIZES, Push
from simulator.faults import APNS_REASONS, FCM_CODES
from simulator.providers import Providers
from tests.harness.clock import SettableClock
from tests.relay.conftest import StartRelay, apns_app, fcm_project
from tests.relay.running import (
    COLLAPSE,
    ENVELOPE,
    EPOCH,
    PROJECT,
    SERVER_KEY,
    STRANGER_KEY,
    Relay,
    body_of,
    push,
    push_id,
)


def _apns(relay: Relay, providers: Providers, number: int = 1, **changes: Any) -> Push:
    return push(relay.handle(providers.token("apns")), number, **changes)


def _fcm(relay: Relay, providers: Providers, number: int = 1, **changes: Any) -> Push:
    return push(relay.handle(providers.token("fcm"), provider="fcm", app=PROJECT), number, **changes)


async def test_an_alert_reaches_apns_with_the_protocols_headers_and_bytes(
    connected: Relay, providers: Providers
) -> None:
    [outcome] = await connected.push(_apns(connected, providers))
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
    await connected.push(_apns(connected, providers, type="background", ttl=0))
    [sent] = providers.recorded
    assert sent.payload == b'{"aps":{"content-available":1},"hp":"' + ENVELOPE.encode() + b'"}'
    assert (sent.header("apns-priority"), sent.header("apns-push-type")) == ("5", "background")
    assert sent.header("apns-expiration") == "0"


async def test_a_message_reaches_fcm_with_the_protocols_payload(
    connected: Relay, providers: Providers
) -> None:
    [outcome] = await connected.push(_fcm(connected, providers, priority="normal"))
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
    handles = [_apns(connected, providers).handle, _fcm(connected, providers).handle]
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
        _apns(connected, providers, 1, envelope=envelope),
        _fcm(connected, providers, 2, envelope=envelope),
    ]
    assert [outcome.status for outcome in await connected.push(*pushes)] == ["accepted"] * 2
    assert max(len(sent.payload) for sent in providers.recorded if sent.provider == "apns") <= 4018


async def test_outcomes_keep_the_order_and_one_bad_push_costs_nobody(
    connected: Relay, providers: Providers
) -> None:
    good = [_apns(connected, providers, number) for number in range(20)]
    token = providers.token("apns")
    dead = push(connected.handle(token), 20)
    providers.script("apns", reason="Unregistered", token=token)
    outcomes = await connected.push(*good[:10], push("not a handle", 21), *good[10:], dead)
    assert [outcome.id for outcome in outcomes] == [push_id(n) for n in (*range(10), 21, *range(10, 20), 20)]
    reasons = [outcome.reason for outcome in outcomes]
    assert reasons == [None] * 10 + ["handle_invalid"] + [None] * 10 + ["unregistered"]


async def test_five_hundred_pushes_fit_one_request(start_relay: StartRelay, providers: Providers) -> None:
    relay = await start_relay(apns=(apns_app(providers),), limits=LimitSettings(token=1000))
    handle = _apns(relay, providers).handle
    outcomes = await relay.push(*(push(handle, number) for number in range(500)))
    assert [outcome.status for outcome in outcomes] == ["accepted"] * 500


@pytest.mark.parametrize("reason", [*APNS_REASONS, "SomethingNew"])
async def test_every_reason_of_apns_has_an_outcome_that_retires_only_dead_tokens(
    connected: Relay, providers: Providers, reason: str
) -> None:
    status = None if reason in APNS_REASONS else 400
    providers.script("apns", reason=reason, status=status, times=1)
    [outcome] = await connected.push(_apns(connected, providers))
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
    [outcome] = await connected.push(_fcm(connected, providers))
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


@pytest.mark.parametrize("kind", ["close", "reset", "goaway", "goaway_open"])
async def test_a_broken_connection_to_apns_is_a_retry_and_the_next_push_goes_through(
    connected: Relay, providers: Providers, kind: str
) -> None:
    await connected.push(_apns(connected, providers))
    providers.script("apns", kind=kind, times=1)
    [outcome] = await connected.push(_apns(connected, providers))
    assert (outcome.status, outcome.reason) == ("retry", "connection_lost")
    [outcome] = await connected.push(_apns(connected, providers))
    assert outcome.status == "accepted"
    assert len(providers.recorded) == 3


async def test_a_broken_connection_to_fcm_is_a_retry(connected: Relay, providers: Providers) -> None:
    providers.script("fcm", kind="close", times=1)
    [outcome] = await connected.push(_fcm(connected, providers))
    assert (outcome.status, outcome.reason) == ("retry", "unreachable")
    [outcome] = await connected.push(_fcm(connected, providers))
    assert outcome.status == "accepted"


@pytest.mark.parametrize("provider", ["apns", "fcm"])
async def test_a_silent_provider_times_out_and_costs_only_its_own_push(
    connected: Relay, providers: Providers, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"relay.providers.{provider}.SEND_SECONDS", 0.3)
    make = _apns if provider == "apns" else _fcm
    await connected.push(make(connected, providers))
    silent = make(connected, providers, 2)
    providers.script(provider, kind="hang", times=1)
    first, second = await connected.push(silent, make(connected, providers, 3))
    assert sorted([first.reason or "", second.reason or ""]) == ["", "timeout"]
    [outcome] = await connected.push(make(connected, providers))
    assert outcome.status == "accepted"


async def test_what_no_provider_has_answered_in_time_is_a_retry(
    connected: Relay, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.forward.ANSWER_SECONDS", 0.3)
    providers.script("apns", kind="hang")
    outcomes = await connected.push(*(_apns(connected, providers, number) for number in range(3)))
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [("retry", "timeout")] * 3


async def test_a_provider_that_says_nothing_holds_up_no_other(
    start_relay: StartRelay, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.forward.ANSWER_SECONDS", 2)
    monkeypatch.setattr("relay.forward.TASKS", 2)
    limits = LimitSettings(in_flight=2)
    relay = await start_relay(apns=(apns_app(providers),), fcm=(fcm_project(providers),), limits=limits)
    providers.script("apns", kind="hang")
    silent = [_apns(relay, providers, number) for number in range(4)]
    outcomes = await relay.push(*silent, _fcm(relay, providers, 5))
    assert [outcome.status for outcome in outcomes] == ["retry"] * 4 + ["accepted"]


async def test_an_apns_that_is_not_there_is_a_retry(start_relay: StartRelay, providers: Providers) -> None:
    app = apns_app(providers, port=1)
    relay = await start_relay(apns=(app,))
    outcomes = await relay.push(*(_apns(relay, providers, number) for number in range(50)))
    assert {(outcome.status, outcome.reason) for outcome in outcomes} == {("retry", "unreachable")}


async def test_many_refusals_do_not_close_the_window(start_relay: StartRelay, providers: Providers) -> None:
    # 64 KiB of error bodies is where a client that never gives the window back stops.
    relay = await start_relay(
        apns=(apns_app(providers),), limits=LimitSettings(token=5_000, bad_token_wait=1)
    )
    providers.script("apns", reason="TooManyProviderTokenUpdates")
    handle = _apns(relay, providers).handle
    for _ in range(4):
        outcomes = await relay.push(*(push(handle, number) for number in range(400)))
        assert {outcome.reason for outcome in outcomes} == {"provider_token_updates"}
    assert providers.apns_connections == 1
    assert len(providers.recorded) == 1_600


async def test_one_provider_token_serves_all_connections_until_it_is_old(
    connected: Relay, providers: Providers
) -> None:
    await connected.push(_apns(connected, providers))
    providers.script("apns", kind="close", times=1)
    await connected.push(_apns(connected, providers))
    await connected.push(_apns(connected, providers))
    assert len({sent.header("authorization") for sent in providers.recorded}) == 1
    connected.clock.advance(41 * 60_000)
    [outcome] = await connected.push(_apns(connected, providers))
    assert outcome.status == "accepted"
    assert len({sent.header("authorization") for sent in providers.recorded}) == 2


def test_a_provider_token_from_the_future_is_replaced(providers: Providers, clock: SettableClock) -> None:
    token = ProviderToken(apns_app(providers), lambda: clock() / 1000)
    early = token.get_header()
    clock.advance(-3_600_000)
    late = token.get_header()
    assert late != early
    clock.advance(60_000)
    assert token.get_header() == late


async def test_the_sandbox_is_another_provider(start_relay: StartRelay, providers: Providers) -> None:
    host, _, port = providers.apns_sandbox_address.rpartition(":")
    sandbox = apns_app(providers, environment=Environment.SANDBOX, host=host, port=int(port))
    relay = await start_relay(apns=(apns_app(providers), sandbox))
    handles = [
        relay.handle(providers.token("apns", environment="sandbox"), environment="sandbox"),
        relay.handle(providers.token("apns", environment="sandbox"), environment="production"),
    ]
    outcomes = await relay.push(push(handles[0], 1), push(handles[1], 2))
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [
        ("accepted", None),
        ("rejected", "bad_device_token"),
    ]


async def test_retry_after_is_told_in_both_forms(connected: Relay, providers: Providers) -> None:
    providers.script("fcm", reason="UNAVAILABLE", retry_after=17, times=1)
    [outcome] = await connected.push(_fcm(connected, providers))
    assert outcome.retryAfter == 17
    providers.script("fcm", reason="UNAVAILABLE", retry_after="Fri, 31 Dec 2100 23:59:59 GMT", times=1)
    [outcome] = await connected.push(_fcm(connected, providers))
    assert outcome.retryAfter == 3_600
    providers.script("apns", reason="ServiceUnavailable", retry_after=9, times=1)
    [outcome] = await connected.push(_apns(connected, providers))
    assert outcome.retryAfter == 9


async def test_a_batch_asks_google_for_one_access_token(connected: Relay, providers: Providers) -> None:
    outcomes = await connected.push(*(_fcm(connected, providers, number) for number in range(20)))
    assert {outcome.status for outcome in outcomes} == {"accepted"}
    assert [sent.provider for sent in providers.recorded].count("google") == 1
    connected.clock.advance(56 * 60_000)
    await connected.push(_fcm(connected, providers))
    assert [sent.provider for sent in providers.recorded].count("google") == 2


async def test_a_refused_service_account_is_our_configuration_and_unreadiness(
    connected: Relay, providers: Providers
) -> None:
    assert (await connected.send("GET", "/readyz")).status == 200
    providers.script("google", reason="invalid_grant", times=1)
    outcomes = await connected.push(*(_fcm(connected, providers, number) for number in range(5)))
    assert {(outcome.status, outcome.reason) for outcome in outcomes} == {("rejected", "credentials_refused")}
    answer = await connected.send("GET", "/readyz")
    assert answer.status == 503
    assert answer.document["troubles"] == [
        {"provider": "fcm", "app": PROJECT, "environment": "production", "reason": "credentials_refused"}
    ]
    connected.clock.advance(6_000)
    [outcome] = await connected.push(_fcm(connected, providers))
    assert outcome.status == "accepted"
    assert (await connected.send("GET", "/readyz")).status == 200


async def test_a_refused_apns_key_makes_the_relay_unready_until_it_is_taken(
    connected: Relay, providers: Providers
) -> None:
    providers.script("apns", reason="InvalidProviderToken", times=1)
    [outcome] = await connected.push(_apns(connected, providers))
    assert (outcome.status, outcome.reason) == ("rejected", "credentials_refused")
    assert (await connected.send("GET", "/readyz")).status == 503
    await connected.push(_apns(connected, providers))
    assert (await connected.send("GET", "/readyz")).status == 200


async def test_credentials_that_do_not_load_reject_pushes_and_make_unready(
    start_relay: StartRelay, providers: Providers
) -> None:
    relay = await start_relay(
        apns=(apns_app(providers, key="not a key"),),
        fcm=(fcm_project(providers, service_account='{"project_id":"x"}'),),
    )
    outcomes = await relay.push(_apns(relay, providers, 1), _fcm(relay, providers, 2))
    assert {outcome.reason for outcome in outcomes} == {"credentials_unusable"}
    assert len((await relay.send("GET", "/readyz")).document["troubles"]) == 2


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
    answer = await relay.post(body_of([_apns(relay, providers, number) for number in range(3)]))
    assert (
        sorted((outcome.status, outcome.retryAfter) for outcome in answer.outcomes[:2])
        == [("accepted", None)] * 2
    )
    limited = answer.outcomes[2]
    assert (limited.status, limited.reason, limited.retryAfter) == ("retry", "limited", 60)
    assert answer.headers["RateLimit"] == '"server";r=0;t=60'
    assert answer.headers["RateLimit-Policy"] == '"server";q=2;w=60'
    whole = await relay.post(body_of([_apns(relay, providers, 9)]))
    assert (whole.status, whole.code, whole.headers["Retry-After"]) == (429, "limited", "60")
    relay.verify(whole)
    assert (await relay.post(b'{"pushes":[]}')).status == 200
    relay.clock.advance(60_000)
    [outcome] = await relay.push(_apns(relay, providers, 9))
    assert outcome.status == "accepted"


async def test_a_tokens_limit_spares_the_others(start_relay: StartRelay, providers: Providers) -> None:
    relay = await start_relay(apns=(apns_app(providers),), limits=LimitSettings(token=1))
    handle = _apns(relay, providers).handle
    outcomes = await relay.push(push(handle, 1), push(handle, 2), _apns(relay, providers, 3))
    assert [outcome.reason for outcome in outcomes] == [None, "limited", None]


async def test_a_server_with_mostly_bad_tokens_waits(start_relay: StartRelay, providers: Providers) -> None:
    relay = await start_relay(apns=(apns_app(providers),), limits=LimitSettings(bad_token_wait=600))
    dead = [push(relay.handle(bytes([number] * 32).hex()), number) for number in range(51)]
    outcomes = await relay.push(*dead)
    assert {outcome.reason for outcome in outcomes} == {"bad_device_token"}
    answer = await relay.post(body_of([_apns(relay, providers, 60)]))
    assert (answer.code, answer.headers["Retry-After"]) == ("limited", "600")
    relay.clock.advance(600_000)
    [outcome] = await relay.push(_apns(relay, providers, 60))
    assert outcome.status == "accepted"


async def test_requests_of_one_server_are_served_at_once(connected: Relay, providers: Providers) -> None:
    batches = [connected.push(_apns(connected, providers), _fcm(connected, providers, 2)) for _ in range(10)]
    for outcomes in await asyncio.gather(*batches):
        assert {outcome.status for outcome in outcomes} == {"accepted"}


async def test_nothing_secret_stands_in_logs_or_metrics(
    connected: Relay, providers: Providers, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = _apns(connected, providers)
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
