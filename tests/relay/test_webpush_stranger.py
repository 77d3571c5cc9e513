"""A push to a machine that a stranger named: what is read of its answer, and how little that is."""

import asyncio
import ssl
from collections.abc import Sequence
from itertools import repeat

import pytest

from relay.guard import GuardedResolver
from relay.providers.webpush_stranger import INTERIM, Answer, Failed, Stranger
from tests.relay.peers import CREATED, WITHOUT_END, Peer

NAMED = "push.hushpost.test"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"


class Nobody:
    """Knows no name but those that the operator led somewhere."""

    async def lookup(self, name: str) -> Sequence[str]:
        raise OSError(name)

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def stranger(peer: Peer) -> Stranger:
    leads = {NAMED: ("127.0.0.1", peer.port), "other.hushpost.test": ("127.0.0.1", peer.port)}
    return Stranger(GuardedResolver(Nobody(), leads), ssl.create_default_context(cadata=peer.roots))


async def post(
    stranger: Stranger, path: str = "/x?", *, host: str = NAMED, body: bytes | None = b"body"
) -> Answer:
    async with asyncio.timeout(5):
        return await stranger.post(f"https://{host}{path}", host, {"TTL": "60"}, body)


async def failed(stranger: Stranger, path: str = "/x", *, host: str = NAMED) -> str | None:
    with pytest.raises(Failed) as caught:
        await post(stranger, path, host=host)
    assert caught.value.verdict.status == "retry"
    return caught.value.verdict.reason


async def test_the_request_is_what_it_was_to_be(stranger: Stranger, peer: Peer) -> None:
    peer.answers = repeat(CREATED)
    await post(stranger, "/a/../%2e//b;c?d=%3D&e?")
    await post(stranger, body=None)
    assert peer.requests[0].split(b"\r\n") == [
        b"POST /a/../%2e//b;c?d=%3D&e? HTTP/1.1",
        b"Host: push.hushpost.test",
        b"Connection: close",
        b"Content-Length: 4",
        b"TTL: 60",
        b"",
        b"",
    ]
    assert b"Content-Length: 0\r\n" in peer.requests[1]
    assert peer.bodies == [b"body", b""]


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        (CREATED, Answer(201, None)),
        (b"HTTP/1.0 410 Gone\r\n\r\n", Answer(410, None)),
        (b"HTTP/1.1 429\r\nRETRY-AFTER: \t 30 \r\n\r\n", Answer(429, "30")),
        (b"HTTP/1.1 503 \xff\r\nX: Retry-After: 9\r\n\r\n", Answer(503, None)),
        (b"HTTP/1.1 429 \r\nRetry-After: 7\r\nRetry-After: 8\r\n\r\n", Answer(429, "7")),
        (EARLY * INTERIM + CREATED, Answer(201, None)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx", Answer(200, None)),
    ],
)
async def test_a_status_is_read_and_how_long_to_wait(
    stranger: Stranger, peer: Peer, written: bytes, answer: Answer
) -> None:
    peer.answers = iter([written])
    assert await post(stranger) == answer


@pytest.mark.parametrize(
    "written",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 099 No\r\n\r\n",
        b"HTTP/1.1 600 No\r\n\r\n",
        b"HTTP/1.1 2000 No\r\n\r\n",
        b"HTTP/1.1  200 No\r\n\r\n",
        b" HTTP/1.1 200 No\r\n\r\n",
        b"\r\n\r\n",
        EARLY * (INTERIM + 1) + CREATED,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_none(stranger: Stranger, peer: Peer, written: bytes) -> None:
    peer.answers = iter([written])
    assert await failed(stranger) == "protocol_error"


PATHS = [start.decode().split(" ")[1] for start in WITHOUT_END if b"endless" not in start]


@pytest.mark.parametrize("path", PATHS)
async def test_an_answer_without_end_is_given_up_at_once(stranger: Stranger, peer: Peer, path: str) -> None:
    assert await failed(stranger, path) == "protocol_error"
    async with asyncio.timeout(5):
        await peer.closed.wait()


async def test_a_body_without_end_is_not_read(stranger: Stranger, peer: Peer) -> None:
    assert await post(stranger, "/endless") == Answer(201, None)
    async with asyncio.timeout(5):
        await peer.closed.wait()


async def test_a_connection_that_ends_early_is_lost(stranger: Stranger, peer: Peer) -> None:
    peer.answers = iter(())  # the peer fails over having none, and closes
    loop, faults = asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, fault: faults.append(fault))
    assert await failed(stranger) == "connection_lost"


async def test_what_is_not_reached_or_not_trusted_says_so(
    stranger: Stranger, peer: Peer, unused_tcp_port: int
) -> None:
    assert await failed(stranger, host="other.hushpost.test") == "tls_failed"
    assert await failed(stranger, host="unknown.hushpost.test") == "dns_failed"
    nobody = Stranger(GuardedResolver(Nobody(), {NAMED: ("127.0.0.1", unused_tcp_port)}), stranger.context)
    assert await failed(nobody) == "connect_failed"
    assert peer.requests == []
