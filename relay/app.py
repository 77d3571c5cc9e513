"""The relay as an aiohttp application: its routes, and the one place where its parts are built and joined.

It runs alone or mounted below a path; what it signs is bound to the configured public URL, not to where it is
mounted. No database, no disk: what a process knows (nonces, counters, connections) dies with it.
"""

from collections.abc import Callable
from hashlib import sha256

import structlog
from aiohttp import web

from crypto.keys import Random
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
from relay.providers.fcm import FcmProvider
from relay.providers.provider import Provider
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

Clock = Callable[[], float]


def build_relay(config: RelayConfig, *, clock: Clock, random: Random) -> web.Application:
    """The application; `clock` in seconds since the epoch. Providers open at its start and close at its cleanup."""
    log: structlog.stdlib.BoundLogger = structlog.get_logger("relay")
    metrics = Metrics()
    shared = _shared(config, metrics, log)
    limits = Limits(
        config.limits,
        is_open=config.admission is Admission.OPEN,
        alone=lambda: 1 if shared is not None and shared.up else config.processes,
    )
    providers = _providers(config, clock)
    nonces = Nonces(capacity=config.limits.nonces, started=clock())
    counts = Counts(limits, nonces, shared)
    metrics.nonces.set_function(nonces.__len__)
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
    routes = Routes(
        config,
        verifier=verifier,
        forwarder=forwarder,
        issuer=HandleIssuer(config, providers=providers, clock=clock, random=random),
        directory=Directory(config, clock),
        providers=providers,
        limits=limits,
        counts=counts,
        bodies=Bodies(config.limits.body_bytes),
        metrics=metrics,
        clock=clock,
        log=log,
    )
    framed = frame(config, limits=limits, metrics=metrics, clock=clock, log=log)
    app = web.Application(middlewares=[framed])
    app[METRICS] = metrics
    _add_routes(app, routes)
    _add_lifecycle(app, verifier, tuple(providers.values()), shared)
    return app


def _shared(config: RelayConfig, metrics: Metrics, log: structlog.stdlib.BoundLogger) -> Shared | None:
    if not config.redis_url:
        return None
    # Signing is deterministic: all processes of a relay have this secret without a setting of its own.
    secret = sha256(config.identities[0].sign(b"hushpost/1 relay shared")).digest()
    return Shared(config.redis_url, secret=secret, show=metrics.redis_up().set, log=log)


def _providers(config: RelayConfig, clock: Clock) -> dict[AppKey, Provider]:
    in_flight = config.limits.in_flight
    found: list[Provider] = [
        *apns_providers(config.apns, in_flight=in_flight, clock=clock),
        *(FcmProvider(project, in_flight=in_flight, clock=clock) for project in config.fcm),
    ]
    return {(one.app.provider, one.app.app, one.app.environment): one for one in found}


def _add_routes(app: web.Application, routes: Routes) -> None:
    app.router.add_post(PUSH_PATH, routes.push, name="push")
    app.router.add_get(STATUS_PATH, routes.status, name="status")
    app.router.add_post(HANDLES_PATH, routes.handles, name="handles")
    app.router.add_get(APPS_PATH, routes.apps, name="apps")
    app.router.add_get(DIRECTORY_PATH, routes.keys, name="directory")
    app.router.add_get("/healthz", routes.healthz, name="healthz")
    app.router.add_get("/readyz", routes.readyz, name="readyz")
    app.router.add_get("/metrics", routes.metrics, name="metrics")


def _add_lifecycle(
    app: web.Application, verifier: Verifier, providers: tuple[Provider, ...], shared: Shared | None
) -> None:
    async def start(_: web.Application) -> None:
        if shared is not None:
            await shared.open()
        for provider in providers:
            await provider.open()

    async def drain(_: web.Application) -> None:
        verifier.draining = True

    async def close(_: web.Application) -> None:
        for provider in providers:
            await provider.close()
        if shared is not None:
            await shared.close()

    app.on_startup.append(start)
    app.on_shutdown.append(drain)
    app.on_cleanup.append(close)
