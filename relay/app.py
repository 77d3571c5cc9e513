"""The relay as an aiohttp application: its routes, and the one place where its parts are built and joined.

It runs alone or mounted below a path; what it signs is bound to the configured public URL, not to where it is
mounted. No database, no disk: what a process knows (nonces, counters, connections) dies with it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry

from crypto.keys import Random
from relay.admission import Gate
from relay.bodies import Bodies
from relay.config import Admission, RelayConfig
from relay.counts import Counts
from relay.directory import Directory
from relay.forward import AppKey, Forwarder
from relay.frame import frame
from relay.handles import HandleIssuer
from relay.limits import Limits
from relay.metrics import Metrics
from relay.nonces import Nonces
from relay.providers.apns import apns_providers
from relay.providers.fcm import fcm_providers
from relay.providers.provider import Provider
from relay.providers.signs import Signs
from relay.providers.webpush import webpush_providers
from relay.readiness import Readiness
from relay.routes import Routes
from relay.shared import Shared
from relay.signed import Verifier
from relay.wire import (
    APPS_PATH,
    DIRECTORY_PATH,
    HANDLES_PATH,
    PUSH_PATH,
    STATUS_PATH,
)

METRICS: web.AppKey[Metrics] = web.AppKey("hushpost_relay_metrics", Metrics)
"""The mounted relay's metrics, for whoever wants to serve its registry elsewhere."""
DRAIN: web.AppKey[Callable[[], None]] = web.AppKey("hushpost_relay_drain", Callable[[], None])  # type: ignore[arg-type]  # a callable has no class
"""From now on requests that are not under way are answered `draining`, and connections closed behind their answers."""

RELOAD: web.AppKey["Reload"] = web.AppKey("hushpost_relay_reload")
"""What takes over of another configuration what is `RELOADED`, while requests are under way."""

RELOADED: Final = ("allowlist", "denied", "pass_keys", "epochs", "seal_epoch")
"""What may change without a restart: who may push, and which handles hold."""

Clock = Callable[[], float]
Reload = Callable[[RelayConfig], None]


def build_relay(
    config: RelayConfig,
    *,
    clock: Clock,
    random: Random,
    counted: CollectorRegistry | None = None,
    shown: CollectorRegistry | None = None,
) -> web.Application:
    """The application; `clock` in seconds since the epoch. Providers open at its start and close at its cleanup.

    `counted` is where it counts, `shown` what `/metrics` shows: without them, a registry of its own.
    """
    log: structlog.stdlib.BoundLogger = structlog.get_logger("relay")
    counted = counted or CollectorRegistry()
    metrics = Metrics(counted, shown or counted)
    shared = _shared(config, metrics, log)
    limits = Limits(
        config.limits,
        is_open=config.admission is Admission.OPEN,
        alone=lambda: 1 if shared is not None and shared.up else config.processes,
    )
    providers = _providers(config, clock, random, Signs(metrics.registry, log))
    nonces = Nonces(capacity=config.limits.nonces, started=clock())
    counts = Counts(limits, nonces, shared)
    readiness = Readiness(tuple(providers.values()), metrics, [lambda: metrics.nonces.set(len(nonces))])
    verifier = Verifier(config, limits=limits, counts=counts, metrics=metrics, clock=clock, log=log)
    forwarder = Forwarder(
        epochs=config.epochs,
        providers=providers,
        quotas={("fcm", one.project, "production"): one.quota for one in config.fcm},
        limits=limits,
        counts=counts,
        metrics=metrics,
        clock=clock,
        log=log,
    )

    def issuer(config: RelayConfig) -> HandleIssuer:
        return HandleIssuer(config, providers=providers, metrics=metrics, clock=clock, random=random)

    routes = Routes(
        config,
        verifier=verifier,
        forwarder=forwarder,
        issuer=issuer(config),
        directory=Directory(config, clock),
        providers=providers,
        readiness=readiness,
        limits=limits,
        counts=counts,
        bodies=Bodies(config.limits.body_bytes),
        metrics=metrics,
        clock=clock,
        log=log,
    )
    framed = frame(
        config,
        limits=limits,
        metrics=metrics,
        draining=lambda: verifier.draining,
        clock=clock,
        log=log,
    )
    app = web.Application(middlewares=[framed])
    app[METRICS] = metrics

    def reload(new: RelayConfig) -> None:
        taken = replace(config, **{name: getattr(new, name) for name in RELOADED})
        verifier.gate = Gate(taken)
        forwarder.epochs = taken.epochs
        routes.issuer = issuer(taken)
        log.info("reloaded")  # by each process; what has changed says who has read it

    app[RELOAD] = reload
    app[DRAIN] = verifier.drain
    _add_routes(app, routes)
    _add_lifecycle(app, verifier, tuple(providers.values()), readiness, shared)
    return app


def _shared(config: RelayConfig, metrics: Metrics, log: structlog.stdlib.BoundLogger) -> Shared | None:
    if not config.redis_url:
        return None
    # Signing is deterministic: all processes of a relay have this secret without a setting of its own.
    secret = sha256(config.identities[0].sign(b"hushpost/1 relay shared")).digest()
    return Shared(config.redis_url, secret=secret, show=metrics.redis_up().set, log=log)


def _providers(config: RelayConfig, clock: Clock, random: Random, signs: Signs) -> dict[AppKey, Provider]:
    in_flight = config.limits.in_flight
    found: list[Provider] = [
        *apns_providers(config.apns, in_flight=in_flight, clock=clock, signs=signs),
        *fcm_providers(config.fcm, in_flight=in_flight, clock=clock, signs=signs),
        *webpush_providers(config, clock=clock, random=random),
    ]
    return {(one.app.provider, one.app.app, one.app.environment): one for one in found}


def _add_routes(app: web.Application, routes: Routes) -> None:
    def add(method: str, path: str, handler: Handler, name: str | None = None) -> None:
        app.router.add_route(method, path, handler, name=name)
        if method == "GET":
            app.router.add_route("HEAD", path, handler, name=name)

    add("POST", PUSH_PATH, routes.push, "push")
    add("GET", STATUS_PATH, routes.status, "status")
    add("POST", HANDLES_PATH, routes.handles, "handles")
    add("GET", APPS_PATH, routes.apps, "apps")
    add("GET", DIRECTORY_PATH, routes.keys, "directory")
    add("GET", "/healthz", routes.healthz, "healthz")
    add("GET", "/readyz", routes.readyz, "readyz")
    add("GET", "/metrics", routes.metrics, "metrics")
    add("*", "/{rest:.*}", routes.unknown)


def _add_lifecycle(
    app: web.Application,
    verifier: Verifier,
    providers: tuple[Provider, ...],
    readiness: Readiness,
    shared: Shared | None,
) -> None:
    noting: list[asyncio.Task[None]] = []

    async def start(_: web.Application) -> None:
        if shared is not None:
            await shared.open()
        for provider in providers:
            await provider.open()
        noting.append(asyncio.create_task(readiness.run()))

    async def drain(_: web.Application) -> None:
        verifier.drain()

    async def close(_: web.Application) -> None:
        for task in noting:
            task.cancel()
            await asyncio.wait((task,))
        for provider in providers:
            await provider.close()
        if shared is not None:
            await shared.close()

    app.on_startup.append(start)
    app.on_shutdown.append(drain)
    app.on_cleanup.append(close)
