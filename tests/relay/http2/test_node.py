"""Against Node's HTTP/2."""

from collections.abc import AsyncIterator

import pytest

from relay.http2 import Fault, Response
from simulator.authority import Authority
from tests.relay.http2.conftest import Connect
from tests.relay.http2.peer import Client
from tests.relay.http2.servers import node


@pytest.fixture
async def port(authority: Authority) -> AsyncIterator[int]:
    async with node(authority) as port:
        yield port


@pytest.fixture
def client(connect: Connect, port: int) -> Client:
    return connect(port)


async def processed(client: Client) -> int:
    """How many requests the server took as its own, besides those that ask for it."""
    return int((await client.ask(path=b"/count").response()).body) - 1


async def test_bodies_and_headers_arrive_as_they_were_sent(client: Client) -> None:
    bodies = [b"%d " % number * 100 for number in range(300)] + [b"", b"x" * 4_096]
    asked = [client.ask(path=b"/echo", body=body) for body in bodies]
    assert [(await one.response()).body for one in asked] == [body[:4_096] for body in bodies]
    assert dict((await asked[-1].response()).headers)[b"x-topic"] == b"org.example"
    assert dict((await asked[-1].response()).headers)[b"x-authority"] == b"push.example"


async def test_bodies_may_be_larger_than_every_window(client: Client) -> None:
    asked = [client.ask(path=b"/echo", body=b"y" * 300_000) for _ in range(5)]
    assert [(await one.response()).body for one in asked] == [b"y" * 4_096] * 5


@pytest.mark.parametrize("status", [200, 204, 400, 410, 429, 500, 503])
async def test_every_status_is_told_with_its_headers(client: Client, status: int) -> None:
    response = await client.ask(path=b"/status/%d" % status).response()
    assert response.status == status
    assert dict(response.headers)[b"retry-after"] == b"7"
    assert response.body == (b"" if status == 204 else b'{"reason":"AsAsked"}')


async def test_interim_answers_trailers_and_answers_without_a_body(client: Client) -> None:
    assert await client.ask(path=b"/interim").status() == 201
    assert (await client.ask(path=b"/trailers").response()).body == b"body"
    response = await client.ask(path=b"/empty").response()
    assert dict(response.headers)[b"apns-id"] == b"A-1"


async def test_an_answer_may_come_before_the_request_is_sent(client: Client) -> None:
    asked = [client.ask(path=b"/early", body=b"x" * 1_000_000) for _ in range(3)]
    assert [await one.status() for one in asked] == [413] * 3
    assert await client.ask(path=b"/empty").status() == 200


async def test_a_reset_is_a_fault_and_a_refusal_is_sent_again(client: Client) -> None:
    assert await client.ask(path=b"/reset/2").end() == Fault.STREAM_RESET
    asked = [client.ask(path=b"/refuse/%d" % number) for number in range(20)]
    assert [await one.status() for one in asked] == [200] * 20
    assert await processed(client) == 21
    assert client.watched.up == 1


async def test_a_large_body_is_cut_and_does_not_stall_the_others(client: Client) -> None:
    large = [client.ask(path=b"/large/1000000") for _ in range(6)]
    assert {len((await one.response()).body) for one in large} == {4_096}
    small = [client.ask(path=b"/large/3000") for _ in range(1_000)]
    assert {len((await one.response()).body) for one in small} == {3_000}


async def test_long_headers_come_whole_and_too_long_ones_are_a_fault(client: Client) -> None:
    response = await client.ask(path=b"/headers/7000").response()
    assert len(dict(response.headers)[b"long"]) == 7_000
    assert await client.ask(path=b"/headers/60000", seconds=1).end() in {Fault.STREAM_RESET, Fault.PROTOCOL}
    assert await client.ask(path=b"/empty").status() == 200


async def test_a_graceful_close_costs_no_request(client: Client) -> None:
    asked = [client.ask(path=b"/goaway" if number % 50 == 25 else b"/empty") for number in range(400)]
    assert [await one.status() for one in asked] == [200] * 400
    assert await processed(client) == 400
    assert client.watched.up > 1


async def test_what_a_goaway_gives_up_is_sent_again_and_processed_once(client: Client) -> None:
    asked = [client.ask(path=b"/away/1" if number == 10 else b"/empty") for number in range(30)]
    ends = [await one.end() for one in asked]
    assert all(not isinstance(end, Fault) for end in ends)
    assert client.watched.up == 2


async def test_a_session_that_is_destroyed_loses_what_was_written(client: Client) -> None:
    await client.ask(path=b"/empty").response()
    asked = [client.ask(path=b"/hang"), client.ask(path=b"/destroy")]
    # Some versions say so to each stream before they hang up.
    assert {await one.end() for one in asked} <= {Fault.CONNECTION_LOST, Fault.STREAM_RESET}
    while (result := await client.ask(path=b"/empty").end()) == Fault.CONNECTION_LOST:
        pass
    assert isinstance(result, Response)


async def test_a_request_that_is_never_answered_ends_with_its_deadline(client: Client) -> None:
    assert await client.ask(path=b"/hang", seconds=0.2).end() == Fault.TIMEOUT
    assert await client.ask(path=b"/empty").status() == 200
    assert client.watched.faults == []


async def test_settings_may_change_under_way(client: Client) -> None:
    for streams, window in ((3, 10), (1, 1), (100, 65_535)):
        changed = client.ask(path=b"/settings/%d/%d" % (streams, window))
        asked = [client.ask(path=b"/echo", body=b"%d" % number * 50) for number in range(50)]
        assert await changed.status() == 200
        assert [(await one.response()).body for one in asked] == [b"%d" % number * 50 for number in range(50)]


async def test_its_pings_are_answered(client: Client) -> None:
    assert (await client.ask(path=b"/ping").response()).body == b"12345678"
