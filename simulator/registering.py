"""Registering by way of an app's own servers, in the place of pairing: they pass on what the phone tells them, and what it is answered.

The phone trusts the server whose key the app was built with. It asks no relay: the server does, for the push token that it is told.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp

from crypto.encoding import b64u
from crypto.keys import DeviceKey, IdentityPublicKey
from simulator.keeper import Keeper
from simulator.mailbox import Mailbox
from simulator.pairing import Surroundings, Wanted, keep, make_token
from simulator.state import Pairing

PassOn = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""What the app's servers do with a registration: they return what they are answered."""
PROVIDER = "fcm"


@dataclass(frozen=True)
class KnownServer:
    """What the app was built with."""

    url: str
    key: IdentityPublicKey
    relay: str


class RegisteringSteps:
    def __init__(
        self,
        around: Surroundings,
        session: aiohttp.ClientSession,
        server: KnownServer,
        resources: AsyncExitStack,
    ) -> None:
        self._around = around
        self._session = session
        self._server = server
        self._resources = resources

    async def run(self, wanted: Wanted, pass_on: PassOn) -> tuple[Keeper, Mailbox]:
        around, server = self._around, self._server
        wanted_token = {"provider": PROVIDER, "app": wanted.app, "environment": "production"}
        made = await make_token(around, self._session, wanted_token)
        mailbox = around.mailbox(self._session, made["token"], None)
        await self._resources.enter_async_context(mailbox)
        key = DeviceKey.generate(wanted.suite, around.random)
        answer = await pass_on(
            {
                "fcmToken": made["token"],
                "platform": wanted.platform.upper(),
                "deviceId": wanted.name,
                "publicKey": b64u(key.public.raw),
                "suite": key.suite.value,
            }
        )
        pairing = Pairing(
            name=wanted.name,
            platform=wanted.platform,
            server_url=server.url,
            server_key=b64u(server.key.raw),
            relay_url=server.relay,
            device_id=answer["id"],
            device_token=answer["deviceToken"],
            provider=PROVIDER,
            app=made["app"],
            environment=made["environment"],
            push_token=made["token"],
            handle_at=around.clock(),
        )
        return await keep(around, pairing, key, answer["head"]), mailbox
