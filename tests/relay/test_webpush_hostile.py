"""Push services that are somebody's own: names that lead inside, and peers that misbehave in every way that they can."""

import asyncio
import random as pseudo
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import count
from typing import Any

import pytest

from crypto.encoding import unb64u
from crypto.webpush import decrypt
from relay.config import LimitSettings
from relay.guard import GuardedResolver
from relay.providers.provider import Delivery, Verdict
from relay.providers.webpush import KEPT_NAMES, WebPushProvider
from relay.providers.webpush_stranger import Stranger
from tests.harness.connects import spying
from tests.relay.peers import CREATED, Peer
from tests.relay.running import COLLAPSE, ENVELOPE, config, push_id
from tests.relay.web import WEB_APP, Browser

NAMED = "push.hushpost.test"
INSIDE = [
    "127.0.0.1",
    "10.1.2.3",
    "169.254.169.254",
    "100.64.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "64:ff9b::a00:1",
]
INSIDE += ["2002:7f00:1::", "fd00:ec2::254", "fe80::1%eth0", "0.0.0.0", "224.0.0.1"]  # noqa: S104  nothing is bound


class Said:
    """A resolver that gives one answer after the other, and the last for ever; None is none at all."""

    def __init__(self, *answers: Sequence[str] | None) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def lookup(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if answer is None:
            await asyncio.get_running_loop().create_future()
            raise AssertionError
        return answer

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., Any]]:
    """Open a provider with changes to its configuration; all are closed at the end."""
    providers: list[WebPushProvider] = []

    async def make(resolver: Said, **changes: Any) -> WebPushProvider:
        random = pseudo.Random(3).randbytes  # noqa: S311 - it must repeat
        settings = config(webpush=(WEB_APP,), **changes)
        provider = WebPushProvider(WEB_APP, settings, resolver=resolver, clock=lambda: 1e9, random=random)
        await provider.open()
        providers.append(provider)
        return provider

    yield make
    for provider in providers:
        await provider.close()


def at(peer: Peer) -> dict[str, Any]:
    """Settings that lead the named service to the peer."""
    return {"webpush_connect": {NAMED: ("127.0.0.1", peer.port)}, "webpush_roots": peer.roots}


def begin(provider: WebPushProvider, endpoint: str, **changes: Any) -> asyncio.Future[Verdict]:
    values: dict[str, Any] = {
        "id": push_id(1),
        "token": endpoint,
        "data": {"hp": ENVELOPE},
        "high": True,
        "ttl": 60,
        "collapse": COLLAPSE,
        "background": False,
        "server": "server",
        "subscription": Browser.at(endpoint).subscription,
    }
    found: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    provider.send(Delivery(**values | changes), found.set_result)
    return found


async def sent(provider: WebPushProvider, endpoint: str = f"https://{NAMED}/x", **changes: Any) -> Verdict:
    async with asyncio.timeout(5):
        return await begin(provider, endpoint, **changes)


@pytest.mark.parametrize("address", INSIDE)
async def test_a_name_that_leads_inside_is_never_connected_to(opened: Any, address: str) -> None:
    for addresses in ([address], ["8.8.8.8", address]):
        provider = await opened(Said(addresses), webpush_hosts=("*",))
        with spying() as connections:
            found = await sent(provider, "https://evil.example.org/x")
        assert (found.status, found.reason) == ("rejected", "bad_endpoint")
        assert connections == []


async def test_a_named_service_that_leads_inside_is_not_connected_to_either(opened: Any) -> None:
    provider = await opened(Said(["127.0.0.1"]))
    with spying() as connections:
        found = await sent(provider, "https://fcm.googleapis.com/x")
    assert (found.reason, connections) == ("bad_endpoint", [])


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://127.0.0.1/x",
        "https://127.1/x",
        "https://[::1]/x",
        "https://localhost/x",
        "https://a.b:22/x",
        "",
    ],
)
async def test_what_no_subscription_may_have_is_not_sent_to_even_where_a_handle_has_it(
    opened: Any, endpoint: str
) -> None:
    resolver = Said(["8.8.8.8"])
    provider = await opened(resolver, webpush_hosts=("*",))
    with spying() as connections:
        found = await sent(provider, endpoint)
    assert (found.reason, connections, resolver.asked) == ("bad_endpoint", [], [])


async def test_the_connection_goes_to_the_address_that_was_checked(opened: Any) -> None:
    """The second time that its owner is asked, this name leads inside."""
    resolver = Said(["8.8.8.8"], ["127.0.0.1"])
    provider = await opened(resolver, webpush_hosts=("*",))
    with spying() as connections:
        found = await sent(provider, "https://evil.example.org/x")
    assert (found.status, found.reason) == ("retry", "connect_failed")
    assert connections == [("8.8.8.8", 443)]
    assert resolver.asked == ["evil.example.org."]


async def test_a_name_without_an_address_is_a_retry(opened: Any) -> None:
    class NoName(Said):
        async def lookup(self, name: str) -> Sequence[str]:
            raise OSError(name)

    provider = await opened(NoName(), webpush_hosts=("*",))
    found = await sent(provider, "https://evil.example.org/x")
    assert (found.status, found.reason) == ("retry", "dns_failed")


async def test_a_redirect_inside_is_not_followed(opened: Any, peer: Peer) -> None:
    provider = await opened(Said(), **at(peer))
    peer.answers = iter([b"HTTP/1.1 307 Go\r\nLocation: https://127.0.0.1:22/\r\nContent-Length: 0\r\n\r\n"])
    with spying() as connections:
        found = await sent(provider)
    assert (found.status, found.reason) == ("rejected", "bad_endpoint")
    assert connections == [("127.0.0.1", peer.port)]


BOMB = b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
UNFINISHED = b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize("answer", [BOMB, UNFINISHED], ids=["bomb", "unfinished"])
async def test_an_answers_body_is_not_waited_for(opened: Any, peer: Peer, answer: bytes) -> None:
    """The second time, the connection would be kept for the next push if the body came to an end."""
    provider = await opened(Said(), **at(peer))
    for _ in range(2):
        peer.answers = iter([answer])
        assert (await sent(provider)).status == "accepted"


async def test_of_a_body_without_end_little_is_read(
    opened: Any, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first time the connection would not be kept, the second time it would."""
    monkeypatch.setattr("relay.providers.webpush.ANSWER_SECONDS", 60)  # what is read, not how long, ends it
    provider = await opened(Said(), **at(peer))
    for _ in range(2):
        peer.closed.clear()
        assert (await sent(provider, f"https://{NAMED}/endless")).status == "accepted"
        async with asyncio.timeout(5):
            await peer.closed.wait()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\x00" * 100,
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 201 Created\r\n" + b"X: x\r\n" * 10_000 + b"\r\n",
    ],
)
async def test_an_answer_that_is_none_is_a_retry(opened: Any, peer: Peer, answer: bytes) -> None:
    provider = await opened(Said(), **at(peer))
    peer.answers = iter([answer])
    found = await sent(provider)
    assert (found.status, found.reason) == ("retry", "protocol_error")
    peer.answers = iter([CREATED])
    assert (await sent(provider)).status == "accepted"


async def test_no_cookie_comes_back(opened: Any, peer: Peer) -> None:
    provider = await opened(Said(), **at(peer))
    peer.answers = (b"HTTP/1.1 201 Created\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n" for _ in count())
    for _ in range(3):
        assert (await sent(provider)).status == "accepted"
    assert b"ookie" not in b"".join(peer.requests)


async def test_a_connection_is_kept_where_pushes_were_accepted(opened: Any, peer: Peer) -> None:
    provider = await opened(Said(), **at(peer))
    refused = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
    peer.answers = iter([refused, refused, CREATED, CREATED, refused, CREATED])
    for _ in range(6):
        await sent(provider)
    # None is kept for who never accepted anything; the first that is, is the one behind the first acceptance.
    assert peer.connections == 4


async def test_a_name_has_one_connection_however_it_is_spelt(opened: Any, peer: Peer) -> None:
    """There are more spellings than connections that a process may have."""
    provider = await opened(Said(), **at(peer))
    peer.answers = iter([CREATED] * 4)
    for spelt in (NAMED, NAMED, NAMED.upper(), NAMED.capitalize()):
        assert (await sent(provider, f"https://{spelt}/x")).status == "accepted"
    assert peer.connections == 2  # the first is not kept


async def test_a_path_is_sent_as_it_was_given(opened: Any, peer: Peer) -> None:
    provider = await opened(Said(), **at(peer))
    peer.answers = iter([CREATED])
    await sent(provider, f"https://{NAMED}/a/../%2e%2E/;x?token=%3d%2Bz&q=(~)")
    assert peer.requests[0].startswith(b"POST /a/../%2e%2E/;x?token=%3d%2Bz&q=(~) HTTP/1.1\r\n")


async def test_a_service_that_says_nothing_holds_up_no_other(opened: Any, peer: Peer) -> None:
    """Four places: two for one named host, one for all that was not named."""
    provider = await opened(
        Said(None), **at(peer), webpush_hosts=("*", "slow.example.org"), limits=LimitSettings(in_flight=4)
    )
    peer.answers = (CREATED for _ in count())
    strangers = [begin(provider, f"https://{number}.evil.org/x", server="evil") for number in range(50)]
    named = [begin(provider, "https://slow.example.org/x", server="evil") for _ in range(50)]
    for _ in range(10):
        assert (await sent(provider)).status == "accepted"
    assert not any(one.done() for one in (*strangers, *named))
    await provider.close()
    assert {(await one).reason for one in (*strangers, *named)} == {"connection_lost"}


async def test_who_sends_to_dead_subscriptions_goes_apart(opened: Any, peer: Peer) -> None:
    provider = await opened(Said(), **at(peer), limits=LimitSettings(in_flight=4))
    peer.answers = (CREATED for _ in count())
    silent = f"https://{NAMED}/silent"
    dead = [begin(provider, silent, server="careless", suspect=True) for _ in range(50)]
    for _ in range(10):
        assert (await sent(provider)).status == "accepted"
    assert not any(one.done() for one in dead)
    assert (
        len([head for head in peer.requests if head.startswith(b"POST /silent ")]) == 1
    )  # a quarter of four


async def test_no_more_connections_are_open_than_there_are_places(opened: Any, peer: Peer) -> None:
    provider = await opened(Said(), **at(peer), limits=LimitSettings(in_flight=8))
    peer.answers = (CREATED for _ in count())
    async with asyncio.timeout(10):
        verdicts = await asyncio.gather(*(begin(provider, f"https://{NAMED}/x") for _ in range(200)))
    assert {one.status for one in verdicts} == {"accepted"}
    assert peer.connections <= 8  # four at once to one host, and none kept of the first four


async def test_connections_are_kept_to_few_names(opened: Any) -> None:
    provider = await opened(Said())
    for number in range(3 * KEPT_NAMES):
        provider._keep(f"{number}.push.apple.com")
    assert len(provider._kept) == KEPT_NAMES


async def test_a_host_that_a_stranger_named_is_spoken_to_with_less(opened: Any, peer: Peer) -> None:
    """The guard lets no test reach a stranger's host; here it is told that it may, for a name that nobody named."""
    name = "api.push.apple.com"
    provider = await opened(Said(), webpush_hosts=("*",))
    leads = GuardedResolver(Said(), {name: ("127.0.0.1", peer.port)})
    provider._stranger = Stranger(leads, ssl.create_default_context(cadata=peer.roots))
    peer.answers = iter([CREATED, b"HTTP/1.1 429 Slow\r\nRetry-After: 9\r\n\r\n"])
    assert (await sent(provider, f"https://{name}/x")).status == "accepted"
    assert decrypt(peer.bodies[0], key=Browser.at("").key) == unb64u(ENVELOPE)
    assert b"\r\nAuthorization: vapid t=" in peer.requests[0]
    assert await sent(provider, f"https://{name}/x") == Verdict("retry", "throttled", retry_after=9)
    assert (await sent(provider, f"https://{name}/interim")).reason == "protocol_error"
    assert provider._kept == {}
