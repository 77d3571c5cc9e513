"""A Web Push service (RFC 8030) on one TLS listener: `POST /wp/{id}`, with VAPID checked for real.

Subscriptions name `push.hushpost.test` on port 443, as real ones name their service; whoever pushes is told where that
name leads. Under loopback's own names it is the same service, for clients that can only follow a URL. Refusals have
the form of Mozilla's service.
"""

import asyncio

from aiohttp import web

from crypto.encoding import b64u
from simulator.devices import Delivery
from simulator.exchange import Exchange, Recorded
from simulator.faults import Fault, Kind
from simulator.webpush_errors import WEBPUSH_ERRORS
from simulator.webpush_rules import HOST, Message, Rejected, Request, check_push

LARGEST_REQUEST = 1 << 20
CREATED = 201
REDIRECTS = {301, 302, 303, 307, 308}
_MESSAGE_BYTES = 16


class PushService:
    """`address` is where it listens, once it does: "127.0.0.1:port"."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._closing = asyncio.Event()
        self.address = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.router.add_post("/wp/{id}", self.push)
        app.router.add_post("/elsewhere/{rest:.*}", self.followed)
        app.on_shutdown.append(self._close)
        return app

    async def _close(self, _app: web.Application) -> None:
        self._closing.set()

    @property
    def origins(self) -> frozenset[str]:
        port = self.address.rpartition(":")[2]
        return frozenset({f"https://{HOST}", f"https://{self.address}", f"https://localhost:{port}"})

    async def push(self, request: web.Request) -> web.StreamResponse:
        token, body = request.match_info["id"], await request.read()
        device = self._exchange.find(token)
        try:
            asked = Request(tuple(request.headers.items()), body, self.origins)
            message = check_push(asked, device=device, now=self._exchange.clock())
        except Rejected as rejected:
            self._record(token, request, body, rejected.status, rejected.reason, accepted=False)
            return web.json_response(rejected.body, status=rejected.status)
        fault = self._exchange.fault("webpush", token)
        if fault is None:
            self._record(token, request, body, CREATED, "", accepted=True)
            return self._accept(token, message)
        status = CREATED if fault.kind == Kind.DELAY else fault.status
        delivers = fault.kind in {Kind.DELAY, Kind.LOSE}
        self._record(token, request, body, status, fault.reason or fault.kind, accepted=delivers)
        return await self._misbehave(fault, request, token, message)

    async def _misbehave(
        self, fault: Fault, request: web.Request, token: str, message: Message
    ) -> web.StreamResponse:
        if fault.kind == Kind.ANSWER:
            return _scripted(fault, request)
        if fault.kind == Kind.HANG:
            await self._closing.wait()
        delivers = fault.kind in {Kind.DELAY, Kind.LOSE}
        answer = self._accept(token, message) if delivers else web.Response(status=503)
        if fault.kind == Kind.DELAY:
            await asyncio.sleep(fault.delay)
        elif request.transport is not None:
            request.transport.abort()
        return answer

    async def followed(self, request: web.Request) -> web.StreamResponse:
        """Note that somebody followed a redirect with a push in its hands."""
        body = await request.read()
        self._record(request.path.rpartition("/")[2], request, body, CREATED, "followed", accepted=False)
        return web.Response(status=CREATED)

    def _accept(self, token: str, message: Message) -> web.StreamResponse:
        now = self._exchange.clock()
        delivery = Delivery(
            event="push",
            provider="webpush",
            payload={"body": b64u(message.body) if message.body else None},
            collapse=message.topic,
            expires_at=now + message.ttl,
            priority=message.urgency,
            accepted_at=now,
        )
        self._exchange.deliver(token, delivery)
        made = b64u(self._exchange.random(_MESSAGE_BYTES))
        return web.Response(
            status=CREATED, headers={"Location": f"https://{HOST}/m/{made}", "TTL": str(message.ttl)}
        )

    def _record(
        self, token: str, request: web.Request, body: bytes, status: int, reason: str, *, accepted: bool
    ) -> None:
        self._exchange.record(
            Recorded(
                provider="webpush",
                environment="production",
                token=token,
                headers=((":path", request.path_qs), *request.headers.items()),
                payload=body,
                status=status,
                reason=reason,
                at=self._exchange.clock(),
                accepted=accepted,
            )
        )


def _scripted(fault: Fault, request: web.Request) -> web.Response:
    if fault.reason in WEBPUSH_ERRORS:
        answer = web.json_response(Rejected(fault.reason, "scripted").body, status=fault.status)
    else:
        answer = web.Response(status=fault.status, text="scripted")
    if fault.retry_after is not None:
        answer.headers["Retry-After"] = fault.retry_after
    if fault.status in REDIRECTS:
        answer.headers["Location"] = f"/elsewhere{request.path}"
    return answer
