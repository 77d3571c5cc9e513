"""Where a server gets its relay: what pushes through it, and what asks it how this server stands."""

import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from crypto.keys import IdentityKey
from server.config import Settings, trusted_relay_keys
from server.domain.errors import Unavailable
from server.domain.ports import Database
from server.domain.relay import NO_RELAY, AskHandle, AskRelay, RelayApp, RelayState
from server.worker.gateway import NoRelay, PushGateway
from server.worker.relay_client import RelayClient
from server.worker.relay_handles import RelayHandles
from server.worker.relay_keys import RelayKeys
from server.worker.relay_limits import RelayLimits
from server.worker.relay_look import RelayLook
from server.worker.relay_state import RelayStates

_LATER = 3_600  # seconds


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class ToRelay:
    gateway: PushGateway
    ask: AskRelay
    ask_handle: AskHandle


async def to_relay(
    settings: Settings,
    identity: IdentityKey,
    db: Database,
    counted: CollectorRegistry,
    resources: AsyncExitStack,
    log: Any,
) -> ToRelay:
    """The relay of these settings; its connections are closed with `resources`."""
    url = settings.server.relay_url.rstrip("/")
    if not url:
        log.warning("server.relay_url is not set: nothing can be pushed, messages wait")
        return ToRelay(NoRelay(), _no_relay, _no_handle)
    reach = settings.server.relay_connect_url.rstrip("/") or url
    relay_pass = settings.server.relay_pass
    session = await resources.enter_async_context(aiohttp.ClientSession())
    given = trusted_relay_keys(settings.server)
    keys = RelayKeys(url, reach=reach, given=given, db=db, session=session, clock=now_ms, log=log)
    client = RelayClient(
        url,
        reach=reach,
        identity=identity,
        keys=keys,
        session=session,
        clock=now_ms,
        random=secrets.token_bytes,
        limits=RelayLimits(counted, now_ms, log),
        relay_pass=relay_pass,
        log=log,
    )
    look = RelayLook(url, reach, session, now_ms, secrets.token_bytes, relay_pass)
    handles = RelayHandles(look, identity.public.id, log)
    return ToRelay(client, RelayStates(look, identity, keys).ask, handles.ask)


async def _no_relay() -> RelayState:
    return RelayState("", NO_RELAY)


async def _no_handle(_app: RelayApp, _token: str) -> str:
    raise Unavailable(
        "this server has no relay: its operator sets server.relay_url",
        retry_after=_LATER,
        code="relay_unavailable",
    )
