"""Providers without a relay around them, and what they say to deliveries."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import structlog
from prometheus_client import CollectorRegistry

from relay.providers.apns import ApnsProvider, apns_providers
from relay.providers.fcm import FcmProvider, fcm_providers
from relay.providers.provider import Delivery, Done, Verdict
from relay.providers.signs import Signs
from simulator.providers import Providers
from tests.relay.conftest import apns_app, fcm_project
from tests.relay.running import COLLAPSE, ENVELOPE, push_id

Clock = Callable[[], float]


class Sends(Protocol):
    def send(self, delivery: Delivery, done: Done) -> None: ...


def delivery(token: str, number: int = 1, **changes: Any) -> Delivery:
    values: dict[str, Any] = {
        "id": push_id(number),
        "token": token,
        "data": {"hp": ENVELOPE},
        "high": True,
        "ttl": 60,
        "collapse": COLLAPSE,
        "background": False,
        "server": "a server",
    }
    return Delivery(**values | changes)


def new_signs() -> Signs:
    return Signs(CollectorRegistry(), structlog.get_logger("relay"))


async def send(provider: Sends, *deliveries: Delivery) -> list[Verdict]:
    """What becomes of them, all sent at once; `done` must be called once for each."""
    loop = asyncio.get_running_loop()
    ends: list[asyncio.Future[Verdict]] = [loop.create_future() for _ in deliveries]
    for one, end in zip(deliveries, ends, strict=True):
        provider.send(one, end.set_result)
    return await asyncio.gather(*ends)


@asynccontextmanager
async def apns(
    providers: Providers,
    clock: Clock,
    *,
    signs: Signs | None = None,
    in_flight: int = 100,
    **changes: Any,
) -> AsyncIterator[ApnsProvider]:
    """The provider for the simulated APNs; `clock` in seconds."""
    [provider] = apns_providers(
        (apns_app(providers, **changes),),
        in_flight=in_flight,
        clock=clock,
        signs=signs or new_signs(),
    )
    await provider.open()
    try:
        yield provider
    finally:
        await provider.close()


@asynccontextmanager
async def fcm(
    providers: Providers,
    clock: Clock,
    *,
    signs: Signs | None = None,
    in_flight: int = 100,
    **changes: Any,
) -> AsyncIterator[FcmProvider]:
    """The provider for the simulated FCM; `clock` in seconds."""
    [provider] = fcm_providers(
        (fcm_project(providers, **changes),),
        in_flight=in_flight,
        clock=clock,
        signs=signs or new_signs(),
    )
    await provider.open()
    try:
        yield provider
    finally:
        await provider.close()
