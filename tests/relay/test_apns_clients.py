"""APNs under what peers do, by our own HTTP/2 and by aioapns: few streams, silence, the wrong protocol, too much at once."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.config import ApnsClient
from simulator.authority import make_authority
from simulator.http2_judge import Streams
from simulator.providers import Providers
from tests.harness.clock import SettableClock
from tests.harness.simulated import simulated
from tests.relay.sending import apns, delivery, send

CLIENTS = list(ApnsClient)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "streams", [Streams(limit=1000, before_token=1), Streams(limit=3, before_token=None)]
)
async def test_pushes_wait_for_the_streams_that_the_peer_allows(
    tmp_path: Path, clock: SettableClock, client: ApnsClient, streams: Streams
) -> None:
    seconds = lambda: clock() / 1000  # noqa: E731
    async with (
        simulated(tmp_path / "few", clock=seconds, streams=streams) as providers,
        apns(providers, seconds, client=client) as provider,
    ):
        token = providers.token("apns")
        verdicts = await send(provider, *(delivery(token, number) for number in range(100)))
        assert {verdict.status for verdict in verdicts} == {"accepted"}
        assert len(providers.recorded) == 100
        assert providers.apns_connections <= 8


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_slow_answer_does_not_disturb_its_neighbours(
    providers: Providers, clock: SettableClock, client: ApnsClient
) -> None:
    slow = providers.token("apns")
    providers.script("apns", kind="delay", delay=0.3, token=slow, times=1)
    async with apns(providers, lambda: clock() / 1000, client=client) as provider:
        others = [delivery(providers.token("apns"), number) for number in range(1, 10)]
        verdicts = await send(provider, delivery(slow, 0), *others)
        assert {verdict.status for verdict in verdicts} == {"accepted"}
        assert providers.apns_connections == 1


@pytest.mark.parametrize("client", CLIENTS)
async def test_pushes_with_the_same_id_at_the_same_time_all_end(
    providers: Providers, clock: SettableClock, client: ApnsClient
) -> None:
    token = providers.token("apns")
    async with apns(providers, lambda: clock() / 1000, client=client) as provider:
        verdicts = await send(provider, *(delivery(token) for _ in range(5)))
        assert {verdict.status for verdict in verdicts} == {"accepted"}
        assert {verdict.provider_id for verdict in verdicts} == {delivery(token).id}


async def test_a_connection_on_which_nothing_comes_is_left_by_aioapns(
    providers: Providers, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = providers.token("apns")
    async with apns(providers, lambda: clock() / 1000, client=ApnsClient.AIOAPNS) as provider:
        await send(provider, delivery(token))
        monkeypatch.setattr("relay.providers.apns.SEND_SECONDS", 0.2)
        providers.script("apns", kind="hang", times=1)
        assert (await send(provider, delivery(token)))[0].reason == "timeout"
        monkeypatch.setattr("relay.providers.apns.SEND_SECONDS", 5)
        assert (await send(provider, delivery(token)))[0].status == "accepted"
        async with asyncio.timeout(5):
            await providers.until(lambda _: providers.apns_connections == 1)


@pytest.mark.parametrize("client", CLIENTS)
async def test_what_waits_when_the_provider_closes_is_answered(
    providers: Providers, clock: SettableClock, client: ApnsClient
) -> None:
    token = providers.token("apns")
    providers.script("apns", kind="hang")
    async with apns(providers, lambda: clock() / 1000, client=client, in_flight=3) as provider:
        sending = asyncio.create_task(send(provider, *(delivery(token, number) for number in range(9))))
        async with asyncio.timeout(5):
            await providers.until(lambda recorded: len(recorded) == 3)
    async with asyncio.timeout(5):
        verdicts = await sending
    assert {(verdict.status, verdict.reason) for verdict in verdicts} == {("retry", "connection_lost")}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("suspect", [False, True])
async def test_what_comes_after_the_provider_has_closed_is_answered(
    providers: Providers, clock: SettableClock, client: ApnsClient, *, suspect: bool
) -> None:
    async with apns(providers, lambda: clock() / 1000, client=client) as provider:
        pass
    [verdict] = await send(provider, delivery(providers.token("apns"), suspect=suspect))
    assert (verdict.status, verdict.reason) == ("retry", "connection_lost")
    assert providers.asked == 0


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_peer_that_does_not_speak_http2_is_left(
    providers: Providers, clock: SettableClock, client: ApnsClient, tmp_path: Path
) -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        closed.set()

    authority = make_authority(tmp_path / "leaf.pem", now=datetime.now(UTC))
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.context("http/1.1")) as server:
        port = server.sockets[0].getsockname()[1]
        roots = authority.certificate
        async with apns(providers, lambda: clock() / 1000, port=port, roots=roots, client=client) as provider:
            verdicts = await send(provider, *(delivery("ab" * 32, number) for number in range(10)))
        assert {(verdict.status, verdict.reason) for verdict in verdicts} == {("retry", "protocol_error")}
        async with asyncio.timeout(5):
            await closed.wait()


async def test_a_peer_that_never_gets_ready_is_left_by_aioapns(
    providers: Providers, clock: SettableClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.providers.apns_aioapns.CONNECT_SECONDS", 0.3)
    left = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(65_536):
                pass
        left.set()
        writer.close()

    authority = make_authority(tmp_path / "leaf.pem", now=datetime.now(UTC))
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0, ssl=authority.context("h2")) as server:
        port = server.sockets[0].getsockname()[1]
        roots = authority.certificate
        async with apns(
            providers, lambda: clock() / 1000, port=port, roots=roots, client=ApnsClient.AIOAPNS
        ) as provider:
            [verdict] = await send(provider, delivery("ab" * 32))
            assert verdict.reason == "connect_failed"
            async with asyncio.timeout(5):
                await left.wait()


@pytest.mark.parametrize("client", CLIENTS)
async def test_servers_that_send_to_dead_tokens_have_a_connection_of_their_own(
    providers: Providers, clock: SettableClock, client: ApnsClient
) -> None:
    token = providers.token("apns")
    async with apns(providers, lambda: clock() / 1000, client=client) as provider:
        await send(provider, delivery(token, 1))
        assert providers.apns_connections == 1
        verdicts = await send(provider, *(delivery(token, number, suspect=True) for number in range(2, 9)))
        assert {verdict.status for verdict in verdicts} == {"accepted"}
        assert providers.apns_connections == 2
        await send(provider, delivery(token, 9))
        connections = [sent.connection for sent in providers.recorded]
        assert connections[0] == connections[-1]
        assert len(set(connections[1:-1])) == 1
        assert connections[1] != connections[0]


async def test_rejections_that_narrow_a_connection_to_one_stream_cost_time_and_no_push(
    tmp_path: Path, clock: SettableClock
) -> None:
    """What was over the limit of the moment is refused as a stream, and sent again."""
    seconds = lambda: clock() / 1000  # noqa: E731
    streams = Streams(limit=1000, before_token=1, after_rejection=1)
    async with (
        simulated(tmp_path / "narrow", clock=seconds, streams=streams) as providers,
        apns(providers, seconds) as provider,
    ):
        alive, dead = providers.token("apns"), providers.token("apns")
        providers.uninstall(dead)
        verdicts = await send(
            provider, *(delivery((alive, dead)[number % 2], number) for number in range(60))
        )
        assert [verdict.status for verdict in verdicts] == ["accepted", "gone"] * 30


@pytest.mark.parametrize("client", CLIENTS)
async def test_what_suspects_wait_for_nobody_else_does(
    providers: Providers, clock: SettableClock, client: ApnsClient
) -> None:
    """Apple may allow a connection one request at a time after a rejection; here one answer takes long."""
    dead, alive = providers.token("apns"), providers.token("apns")
    providers.script("apns", kind="delay", delay=0.2, token=dead)
    async with apns(providers, lambda: clock() / 1000, client=client, in_flight=1) as provider:
        suspects = asyncio.create_task(
            send(provider, *(delivery(dead, number, server="hostile", suspect=True) for number in range(5)))
        )
        async with asyncio.timeout(5):
            await providers.until(lambda recorded: len(recorded) == 1)
        await send(provider, *(delivery(alive, number, server="honest") for number in range(50, 60)))
        assert not suspects.done()
        assert {verdict.status for verdict in await suspects} == {"accepted"}
