"""Two tenants of one server: acme with ann, ben, cem and dan, umbrella with eve; nothing is known of them before they are named.

What is asked is asked over HTTP by RPC, as an app's own servers do: with a token that manages, or with the gateway's for the user who is
signed in there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from crypto.encoding import unb64u
from crypto.keys import IdentityPublicKey
from simulator.phone import Phone
from simulator.registering import KnownServer
from tests.harness.acting import Acting
from tests.harness.native import Native
from tests.harness.stack import Stack

LOOK_SECONDS = 0.05
WITHIN_SECONDS = 20.0
PEOPLE = {"ann": "acme", "ben": "acme", "cem": "acme", "dan": "acme", "eve": "umbrella"}
_DIRECTORY = "/.well-known/http-message-signatures-directory"


@dataclass(frozen=True)
class World:
    """`manage` and `stranger` manage acme and umbrella, `users` call as the gateway does for who is signed in."""

    stack: Stack
    manage: Acting
    stranger: Acting
    users: Mapping[str, Acting]
    phones: dict[str, Phone]

    async def install(self, name: str, *, platform: str, suite: int) -> None:
        """Give somebody a phone, which the gateway registers."""
        [key] = (await said(self.manage.api.get(_DIRECTORY)))["keys"]
        server = KnownServer(self.stack.server.url, IdentityPublicKey(unb64u(key["x"])), "")

        async def pass_on(told: Mapping[str, Any]) -> Any:
            return await said(self.users[name].rpc("register-push-device", told))

        self.phones[name] = await Phone.register(
            server,
            pass_on,
            control=self.stack.providers.control_url,
            platform=platform,
            suite=suite,
            name=f"phone of {name}",
        )

    def shown(self, name: str) -> list[str]:
        """Return the texts that a phone has shown so far, in their order."""
        return [one.text for one in self.phones[name].inbox.log]

    def standing(self, name: str) -> list[str]:
        """Return the texts that stand on a phone's screen."""
        return sorted(card.text for card in self.phones[name].inbox.visible)

    async def sent(self, rpc: str, body: Mapping[str, Any]) -> str:
        """Have something sent, and return the transaction's id."""
        answer = await said(self.manage.rpc(f"manage/{rpc}", body))
        assert answer.keys() == {"transactionId"}
        return str(answer["transactionId"])

    async def status(self, transaction: str) -> Any:
        return await said(self.manage.rpc("manage/get-delivery-status", {"transactionId": transaction}))

    async def activity(self, **filters: Any) -> Any:
        return await said(self.manage.rpc("manage/get-notification-activity", {"pageSize": 100, **filters}))


async def said(asked: Awaitable[Any]) -> Any:
    """Return what was answered to something that is not refused."""
    answer = await asked
    assert answer.status == 200, answer.body
    return answer.json


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again, over HTTP, until something is so."""
    async with asyncio.timeout(WITHIN_SECONDS):
        while not await condition():  # noqa: ASYNC110 - the server is another process
            await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def two_tenants(stack: Stack) -> AsyncIterator[World]:
    """Yield them, and end the phones that were installed."""
    api = Native(stack.session, stack.server.url, stack.token)
    made = await api.post("/api/v1/access-tokens", {"name": "gateway", "scopes": ["gateway"]})
    gateway = api.with_token(made["token"])
    users = {name: Acting(gateway, tenant, name) for name, tenant in PEOPLE.items()}
    world = World(stack, Acting(api, "acme"), Acting(api, "umbrella"), users, {})
    try:
        yield world
    finally:
        for phone in world.phones.values():
            await phone.close()


async def received(world: World, transaction: str, name: str = "ann") -> bool:
    """Say whether somebody's phone has said that it has a message."""
    status = await world.status(transaction)
    return any(one["userId"] == name and one["receivedAt"] for one in status["deliveries"])


async def results(world: World, transaction: str) -> dict[str, str]:
    """Return what became of a transaction for each user, once nothing is under way any more."""

    async def is_settled() -> bool:
        return all(one["result"] != "SENT" for one in (await world.status(transaction))["deliveries"])

    await until(is_settled)
    return {one["userId"]: one["result"] for one in (await world.status(transaction))["deliveries"]}


async def feed(user: Acting, **which: Any) -> list[tuple[str, str, str]]:
    answer = await said(user.rpc("get-inbox-feed", which))
    assert (answer["hasMore"], answer["total"]) == (False, len(answer["messages"]))
    return [(one["notificationId"], one["title"], one["status"]) for one in answer["messages"]]


async def counts(user: Acting) -> tuple[int, int]:
    answer = await said(user.rpc("get-inbox-unseen-count"))
    return answer["unseenCount"], answer["unreadCount"]


async def told(socket: aiohttp.ClientWebSocketResponse, number: int) -> list[tuple[str, Any]]:
    """Return the next few events of an inbox's socket."""
    events = [await socket.receive_json(timeout=WITHIN_SECONDS) for _ in range(number)]
    return [(event["type"], event["data"]) for event in events]
