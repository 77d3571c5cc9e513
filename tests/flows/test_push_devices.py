"""Devices that an app's servers register by their push tokens, the whole way: server and relay as processes, Google as it is simulated."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from crypto.encoding import b64u, unb64u
from crypto.envelope import open_envelope
from crypto.keys import DeviceKey, IdentityPublicKey, Suite
from simulator.exchange import Recorded
from simulator.phone import Phone
from tests.harness import databases
from tests.harness.stack import Stack, running

RPCS = "/api/v1/notifications/"
CANARY = "canary 7f3a: the ledger is under the third floorboard"
DEVICE = {"platform": "ANDROID", "deviceId": "device-unique-id"}


@pytest.fixture(params=databases.engines())
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield ""
    else:
        with databases.postgres_database(migrated=False) as url:
            yield url


@dataclass(frozen=True)
class App:
    """The servers of an app that call for its users."""

    stack: Stack

    async def rpc(self, name: str, body: Any, *, user: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.stack.token}", "X-Tenant-ID": "acme"}
        if user is not None:
            headers["X-User-ID"] = user
        url = self.stack.server.url + RPCS + name
        async with self.stack.session.post(url, json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def register(self, user: str, token: str, **more: Any) -> Any:
        return await self.rpc("register-push-device", {**DEVICE, "fcmToken": token, **more}, user=user)

    async def send(self, user: str, **more: Any) -> str:
        content = {"title": "Hello", "body": CANARY}
        body = {"userId": user, "channel": "PUSH", "category": "TRANSACTIONAL", "content": content, **more}
        return str((await self.rpc("manage/send", body))["transactionId"])

    async def fetch(self, token: str) -> list[Any]:
        url = self.stack.server.url + "/api/v1/device/messages"
        headers = {"Authorization": f"Bearer {token}"}
        async with self.stack.session.get(url, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return list((await answer.json())["messages"])

    async def pushed(self, token: str, number: int = 1) -> list[dict[str, Any]]:
        """Return what Google was given for a token, once it is so many."""

        def to_it(recorded: list[Recorded]) -> list[Recorded]:
            return [one for one in recorded if one.token == token]

        await self.stack.providers.until(lambda recorded: len(to_it(recorded)) >= number)
        return [json.loads(one.payload) for one in to_it(self.stack.providers.recorded)]


@pytest.fixture
async def app(tmp_path: Path, database_url: str) -> AsyncIterator[App]:
    """Nothing is configured of apps: the relay has one that fits."""
    async with running(tmp_path, database_url=database_url) as stack:
        yield App(stack)


async def test_a_device_without_a_key_is_woken_with_nothing_and_fetches(app: App) -> None:
    token = app.stack.providers.token("fcm")
    registered = await app.register("ann", token)
    message = await app.send("ann")
    [push] = await app.pushed(token)
    assert push["message"]["data"] == {"hp": ""}
    assert push["message"]["token"] == token
    [fetched] = await app.fetch(registered["deviceToken"])
    assert (fetched["message"]["id"], fetched["message"]["body"]["body"]) == (message, CANARY)
    recorded = b"".join(one.payload for one in app.stack.providers.recorded)
    logs = app.stack.server.log.read_text() + app.stack.relay.log.read_text()
    assert "floorboard" not in recorded.decode(errors="replace")
    assert token not in logs
    assert registered["deviceToken"] not in logs


async def test_a_device_with_a_key_is_sent_what_only_it_opens(app: App) -> None:
    key = DeviceKey.generate(Suite.X25519, bytes)
    token = app.stack.providers.token("fcm")
    registered = await app.register("ann", token, suite=1, publicKey=b64u(key.public.raw))
    await app.send("ann")
    [push] = await app.pushed(token)
    identity = await app.stack.call("GET", f"/api/v1/identity?nonce={b64u(bytes(16))}")
    frame = open_envelope(
        unb64u(push["message"]["data"]["hp"]),
        keys=[key],
        device_id=UUID(registered["id"]),
        server=IdentityPublicKey(unb64u(identity["serverKey"])),
    )
    assert json.loads(frame.body)["body"] == CANARY


async def test_a_phone_that_is_handed_on_rings_for_its_new_owner_only(app: App) -> None:
    """Nor does it ring for anybody once it is unregistered."""
    token = app.stack.providers.token("fcm")
    await app.register("ann", token)
    of_bob = await app.register("bob", token)
    await app.send("ann")
    message = await app.send("bob")
    await app.pushed(token)
    [fetched] = await app.fetch(of_bob["deviceToken"])
    assert fetched["message"]["id"] == message
    assert await app.rpc("unregister-push-device", {"fcmToken": token}, user="bob") == {"unregistered": True}
    phone = await ring_another(app)
    assert len(await app.pushed(token)) == 1
    await phone.close()


async def test_preferences_are_heeded_before_anything_is_sealed(app: App) -> None:
    """What is of the system rings all the same."""
    token = app.stack.providers.token("fcm")
    await app.register("ann", token)
    refused = {"channel": "PUSH", "category": "PRODUCT", "enabled": False}
    await app.rpc("update-preferences", refused, user="ann")
    await app.send("ann", category="PRODUCT")
    system = await app.send("ann", category="SYSTEM")
    await app.pushed(token)
    listed = await app.rpc("manage/get-notification-activity", {"channels": ["PUSH"]})
    results = {one["transactionId"]: one["result"] for one in listed["activities"]}
    assert results.pop(system) in {"SENT", "DELIVERED"}
    assert list(results.values()) == ["OPTED_OUT"]
    assert len(await app.pushed(token)) == 1


async def ring_another(app: App) -> Phone:
    """Have somebody else's phone ring, which comes after whatever was to ring before."""
    phone = await app.stack.pair(platform="ios", suite=1, name="another", keep=False)
    await app.send("ann")
    await app.send("bob")
    await app.stack.send(title="after", body="after")
    await phone.shows("after")
    return phone
