"""Where a process gets its real clock, randomness, database and connections, and server and relay are built from them."""

import os
import secrets
import time
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector

from relay.app import build_relay
from relay.config import RelayConfig
from server.app import ServerPieces, build_server
from server.cli.files import ServerKeys
from server.cli.keyfiles import make_private_folder
from server.cli.terminal import USAGE, CommandError
from server.commands.derive import derive
from server.commands.sealing import Sealer
from server.config import Settings, database_url, trusted_relay_keys
from server.domain.ports import Database, DatabaseError
from server.store.database import open_database
from server.store.migrations import migrate
from server.worker.dispatch import Dispatcher
from server.worker.gateway import NoRelay, PushGateway
from server.worker.metrics import OutboxMetrics
from server.worker.outbox import Outbox, OutboxSettings
from server.worker.pace import Pace
from server.worker.pool import sealing_pool
from server.worker.relay_client import RelayClient
from server.worker.relay_keys import RelayKeys

COLLAPSE = "collapse"  # the purpose of the key behind collapse values (PROTOCOL.md, section 2)
_STOP_WITHIN = 10.0  # seconds that batches in flight are waited for


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def migrated(settings: Settings) -> None:
    """Bring the database's tables up to date. Blocks: before there is a loop."""
    try:
        make_private_folder(Path(settings.server.data_dir))
        migrate(database_url(settings))
    except DatabaseError as error:
        raise CommandError(f"database.url: {error}", code=USAGE) from None
    except OSError as error:
        raise CommandError(
            f"server.data_dir: {settings.server.data_dir} cannot be made ({error.strerror})", code=USAGE
        ) from None


def relay_app(config: RelayConfig) -> web.Application:
    return build_relay(config, clock=time.time, random=secrets.token_bytes)


async def server_app(settings: Settings, keys: ServerKeys, resources: AsyncExitStack) -> web.Application:
    """Open what a server needs, to be closed with `resources` after the application."""
    log = structlog.get_logger("server")
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    db = await _open(settings, resources)
    sealer = Sealer(keys.identity, _pool(settings, keys, resources, log), now_ms, secrets.token_bytes)
    gateway = await _gateway(settings, keys, db, resources, log)
    outbox = _outbox(settings, keys, db, sealer, gateway, registry, log)
    pieces = ServerPieces(
        db=db,
        identity=keys.identity,
        secret=keys.secret,
        clock=now_ms,
        monotonic=time.monotonic,
        random=secrets.token_bytes,
        sealer=sealer,
        workers={"outbox": outbox},
        wake=outbox.wake,
        registry=registry,
        log=log,
    )
    return build_server(settings, pieces)


async def _open(settings: Settings, resources: AsyncExitStack) -> Database:
    try:
        db = await open_database(database_url(settings))
    except DatabaseError as error:
        raise CommandError(f"database.url: {error}") from None
    resources.push_async_callback(db.close)
    return db


async def _gateway(
    settings: Settings, keys: ServerKeys, db: Database, resources: AsyncExitStack, log: Any
) -> PushGateway:
    url = settings.server.relay_url.rstrip("/")
    if not url:
        log.warning("server.relay_url is not set: nothing can be pushed, messages wait")
        return NoRelay()
    reach = settings.server.relay_connect_url.rstrip("/") or url
    session = await resources.enter_async_context(aiohttp.ClientSession())
    given = trusted_relay_keys(settings.server)
    known = RelayKeys(url, reach=reach, given=given, db=db, session=session, clock=now_ms, log=log)
    return RelayClient(
        url,
        reach=reach,
        identity=keys.identity,
        keys=known,
        session=session,
        clock=now_ms,
        random=secrets.token_bytes,
        log=log,
    )


def _outbox(
    settings: Settings,
    keys: ServerKeys,
    db: Database,
    sealer: Sealer,
    gateway: PushGateway,
    registry: CollectorRegistry,
    log: Any,
) -> Outbox:
    pace, metrics = Pace(), OutboxMetrics(registry)
    dispatcher = Dispatcher(
        db,
        gateway,
        sealer,
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
        metrics=metrics,
        clock=now_ms,
        random=secrets.token_bytes,
        log=log,
    )


def _pool(settings: Settings, keys: ServerKeys, resources: AsyncExitStack, log: Any) -> Executor:
    pool = sealing_pool(keys.identity, settings.worker.seal_processes or os.cpu_count() or 1, log)
    resources.callback(pool.shutdown, cancel_futures=True)
    return pool
