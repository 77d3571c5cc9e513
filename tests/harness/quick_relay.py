"""A relay that accepts every push and asks no provider: what is left is what the server's workers can do.

It reads the ids and signs its answer like a relay; it checks nothing, which is the relay's own cost and is measured elsewhere.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from crypto.encoding import b64u
from crypto.httpsig import OUTCOME, request_context, sign_answer
from crypto.keys import IdentityKey, Random
from relay.wire import JSON_TYPE, MAX_BYTES, PUSH_PATH, Outcome, Outcomes
from simulator.bell import Bell
from tests.harness.ports import free_port

LIFETIME = 60
PROVIDER_ID = "quick"


class _Named(msgspec.Struct, frozen=True):
    id: str


class _Asked(msgspec.Struct, frozen=True):
    pushes: list[_Named]


@dataclass
class QuickRelay:
    url: str
    key: IdentityKey
    accepted: int = 0
    bell: Bell = field(default_factory=Bell)

    @property
    def settings(self) -> Mapping[str, str]:
        """What a server's environment must say."""
        return {
            "HUSHPOST_SERVER_RELAY_URL": self.url,
            "HUSHPOST_SERVER_RELAY_KEYS": b64u(self.key.public.raw),
        }

    async def until(self, condition: Callable[[int], bool]) -> None:
        """Wait until so many were accepted."""
        await self.bell.until(lambda: condition(self.accepted))

    async def push(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=_Asked)
        outcomes = [Outcome(id=one.id, status="accepted", providerId=PROVIDER_ID) for one in asked.pushes]
        body = msgspec.json.encode(Outcomes(outcomes))
        signed = sign_answer(
            OUTCOME,
            key=self.key,
            status=200,
            content_type=JSON_TYPE,
            body=body,
            request=request_context("POST", self.url + PUSH_PATH, list(request.headers.items())),
            created=int(time.time()),
            lifetime=LIFETIME,
        )
        self.accepted += len(outcomes)
        self.bell.ring()
        return web.Response(body=body, headers={"Content-Type": JSON_TYPE, **signed})


@asynccontextmanager
async def quick_relay(random: Random) -> AsyncIterator[QuickRelay]:
    port = free_port()
    relay = QuickRelay(f"http://127.0.0.1:{port}", IdentityKey.generate(random))
    app = web.Application(client_max_size=2 * MAX_BYTES)
    app.router.add_post(PUSH_PATH, relay.push)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield relay
    finally:
        await runner.cleanup()
