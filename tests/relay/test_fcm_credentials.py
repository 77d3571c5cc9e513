"""Google's access tokens: fetched once for all who need one, early, and not in a storm."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.providers.fcm import FcmProvider
from simulator.authority import make_authority
from simulator.providers import Providers
from tests.harness.clock import SettableClock
from tests.relay.conftest import fcm_project
from tests.relay.sending import delivery, fcm, send


@pytest.fixture
async def provider(providers: Providers, clock: SettableClock) -> AsyncIterator[FcmProvider]:
    async with fcm(providers, lambda: clock() / 1000) as opened:
        yield opened


def fetched(providers: Providers) -> int:
    return [sent.provider for sent in providers.recorded].count("google")


async def test_a_batch_asks_for_one_access_token(provider: FcmProvider, providers: Providers) -> None:
    token = providers.token("fcm")
    verdicts = await send(provider, *(delivery(token, number) for number in range(20)))
    assert {verdict.status for verdict in verdicts} == {"accepted"}
    assert fetched(providers) == 1


async def test_a_token_is_renewed_before_it_ends_and_nobody_waits_for_it(
    provider: FcmProvider, providers: Providers, clock: SettableClock
) -> None:
    token = providers.token("fcm")
    await send(provider, delivery(token))
    clock.advance(56 * 60_000)
    providers.script("google", kind="delay", delay=0.3, times=1)
    [verdict] = await send(provider, delivery(token))
    assert verdict.status == "accepted"
    used = [sent.header("authorization") for sent in providers.recorded if sent.provider == "fcm"]
    assert used[0] == used[1]
    async with asyncio.timeout(5):
        await providers.until(lambda _: fetched(providers) == 2)


async def test_a_token_that_has_ended_is_not_sent(
    provider: FcmProvider, providers: Providers, clock: SettableClock
) -> None:
    token = providers.token("fcm")
    await send(provider, delivery(token))
    clock.advance(59 * 60_000 + 45_000)
    [verdict] = await send(provider, delivery(token))
    assert verdict.status == "accepted"
    assert fetched(providers) == 2


async def test_a_short_token_is_renewed_after_half_of_its_time_and_not_by_every_push(
    provider: FcmProvider, providers: Providers, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.google.ACCESS_SECONDS", 100)
    token = providers.token("fcm")
    for _ in range(4):
        [verdict] = await send(provider, delivery(token))
        assert verdict.status == "accepted"
        clock.advance(12_000)
    assert fetched(providers) == 1
    clock.advance(12_000)
    await send(provider, delivery(token))
    async with asyncio.timeout(5):
        await providers.until(lambda _: fetched(providers) == 2)


async def test_a_failed_renewal_costs_nothing_while_the_old_token_is_good(
    provider: FcmProvider, providers: Providers, clock: SettableClock
) -> None:
    token = providers.token("fcm")
    await send(provider, delivery(token))
    clock.advance(56 * 60_000)
    providers.script("google", reason="invalid_grant")
    for _ in range(3):
        [verdict] = await send(provider, delivery(token))
        assert verdict.status == "accepted"
        async with asyncio.timeout(5):
            await providers.until(lambda _: fetched(providers) == 2)


async def test_a_failure_is_not_asked_for_again_at_once(
    provider: FcmProvider, providers: Providers, clock: SettableClock
) -> None:
    token = providers.token("fcm")
    providers.script("google", reason="invalid_grant")
    for _ in range(5):
        [verdict] = await send(provider, delivery(token))
        assert (verdict.status, verdict.reason) == ("rejected", "credentials_refused")
    assert fetched(providers) == 1
    clock.advance(6_000)
    await send(provider, delivery(token))
    assert fetched(providers) == 2


async def test_a_token_that_fcm_refuses_is_replaced_but_not_in_a_storm(
    provider: FcmProvider, providers: Providers, clock: SettableClock
) -> None:
    token = providers.token("fcm")
    providers.script("fcm", reason="UNAUTHENTICATED", status=401)
    for _ in range(5):
        verdicts = await send(provider, *(delivery(token, number) for number in range(10)))
        assert {(one.status, one.reason) for one in verdicts} == {("retry", "access_token_refused")}
    assert fetched(providers) == 1
    assert provider.trouble == "access_token_refused"
    clock.advance(6_000)
    await send(provider, delivery(token))
    assert fetched(providers) == 2
    providers.clear()
    clock.advance(6_000)
    await send(provider, delivery(token))
    assert provider.trouble is None


async def test_google_being_down_is_a_retry(provider: FcmProvider, providers: Providers) -> None:
    providers.script("google", kind="close", times=3)
    [verdict] = await send(provider, delivery(providers.token("fcm")))
    assert (verdict.status, verdict.reason) == ("retry", "connection_lost")


async def test_a_silent_google_is_a_timeout_for_all_who_wait(
    provider: FcmProvider, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.providers.fcm_credentials.RENEWAL_SECONDS", 0.2)
    monkeypatch.setattr("relay.providers.fcm_credentials.REQUEST_SECONDS", 1)
    providers.script("google", kind="hang", times=1)
    token = providers.token("fcm")
    verdicts = await send(provider, *(delivery(token, number) for number in range(5)))
    assert {(verdict.status, verdict.reason) for verdict in verdicts} == {("retry", "timeout")}


def account(providers: Providers, token_uri: str) -> str:
    text = Path(providers.service_account_file).read_text(encoding="utf-8")
    return json.dumps(json.loads(text) | {"token_uri": token_uri})


async def at(providers: Providers, clock: SettableClock, token_uri: str) -> str:
    """The reason of a push whose access token is to come from there."""
    text = account(providers, token_uri)
    async with fcm(providers, lambda: clock() / 1000, service_account=text) as provider:
        [verdict] = await send(provider, delivery(providers.token("fcm")))
        assert verdict.status == "retry"
        return verdict.reason or ""


async def test_every_way_not_to_reach_google_has_its_reason(
    providers: Providers, clock: SettableClock, tmp_path: Path
) -> None:
    assert await at(providers, clock, "https://google.invalid/token") == "dns_failed"
    assert await at(providers, clock, "https://127.0.0.1:1/token") == "connect_failed"
    stranger = make_authority(tmp_path / "stranger.pem", now=datetime.now(UTC))
    context = stranger.context("http/1.1")
    async with await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context
    ) as server:
        port = server.sockets[0].getsockname()[1]
        assert await at(providers, clock, f"https://127.0.0.1:{port}/token") == "tls_failed"


@pytest.mark.parametrize(
    "body", ["[]", "7", '{"access_token": "é"}', '{"access_token": "a", "expires_in": 1e999}', "{}", "<p>"]
)
async def test_an_answer_that_is_no_token_is_not_asked_for_again_at_once(
    providers: Providers, clock: SettableClock, tmp_path: Path, body: str
) -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body.encode())
        writer.close()

    google = make_authority(tmp_path / "google.pem", now=datetime.now(UTC))
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=google.context("http/1.1")) as server:
        text = account(providers, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/token")
        async with fcm(
            providers, lambda: clock() / 1000, service_account=text, roots=google.certificate
        ) as provider:
            verdicts = [await send(provider, delivery(providers.token("fcm"))) for _ in range(3)]
    assert asked == 1
    assert {one.reason for [one] in verdicts} <= {"protocol_error", "credentials_refused"}


async def test_who_asks_for_a_token_just_before_the_provider_closes_is_answered(
    providers: Providers, clock: SettableClock
) -> None:
    reasons: list[str | None] = []
    async with fcm(providers, lambda: clock() / 1000) as provider:
        provider.send(delivery(providers.token("fcm")), lambda verdict: reasons.append(verdict.reason))
    assert reasons == ["connection_lost"]


async def test_who_waits_for_a_token_when_the_provider_closes_is_answered(
    providers: Providers, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.providers.fcm_credentials.REQUEST_SECONDS", 0.5)
    providers.script("google", kind="hang", times=1)
    async with fcm(providers, lambda: clock() / 1000) as provider:
        sending = asyncio.create_task(send(provider, delivery(providers.token("fcm"))))
        async with asyncio.timeout(5):
            await providers.until(lambda _: fetched(providers) == 1)
    [verdict] = await sending
    assert (verdict.status, verdict.reason) == ("retry", "connection_lost")


def test_a_project_shows_no_secret(providers: Providers) -> None:
    assert "PRIVATE" not in repr(fcm_project(providers))


async def test_a_silent_google_takes_no_thread_from_others(
    providers: Providers, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.providers.fcm_credentials.RENEWAL_SECONDS", 0.05)
    monkeypatch.setattr("relay.providers.fcm_credentials.REQUEST_SECONDS", 3)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    providers.script("google", kind="hang")
    async with fcm(providers, lambda: clock() / 1000) as provider:
        for _ in range(3):
            [verdict] = await send(provider, delivery(providers.token("fcm")))
            assert verdict.reason == "timeout"
            clock.advance(6_000)
        async with asyncio.timeout(1):
            await asyncio.to_thread(int)
