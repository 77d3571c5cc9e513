"""A relay written from PROTOCOL.md, sections 1, 3 and 4, on the second implementation alone; a test answers its pushes.

It checks nothing: what came is put before the test as it came, and the answer is whatever the test says.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.harness import foreign_process, second, second_http
from tests.harness.foreign_process import Running
from tests.harness.second import b64u, identity_public, unb64u
from tests.harness.second_http import BY_URI, COMPONENTS, Message

DIRECTORY = "/.well-known/http-message-signatures-directory"
EPOCH, EPOCH_KEY = 1, bytes(32)
ARRIVES_WITHIN = 30
LARGEST = 8 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """None as `body` ends the connection without an answer."""

    status: int
    body: bytes | None = field(repr=False)
    headers: dict[str, str]


@dataclass(frozen=True)
class Arrival:
    """A request for pushes, which waits for its answer."""

    message: Message
    body: bytes = field(repr=False)
    seed: bytes = field(repr=False)
    at: float
    _answer: asyncio.Future[Answer]

    @property
    def pushes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.body)["pushes"]
        return found

    @property
    def signature(self) -> dict[str, str]:
        """The parameters of its signature, as they are written."""
        return second_http.read("push", self.message.headers, "hushpost")[0]

    def check(self) -> bytes:
        """The raw key of the server that signed this."""
        return second_http.check_request("push", self.message, self.body, int(time.time()))

    def outcomes(self, status: str = "accepted", **more: Any) -> bytes:
        """One outcome for each push, in order, all alike."""
        each = {"status": status} | ({} if status == "accepted" else {"reason": "made_up"}) | more
        return json.dumps({"outcomes": [{"id": push["id"]} | each for push in self.pushes]}).encode()

    def signed(
        self,
        body: bytes,
        *,
        status: int = 200,
        seed: bytes | None = None,
        age: int = 0,
        request: Message | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        """An answer signed as section 4 has it, unless told otherwise."""
        key = seed or self.seed
        headers = {"Content-Type": content_type, "Content-Digest": second_http.digest(body)}
        answer = Message(headers, status=status, request=request or self.message)
        created = int(time.time()) - age
        params = second_http.parameters("outcome", key, created, created + 60, None)
        return Answer(status, body, headers | second_http.sign(answer, COMPONENTS["outcome"], params, key))

    def reply(self, answer: Answer) -> None:
        self._answer.set_result(answer)

    def accept(self) -> None:
        self.reply(self.signed(self.outcomes()))


class Relay:
    """`seeds` are its keys: all stand in the directory, the first signs the answers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seeds = [secrets.token_bytes(32)]
        self.arrivals: asyncio.Queue[Arrival] = asyncio.Queue()

    @property
    def seed(self) -> bytes:
        return self.seeds[0]

    async def arrival(self) -> Arrival:
        """The next request that no test has taken yet."""
        async with asyncio.timeout(ARRIVES_WITHIN):
            return await self.arrivals.get()

    def handle(self, keyid: str, *, web_push: bool = False) -> str:
        claims = json.dumps({"server": keyid}).encode().ljust(1024 if web_push else 512)
        return second.seal_handle(claims, EPOCH, EPOCH_KEY, secrets.token_bytes(12))

    def app(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST)
        app.router.add_get("/healthz", self._health)
        app.router.add_get(DIRECTORY, self._directory)
        app.router.add_get("/v1/apps", self._apps)
        app.router.add_post("/v1/handles", self._handles)
        app.router.add_post("/v1/push", self._push)
        return app

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _directory(self, _request: web.Request) -> web.Response:
        jwks = [{"kty": "OKP", "crv": "Ed25519", "x": b64u(identity_public(seed))} for seed in self.seeds]
        body = json.dumps({"keys": jwks}).encode()
        headers = {"Content-Digest": second_http.digest(body)}
        answer = Message(headers, status=200, request=Message({}, "GET", self.url + DIRECTORY))
        created = int(time.time())
        signed = [
            second_http.sign(
                answer,
                BY_URI,
                second_http.parameters("directory", seed, created, created + 60, None),
                seed,
                f"k{number}",
            )
            for number, seed in enumerate(self.seeds, start=1)
        ]
        for name in ("Signature-Input", "Signature"):
            headers[name] = ", ".join(one[name] for one in signed)
        headers["Content-Type"] = "application/http-message-signatures-directory+json"
        return web.Response(body=body, headers=headers)

    async def _apps(self, _request: web.Request) -> web.Response:
        apps = [{"provider": "apns", "app": "org.hushpost.app", "environment": "production"}]
        return web.json_response(apps)

    async def _handles(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        assert len(unb64u(wanted["server"])) == 32
        handle = self.handle(wanted["server"], web_push=wanted["provider"] == "webpush")
        expires = int(time.time() * 1000) + 90 * 86_400_000
        return web.json_response({"handle": handle, "expiresAt": expires}, status=201)

    async def _push(self, request: web.Request) -> web.StreamResponse:
        headers = {name.title(): value for name, value in request.headers.items()}
        assert len(headers) == len(request.headers)
        message = Message(headers, "POST", self.url + request.raw_path)
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        body = await request.read()
        await self.arrivals.put(Arrival(message, body, self.seed, time.monotonic(), waiting))
        answer = await waiting
        if answer.body is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


@asynccontextmanager
async def relaying(port: int) -> AsyncIterator[Relay]:
    relay = Relay(f"http://127.0.0.1:{port}")
    runner = web.AppRunner(relay.app(), access_log=None, auto_decompress=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield relay
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Home:
    """Where a server keeps its things, and how it is started there: it knows its relay's address only."""

    directory: Path
    port: int
    relay: Relay

    @property
    def env(self) -> dict[str, str]:
        return {
            "HUSHPOST_SERVER_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "HUSHPOST_SERVER_LISTEN": f"127.0.0.1:{self.port}",
            "HUSHPOST_SERVER_DATA_DIR": "data",
            "HUSHPOST_SERVER_RELAY_URL": self.relay.url,
            "HUSHPOST_WORKER_IN_FLIGHT": "32",  # so that answers that are kept back hold up nothing
        }

    async def furnish(self) -> None:
        making = await foreign_process.run("keys", "new", "server", directory=self.directory, env=self.env)
        assert await making.wait() == 0

    def running(self) -> AbstractAsyncContextManager[Running]:
        return foreign_process.running("server", directory=self.directory, port=self.port, env=self.env)
