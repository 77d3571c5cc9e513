"""Where a process gets its real clock, randomness, database and connections, and the server is built from them."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from server.app import ServerPieces, Worker, build_server, build_worker
from server.cli.figures import Figures
from server.cli.files import ServerKeys
from server.cli.roles import Role
from server.cli.terminal import CommandError
from server.cli.to_relay import now_ms, to_relay
from server.commands.attachments import Storage
from server.commands.derive import derive
from server.commands.resolving import PURPOSE
from server.commands.sealing import Sealer
from server.commands.vault import vault_of
from server.config import Settings, allowed_networks, attachments_dir, database_url
from server.domain.ports import Database, DatabaseError
from server.live.hint import Hint
from server.store.bell import Bell
from server.store.database import open_database
from server.store.files import Files
from server.worker.audit import Auditor
from server.worker.dispatch import Dispatcher
from server.worker.gateway import PushGateway
from server.worker.metrics import (
    AuditMetrics,
    OutboxMetrics,
    OutgoingMetrics,
    ResolverMetrics,
    SchedulerMetrics,
    SweepMetrics,
)
from server.worker.outbox import Outbox, OutboxSettings
from server.worker.outgoing import Outgoing
from server.worker.pace import Pace
from server.worker.pool import SealingPool, sealing_pool
from server.worker.resolver import TextResolver
from server.worker.scheduler import Scheduler
from server.worker.sweeper import Sweeper
from server.worker.web import Web

COLLAPSE = "collapse"  # the purpose of the key behind collapse values (PROTOCOL.md, section 2)
_STOP_WITHIN = 10.0  # seconds that batches in flight are waited for


async def server_app(
    settings: Settings,
    keys: ServerKeys,
    role: Role,
    figures: Figures,
    log: Any,
    resources: AsyncExitStack,
) -> web.Application:
    """Open what a server process of this role needs, to be closed with `resources` after the application."""
    db = await _open(settings, resources)
    hint = Hint()
    wake = hint if db.exclusive else await _ringing(Bell(database_url(settings), hint, log), hint, resources)
    files = Files(attachments_dir(settings))
    pool = _pool(settings, keys, role, resources, log)
    sealer = Sealer(keys.identity, pool, now_ms, secrets.token_bytes, files, log)
    relay = await to_relay(settings, keys.identity, db, figures.counted, resources, log)
    web_client = Web(allowed_networks(settings.outgoing), clock=now_ms)
    resources.push_async_callback(web_client.close)
    resolver = _resolver(keys, db, web_client, figures.counted, resources, log)
    workers: dict[str, Worker] = {}
    if role is not Role.API:
        outbox = _outbox(settings, keys, db, sealer, resolver, relay.gateway, figures.counted, log)
        workers["outbox"] = outbox
        workers["outgoing"] = _outgoing(settings, keys, db, web_client, files, wake, figures.counted, log)
        workers["scheduler"] = Scheduler(
            db,
            deliver=wake,
            poll_seconds=settings.worker.poll_seconds,
            metrics=SchedulerMetrics(figures.counted),
            clock=now_ms,
            random=secrets.token_bytes,
            log=log,
        )
        if figures.first:
            workers["audit"] = Auditor(db, metrics=AuditMetrics(figures.counted), clock=now_ms, log=log)
            workers["sweeper"] = Sweeper(
                db, files, metrics=SweepMetrics(figures.counted), clock=now_ms, log=log
            )

    for worker in workers.values():
        hint.add(worker.wake)
    pieces = ServerPieces(
        db=db,
        identity=keys.identity,
        secret=keys.secret,
        clock=now_ms,
        monotonic=time.monotonic,
        random=secrets.token_bytes,
        sealer=sealer,
        workers=workers,
        wake=wake,
        hint=hint,
        ask_relay=relay.ask,
        ask_handle=relay.ask_handle,
        resolver=resolver,
        counted=figures.counted,
        shown=figures.shown,
        log=log,
    )
    return build_worker(pieces) if role is Role.WORKER else build_server(settings, pieces)


async def _ringing(bell: Bell, hint: Hint, resources: AsyncExitStack) -> Hint:
    """Return what is called after a commit: it tells this process, and the others."""
    await resources.enter_async_context(_running(bell.run()))
    return Hint(hint, bell.ring)


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    yield
    task.cancel()
    await asyncio.wait((task,))


async def _open(settings: Settings, resources: AsyncExitStack) -> Database:
    try:
        db = await open_database(database_url(settings), connections=settings.database.connections)
    except DatabaseError as error:
        raise CommandError(f"database.url: {error}") from None
    resources.push_async_callback(db.close)
    return db


def _outbox(
    settings: Settings,
    keys: ServerKeys,
    db: Database,
    sealer: Sealer,
    texts: TextResolver,
    gateway: PushGateway,
    registry: CollectorRegistry,
    log: Any,
) -> Outbox:
    pace, metrics = Pace(), OutboxMetrics(registry)
    dispatcher = Dispatcher(
        db,
        gateway,
        sealer,
        texts,
        collapse_key=derive(keys.secret, COLLAPSE),
        pace=pace,
        metrics=metrics,
        log=log,
    )
    worker = settings.worker
    return Outbox(
        db,
        dispatcher,
        pace=pace,
        settings=OutboxSettings(
            batch=worker.batch,
            in_flight=worker.in_flight,
            poll_seconds=worker.poll_seconds,
            stop_seconds=_STOP_WITHIN,
        ),
        clock=now_ms,
        random=secrets.token_bytes,
        log=log,
    )


def _outgoing(
    settings: Settings,
    keys: ServerKeys,
    db: Database,
    web_client: Web,
    files: Files,
    wake: Callable[[], None],
    registry: CollectorRegistry,
    log: Any,
) -> Outgoing:
    return Outgoing(
        db,
        web_client,
        Storage(files, settings.attachments.max_bytes, settings.attachments.user_bytes),
        secret=keys.secret,
        send=wake,
        poll_seconds=settings.worker.poll_seconds,
        metrics=OutgoingMetrics(registry),
        clock=now_ms,
        random=secrets.token_bytes,
        log=log,
    )


def _resolver(
    keys: ServerKeys,
    db: Database,
    web_client: Web,
    registry: CollectorRegistry,
    resources: AsyncExitStack,
    log: Any,
) -> TextResolver:
    resolver = TextResolver(
        db,
        web_client,
        vault_of(keys.secret, PURPOSE, secrets.token_bytes),
        clock=now_ms,
        monotonic=time.monotonic,
        random=secrets.token_bytes,
        metrics=ResolverMetrics(registry),
        log=log,
    )
    resources.push_async_callback(resolver.close)
    return resolver


def _pool(settings: Settings, keys: ServerKeys, role: Role, resources: AsyncExitStack, log: Any) -> Executor:
    processes = settings.worker.seal_processes or os.cpu_count() or 1
    # Who only answers seals for phones that fetch: its processes start, one by one, when the first of them does.
    pool = SealingPool(processes, log) if role is Role.API else sealing_pool(keys.identity, processes, log)
    resources.callback(pool.shutdown, cancel_futures=True)
    return pool
