"""Asking strangers over HTTP: nobody inside is connected to, however it is written, and whatever answers is bounded."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from server.domain.outgoing import Attempt, Reason
from server.worker.target import Refused, read_target
from server.worker.web import LARGEST_ANSWER, Failed, Web, read_retry_after
from simulator.authority import make_authority
from tests.harness.connects import spying
from tests.harness.native import listening

NAMES = {
    "localhost.": ["127.0.0.1", "::1"],
    "loopback.": ["127.0.0.2"],
    "inside.example.": ["10.0.0.1"],
    "mixed.example.": ["8.8.8.8", "10.0.0.1"],
    "metadata.google.internal.": ["169.254.169.254"],
    "169.254.169.254.nip.example.": ["169.254.169.254"],
    "v6.example.": ["fd00::1"],
    "mapped.example.": ["::ffff:127.0.0.1"],
    "nat64.example.": ["64:ff9b::7f00:1"],
    "carrier.example.": ["100.64.0.1"],
    "rebound.example.": ["127.0.0.1"],
    "outside.example.": ["8.8.8.8"],
    "receiver.example.": ["127.0.0.1"],
}
EVERYWHERE = [ip_network("0.0.0.0/0"), ip_network("::/0")]
LOOPBACK = [ip_network("127.0.0.1/32")]
URLS = [
    line.encode("ascii").decode("unicode_escape")
    for line in (Path(__file__).parent / "urls_inside.txt").read_text("ascii").splitlines()
    if line and not line.startswith("#")
]
NOBODY = {
    Reason.BAD_URL,
    Reason.REFUSED_PORT,
    Reason.REFUSED_INSIDE,
    Reason.DNS_FAILED,
}


class Names:
    """A resolver that knows `NAMES`, or what a test says in their place: one answer after the other, the last for ever."""

    def __init__(self, said: Mapping[str, Sequence[Sequence[str]]] | None = None) -> None:
        self.said = {name: list(answers) for name, answers in (said or {}).items()}
        self.asked: list[str] = []

    async def lookup(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        answers = self.said.get(name)
        if answers:
            return answers.pop(0) if len(answers) > 1 else answers[0]
        if name not in NAMES:
            raise OSError("no such name")
        return NAMES[name]

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., Web]]:
    """Make clients; all are closed at the end."""
    made: list[Web] = []

    def make(*, allowed: Sequence[Any] = (), names: Names | None = None) -> Web:
        made.append(Web(allowed, clock=lambda: 0, resolver=names or Names()))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    """Serve one handler for every request at a port of loopback; returns its URL."""
    async with AsyncExitStack() as stack:

        async def start(handler: Callable[[web.Request], Any]) -> str:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", handler)
            return await stack.enter_async_context(listening(app))

        yield start


async def fetched(client: Web, url: str) -> bytes | Reason | None:
    """Return what a GET brings, or why it brings nothing."""
    try:
        async with client.get(url) as download:
            return b"".join([piece async for piece in download.pieces])
    except Failed as failed:
        return failed.attempt.reason


async def asked(client: Web, url: str, *, seconds: float = 5.0) -> bytes | Reason | None:
    """Return what a POST is answered, or why there is nothing."""
    try:
        return await client.ask(url, {}, b"{}", seconds=seconds, most=10)
    except Failed as failed:
        return failed.attempt.reason


def test_the_corpus_is_what_it_is_said_to_be() -> None:
    assert len(URLS) == len(set(URLS))
    assert len(URLS) >= 150


async def test_no_spelling_of_an_address_inside_leads_there(opened: Callable[..., Web]) -> None:
    client = opened()
    with spying() as seen:
        posted = {url: (await client.post(url, {}, b"{}")).reason for url in URLS}
        found = {url: await fetched(client, url) for url in URLS}
        answered = {url: await asked(client, url) for url in URLS}
    assert seen == []
    assert {url: reason for url, reason in posted.items() if reason not in NOBODY} == {}
    assert posted == found == answered


async def test_no_redirect_leads_inside(opened: Callable[..., Web], serve: Callable[..., Any]) -> None:
    """Nor to another machine than the one that the operator allows."""
    url = ""

    async def elsewhere(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": url.replace("\t", "%09")})

    here, client = await serve(elsewhere), opened(allowed=LOOPBACK)
    found = {}
    with spying() as seen:
        for url in URLS:
            found[url] = await fetched(client, f"{here}/file")
    assert {address[0] for address in seen} == {"127.0.0.1"}
    assert [url for url, reason in found.items() if not isinstance(reason, Reason)] == []


async def test_a_name_that_changes_its_mind_is_not_followed_inside(opened: Callable[..., Web]) -> None:
    names = Names({"rebound.example.": [["8.8.8.8"], ["127.0.0.1"]]})
    client = opened(names=names)
    with spying() as seen:
        first = await client.post("http://rebound.example/", {}, b"")
        second = await client.post("http://rebound.example/", {}, b"")
    assert (first.reason, second.reason) == (Reason.CONNECT_FAILED, Reason.REFUSED_INSIDE)
    assert [address[0] for address in seen] == ["8.8.8.8"]
    assert len(names.asked) == 2  # once for each


async def test_what_is_connected_to_is_what_was_checked(
    opened: Callable[..., Web], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a URL came past the first two checks, the socket would not be made."""
    client = opened()
    monkeypatch.setattr("server.worker.target.is_open", lambda *_: True)
    with spying() as seen:
        assert (await client.post("http://127.0.0.1/", {}, b"")).reason is Reason.REFUSED_INSIDE
    assert seen == []


async def test_the_operator_may_have_networks_inside_asked(
    opened: Callable[..., Web], serve: Callable[..., Any]
) -> None:
    async def hook(request: web.Request) -> web.Response:
        return web.Response(text=await request.text(), headers={"Retry-After": "7"})

    here = await serve(hook)
    client = opened(allowed=LOOPBACK)
    port = here.rpartition(":")[2]
    assert await client.post(f"{here}/hook", {}, b"x") == Attempt(None, 200, 7)
    assert (await client.post(f"http://receiver.example:{port}/", {}, b"x")).status == 200
    for elsewhere in ("http://127.0.0.2/", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]/"):
        assert (await client.post(elsewhere, {}, b"x")).reason is Reason.REFUSED_INSIDE


async def test_a_webhook_is_not_redirected(opened: Callable[..., Web], serve: Callable[..., Any]) -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/other"})

    here = await serve(elsewhere)
    assert (await opened(allowed=LOOPBACK).post(f"{here}/hook", {}, b"")).reason is Reason.STATUS_3XX
    assert asked == ["/hook"]


async def test_a_file_is_followed_three_times_at_most(
    opened: Callable[..., Web], serve: Callable[..., Any]
) -> None:
    async def again(request: web.Request) -> web.Response:
        left = int(request.path.strip("/"))
        if not left:
            return web.Response(body=b"here")
        return web.Response(status=302, headers={"Location": f"/{left - 1}"})

    here, client = await serve(again), opened(allowed=LOOPBACK)
    assert await fetched(client, f"{here}/3") == b"here"
    assert await fetched(client, f"{here}/4") is Reason.TOO_MANY_REDIRECTS


def test_a_redirect_does_not_leave_tls() -> None:
    client = Web((), clock=lambda: 0, resolver=Names())
    target = read_target("https://outside.example/a", ())
    assert str(client._follow(target, "/b")) == "https://outside.example/b"
    with pytest.raises(Failed) as raised:
        client._follow(target, "http://outside.example/a")
    assert raised.value.attempt.reason is Reason.DOWNGRADED


async def test_an_answer_without_end_costs_a_little(
    opened: Callable[..., Web], serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * LARGEST_ANSWER)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    client = opened(allowed=LOOPBACK)
    assert (await client.post(await serve(endless), {}, b"")).status == 200
    monkeypatch.setattr("server.worker.web.POST_SECONDS", 0.05)
    monkeypatch.setattr("server.worker.web.GET_SECONDS", 0.05)
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert (await client.post(f"http://127.0.0.1:{port}/", {}, b"")).reason is Reason.TIMEOUT
        assert await asked(client, f"http://127.0.0.1:{port}/", seconds=0.05) is Reason.TIMEOUT
    assert await fetched(client, await serve(endless)) is Reason.TIMEOUT
    assert await asked(client, await serve(endless)) is Reason.TOO_LARGE


async def test_what_is_answered_is_as_long_as_it_may_be(
    opened: Callable[..., Web], serve: Callable[..., Any]
) -> None:
    async def says(request: web.Request) -> web.StreamResponse:
        assert (request.method, await request.read()) == ("POST", b"{}")
        return web.Response(body=b"x" * int(request.path[1:]))

    client, here = opened(allowed=LOOPBACK), await serve(says)
    assert await asked(client, f"{here}/10") == b"x" * 10
    assert await asked(client, f"{here}/11") is Reason.TOO_LARGE


async def test_no_proxy_of_the_environment_is_asked(
    opened: Callable[..., Web], serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hook(_request: web.Request) -> web.Response:
        return web.Response()

    here = await serve(hook)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await opened(allowed=LOOPBACK).post(here, {}, b"")).status == 200


async def test_a_certificate_of_nobody_known_is_refused(opened: Callable[..., Web], tmp_path: Path) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    authority = make_authority(tmp_path / "leaf.pem", now=datetime.now(UTC))
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=authority.context())
    async with server:
        port = server.sockets[0].getsockname()[1]
        attempt = await opened(allowed=LOOPBACK).post(f"https://receiver.example:{port}/", {}, b"")
    assert attempt.reason is Reason.TLS_FAILED


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("120", 120),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
def test_a_wait_is_read_in_seconds_or_as_a_time(value: str | None, seconds: int | None) -> None:
    assert read_retry_after(value, 10_000) == seconds


@pytest.mark.parametrize(
    "url",
    [
        "https://outside.example/hook?a=b#c",
        "http://8.8.8.8:8123/api/webhook/x",
        "http://[2001:4860:4860::8888]/",
        "http://bücher.example/",
        "http://home_assistant:8123/",
        "https://x--y.example:65535/a@b",
    ],
)
def test_what_leads_outside_as_far_as_one_sees_is_asked(url: str) -> None:
    assert read_target(url, ()).scheme in url


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:8.8.8.8]", "[fe80::1%25eth0]"]
)
def test_an_address_inside_is_refused_before_anybody_tries_it(host: str) -> None:
    with pytest.raises(Refused) as raised:
        read_target(f"http://{host}/", ())
    assert raised.value.reason is Reason.REFUSED_INSIDE
    assert host == "[fe80::1%25eth0]" or read_target(f"http://{host}/", EVERYWHERE)


def test_a_reason_is_all_that_is_said_of_a_url_that_is_refused() -> None:
    with pytest.raises(Refused) as raised:
        read_target("http://user:hunter2@example.org/", ())
    assert str(raised.value) == "bad_url"
