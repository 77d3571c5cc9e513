"""Providers that break off, say nothing, throttle or refuse our credentials: what the relay makes of it."""

import pytest

from relay.config import Environment, LimitSettings
from relay.providers.apns import ProviderToken
from simulator.providers import Providers
from tests.harness.clock import SettableClock
from tests.relay.conftest import StartRelay, apns_app, fcm_project
from tests.relay.running import (
    PROJECT,
    Relay,
    push,
    to_apns,
    to_fcm,
)


@pytest.mark.parametrize("kind", ["close", "reset", "goaway", "goaway_open"])
async def test_a_broken_connection_to_apns_is_a_retry_and_the_next_push_goes_through(
    connected: Relay, providers: Providers, kind: str
) -> None:
    await connected.push(to_apns(connected, providers))
    providers.script("apns", kind=kind, times=1)
    [outcome] = await connected.push(to_apns(connected, providers))
    assert (outcome.status, outcome.reason) == ("retry", "connection_lost")
    [outcome] = await connected.push(to_apns(connected, providers))
    assert outcome.status == "accepted"
    assert len(providers.recorded) == 3


async def test_a_broken_connection_to_fcm_is_a_retry(connected: Relay, providers: Providers) -> None:
    providers.script("fcm", kind="close", times=1)
    [outcome] = await connected.push(to_fcm(connected, providers))
    assert (outcome.status, outcome.reason) == ("retry", "unreachable")
    [outcome] = await connected.push(to_fcm(connected, providers))
    assert outcome.status == "accepted"


@pytest.mark.parametrize("provider", ["apns", "fcm"])
async def test_a_silent_provider_times_out_and_costs_only_its_own_push(
    connected: Relay, providers: Providers, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.providers.provider.SEND_SECONDS", 0.3)
    make = to_apns if provider == "apns" else to_fcm
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
    outcomes = await connected.push(*(to_apns(connected, providers, number) for number in range(3)))
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [("retry", "timeout")] * 3


async def test_a_provider_that_says_nothing_holds_up_no_other(
    start_relay: StartRelay, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.forward.ANSWER_SECONDS", 2)
    limits = LimitSettings(in_flight=2)
    relay = await start_relay(apns=(apns_app(providers),), fcm=(fcm_project(providers),), limits=limits)
    providers.script("apns", kind="hang")
    silent = [to_apns(relay, providers, number) for number in range(4)]
    outcomes = await relay.push(*silent, to_fcm(relay, providers, 5))
    assert [outcome.status for outcome in outcomes] == ["retry"] * 4 + ["accepted"]


async def test_an_apns_that_is_not_there_is_a_retry(start_relay: StartRelay, providers: Providers) -> None:
    app = apns_app(providers, port=1)
    relay = await start_relay(apns=(app,))
    outcomes = await relay.push(*(to_apns(relay, providers, number) for number in range(50)))
    assert {(outcome.status, outcome.reason) for outcome in outcomes} == {("retry", "unreachable")}


async def test_many_refusals_do_not_close_the_window(start_relay: StartRelay, providers: Providers) -> None:
    # 64 KiB of error bodies is where a client that never gives the window back stops.
    relay = await start_relay(
        apns=(apns_app(providers),), limits=LimitSettings(token=5_000, bad_token_wait=1)
    )
    providers.script("apns", reason="TooManyProviderTokenUpdates")
    handle = to_apns(relay, providers).handle
    for _ in range(4):
        outcomes = await relay.push(*(push(handle, number) for number in range(400)))
        assert {outcome.reason for outcome in outcomes} == {"provider_token_updates"}
    assert providers.apns_connections == 1
    assert len(providers.recorded) == 1_600


async def test_one_provider_token_serves_all_connections_until_it_is_old(
    connected: Relay, providers: Providers
) -> None:
    await connected.push(to_apns(connected, providers))
    providers.script("apns", kind="close", times=1)
    await connected.push(to_apns(connected, providers))
    await connected.push(to_apns(connected, providers))
    assert len({sent.header("authorization") for sent in providers.recorded}) == 1
    connected.clock.advance(41 * 60_000)
    [outcome] = await connected.push(to_apns(connected, providers))
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
    [outcome] = await connected.push(to_fcm(connected, providers))
    assert outcome.retryAfter == 17
    providers.script("fcm", reason="UNAVAILABLE", retry_after="Fri, 31 Dec 2100 23:59:59 GMT", times=1)
    [outcome] = await connected.push(to_fcm(connected, providers))
    assert outcome.retryAfter == 3_600
    providers.script("apns", reason="ServiceUnavailable", retry_after=9, times=1)
    [outcome] = await connected.push(to_apns(connected, providers))
    assert outcome.retryAfter == 9


async def test_a_batch_asks_google_for_one_access_token(connected: Relay, providers: Providers) -> None:
    outcomes = await connected.push(*(to_fcm(connected, providers, number) for number in range(20)))
    assert {outcome.status for outcome in outcomes} == {"accepted"}
    assert [sent.provider for sent in providers.recorded].count("google") == 1
    connected.clock.advance(56 * 60_000)
    await connected.push(to_fcm(connected, providers))
    assert [sent.provider for sent in providers.recorded].count("google") == 2


async def test_a_refused_service_account_is_our_configuration_and_unreadiness(
    connected: Relay, providers: Providers
) -> None:
    assert (await connected.send("GET", "/readyz")).status == 200
    providers.script("google", reason="invalid_grant", times=1)
    outcomes = await connected.push(*(to_fcm(connected, providers, number) for number in range(5)))
    assert {(outcome.status, outcome.reason) for outcome in outcomes} == {("rejected", "credentials_refused")}
    answer = await connected.send("GET", "/readyz")
    assert answer.status == 503
    assert answer.document["troubles"] == [
        {"provider": "fcm", "app": PROJECT, "environment": "production", "reason": "credentials_refused"}
    ]
    connected.clock.advance(6_000)
    [outcome] = await connected.push(to_fcm(connected, providers))
    assert outcome.status == "accepted"
    assert (await connected.send("GET", "/readyz")).status == 200


async def test_a_refused_apns_key_makes_the_relay_unready_until_it_is_taken(
    connected: Relay, providers: Providers
) -> None:
    providers.script("apns", reason="InvalidProviderToken", times=1)
    [outcome] = await connected.push(to_apns(connected, providers))
    assert (outcome.status, outcome.reason) == ("rejected", "credentials_refused")
    assert (await connected.send("GET", "/readyz")).status == 503
    await connected.push(to_apns(connected, providers))
    assert (await connected.send("GET", "/readyz")).status == 200


async def test_credentials_that_do_not_load_reject_pushes_and_make_unready(
    start_relay: StartRelay, providers: Providers
) -> None:
    relay = await start_relay(
        apns=(apns_app(providers, key="not a key"),),
        fcm=(fcm_project(providers, service_account='{"project_id":"x"}'),),
    )
    outcomes = await relay.push(to_apns(relay, providers, 1), to_fcm(relay, providers, 2))
    assert {outcome.reason for outcome in outcomes} == {"credentials_unusable"}
    assert len((await relay.send("GET", "/readyz")).document["troubles"]) == 2
