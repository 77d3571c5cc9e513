"""Running providers, and clients that hold their credentials."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp.test_utils import TestServer

from crypto.webpush import SubscriptionKey
from simulator.credentials import Credentials
from simulator.phone import Phone
from simulator.providers import Providers
from tests.harness import simulated
from tests.simulator.clients import Assert, Events, Fcm, Grant, Pair, Reopen, Sender, Time
from tests.simulator.http2 import Client
from tests.simulator.peer import Peer
from tests.simulator.webpush_client import Browser, Connect, PushSender, fixed, token_of
from tests.simulator.wire import Pusher, Wire


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(scope="session")
def credentials() -> Credentials:
    return simulated.credentials()


@pytest.fixture
async def providers(tmp_path: Path, time: Time, credentials: Credentials) -> AsyncIterator[Providers]:
    async with Providers(tmp_path / "providers", clock=time, credentials=credentials) as running:
        yield running


@pytest.fixture
async def apns(providers: Providers, time: Time) -> AsyncIterator[Sender]:
    client = await Client.connect(providers.apns_address, providers.ca_file)
    yield Sender(providers, time, client)
    await client.close()


@pytest.fixture
async def wire(providers: Providers) -> AsyncIterator[Wire]:
    wire = await Wire.connect(providers.apns_address, providers.ca_file)
    yield wire
    await wire.close()


@pytest.fixture
def push(wire: Wire, apns: Sender) -> Pusher:
    return Pusher(wire, apns)


@pytest.fixture
async def https(providers: Providers) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cafile=str(providers.ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield session


@pytest.fixture
def web(https: aiohttp.ClientSession, providers: Providers, time: Time) -> PushSender:
    return PushSender(https, providers.webpush_address, time)


@pytest.fixture
def key() -> SubscriptionKey:
    return SubscriptionKey.generate(fixed)


@pytest.fixture
def stranger(https: aiohttp.ClientSession, providers: Providers, time: Time) -> PushSender:
    return PushSender(https, providers.webpush_address, time)


@pytest.fixture
def subscription(providers: Providers, web: PushSender, key: SubscriptionKey) -> dict[str, Any]:
    return providers.subscription(web.server_key, key=key)


@pytest.fixture
def connect(providers: Providers, subscription: dict[str, Any], key: SubscriptionKey) -> Connect:
    @asynccontextmanager
    async def connected() -> AsyncIterator[Browser]:
        url = f"{providers.control_url}/control/tokens/{token_of(subscription)}/stream"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as stream:
            assert await stream.receive_json() == {"event": "ready"}
            yield Browser(stream, key)

    return connected


@pytest.fixture
def assertion(providers: Providers, time: Time) -> Assert:
    """Make a service-account assertion; keywords replace claims."""
    account = json.loads(providers.service_account_file.read_text())

    def make(key: str = account["private_key"], **claims: Any) -> str:
        now = int(time())
        usual = {
            "iss": account["client_email"],
            "aud": account["token_uri"],
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
            "iat": now,
            "exp": now + 3600,
        }
        return jwt.encode(
            {**usual, **claims}, key, algorithm="RS256", headers={"kid": account["private_key_id"]}
        )

    return make


@pytest.fixture
def grant(providers: Providers, https: aiohttp.ClientSession, assertion: Assert) -> Grant:
    async def ask(text: str | None = None) -> tuple[int, dict[str, Any]]:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": assertion() if text is None else text,
        }
        async with https.post(providers.token_url, data=form) as answer:
            return answer.status, await answer.json()

    return ask


@pytest.fixture
async def fcm(providers: Providers, https: aiohttp.ClientSession, grant: Grant) -> Fcm:
    """Send a body to FCM with a bearer token; gives status, JSON and headers."""
    _, granted = await grant()

    async def send(
        body: Any, *, project: str = providers.project, bearer: str = granted["access_token"]
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        url = f"{providers.fcm_url}/v1/projects/{project}/messages:send"
        async with https.post(url, json=body, headers={"Authorization": f"Bearer {bearer}"}) as answer:
            return answer.status, await answer.json(), dict(answer.headers)

    return send


@pytest.fixture
async def peer(time: Time, apns: Sender, web: PushSender) -> AsyncIterator[Peer]:
    peer = Peer(time, apns, web)
    server = TestServer(peer.app())
    await server.start_server()
    peer.url = str(server.make_url("/")).rstrip("/")
    yield peer
    await server.close()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "phone.json"


@pytest.fixture
async def pair(
    peer: Peer, providers: Providers, time: Time, events: Events, file: Path
) -> AsyncIterator[Pair]:
    phones: list[Phone] = []

    async def make(link: str | None = None, **changed: Any) -> Phone:
        usual: dict[str, Any] = {"platform": "ios", "suite": 2, "name": "Ada's phone", "file": file}
        phone = await Phone.pair(
            link or peer.link,
            control=providers.control_url,
            clock=lambda: int(time() * 1000),
            on_event=events,
            **{**usual, **changed},
        )
        phones.append(phone)
        return phone

    yield make
    for phone in phones:
        await phone.close()


@pytest.fixture
async def phone(pair: Pair) -> Phone:
    return await pair()


@pytest.fixture
async def reopen(file: Path, providers: Providers, time: Time, events: Events) -> AsyncIterator[Reopen]:
    phones: list[Phone] = []

    async def make() -> Phone:
        phones.append(
            await Phone.open(
                file, control=providers.control_url, clock=lambda: int(time() * 1000), on_event=events
            )
        )
        return phones[-1]

    yield make
    for phone in phones:
        await phone.close()
