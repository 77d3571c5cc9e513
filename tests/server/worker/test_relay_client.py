"""The relay client believes nothing that the relay did not sign, and learns the relay's keys once."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
import structlog
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry
from structlog.testing import LogCapture

from crypto.httpsig import sign_directory
from crypto.keys import IdentityKey, IdentityPublicKey, jwks
from relay.config import Admission
from relay.passes import sign_pass
from relay.wire import DIRECTORY_PATH, Outcome, Push
from server.domain.ports import Database, Random
from server.worker import relay_client
from server.worker.gateway import GatewayFault, NoRelay
from server.worker.relay_client import RelayClient
from server.worker.relay_keys import RelayKeys
from server.worker.relay_limits import RelayLimits
from server.worker.relay_look import RelayLook
from server.worker.relay_state import RelayStates
from tests.harness.clock import SettableClock
from tests.relay.running import (
    PASS_KEY,
    PUBLIC_URL,
    RELAY_KEY,
    SECOND_RELAY_KEY,
    SERVER_KEY,
    STRANGER_KEY,
    Relay,
    config,
    push,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOKEN = "ab" * 32


class Site:
    """What the clients of one server have in common."""

    def __init__(
        self, db: Database, session: ClientSession, clock: SettableClock, random: Random, log: LogCapture
    ) -> None:
        self.db, self.session, self.clock, self.random, self.log = db, session, clock, random, log
        self.registry = CollectorRegistry()
        self.logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[log])
        self.limits = RelayLimits(self.registry, clock, self.logger)

    def client(self, reach: str, *given: IdentityPublicKey, relay_pass: str = "") -> RelayClient:
        return RelayClient(
            PUBLIC_URL,
            reach=reach,
            identity=SERVER_KEY,
            keys=self._keys(reach, given),
            session=self.session,
            clock=self.clock,
            random=self.random,
            limits=self.limits,
            relay_pass=relay_pass,
            log=self.logger,
        )

    def _keys(self, reach: str, given: Sequence[IdentityPublicKey]) -> RelayKeys:
        return RelayKeys(
            PUBLIC_URL,
            reach=reach,
            given=given,
            db=self.db,
            session=self.session,
            clock=self.clock,
            log=self.logger,
        )

    def states(self, reach: str, relay_pass: str) -> RelayStates:
        look = RelayLook(PUBLIC_URL, reach, self.session, self.clock, self.random, relay_pass)
        return RelayStates(look, SERVER_KEY, self._keys(reach, (RELAY_KEY.public,)))

    @property
    def events(self) -> list[str]:
        return [entry["event"] for entry in self.log.entries]


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as opened:
        yield opened


@pytest.fixture
def site(database: Database, session: ClientSession, clock: SettableClock, random: Random) -> Site:
    return Site(database, session, clock, random, LogCapture())


@pytest.fixture
async def start(
    session: ClientSession, clock: SettableClock
) -> AsyncIterator[Callable[..., Awaitable[Relay]]]:
    """Start relays that know no provider: every push is `rejected: not_configured`."""
    started: list[Relay] = []

    async def run(**changes: Any) -> Relay:
        started.append(await Relay.start(config(**changes), clock=clock, session=session))
        return started[-1]

    yield run
    for relay in started:
        await relay.stop()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[dict[str, Handler]], Awaitable[str]]]:
    """Serve handlers in a relay's place; returns the address."""
    servers: list[TestServer] = []

    async def run(handlers: dict[str, Handler]) -> str:
        app = web.Application()
        for path, handler in handlers.items():
            app.router.add_route("*", path, handler)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        return str(servers[-1].make_url("")).rstrip("/")

    yield run
    for server in servers:
        await server.close()


StartRelay = Callable[..., Awaitable[Relay]]
Serve = Callable[[dict[str, Handler]], Awaitable[str]]


async def fault_of(client: RelayClient, *pushes: Push) -> GatewayFault:
    with pytest.raises(GatewayFault) as raised:
        await client.push(pushes or [push("handle")])
    return raised.value


async def test_a_verified_answer_has_an_outcome_for_each_push(site: Site, start: StartRelay) -> None:
    relay = await start()
    pushes = [push(relay.handle(TOKEN), number) for number in (1, 2)]
    outcomes = await site.client(relay.url, RELAY_KEY.public).push(pushes)
    assert outcomes == [Outcome(id=p.id, status="rejected", reason="not_configured") for p in pushes]


async def test_an_answer_that_another_key_signed_settles_nothing(site: Site, start: StartRelay) -> None:
    relay = await start()
    fault = await fault_of(site.client(relay.url, STRANGER_KEY.public), push(relay.handle(TOKEN)))
    assert fault.reason == "relay_directory_refused"
    assert "the relay's key directory is refused" in site.events


async def test_whoever_stands_in_between_cannot_make_a_device_gone(site: Site, serve: Serve) -> None:
    async def forge(request: web.Request) -> web.Response:
        ids = [one["id"] for one in (await request.json())["pushes"]]
        return web.json_response({"outcomes": [{"id": id_, "status": "gone"} for id_ in ids]})

    client = site.client(await serve({"/v1/push": forge}), RELAY_KEY.public)
    assert (await fault_of(client)).reason == "relay_answer_not_verified"


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (503, "starting", "relay_starting"),
        (409, "nonce_replayed", "relay_nonce_replayed"),
        (401, "created_skew", "relay_created_skew"),
        (403, "key_not_admitted", "relay_key_not_admitted"),
        (500, "<script>", "relay_http_500"),
        (302, "limited", "relay_limited"),
    ],
)
async def test_a_refusal_says_why_and_when_to_come_back(
    site: Site, serve: Serve, status: int, code: str, reason: str
) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return web.json_response(
            {"code": code}, status=status, headers={"Retry-After": "7", "Location": "http://192.0.2.1/"}
        )

    fault = await fault_of(site.client(await serve({"/v1/push": refuse}), RELAY_KEY.public))
    assert (fault.reason, fault.retry_after, fault.anew) == (
        reason,
        7,
        code in {"starting", "nonce_replayed"},
    )


async def test_an_answer_without_end_is_cut_off(site: Site, serve: Serve) -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 1_000_000)
        except ConnectionError:
            return response

    fault = await fault_of(site.client(await serve({"/v1/push": flood}), RELAY_KEY.public))
    assert fault.reason == "relay_unreachable"


async def test_a_relay_that_is_not_there_is_unreachable(site: Site) -> None:
    fault = await fault_of(site.client("http://127.0.0.1:1", RELAY_KEY.public))
    assert fault.reason == "relay_unreachable"


@pytest.mark.parametrize("trusted", [(), (RELAY_KEY.public,)])
async def test_a_relay_that_does_not_answer_costs_no_more_than_its_time(
    site: Site, serve: Serve, monkeypatch: pytest.MonkeyPatch, trusted: tuple[IdentityPublicKey, ...]
) -> None:
    monkeypatch.setattr(relay_client, "ANSWER_SECONDS", 0.1)
    over = asyncio.Event()

    async def say_nothing(_request: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    client = site.client(await serve({"/v1/push": say_nothing, DIRECTORY_PATH: say_nothing}), *trusted)
    assert (await fault_of(client)).reason == "relay_timeout"
    assert site.events == ["the relay did not answer in time"]
    over.set()


async def test_without_a_relay_everything_waits() -> None:
    with pytest.raises(GatewayFault, match="no_relay"):
        await NoRelay().push([push("handle")])


async def test_the_first_keys_are_trusted_said_and_kept(
    site: Site, start: StartRelay, clock: SettableClock
) -> None:
    relay = await start()
    assert len(await site.client(relay.url).push([push(relay.handle(TOKEN))])) == 1
    assert site.events == ["trusting the keys that this relay shows first"]
    impostor = await start(identities=(STRANGER_KEY,))
    clock.advance(120_000)
    fault = await fault_of(site.client(impostor.url), push(relay.handle(TOKEN)))
    assert fault.reason == "relay_directory_refused"


async def test_new_keys_come_under_the_signature_of_a_trusted_one(site: Site, start: StartRelay) -> None:
    relay = await start()
    await site.client(relay.url).push([push(relay.handle(TOKEN))])
    both = await start(identities=(SECOND_RELAY_KEY, RELAY_KEY))
    assert len(await site.client(both.url).push([push(relay.handle(TOKEN))])) == 1
    assert site.events[1:] == ["the relay has new keys, vouched for by one trusted before"]
    later = await start(identities=(SECOND_RELAY_KEY,))
    assert len(await site.client(later.url).push([push(relay.handle(TOKEN))])) == 1


async def test_given_keys_rotate_in_the_same_way(site: Site, start: StartRelay) -> None:
    both = await start(identities=(SECOND_RELAY_KEY, RELAY_KEY))
    client = site.client(both.url, RELAY_KEY.public)
    assert len(await client.push([push(both.handle(TOKEN))])) == 1


async def test_unknown_keys_make_the_directory_be_read_once_a_minute(
    site: Site, serve: Serve, start: StartRelay, clock: SettableClock
) -> None:
    impostor = await start(identities=(STRANGER_KEY,))
    asked: list[int] = []

    async def directory(_request: web.Request) -> web.Response:
        asked.append(clock())
        return directory_of(RELAY_KEY, clock)

    async def pass_on(request: web.Request) -> web.Response:
        body = await request.read()
        names = ("Content-Type", "Content-Digest", "Signature-Input", "Signature", "Hushpost-Key")
        headers = {name: request.headers[name] for name in names}
        async with site.session.post(f"{impostor.url}/v1/push", data=body, headers=headers) as answer:
            signed = {name: answer.headers[name] for name in names[:4]}
            return web.Response(body=await answer.read(), headers=signed)

    client = site.client(await serve({"/v1/push": pass_on, DIRECTORY_PATH: directory}), RELAY_KEY.public)
    for _ in range(3):
        assert (await fault_of(client)).reason == "relay_answer_not_verified"
    assert len(asked) == 1
    clock.advance(60_000)
    await fault_of(client)
    assert len(asked) == 2


def directory_of(key: IdentityKey, clock: SettableClock) -> web.Response:
    body = json.dumps(jwks([key.public])).encode()
    headers = sign_directory(
        [key],
        status=200,
        body=body,
        target_uri=PUBLIC_URL + DIRECTORY_PATH,
        created=clock() // 1000,
        lifetime=60,
    )
    return web.Response(body=body, headers=headers, content_type="application/json")


def a_pass(relay: Relay) -> str:
    return sign_pass(
        PASS_KEY, server=SERVER_KEY.public.id, relay=PUBLIC_URL, quota=77, now=relay.now, seconds=60
    )


async def test_a_relay_that_wants_a_pass_is_shown_it(site: Site, start: StartRelay) -> None:
    relay = await start(admission=Admission.PASS, pass_keys=(PASS_KEY.public,))
    [outcome] = await site.client(relay.url, RELAY_KEY.public, relay_pass=a_pass(relay)).push(
        [push(relay.handle(TOKEN))]
    )
    assert outcome.reason == "not_configured"
    assert (await fault_of(site.client(relay.url, RELAY_KEY.public))).reason == "relay_pass_invalid"


async def test_what_the_relay_says_to_this_server_is_asked_for_with_its_pass(
    site: Site, start: StartRelay
) -> None:
    relay = await start(admission=Admission.PASS, pass_keys=(PASS_KEY.public,))
    said = await site.states(relay.url, a_pass(relay)).ask()
    assert (said.url, said.state) == (PUBLIC_URL, "admitted")
    assert ("server", 77, 77) in [(one.name, one.limit, one.remaining) for one in said.limits]
    assert (await site.states(relay.url, "").ask()).state == "pass_invalid"
    assert (await site.states("http://127.0.0.1:9", "").ask()).state == "unreachable"
