"""A phone and its relay: what the relay serves, and a handle bound to one server (PROTOCOL §3).

The relay may answer with the handle, or push it to the very token that it is for, so that whoever asks must own it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from crypto.encoding import b64u
from simulator.home import TIMEOUT, refusal
from simulator.mailbox import Mailbox
from simulator.subscription import Subscription

PROVIDERS = {"ios": "apns", "android": "fcm", "web": "webpush"}
HANDLE_TIMEOUT = 30.0
Random = Callable[[int], bytes]


@dataclass(frozen=True)
class Installation:
    """The app on this phone, as its push provider knows it: by its token, which a browser's subscription hides in a URL."""

    provider: str
    app: str
    environment: str
    token: str = field(repr=False)
    subscription: Subscription | None = field(repr=False)

    @property
    def address(self) -> Mapping[str, Any]:
        if self.subscription is not None:
            return {"subscription": self.subscription.show()}
        return {"token": self.token}


@dataclass(frozen=True)
class Served:
    """An app that a relay serves. A browser subscribes for the relay's `server_key`, and for no other."""

    app: str | None
    environment: str | None
    server_key: str | None


async def get_handle(
    session: aiohttp.ClientSession,
    mailbox: Mailbox,
    *,
    relay: str,
    installation: Installation,
    server_key_id: str,
    random: Random,
) -> str:
    """Ask the relay for a handle bound to a server; it comes in the answer, or by push to our own token."""
    request = b64u(random(16))
    body = {
        "provider": installation.provider,
        "app": installation.app,
        "environment": installation.environment,
        **installation.address,
        "server": server_key_id,
        "request": request,
    }
    pushed = mailbox.expect(request)
    try:
        url = URL(f"{relay}/v1/handles", encoded=True)
        async with session.post(url, json=body, allow_redirects=False, timeout=TIMEOUT) as response:
            if response.status == HTTPStatus.CREATED:
                return str((await response.json())["handle"])
            if response.status != HTTPStatus.ACCEPTED:
                raise await refusal("relay handles", response)
        return await asyncio.wait_for(pushed, HANDLE_TIMEOUT)
    finally:
        mailbox.forget(request)


async def find_app(
    session: aiohttp.ClientSession, relay: str, provider: str, app: str | None
) -> Served | None:
    """Look up what a relay serves for this provider: the app of this name or the first, None where there is none."""
    url = URL(f"{relay}/v1/apps", encoded=True)
    async with session.get(url, allow_redirects=False, timeout=TIMEOUT) as response:
        apps = await response.json() if response.status == HTTPStatus.OK else []
    for one in apps:
        if one.get("provider") == provider and app in {None, one["app"]}:
            return Served(one["app"], one["environment"], one.get("applicationServerKey"))
    return None
