"""A server that somebody else wrote from PROTOCOL.md asks `hushpost relay` to push.

What a relay must refuse, and at which edges, is in the conformance kit's cases (`relay/conformance/`).
"""

import asyncio
import json
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from simulator.providers import Providers
from tests.harness import foreign_process
from tests.harness.foreign_client import Http, Link, Reply, new_handle
from tests.harness.foreign_process import Running, running
from tests.harness.foreign_server import (
    Server,
    keyid,
    make_pass,
    push,
    relay_key,
    seed,
)
from tests.harness.ports import free_port
from tests.harness.second import b64u, identity_public

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPERATOR = seed()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def providers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Providers]:
    async with Providers(tmp_path_factory.mktemp("providers")) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A relay's keys, made by its own command and used by every relay here."""
    directory = tmp_path_factory.mktemp("keys")
    env = {"HUSHPOST_SERVER_DATA_DIR": "data"}
    making = await foreign_process.run("keys", "new", "relay", directory=directory, env=env)
    assert await making.wait() == 0
    return directory / "data" / "keys" / "relay.keys"


Start = Callable[..., Any]


@pytest.fixture(scope="module")
def start(keys: Path, providers: Providers, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts a relay with settings of its own."""

    def begin(**settings: str) -> Any:
        port, directory = free_port(), tmp_path_factory.mktemp("relay")
        address = f"127.0.0.1:{port}"
        host, _, apns_port = providers.apns_address.rpartition(":")
        relay = {
            "PUBLIC_URL": f"http://{address}",
            "LISTEN": address,
            "KEY_FILE": str(keys),
            "ADMISSION": "open",
            "APNS_0_TOPIC": providers.app,
            "APNS_0_KEY_ID": providers.key_id,
            "APNS_0_TEAM_ID": providers.team_id,
            "APNS_0_KEY_FILE": str(providers.apns_key_file),
            "APNS_0_HOST": host,
            "APNS_0_PORT": apns_port,
            "APNS_0_CA_FILE": str(providers.ca_file),
            "FCM_0_SERVICE_ACCOUNT_FILE": str(providers.service_account_file),
            "FCM_0_ENDPOINT": providers.fcm_url,
            "FCM_0_CA_FILE": str(providers.ca_file),
        }
        env = {f"HUSHPOST_RELAY_{name}": value for name, value in (relay | settings).items()}
        return running("relay", directory=directory, port=port, env=env)

    return begin


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(start: Start) -> AsyncIterator[Running]:
    webpush = {"WEBPUSH_0_APP": "org.hushpost.web", "WEBPUSH_0_SUBJECT": "mailto:operator@example.org"}
    async with start(WEBPUSH_0_KEY=b64u(bytes([1]) * 32), **webpush) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def server(session: aiohttp.ClientSession, relay: Running) -> Server:
    """A server that the relay has never heard of."""
    return await server_of(session, relay, seed())


async def server_of(session: aiohttp.ClientSession, relay: Running, key: bytes) -> Server:
    """A server of a relay that is past its start: until then it refuses what may be a replay."""
    http = Http(session, relay.url)
    server = Server(http, key, await relay_key(http))
    async with asyncio.timeout(foreign_process.START_SECONDS):
        while (await server.send(server.push_request())).status == 503:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(0.1)
    return server


async def handle_for(server: Server, provider: str, token: str, **claims: str) -> str:
    app = {"apns": "org.hushpost.app", "fcm": "hushpost-app"}[provider]
    link = Link(server="", keyid=keyid(server.seed), code="", relay=server.http.url)
    return await new_handle(server.http.session, link, provider=provider, app=app, token=token, **claims)


async def test_outcomes_come_in_order_and_pushes_reach_the_providers_as_constants(
    server: Server, providers: Providers
) -> None:
    tokens = {name: providers.token(name) for name in ("apns", "fcm")}
    handles = {name: await handle_for(server, name, token) for name, token in tokens.items()}
    pushes = [
        push(handles["apns"], envelope=b64u(secrets.token_bytes(2944))),
        push(handles["fcm"], priority="normal", ttl=60, envelope=b64u(secrets.token_bytes(1536))),
        push(handles["apns"], priority="normal", type="background"),
        push(handles["fcm"], envelope=None),
        push(handles["apns"], envelope=None, ttl=0),
    ]
    outcomes = await server.push(*pushes)
    assert [outcome["id"] for outcome in outcomes] == [one["id"] for one in pushes]
    assert [outcome["status"] for outcome in outcomes] == ["accepted"] * 5
    at_apns = {
        record.header("apns-id"): record for record in providers.recorded if record.token == tokens["apns"]
    }
    for sent, kind, priority in [(pushes[0], "alert", "10"), (pushes[2], "background", "5")]:
        record = at_apns[sent["id"]]
        assert record.header("apns-push-type") == kind
        assert record.header("apns-priority") == priority
        assert record.header("apns-topic") == "org.hushpost.app"
        assert record.header("apns-collapse-id") == sent["collapse"]
        expires = int(record.header("apns-expiration") or "")
        assert abs(expires - time.time() - sent["ttl"]) < 30
    alert = {"alert": {"loc-key": "HP_NEW_MESSAGE"}, "mutable-content": 1, "sound": "default"}
    assert json.loads(at_apns[pushes[0]["id"]].payload) == {"aps": alert, "hp": pushes[0]["envelope"]}
    assert len(at_apns[pushes[0]["id"]].payload) <= 4018
    assert json.loads(at_apns[pushes[2]["id"]].payload) == {
        "aps": {"content-available": 1},
        "hp": pushes[2]["envelope"],
    }
    assert json.loads(at_apns[pushes[4]["id"]].payload) == {"aps": alert}
    at_fcm = [json.loads(record.payload) for record in providers.recorded if record.token == tokens["fcm"]]
    expected = [
        {"data": {"hp": pushes[1]["envelope"]}, "android": {"priority": "NORMAL", "ttl": "60s"}},
        {"data": {"hp": ""}, "android": {"priority": "HIGH", "ttl": "86400s"}},
    ]
    for message in expected:
        assert {"message": {"token": tokens["fcm"]} | message} in at_fcm
    assert len(at_fcm) == 2


async def test_each_status_is_answered_for_its_own_push_alone(server: Server, providers: Providers) -> None:
    stranger = Server(server.http, seed(), server.relay)
    dead, busy, wrong, fine = (providers.token("apns") for _ in range(4))
    handles = [await handle_for(server, "apns", token) for token in (dead, busy, wrong, fine)]
    foreign = await handle_for(stranger, "apns", providers.token("apns"))
    flipped = handles[3][:-8] + ("A" if handles[3][-8] != "A" else "B") + handles[3][-7:]
    died = int(time.time() * 1000) + 1000
    providers.script("apns", reason="Unregistered", token=dead, since=died)
    providers.script("apns", reason="TooManyRequests", token=busy, retry_after=7)
    providers.script("apns", reason="BadTopic", token=wrong)
    outcomes = await server.push(*(push(handle) for handle in (*handles, foreign, flipped, "nonsense")))
    told = [(outcome["status"], outcome.get("reason")) for outcome in outcomes]
    assert told == [
        ("gone", "unregistered"),
        ("retry", "throttled"),
        ("rejected", "wrong_topic"),
        ("accepted", None),
        ("gone", "handle_invalid"),
        ("gone", "handle_invalid"),
        ("gone", "handle_invalid"),
    ]
    assert outcomes[0]["since"] == died
    assert 1 <= outcomes[1]["retryAfter"] <= 3600
    providers.script("apns", reason="Unregistered", token=fine, since=1_700_000_000_000)
    [registered_since] = await server.push(push(handles[3]))
    assert registered_since["status"] == "retry"


async def test_the_status_is_signed_and_says_what_is_left(server: Server) -> None:
    request = server.status_request()
    reply = await server.send(request)
    assert reply.status == 200, reply.body
    server.check_signed(request, reply, "status_answer")
    assert reply.json.keys() == {"limits", "apps", "server"}
    assert reply.json["server"] == keyid(server.seed)
    for limit in reply.json["limits"]:
        assert limit.keys() == {"name", "limit", "remaining", "resetsAt"}
        assert limit["resetsAt"] > time.time() * 1000
    assert reply.json["apps"] == (await server.http.call("GET", "/v1/apps")).json
    again = await server.send(request)
    assert (again.status, again.code) == (409, "nonce_replayed")
    server.check_signed(request, again, "status_answer")


def _check_refusal(reply: Reply, code: str, status: int) -> None:
    assert (reply.status, reply.code) == (status, code), reply.body
    assert reply.json["title"]
    assert reply.json["detail"]
    assert ("Retry-After" in reply.headers) == (status in {429, 503})


async def test_a_pass_admits_with_its_quota_and_a_full_memory_refuses(
    start: Start, session: aiohttp.ClientSession, providers: Providers
) -> None:
    async with start(ADMISSION="pass", PASS_KEYS=b64u(identity_public(OPERATOR)), LIMITS_NONCES="6") as relay:
        server = await server_of(session, relay, seed())
        own = keyid(server.seed)
        right = make_pass(OPERATOR, server=own, audience=relay.url, quota=2)
        await _past_start(server, right)
        handle = await handle_for(server, "apns", providers.token("apns"))
        body = json.dumps({"pushes": [push(handle) for _ in range(3)]}).encode()
        first = await server.send(server.push_request(body).with_headers(Hushpost_Pass=right))
        assert [(one["status"], one.get("reason")) for one in first.json["outcomes"]] == [
            ("accepted", None),
            ("accepted", None),
            ("retry", "limited"),
        ]
        assert '"server";r=0' in first.headers["Ratelimit"]
        request = server.push_request(body).with_headers(Hushpost_Pass=right)
        limited = await server.send(request)
        _check_refusal(limited, "limited", 429)
        server.check_signed(request, limited)
        assert (await server.send(server.push_request().with_headers(Hushpost_Pass=right))).status == 200
        request = server.push_request().with_headers(Hushpost_Pass=right)
        full = await server.send(request)
        _check_refusal(full, "nonce_store_full", 503)
        server.check_signed(request, full)


async def _past_start(server: Server, right: str) -> None:
    """One request is served; whatever was signed before the process began is not."""
    old = server.push_request(age=50).with_headers(Hushpost_Pass=right)
    reply = await server.send(old)
    _check_refusal(reply, "starting", 503)
    server.check_signed(old, reply)
    async with asyncio.timeout(foreign_process.START_SECONDS):
        while True:
            request = server.push_request().with_headers(Hushpost_Pass=right)
            if (await server.send(request)).status == 200:
                return
            await asyncio.sleep(0.1)


async def test_a_relay_that_is_told_to_end_answers_what_it_holds(
    start: Start, session: aiohttp.ClientSession, providers: Providers
) -> None:
    async with start() as relay:
        server = await server_of(session, relay, seed())
        token = providers.token("apns")
        handle = await handle_for(server, "apns", token)
        providers.script("apns", kind="delay", delay=0.5, token=token)
        pushing = asyncio.create_task(server.push(push(handle)))
        await providers.until(lambda recorded: any(record.token == token for record in recorded))
        relay.process.send_signal(signal.SIGTERM)
        [outcome] = await pushing
        assert outcome["status"] == "accepted"
        assert await relay.process.wait() == 0
