"""The two applications: of a process that answers requests, and of one that only works."""

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from prometheus_client import Gauge

from relay.shared import Shared
from server.api.cors import Cors
from server.api.gate import Gate
from server.api.headers import Headers, headers_of
from server.api.limits import UNLIMITED, WINDOW, RequestLimits
from server.api.metrics import RequestMetrics
from server.api.outer import Outer
from server.api.reading import MAX_BODY
from server.api.routes import install, operators_routes, routes
from server.app.accounts import mint_of, passwords_of, proxies_of
from server.app.dialects import dialects_of, faces_of
from server.app.pieces import ServerPieces
from server.app.resources import health_of, resources_of
from server.app.running import Running
from server.commands.callers import Callers
from server.commands.derive import SHARED, derive
from server.commands.mint import Mint
from server.commands.passwords import Passwords
from server.commands.usage import Usage
from server.config import (
    Settings,
    allowed_origins,
)
from server.domain.throttle import Quota, Throttle
from server.live.counting import CountedThrottle
from server.live.hub import Hub

_KEYS_REMEMBERED = 10_000


def build_server(settings: Settings, pieces: ServerPieces) -> web.Application:
    """Build the server's application. Run it with its own access log off: `Outer` writes one without secrets."""
    passwords = passwords_of(settings.accounts, pieces.random)
    mint, usage = mint_of(pieces), Usage()
    running = Running(pieces, usage)
    headers = headers_of(settings.server.public_url, Cors(allowed_origins(settings.server)))
    app = _application(pieces, headers)
    shared = _shared(settings.redis.url, pieces)
    if shared is not None:
        app.cleanup_ctx.append(_opened(shared))
    by_credential = _counted("requests", settings.limits.credential, pieces, shared)
    by_address = _counted("requests-address", settings.limits.address, pieces, shared)
    app.cleanup_ctx.extend(_telling(throttle) for throttle in (by_credential, by_address) if throttle)
    limits = RequestLimits(by_credential, by_address, proxies_of(settings.server))
    gate, hub = _gate(pieces, mint, usage, limits), _hub(app, pieces)
    resources = resources_of(settings, pieces, mint, passwords, running, shared, gate, hub)
    install(app, gate, [*routes(resources), *dialects_of(settings, pieces, resources)])
    app.cleanup_ctx.extend([_hashing(passwords), running.context])
    return app


def build_worker(pieces: ServerPieces) -> web.Application:
    """Build the application of a process that only works; it says whether it does, and its figures."""
    usage = Usage()
    running = Running(pieces, usage)
    app = _application(pieces, headers_of("", Cors(())))
    install(
        app, _gate(pieces, mint_of(pieces), usage, UNLIMITED), operators_routes(health_of(pieces, running))
    )
    app.cleanup_ctx.append(running.context)
    return app


def _application(pieces: ServerPieces, headers: Headers) -> web.Application:
    outer = Outer(pieces.log, pieces.monotonic, RequestMetrics(pieces.counted), faces_of(pieces.clock))
    app = web.Application(client_max_size=MAX_BODY, middlewares=[outer.middleware])
    app.on_response_prepare.append(headers.added)
    return app


def _gate(pieces: ServerPieces, mint: Mint, usage: Usage, limits: RequestLimits) -> Gate:
    return Gate(Callers(pieces.db, mint, usage), pieces.clock, limits)


def _counted(name: str, amount: int, pieces: ServerPieces, shared: Shared | None) -> CountedThrottle | None:
    if not amount:
        return None
    return CountedThrottle(
        Throttle(Quota(name, amount, WINDOW), keys=_KEYS_REMEMBERED), shared, pieces.monotonic
    )


def _telling(throttle: CountedThrottle) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        telling = asyncio.create_task(throttle.run(), name="counting")
        yield
        telling.cancel()
        await asyncio.wait({telling})

    return context


def _hashing(passwords: Passwords) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(passwords.close)

    return context


def _hub(app: web.Application, pieces: ServerPieces) -> Hub:
    """Make what streams are told by; it runs with the application, and ends them before requests are waited for."""
    hub = Hub(pieces.db, clock=pieces.clock, log=pieces.log)
    pieces.hint.add(hub.wake)

    async def running(_app: web.Application) -> AsyncIterator[None]:
        work = asyncio.create_task(hub.run(), name="live")
        yield
        work.cancel()
        await asyncio.wait((work,))

    async def close(_app: web.Application) -> None:
        hub.close()

    app.cleanup_ctx.append(running)
    app.on_shutdown.append(close)
    return hub


def _shared(url: str, pieces: ServerPieces) -> Shared | None:
    if not url:
        return None
    up = Gauge(
        "hushpost_redis_up",
        "Whether the Redis that processes share answers.",
        registry=pieces.counted,
        multiprocess_mode="min",
    )
    return Shared(url, secret=derive(pieces.secret, SHARED), show=up.set, log=pieces.log)


def _opened(shared: Shared) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        await shared.open()
        yield
        await shared.close()

    return context
