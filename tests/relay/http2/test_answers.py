"""What comes back: heads, bodies, trailers, interim answers, and answers that break a rule."""

import asyncio

import pytest

from relay.http2 import Fault, Response
from tests.relay.http2.peer import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    OK,
    PADDED,
    PING,
    RST_STREAM,
    WHOLE,
    WINDOW,
    Client,
    Frame,
    Peer,
    answer,
    frame,
    literal,
    number,
    rst_stream,
)

RETRY = literal(b"retry-after", b"7")
SERVER_FAULT = b"\x8e"  # :status 500


async def test_a_200_may_have_headers_and_no_body(client: Client, peer: Peer) -> None:
    asked = client.ask()
    wire = await peer.greet()
    await wire.request()
    wire.send(answer(1, OK + literal(b"apns-id", b"A-1")))
    response = await asked.response()
    assert (response.status, response.headers, response.body) == (200, ((b"apns-id", b"A-1"),), b"")
    assert response.headers == ((b"apns-id", b"A-1"),)


async def test_other_answers_have_status_headers_and_body(client: Client, peer: Peer) -> None:
    asked = client.ask()
    wire = await peer.greet()
    await wire.request()
    wire.send(frame(HEADERS, END_HEADERS, 1, literal(b":status", b"429") + RETRY))
    wire.send(frame(DATA, 0, 1, b'{"reason":'), frame(DATA, 0, 1), frame(DATA, END_STREAM, 1, b'"Slow"}'))
    response = await asked.response()
    assert (response.status, response.headers, response.body) == (
        429,
        ((b"retry-after", b"7"),),
        b'{"reason":"Slow"}',
    )


async def test_strings_may_be_huffman_coded(client: Client, peer: Peer) -> None:
    asked = client.ask()
    wire = await peer.greet()
    await wire.request()
    wire.send(answer(1, bytes.fromhex("48 82 64 02")))  # :status 302 (RFC 7541, C.6.1)
    assert await asked.status() == 302


async def test_answers_come_in_any_order(client: Client, peer: Peer) -> None:
    asked = [client.ask(path=b"/%d" % index) for index in range(5)]
    wire = await peer.greet()
    seen = {(await wire.request()).stream for _ in asked}
    assert seen == {1, 3, 5, 7, 9}
    wire.send(*(answer(stream, literal(b":status", b"20%d" % (stream // 2))) for stream in (9, 3, 1, 7, 5)))
    assert [await one.status() for one in asked] == [200, 201, 202, 203, 204]


async def test_a_head_may_be_padded_have_a_priority_and_go_on_in_continuations(
    client: Client, peer: Peer
) -> None:
    asked = client.ask()
    wire = await peer.greet()
    await wire.request()
    wire.send(
        frame(HEADERS, END_STREAM | PADDED | 0x20, 1, b"\x03" + bytes(5) + SERVER_FAULT + bytes(3)),
        frame(CONTINUATION, 0, 1, RETRY[:5]),
        frame(CONTINUATION, 0, 1),
        frame(CONTINUATION, END_HEADERS, 1, RETRY[5:]),
    )
    response = await asked.response()
    assert (response.status, response.headers) == (500, ((b"retry-after", b"7"),))


async def test_interim_answers_are_passed_over(client: Client, peer: Peer) -> None:
    asked = client.ask()
    wire = await peer.greet()
    await wire.request()
    wire.send(
        frame(HEADERS, END_HEADERS, 1, literal(b":status", b"100")),
        frame(HEADERS, END_HEADERS, 1, literal(b":status", b"103") + literal(b"link", b"x")),
        frame(HEADERS, END_HEADERS, 1, OK),
        frame(DATA, END_STREAM, 1, b"now"),
    )
    response = await asked.response()
    assert (response.status, response.headers, response.body) == (200, (), b"now")


async def test_trailers_end_an_answer(client: Client, peer: Peer) -> None:
    asked = client.ask()
    wire = await peer.greet()
    await wire.request()
    wire.send(
        frame(HEADERS, END_HEADERS, 1, OK), frame(DATA, 0, 1, b"body"), answer(1, literal(b"sum", b"1"))
    )
    response = await asked.response()
    assert (response.status, response.headers, response.body) == (200, (), b"body")


@pytest.mark.parametrize(("head", "status"), [(literal(b":status", b"413"), 413), (OK, 200)])
async def test_an_answer_before_the_request_is_sent_whole_ends_it(
    client: Client, peer: Peer, head: bytes, status: int
) -> None:
    asked = client.ask(body=b"x" * 100)
    wire = await peer.greet({WINDOW: 60})
    await wire.until(DATA)
    wire.send(answer(1, head), rst_stream(1, 0))
    assert await asked.status() == status
    assert await wire.frame() == Frame(RST_STREAM, 0, 1, number(8))
    await wire.quiet()


async def test_headers_of_a_200_that_are_broken_are_none(client: Client, peer: Peer) -> None:
    asked = client.ask()
    wire = await peer.greet()
    await wire.request()
    wire.send(answer(1, OK + b"\xff"))
    assert (await asked.response()).headers == ()


def test_an_answer_can_be_made_of_its_parts() -> None:
    response = Response(404, ((b"a", b"b"),), b"body")
    assert (response.status, response.headers, response.body) == (404, ((b"a", b"b"),), b"body")


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([frame(HEADERS, WHOLE, 1, RETRY)], id="no status"),
        pytest.param([frame(HEADERS, WHOLE, 1, RETRY + OK)], id="status after a field"),
        pytest.param([frame(HEADERS, WHOLE, 1, SERVER_FAULT + OK)], id="status twice"),
        pytest.param(
            [frame(HEADERS, WHOLE, 1, SERVER_FAULT + literal(b":path", b"/"))], id="a request's field"
        ),
        pytest.param([frame(HEADERS, WHOLE, 1, literal(b":status", b"20"))], id="status of two digits"),
        pytest.param([frame(HEADERS, WHOLE, 1, literal(b":status", b"+20"))], id="status with a sign"),
        pytest.param(
            [frame(HEADERS, WHOLE, 1, literal(b":status", b"\xb2\xb2\xb2"))], id="status of other digits"
        ),
        pytest.param([frame(HEADERS, WHOLE, 1, literal(b":status", b"099"))], id="status below 100"),
        pytest.param([frame(HEADERS, WHOLE, 1)], id="no fields at all"),
        pytest.param([frame(HEADERS, WHOLE, 1, literal(b":status", b"100"))], id="interim and the end"),
        pytest.param([frame(HEADERS, END_HEADERS, 1, literal(b":status", b"101"))], id="switching protocols"),
        pytest.param([frame(DATA, END_STREAM, 1, b"body")], id="a body before its head"),
        pytest.param(
            [frame(HEADERS, END_HEADERS, 1, OK), frame(HEADERS, END_HEADERS, 1, RETRY)],
            id="trailers without an end",
        ),
        pytest.param(
            [frame(HEADERS, END_HEADERS, 1, OK), frame(HEADERS, WHOLE, 1, OK)], id="a status in the trailers"
        ),
        pytest.param(
            [frame(HEADERS, WHOLE, 1, SERVER_FAULT + b"\x90" * 600)], id="a list that is longer than we take"
        ),
    ],
)
async def test_an_answer_that_breaks_a_rule_costs_its_own_request_alone(
    client: Client, peer: Peer, frames: list[bytes]
) -> None:
    wrong, right = client.ask(), client.ask()
    wire = await peer.greet()
    await wire.request()
    await wire.request()
    wire.send(*frames)
    assert await wrong.end() == Fault.PROTOCOL
    assert await wire.frame() == Frame(RST_STREAM, 0, 1, number(1))
    assert (await wire.frame()).kind == PING
    wire.send(answer(3))
    assert await right.status() == 200


async def test_callbacks_that_fail_cost_nobody_else_an_answer(client: Client, peer: Peer) -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    client.ask(fails=True)
    other = client.ask()
    wire = await peer.greet()
    await wire.request()
    await wire.request()
    wire.send(answer(1), answer(3))
    assert await other.status() == 200
    assert [str(context["exception"]) for context in told] == ["as it was asked to"]
