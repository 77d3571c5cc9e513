"""The connection to APNs under what peers do: few streams, silence, the wrong protocol, too much at once."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.config import LimitSettings
from simulator.apns_connection import Streams
from simulator.authority import make_authority
from simulator.providers import Providers
from tests.harness.clock import SettableClock
from tests.relay.conftest import StartRelay, apns_app
from tests.relay.running import Relay, push


@pytest.mark.parametrize(
    "streams", [Streams(limit=1000, before_token=1), Streams(limit=3, before_token=None)]
)
async def test_pushes_wait_for_the_streams_that_the_peer_allows(
    start_relay: StartRelay, tmp_path: Path, clock: SettableClock, streams: Streams
) -> None:
    async with Providers(tmp_path / "few", clock=lambda: clock() / 1000, streams=streams) as providers:
        relay = await start_relay(apns=(apns_app(providers),), limits=LimitSettings(token=1000))
        handle = relay.handle(providers.token("apns"))
        outcomes = await relay.push(*(push(handle, number) for number in range(100)))
        assert {outcome.status for outcome in outcomes} == {"accepted"}
        assert len(providers.recorded) == 100
        assert providers.apns_connections <= 4


async def test_a_connection_on_which_nothing_comes_is_left(
    connected: Relay, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = connected.handle(providers.token("apns"))
    await connected.push(push(handle, 1))
    monkeypatch.setattr("relay.providers.provider.SEND_SECONDS", 0.2)
    providers.script("apns", kind="hang", times=1)
    [outcome] = await connected.push(push(handle, 2))
    assert outcome.reason == "timeout"
    monkeypatch.setattr("relay.providers.provider.SEND_SECONDS", 5)
    [outcome] = await connected.push(push(handle, 3))
    assert outcome.status == "accepted"
    await providers.until(lambda _: providers.apns_connections == 1)


async def test_a_slow_answer_does_not_disturb_its_neighbours(connected: Relay, providers: Providers) -> None:
    slow = providers.token("apns")
    providers.script("apns", kind="delay", delay=0.3, token=slow, times=1)
    pushes = [push(connected.handle(slow), 0)]
    pushes += [push(connected.handle(providers.token("apns")), number) for number in range(1, 10)]
    assert {outcome.status for outcome in await connected.push(*pushes)} == {"accepted"}
    assert providers.apns_connections == 1


async def test_pushes_with_the_same_id_at_the_same_time_both_end(
    connected: Relay, providers: Providers
) -> None:
    handle = connected.handle(providers.token("apns"))
    answers = await asyncio.gather(*(connected.push(push(handle, 1)) for _ in range(5)))
    assert {outcome.status for outcomes in answers for outcome in outcomes} == {"accepted"}


async def test_a_peer_that_does_not_speak_http2_is_unreachable(
    start_relay: StartRelay, providers: Providers, tmp_path: Path
) -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        closed.set()

    authority = make_authority(tmp_path / "leaf.pem", now=datetime.now(UTC))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.context("http/1.1"))
    async with server:
        port = server.sockets[0].getsockname()[1]
        relay = await start_relay(apns=(apns_app(providers, port=port, roots=authority.certificate),))
        outcomes = await relay.push(*(push(relay.handle("ab" * 32), number) for number in range(10)))
        assert {(outcome.status, outcome.reason) for outcome in outcomes} == {("retry", "unreachable")}
        await closed.wait()


async def test_a_peer_that_never_gets_ready_is_left(
    start_relay: StartRelay, providers: Providers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.providers.apns_pool.CONNECT_SECONDS", 0.3)
    left = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(65_536):
                pass
        left.set()
        writer.close()

    authority = make_authority(tmp_path / "leaf.pem", now=datetime.now(UTC))
    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0, ssl=authority.context("h2"))
    async with server:
        port = server.sockets[0].getsockname()[1]
        relay = await start_relay(apns=(apns_app(providers, port=port, roots=authority.certificate),))
        [outcome] = await relay.push(push(relay.handle("ab" * 32)))
        assert outcome.reason == "unreachable"
        async with asyncio.timeout(5):
            await left.wait()


async def test_a_peer_with_an_untrusted_certificate_is_unreachable(
    start_relay: StartRelay, providers: Providers
) -> None:
    relay = await start_relay(apns=(apns_app(providers, roots=None),))
    [outcome] = await relay.push(push(relay.handle(providers.token("apns"))))
    assert (outcome.status, outcome.reason) == ("retry", "unreachable")
    assert providers.recorded == []
