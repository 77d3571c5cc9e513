"""Against nghttpd, the server of nghttp2, with each of its options that a client notices."""

from functools import partial
from pathlib import Path

import pytest

from relay.http2 import Fault
from simulator.authority import Authority
from tests.harness.ports import free_port
from tests.relay.http2.conftest import Connect
from tests.relay.http2.peer import PATIENT
from tests.relay.http2.servers import nghttpd


@pytest.fixture
def connect(connect: Connect) -> Connect:
    return partial(connect, timing=PATIENT)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="as it is"),
        pytest.param(("--max-concurrent-streams=1",), id="one stream"),
        pytest.param(("--max-concurrent-streams=7",), id="seven streams"),
        pytest.param(("--window-bits=4",), id="windows of 15 bytes"),
        pytest.param(("--window-bits=10", "--connection-window-bits=16"), id="small windows"),
        pytest.param(("--window-bits=30", "--connection-window-bits=30"), id="large windows"),
        pytest.param(("--padding=255",), id="padding"),
        pytest.param(("--header-table-size=0",), id="no table for us"),
        pytest.param(("--header-table-size=100",), id="a small table for us"),
        pytest.param(("--header-table-size=1M",), id="a large table for us"),
        pytest.param(("--encoder-header-table-size=1M",), id="a large table for it"),
        pytest.param(("--trailer=sum: 1",), id="trailers"),
        pytest.param(("--no-content-length", "--no-rfc7540-pri"), id="no lengths and no priorities"),
        pytest.param(("--workers=2",), id="two threads"),
    ],
)
async def test_bodies_come_back_as_they_were_sent(
    connect: Connect, authority: Authority, tmp_path: Path, options: tuple[str, ...]
) -> None:
    async with nghttpd(authority, tmp_path, "--echo-upload", *options) as port:
        client = connect(port, connections=2)
        bodies = [b"%d " % number * (number % 70 + 1) for number in range(400)]
        groups = [((b":authority", b"localhost"), (b"topic", b"%d" % (number % 9))) for number in range(400)]
        asked = [
            client.ask(path=b"/", body=body, repeating=group)
            for body, group in zip(bodies, groups, strict=True)
        ]
        assert [(await one.response()).body for one in asked] == bodies
        assert {await one.status() for one in asked} == {200}
        assert client.watched.faults == []


async def test_bodies_larger_than_the_windows_come_through(
    connect: Connect, authority: Authority, tmp_path: Path
) -> None:
    async with nghttpd(authority, tmp_path, "--echo-upload", "--window-bits=12") as port:
        client = connect(port)
        asked = [client.ask(path=b"/", body=bytes([65 + number]) * 200_000) for number in range(10)]
        assert [(await one.response()).body for one in asked] == [bytes([65 + n]) * 4_096 for n in range(10)]


async def test_a_path_that_is_not_there_is_a_404_with_its_page(
    connect: Connect, authority: Authority, tmp_path: Path
) -> None:
    async with nghttpd(authority, tmp_path) as port:
        client = connect(port)
        asked = [client.ask(path=b"/nothing/%d" % number) for number in range(3_000)]
        responses = [await one.response() for one in asked]
        assert {response.status for response in responses} == {404}
        assert all(b"404" in response.body for response in responses)


async def test_answers_before_the_request_is_sent(
    connect: Connect, authority: Authority, tmp_path: Path
) -> None:
    async with nghttpd(authority, tmp_path, "--early-response") as port:
        client = connect(port)
        asked = [client.ask(path=b"/nothing", body=b"x" * 100_000) for _ in range(20)]
        assert {await one.status() for one in asked} == {404}


async def test_a_file_of_many_megabytes_is_cut(
    connect: Connect, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(b"z" * 5_000_000)
    async with nghttpd(authority, tmp_path) as port:
        client = connect(port)
        asked = [client.ask(path=b"/large") for _ in range(50)]
        assert {(await one.response()).body for one in asked} == {b"z" * 4_096}
        assert await client.ask(path=b"/nothing").status() == 404


async def test_a_server_that_is_killed_and_comes_back_is_used_again(
    connect: Connect, authority: Authority, tmp_path: Path
) -> None:
    port = free_port()
    client = connect(port)
    async with nghttpd(authority, tmp_path, "--echo-upload", port=port):
        assert await client.ask(path=b"/").status() == 200
    assert await client.ask(path=b"/").end() in {Fault.CONNECTION_LOST, Fault.CONNECT}
    async with nghttpd(authority, tmp_path, "--echo-upload", port=port):
        while (result := await client.ask(path=b"/").end()) == Fault.CONNECT:
            pass
        assert not isinstance(result, Fault)
