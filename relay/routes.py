"""What each address does.

Who calls and how answers are signed is decided in `signed`, what may be asked in `handles` and `forward`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from crypto.httpsig import OUTCOME, PUSH, STATUS, STATUS_ANSWER
from relay.address import client_address
from relay.bodies import Bodies
from relay.config import HandleDelivery, RelayConfig
from relay.counts import Counts
from relay.directory import Directory
from relay.forward import AppKey, Forwarder
from relay.handles import LARGEST_REQUEST, HandleIssuer, read_handle_request
from relay.limits import Limits
from relay.metrics import Metrics
from relay.providers.provider import Provider
from relay.readiness import Readiness
from relay.signed import (
    Caller,
    Endpoint,
    Verifier,
    body_length,
    read_body,
    refuse_encoding,
    refuse_query,
    require_json,
)
from relay.strictjson import decode, decode_pushes
from relay.wire import (
    JSON_TYPE,
    MAX_BYTES,
    PUSH_PATH,
    STATUS_PATH,
    LimitState,
    Status,
    encode_outcomes,
)

PUSH_ENDPOINT: Final = Endpoint("POST", PUSH_PATH, PUSH, OUTCOME)
STATUS_ENDPOINT: Final = Endpoint("GET", STATUS_PATH, STATUS, STATUS_ANSWER)
_NOT_READY_RETRY: Final = "30"


class Routes:
    def __init__(
        self,
        config: RelayConfig,
        *,
        verifier: Verifier,
        forwarder: Forwarder,
        issuer: HandleIssuer,
        directory: Directory,
        providers: Mapping[AppKey, Provider],
        readiness: Readiness,
        limits: Limits,
        counts: Counts,
        bodies: Bodies,
        metrics: Metrics,
        clock: Callable[[], float],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._config = config
        self._verifier = verifier
        self._forwarder = forwarder
        self.issuer = issuer
        self._directory = directory
        self._readiness = readiness
        self._limits = limits
        self._counts = counts
        self._bodies = bodies
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._apps = [provider.app for provider in providers.values()]
        self._issued_for = frozenset((app.provider, app.app, app.environment) for app in self._apps)

    async def push(self, request: web.Request) -> web.Response:
        return await self._verifier.serve(request, PUSH_ENDPOINT, self._push)

    async def status(self, request: web.Request) -> web.Response:
        return await self._verifier.serve(request, STATUS_ENDPOINT, self._status)

    async def _push(self, request: web.Request, caller: Caller) -> bytes:
        length = body_length(request, MAX_BYTES)
        with self._bodies.held(caller.rules.holder, length):
            return await self._forward(request, caller, await read_body(request, length))

    async def _forward(self, request: web.Request, caller: Caller, body: bytes) -> bytes:
        caller.check_digest(body)
        refuse_query(request)
        require_json(request)
        items = decode_pushes(body)
        del body  # megabytes, while a provider takes its time
        if items:
            self._limits.admit_batch(caller.server, caller.rules, self._clock())
        outcomes = await self._forwarder.forward(caller.server, items, caller.rules)
        self._metrics.batch.observe(len(items))
        counts: Counter[str] = Counter(outcome.status for outcome in outcomes)
        self._log.debug("pushed", server=self._verifier.pseudonym(caller.server), pushes=len(items), **counts)
        return encode_outcomes(outcomes)

    async def _status(self, request: web.Request, caller: Caller) -> bytes:
        refuse_query(request)
        now = self._clock()
        states = [
            LimitState(
                name=rule.window.name,
                limit=rule.limit,
                remaining=rule.remaining(now),
                resetsAt=int(rule.resets_at(now) * 1000),
            )
            for rule in caller.rules.shown
        ]
        return msgspec.json.encode(Status(limits=states, apps=self._apps, server=caller.server))

    async def handles(self, request: web.Request) -> web.Response:
        refuse_encoding(request)
        await self._counts.take_handle(client_address(request, self._config.trusted_proxies), self._clock())
        body = await read_body(request, body_length(request, LARGEST_REQUEST))
        refuse_query(request)
        require_json(request)
        wanted = read_handle_request(decode(body), self._config, self._issued_for)
        await self._counts.take_token(wanted.address, self._clock())
        handle, expires_at = self.issuer.issue(wanted)
        if self._config.handle_delivery is HandleDelivery.PUSH:
            self.issuer.send(wanted, handle)
            return _json({}, status=202)
        return _json({"handle": handle, "expiresAt": expires_at}, status=201)

    async def apps(self, _: web.Request) -> web.Response:
        return _json(self._apps)

    async def keys(self, _: web.Request) -> web.Response:
        return self._directory.answer()

    async def unknown(self, request: web.Request) -> web.Response:
        """Refuse what no other route takes; a route of ours, so that it is refused in our own form."""
        routes = [one for one in request.app.router.routes() if one.resource and one.method != "*"]
        here = {one.method for one in routes if one.resource and one.resource.canonical == request.path}
        if here:
            raise web.HTTPMethodNotAllowed(request.method, here)
        raise web.HTTPNotFound

    async def healthz(self, _: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def readyz(self, _: web.Request) -> web.Response:
        """503 while a provider's credentials do not load or are refused, and while the process shuts down."""
        troubles = await self._readiness.troubles()
        if not troubles and not self._verifier.draining:
            return _json({"status": "ready"})
        document = {"status": "draining" if self._verifier.draining else "not_ready", "troubles": troubles}
        response = _json(document, status=503)
        response.headers["Retry-After"] = _NOT_READY_RETRY
        return response

    async def metrics(self, _: web.Request) -> web.Response:
        body = await asyncio.to_thread(generate_latest, self._metrics.shown)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _json(document: object, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=status, content_type=JSON_TYPE)
