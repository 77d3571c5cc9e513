"""A relay on a free port, and a server that signs requests to it."""

import random as pseudo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import msgspec
from aiohttp import ClientSession, web
from multidict import CIMultiDict
from yarl import URL

from crypto.encoding import b64u
from crypto.handle import HandleClaims, Subscription, seal_handle
from crypto.httpsig import (
    OUTCOME,
    PUSH,
    STATUS,
    STATUS_ANSWER,
    Profile,
    request_context,
    sign_request,
    verify_answer,
)
from crypto.keys import EpochKey, IdentityKey, Random
from relay.app import build_relay
from relay.config import Admission, RelayConfig
from relay.wire import JSON_TYPE, PUSH_PATH, STATUS_PATH, Outcome, Push, decode_outcomes, encode_pushes
from server.cli.no_http import NoQuotes
from simulator.providers import Providers
from tests.harness.clock import SettableClock

PUBLIC_URL = "https://relay.test/base"
RELAY_KEY = IdentityKey.from_seed(bytes([1]) * 32)
SECOND_RELAY_KEY = IdentityKey.from_seed(bytes([2]) * 32)
SERVER_KEY = IdentityKey.from_seed(bytes([3]) * 32)
STRANGER_KEY = IdentityKey.from_seed(bytes([4]) * 32)
PASS_KEY = IdentityKey.from_seed(bytes([5]) * 32)
EPOCH = EpochKey(7, bytes([6]) * 32)
TOPIC = "org.hushpost.app"
PROJECT = "hushpost-app"
COLLAPSE = b64u(bytes(16))
ENVELOPE = b64u(bytes(768))


def config(**changes: Any) -> RelayConfig:
    """A relay that admits one server."""
    values: dict[str, Any] = {
        "public_url": PUBLIC_URL,
        "identities": (RELAY_KEY,),
        "epochs": {EPOCH.number: EPOCH},
        "admission": Admission.ALLOWLIST,
        "allowlist": frozenset({SERVER_KEY.public.id}),
    }
    return RelayConfig(**values | changes)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDict[str]
    body: bytes
    sent: Mapping[str, str]
    """The headers that were sent."""

    @property
    def document(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        return str(self.document["code"])

    @property
    def outcomes(self) -> list[Outcome]:
        assert self.status == 200, self.body
        return decode_outcomes(self.body)


@dataclass
class Relay:
    """A running relay. `now` in seconds."""

    config: RelayConfig
    clock: SettableClock
    random: Random
    session: ClientSession
    app: web.Application
    url: str = ""
    _runner: web.AppRunner | None = field(default=None, repr=False)

    @classmethod
    async def start(
        cls, config: RelayConfig, *, clock: SettableClock, session: ClientSession, mount: str = ""
    ) -> "Relay":
        random = pseudo.Random(5).randbytes  # noqa: S311 - it must repeat
        app = build_relay(config, clock=lambda: clock() / 1000, random=random)
        outer = app
        if mount:
            outer = web.Application()
            outer.add_subapp(mount, app)
        relay = cls(config, clock, random, session, app)
        relay._runner = NoQuotes(outer, access_log=None, auto_decompress=False, shutdown_timeout=1)
        await relay._runner.setup()
        await web.TCPSite(relay._runner, "127.0.0.1", 0).start()
        host, port = relay._runner.addresses[0][:2]
        relay.url = f"http://{host}:{port}{mount}"
        return relay

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def now(self) -> int:
        return self.clock() // 1000

    async def send(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        sent = dict(headers or {})
        data = None if body is None else BytesIO(body)
        url = URL(self.url + path, encoded=True)
        async with self.session.request(method, url, headers=sent, data=data) as response:
            return Answer(response.status, CIMultiDict(response.headers), await response.read(), sent)

    def sign(self, body: bytes, **changes: Any) -> dict[str, str]:
        """The headers of a push request."""
        values: dict[str, Any] = {
            "key": SERVER_KEY,
            "method": "POST",
            "target_uri": self.config.public_url + PUSH_PATH,
            "content_type": JSON_TYPE,
            "created": self.now,
            "lifetime": 60,
            "nonce": self.random(16),
        }
        return sign_request(PUSH, body=body, **values | changes)

    async def post(
        self, body: bytes, *, path: str = PUSH_PATH, headers: Mapping[str, str] | None = None, **changes: Any
    ) -> Answer:
        """A signed push request with any body; `headers` are set over the signed ones."""
        signed = self.sign(body, **changes) | dict(headers or {})
        return await self.send("POST", path, headers=signed, body=body)

    async def push(self, *pushes: Push, **changes: Any) -> list[Outcome]:
        """The outcomes of these pushes, from an answer that verifies."""
        answer = await self.post(encode_pushes(pushes), **changes)
        self.verify(answer)
        return answer.outcomes

    async def status(self, path: str = STATUS_PATH, **changes: Any) -> Answer:
        target = self.config.public_url + STATUS_PATH
        values: dict[str, Any] = {"key": SERVER_KEY, "created": self.now, "nonce": self.random(16)}
        headers = sign_request(
            STATUS,
            method="GET",
            target_uri=target,
            content_type=None,
            body=None,
            lifetime=60,
            **values | changes,
        )
        return await self.send("GET", path, headers=headers)

    def verify(self, answer: Answer, *, path: str = PUSH_PATH, profile: Profile = OUTCOME) -> None:
        """Raises `SignatureFault` unless the relay signed this answer to that request."""
        method = "GET" if profile is STATUS_ANSWER else "POST"
        verify_answer(
            profile,
            keys=[RELAY_KEY.public],
            status=answer.status,
            headers=answer.headers.items(),
            body=answer.body,
            request=request_context(method, self.config.public_url + path, answer.sent.items()),
            now=self.now,
        )

    def handle(self, token: str | None, **changes: Any) -> str:
        """A handle as the relay would issue it, for the topic at APNs unless `changes` says otherwise."""
        values: dict[str, Any] = {
            "provider": "apns",
            "app": TOPIC,
            "environment": "production",
            "token": token,
            "subscription": None,
            "server": SERVER_KEY.public.id,
            "issued_at": self.clock(),
            "expires_at": self.clock() + 1_000_000,
        }
        return seal_handle(HandleClaims(**values | changes), epoch=EPOCH, nonce=self.random(12))

    def webpush_handle(self) -> str:
        subscription = Subscription(
            "https://updates.push.services.mozilla.com/x", b64u(bytes(65)), b64u(bytes(16))
        )
        return self.handle(None, provider="webpush", app="web", subscription=subscription)


def push_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def push(handle: str, number: int = 1, **changes: Any) -> Push:
    values: dict[str, Any] = {
        "id": push_id(number),
        "handle": handle,
        "envelope": ENVELOPE,
        "priority": "high",
        "ttl": 60,
        "collapse": COLLAPSE,
        "type": "alert",
    }
    return Push(**values | changes)


def body_of(items: Sequence[Any]) -> bytes:
    return msgspec.json.encode({"pushes": items})


def to_apns(relay: Relay, providers: Providers, number: int = 1, **changes: Any) -> Push:
    return push(relay.handle(providers.token("apns")), number, **changes)


def to_fcm(relay: Relay, providers: Providers, number: int = 1, **changes: Any) -> Push:
    return push(relay.handle(providers.token("fcm"), provider="fcm", app=PROJECT), number, **changes)
