"""How connections come to be, why they do not, and how soon it is tried again."""

import asyncio
import ssl
from contextlib import closing
from dataclasses import replace
from socket import socket
from typing import Any

import pytest

from relay.http2 import Fault, Response
from relay.http2_connection import TIMING
from relay.http2_dial import Backoff
from simulator.authority import Authority
from tests.relay.http2.conftest import Connect
from tests.relay.http2.peer import QUICK, STREAMS, Client, Peer, answer, until


def port_of_nobody() -> int:
    with closing(socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("host", ["nobody.invalid", "a" * 70 + ".invalid", "two..dots"])
async def test_a_name_that_leads_nowhere_is_a_fault_of_dns(connect: Connect, host: str) -> None:
    client = connect(443, host=host)
    assert await client.ask().end() == Fault.DNS
    assert client.watched.faults == [Fault.DNS]


async def test_a_port_where_nobody_listens_is_a_fault_of_connecting(connect: Connect) -> None:
    client = connect(port_of_nobody())
    assert await client.ask().end() == Fault.CONNECT


async def test_a_peer_that_takes_no_connection_is_a_fault_of_connecting(connect: Connect) -> None:
    with closing(socket()) as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with closing(socket()) as first, closing(socket()) as second:
            for one in (first, second):  # the places in its queue; from here on nobody gets an answer
                one.settimeout(0)
                one.connect_ex(("127.0.0.1", port))
            client = connect(port, timing=replace(QUICK, dial=0.3))
            assert await client.ask().end() == Fault.CONNECT


@pytest.mark.parametrize("form", ["name", "expired", "stranger"])
async def test_a_bad_certificate_is_a_fault_of_tls(connect: Connect, authority: Authority, form: str) -> None:
    peer = Peer()
    await peer.start(authority.misfit(form, protocols=["h2"]))
    assert await connect(peer.port).ask().end() == Fault.TLS
    await peer.stop()


async def test_an_unknown_authority_is_a_fault_of_tls(connect: Connect, peer: Peer) -> None:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    assert await connect(peer.port, context=context).ask().end() == Fault.TLS


@pytest.mark.parametrize("greeting", [b"", b"no TLS here\r\n"], ids=["hangs up", "speaks plainly"])
async def test_a_peer_that_makes_no_handshake_is_a_fault_of_tls(connect: Connect, greeting: bytes) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        client = connect(server.sockets[0].getsockname()[1])
        assert await client.ask().end() == Fault.TLS


async def test_a_peer_that_is_silent_in_the_handshake_is_a_fault_of_tls(connect: Connect) -> None:
    writers = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        client = connect(server.sockets[0].getsockname()[1], timing=replace(QUICK, dial=0.3))
        assert await client.ask().end() == Fault.TLS
        for writer in writers:
            writer.close()


async def test_a_peer_that_never_sends_its_settings_is_a_fault_of_connecting(
    connect: Connect, peer: Peer
) -> None:
    client = connect(peer.port, timing=replace(QUICK, dial=0.3))
    asked = client.ask()
    wire = await peer.accept()
    assert await asked.end() == Fault.CONNECT
    await wire.ended()


@pytest.mark.parametrize("protocols", [["http/1.1"], []], ids=["HTTP/1.1", "none"])
async def test_a_peer_that_does_not_choose_http2_is_a_fault_of_protocol(
    connect: Connect, authority: Authority, protocols: list[str]
) -> None:
    peer = Peer()
    await peer.start(authority.context(*protocols))
    client = connect(peer.port)
    assert await client.ask().end() == Fault.PROTOCOL
    await (await peer.accept()).ended()
    await peer.stop()


async def test_an_address_that_takes_connections_and_goes_no_further_is_not_the_only_one_tried(
    connect: Connect, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket()) as silent:
        silent.bind(("127.0.0.2", peer.port))
        silent.listen()
        loop = asyncio.get_running_loop()
        system = loop.getaddrinfo

        async def resolve(host: str, port: int, **values: Any) -> list[Any]:
            addresses = ("127.0.0.2", "127.0.0.1") if host == "localhost" else (host,)
            return [one for address in addresses for one in await system(address, port, **values)]

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        client = connect(peer.port, host="localhost", timing=replace(QUICK, dial=0.5))

        async def serve() -> None:
            wire = await peer.greet()
            wire.send(answer((await wire.request()).stream))

        serving = asyncio.create_task(serve())
        async with asyncio.timeout(10):
            while (result := await client.ask().end()) == Fault.TLS:
                pass
        assert isinstance(result, Response)
        await serving


async def test_one_failed_dial_speaks_for_all_that_wait(client: Client, peer: Peer) -> None:
    await peer.stop()
    asked = [client.ask() for _ in range(100)]
    assert {await one.end() for one in asked} == {Fault.CONNECT}
    assert client.watched.faults == [Fault.CONNECT]


async def test_after_a_failed_dial_nothing_is_dialled_for_a_while(connect: Connect) -> None:
    client = connect(port_of_nobody(), timing=replace(QUICK, first_backoff=60, longest_backoff=60))
    for _ in range(5):
        assert await client.ask().end() == Fault.CONNECT
    assert client.watched.faults == [Fault.CONNECT]


async def test_a_host_that_comes_back_is_found(connect: Connect, authority: Authority) -> None:
    peer = Peer()
    peer.port = port_of_nobody()
    client = connect(peer.port)
    assert await client.ask().end() == Fault.CONNECT
    await peer.start(authority.context("h2"))

    async def serve() -> None:
        wire = await peer.greet()
        wire.send(answer((await wire.request()).stream))

    serving = asyncio.create_task(serve())
    while (result := await client.ask().end()) == Fault.CONNECT:
        pass
    assert isinstance(result, Response)
    await serving
    await peer.stop()


async def test_a_connection_that_is_lost_is_replaced_when_something_waits(client: Client, peer: Peer) -> None:
    for _ in range(3):
        asked = client.ask()
        wire = await peer.greet()
        wire.send(answer((await wire.request()).stream))
        assert await asked.status() == 200
        lost = len(client.watched.faults)
        wire.abort()
        await until(lambda: len(client.watched.faults) > lost)  # noqa: B023 - it is over within the round
    assert client.watched.up == 3
    assert client.watched.faults == [Fault.CONNECTION_LOST] * 3


async def test_a_peer_that_hangs_up_on_every_connection_is_dialled_with_pauses(
    connect: Connect, peer: Peer
) -> None:
    client = connect(
        peer.port, jitter=lambda: 1.0, timing=replace(QUICK, first_backoff=0.05, longest_backoff=10)
    )
    start = asyncio.get_running_loop().time()
    for _ in range(4):
        asked = client.ask()
        wire = await peer.greet()
        await wire.request()
        wire.abort()
        assert await asked.end() == Fault.CONNECTION_LOST
    # 0.05, 0.1, 0.2 seconds between the four.
    assert asyncio.get_running_loop().time() - start >= 0.35


async def test_while_nothing_is_dialled_for_long_nobody_waits_for_it(connect: Connect, peer: Peer) -> None:
    client = connect(peer.port, timing=replace(QUICK, first_backoff=60, longest_backoff=60))
    asked = client.ask()
    wire = await peer.greet()
    await wire.request()
    wire.abort()
    assert await asked.end() == Fault.CONNECTION_LOST
    assert await client.ask(seconds=5).end() == Fault.CONNECTION_LOST
    assert peer.accepted == 1


async def test_a_failed_dial_does_not_hurt_the_connections_that_there_are(
    connect: Connect, authority: Authority
) -> None:
    peer = Peer()
    await peer.start(authority.context("h2"))
    client = connect(peer.port)
    asked = [client.ask() for _ in range(3)]
    wire = await peer.greet({STREAMS: 1})
    assert peer._server is not None
    peer._server.close()  # no second connection will be taken
    await until(lambda: Fault.CONNECT in client.watched.faults)
    for _ in asked:
        wire.send(answer((await wire.request()).stream))
    assert [await one.status() for one in asked] == [200] * 3
    await peer.stop()


def test_waits_double_and_vary_up_to_a_limit() -> None:
    for random in (0.0, 0.999):
        backoff = Backoff(TIMING, lambda: random)  # noqa: B023 - it is called within the round
        waits = []
        for _ in range(40):
            backoff.failed(1_000.0)
            waits.append(backoff._until - 1_000)
        assert waits[:3] == pytest.approx([0.1 * (0.5 + random / 2) * 2**n for n in range(3)])
        assert waits[-1] == pytest.approx(10 * (0.5 + random / 2))
        backoff.succeeded()
        backoff.failed(1_000.0)
        assert backoff._until - 1_000 == pytest.approx(waits[0])
