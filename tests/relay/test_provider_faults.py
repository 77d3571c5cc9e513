"""Providers that break off, say nothing, throttle or refuse our credentials: what the relay makes of it, with either client of each."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.config import ApnsClient, Environment, FcmClient, LimitSettings
from simulator.authority import make_authority
from simulator.providers import Providers
from tests.relay.conftest import StartRelay, apns_app, fcm_project
from tests.relay.running import (
    PROJECT,
    Relay,
    push,
    to_apns,
    to_fcm,
)

CLIENTS = [(ApnsClient.HTTP2, FcmClient.HTTP2), (ApnsClient.AIOAPNS, FcmClient.AIOHTTP)]
MAKE = {"apns": to_apns, "fcm": to_fcm}


@dataclass(frozen=True)
class Ours:
    """Whether it is our own HTTP/2 that is selected."""

    apns: ApnsClient
    fcm: FcmClient

    def __bool__(self) -> bool:
        return self.apns is ApnsClient.HTTP2


@pytest.fixture(params=CLIENTS, ids=["http2", "others"])
def ours(request: pytest.FixtureRequest) -> Ours:
    return Ours(*request.param)


@pytest.fixture
async def connected(start_relay: StartRelay, providers: Providers, ours: Ours) -> Relay:
    return await start_relay(
        apns=(apns_app(providers, client=ours.apns),), fcm=(fcm_project(providers, client=ours.fcm),)
    )


async def counted(relay: Relay, metric: str, **labels: str) -> float:
    answer = await relay.send("GET", "/metrics")
    return sum(
        sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
        if sample.name == metric and labels.items() <= sample.labels.items()
    )


# What became of these is not known, or they were refused as they are: they are never sent a second time.
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("close", "connection_lost"),
        ("lose", "connection_lost"),
        ("hang_up", "connection_lost"),
        ("goaway_taken", "connection_lost"),
        ("reset", "stream_reset"),
        ("reset_after", "stream_reset"),
    ],
)
@pytest.mark.parametrize("provider", ["apns", "fcm"])
async def test_a_broken_connection_is_a_retry_and_the_next_push_goes_through(
    connected: Relay, providers: Providers, ours: Ours, provider: str, kind: str, reason: str
) -> None:
    make = MAKE[provider]
    await connected.push(make(connected, providers))
    asked = providers.asked
    providers.script(provider, kind=kind, times=1)
    [outcome] = await connected.push(make(connected, providers))
    if provider == "fcm" and not ours:
        reason = "connection_lost"  # HTTP/1.1 has no streams
    assert (outcome.status, outcome.reason) == ("retry", reason)
    assert providers.asked == asked + 1
    assert await counted(connected, "hushpost_relay_pushes_total", provider=provider, reason=reason) == 1
    [outcome] = await connected.push(make(connected, providers))
    assert outcome.status == "accepted"


@pytest.mark.parametrize(
    ("kind", "otherwise"),
    [
        ("goaway", "going_away"),
        ("goaway_open", "going_away"),
        ("goaway_drain", "going_away"),
        ("refused", "stream_reset"),
    ],
)
@pytest.mark.parametrize("provider", ["apns", "fcm"])
async def test_what_was_certainly_not_processed_is_sent_again_by_our_own_client(
    connected: Relay, providers: Providers, ours: Ours, provider: str, kind: str, otherwise: str
) -> None:
    make = MAKE[provider]
    await connected.push(make(connected, providers))
    providers.script(provider, kind=kind, times=1)
    [outcome] = await connected.push(make(connected, providers))
    if provider == "fcm" and not ours:
        otherwise = "connection_lost"
    assert (outcome.status, outcome.reason) == (("accepted", None) if ours else ("retry", otherwise))


@pytest.mark.parametrize("provider", ["apns", "fcm"])
async def test_bytes_that_are_no_http_are_a_retry(
    connected: Relay, providers: Providers, ours: Ours, provider: str
) -> None:
    make = MAKE[provider]
    await connected.push(make(connected, providers))
    providers.script(provider, kind="wrong", form="settings_window", times=1)
    [outcome] = await connected.push(make(connected, providers))
    expected = "protocol_error" if ours or provider == "apns" else "connection_lost"
    assert (outcome.status, outcome.reason) == ("retry", expected)
    [outcome] = await connected.push(make(connected, providers))
    assert outcome.status == "accepted"


async def to_both(start_relay: StartRelay, providers: Providers, ours: Ours, host: str, port: int) -> Relay:
    """A relay whose providers are said to be there; its access tokens come from where they always do."""
    fcm = fcm_project(providers, endpoint=f"https://{host}:{port}", client=ours.fcm)
    return await start_relay(apns=(apns_app(providers, host=host, port=port, client=ours.apns),), fcm=(fcm,))


async def assert_both_retry(relay: Relay, providers: Providers, ours: Ours, reason: str) -> None:
    for provider, make in MAKE.items():
        outcomes = await relay.push(*(make(relay, providers, number) for number in range(20)))
        assert {(outcome.status, outcome.reason) for outcome in outcomes} == {("retry", reason)}
        if provider == "apns" or ours:
            labels = {"provider": provider, "reason": reason}
            assert await counted(relay, "hushpost_relay_connection_faults_total", **labels) >= 1


async def test_a_provider_that_is_not_there_is_a_retry(
    start_relay: StartRelay, providers: Providers, ours: Ours
) -> None:
    relay = await to_both(start_relay, providers, ours, "127.0.0.1", 1)
    await assert_both_retry(relay, providers, ours, "connect_failed")


async def test_a_name_that_leads_nowhere_is_a_retry(
    start_relay: StartRelay, providers: Providers, ours: Ours
) -> None:
    relay = await to_both(start_relay, providers, ours, "push.invalid", 443)
    await assert_both_retry(relay, providers, ours, "dns_failed")


async def test_a_certificate_of_somebody_else_is_a_retry(
    start_relay: StartRelay, providers: Providers, ours: Ours, tmp_path: Path
) -> None:
    stranger = make_authority(tmp_path / "stranger.pem", now=datetime.now(UTC))
    async with await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=stranger.context("h2")) as server:
        relay = await to_both(start_relay, providers, ours, *server.sockets[0].getsockname()[:2])
        await assert_both_retry(relay, providers, ours, "tls_failed")


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize("provider", ["apns", "fcm"])
async def test_a_silent_provider_times_out_and_costs_only_its_own_push(
    connected: Relay, providers: Providers, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = MAKE[provider]
    await connected.push(make(connected, providers))
    monkeypatch.setattr(f"relay.providers.{provider}.SEND_SECONDS", 0.3)
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
    start_relay: StartRelay, providers: Providers, ours: Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.forward.ANSWER_SECONDS", 1)
    relay = await start_relay(
        apns=(apns_app(providers, client=ours.apns),),
        fcm=(fcm_project(providers, client=ours.fcm),),
        limits=LimitSettings(in_flight=2),
    )
    providers.script("apns", kind="hang")
    silent = [to_apns(relay, providers, number) for number in range(4)]
    outcomes = await relay.push(*silent, to_fcm(relay, providers, 5))
    assert [outcome.status for outcome in outcomes] == ["retry"] * 4 + ["accepted"]


async def test_many_refusals_do_not_close_the_window(
    start_relay: StartRelay, providers: Providers, ours: Ours
) -> None:
    # 64 KiB of error bodies is where a client that never gives the window back stops.
    relay = await start_relay(
        apns=(apns_app(providers, client=ours.apns),), limits=LimitSettings(token=5_000, bad_token_wait=1)
    )
    providers.script("apns", reason="TooManyProviderTokenUpdates", size=1_000)
    handle = to_apns(relay, providers).handle
    for _ in range(4):
        outcomes = await relay.push(*(push(handle, number) for number in range(100)))
        assert {outcome.reason for outcome in outcomes} == {"provider_token_updates"}
    assert await counted(relay, "hushpost_relay_connection_faults_total", provider="apns") == 0
    assert len(providers.recorded) == 400


@pytest.mark.parametrize("provider", ["apns", "fcm"])
async def test_of_a_huge_error_body_only_the_beginning_is_read(
    connected: Relay, providers: Providers, provider: str
) -> None:
    reason = "TooManyRequests" if provider == "apns" else "QUOTA_EXCEEDED"
    providers.script(provider, reason=reason, size=1_000_000, times=1)
    [outcome] = await connected.push(MAKE[provider](connected, providers))
    assert (outcome.status, outcome.reason) == ("retry", "throttled")
    [outcome] = await connected.push(MAKE[provider](connected, providers))
    assert outcome.status == "accepted"


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


async def test_a_token_that_apple_calls_expired_is_not_made_anew(
    connected: Relay, providers: Providers
) -> None:
    await connected.push(to_apns(connected, providers))
    providers.script("apns", reason="ExpiredProviderToken", times=20)
    for number in range(20):
        [outcome] = await connected.push(to_apns(connected, providers, number))
        assert (outcome.status, outcome.reason) == ("retry", "provider_token_expired")
    [outcome] = await connected.push(to_apns(connected, providers))
    assert outcome.status == "accepted"
    assert len({sent.header("authorization") for sent in providers.recorded}) == 1


async def test_the_sandbox_is_another_provider(
    start_relay: StartRelay, providers: Providers, ours: Ours
) -> None:
    host, _, port = providers.apns_sandbox_address.rpartition(":")
    sandbox = apns_app(
        providers, environment=Environment.SANDBOX, host=host, port=int(port), client=ours.apns
    )
    relay = await start_relay(apns=(apns_app(providers, client=ours.apns), sandbox))
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


@pytest.mark.parametrize("reason", ["InvalidProviderToken", "ExpiredProviderToken"])
async def test_a_refused_apns_key_makes_the_relay_unready_until_it_is_taken(
    connected: Relay, providers: Providers, reason: str
) -> None:
    providers.script("apns", reason=reason, times=1)
    [outcome] = await connected.push(to_apns(connected, providers))
    assert outcome.status in {"rejected", "retry"}
    assert (await connected.send("GET", "/readyz")).status == 503
    await connected.push(to_apns(connected, providers))
    assert (await connected.send("GET", "/readyz")).status == 200


async def test_refused_credentials_stop_counting_after_a_while(
    connected: Relay, providers: Providers
) -> None:
    """A relay that is out of service for them would never send the push that clears it."""
    providers.script("apns", reason="InvalidProviderToken", times=1)
    await connected.push(to_apns(connected, providers))
    connected.clock.advance(301_000)
    assert (await connected.send("GET", "/readyz")).status == 200


async def test_credentials_that_do_not_load_reject_pushes_and_make_unready(
    start_relay: StartRelay, providers: Providers, ours: Ours
) -> None:
    relay = await start_relay(
        apns=(apns_app(providers, key="not a key", client=ours.apns),),
        fcm=(fcm_project(providers, service_account='{"project_id":"x"}', client=ours.fcm),),
    )
    outcomes = await relay.push(to_apns(relay, providers, 1), to_fcm(relay, providers, 2))
    assert {outcome.reason for outcome in outcomes} == {"credentials_unusable"}
    assert len((await relay.send("GET", "/readyz")).document["troubles"]) == 2
