"""Pairing (PROTOCOL §6): identity first, then a handle bound to it, then the code. Nothing is kept unless it verifies.

The order is the security argument: the server proves that it holds the key that the link names before it or the relay
hears anything; the handle is bound to that key; and the answer to the code is signed by it over this very request.
"""

import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import aiohttp

from crypto.encoding import b64u
from crypto.keys import DeviceKey, IdentityPublicKey, Suite, fingerprint
from crypto.webpush import SubscriptionKey
from simulator.handles import PROVIDERS, Installation, Random, Served, find_app, get_handle
from simulator.home import Refused
from simulator.identity import check_identity, send_code
from simulator.inbox import new_inbox
from simulator.keeper import Keeper, OnEvent
from simulator.link import PairingLink
from simulator.mailbox import Mailbox, Milliseconds
from simulator.state import HeldKey, Pairing, PhoneState
from simulator.subscription import Subscription


@dataclass(frozen=True)
class Surroundings:
    """`control` is the simulator's control URL, `file` where the state is kept, `ca_file` a private CA of the server."""

    control: str
    file: Path | None
    clock: Milliseconds
    random: Random
    on_event: OnEvent
    ca_file: Path | None

    def session(self) -> aiohttp.ClientSession:
        context = ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
        connector = aiohttp.TCPConnector(ssl=context)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    def mailbox(
        self, session: aiohttp.ClientSession, token: str, subscription: Subscription | None
    ) -> Mailbox:
        url = f"{self.control}/control/tokens/{quote(token)}/stream"
        return Mailbox(session, url, self.clock, subscription)


@dataclass(frozen=True)
class Wanted:
    """What the phone is to be. `app` and `environment` None: whatever the relay serves."""

    platform: str
    suite: Suite
    name: str
    app: str | None
    environment: str | None


class PairingSteps:
    def __init__(
        self,
        around: Surroundings,
        session: aiohttp.ClientSession,
        link: PairingLink,
        resources: AsyncExitStack,
    ) -> None:
        self._around = around
        self._session = session
        self._link = link
        self._resources = resources

    async def run(self, wanted: Wanted) -> tuple[Keeper, Mailbox]:
        around, session, link = self._around, self._session, self._link
        server = await check_identity(session, link, nonce=around.random(16), now=around.clock() / 1000)
        installation = await self._install(wanted)
        mailbox = around.mailbox(session, installation.token, installation.subscription)
        await self._resources.enter_async_context(mailbox)
        handle = await get_handle(
            session,
            mailbox,
            relay=link.relay,
            installation=installation,
            server_key_id=link.key_id,
            random=around.random,
        )
        return await self._redeem(wanted, server, installation, handle), mailbox

    async def _redeem(
        self, wanted: Wanted, server: IdentityPublicKey, installation: Installation, handle: str
    ) -> Keeper:
        around, link = self._around, self._link
        handle_at = around.clock()
        device_key = DeviceKey.generate(wanted.suite, around.random)
        answer = await send_code(
            self._session,
            link,
            key=server,
            device_key=device_key,
            name=wanted.name,
            platform=wanted.platform,
            handle=handle,
            clock=around.clock,
        )
        pairing = Pairing(
            name=wanted.name,
            platform=wanted.platform,
            server_url=link.server,
            server_key=b64u(server.raw),
            relay_url=link.relay,
            device_id=answer["deviceId"],
            device_token=answer["deviceToken"],
            provider=installation.provider,
            app=installation.app,
            environment=installation.environment,
            push_token=installation.token,
            handle_at=handle_at,
            subscription=installation.subscription,
        )
        return await keep(around, pairing, device_key, answer["head"])

    async def _install(self, wanted: Wanted) -> Installation:
        """Be given a push token by the platform, for the app that the relay serves unless one is named."""
        provider = PROVIDERS[wanted.platform]
        served = await find_app(self._session, self._link.relay, provider, wanted.app)
        served = served or Served(wanted.app, None, None)
        if provider == "webpush" and served.server_key is None:
            raise Refused("relay apps", HTTPStatus.OK, "application_server_key_missing")
        made = await make_token(
            self._around,
            self._session,
            {
                "provider": provider,
                "app": served.app,
                "environment": wanted.environment or served.environment or "production",
                "applicationServerKey": served.server_key,
            },
        )
        subscription = None
        if provider == "webpush":
            key = SubscriptionKey.generate(self._around.random)
            subscription = Subscription.make(made["endpoint"], key)
        return Installation(provider, made["app"], made["environment"], made["token"], subscription)


async def make_token(
    around: Surroundings, session: aiohttp.ClientSession, wanted: Mapping[str, str | None]
) -> dict[str, str]:
    """Install the app, and be given a push token by the platform."""
    async with session.post(f"{around.control}/control/tokens", json=wanted) as response:
        response.raise_for_status()
        made: dict[str, str] = await response.json()
        return made


async def keep(around: Surroundings, pairing: Pairing, device_key: DeviceKey, head: int) -> Keeper:
    """Keep what a phone is from now on."""
    held = HeldKey(device_key.text, around.clock(), registered=True, replaced_at=None)
    state = PhoneState(pairing, (held,), new_inbox(head))
    keeper = Keeper(state, file=around.file, clock=around.clock, on_event=around.on_event)
    await keeper.keep_new()
    keeper.tell(
        {
            "event": "paired",
            "name": pairing.name,
            "deviceId": pairing.device_id,
            "suite": device_key.suite.value,
            "fingerprint": fingerprint(pairing.server, device_key.public),
        }
    )
    return keeper
