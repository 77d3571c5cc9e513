"""A server whose devices are registered by their push tokens, the relay behind it, and who calls it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from crypto.handle import HandleClaims, open_handle
from server.config import AppsSettings, FcmAppSettings, Settings
from server.store.tallies import audit
from server.worker.relay_handles import RelayHandles
from server.worker.relay_look import RelayLook
from simulator.providers import Providers
from tests.harness.acting import Acting
from tests.harness.clock import SettableClock
from tests.harness.native import Reply
from tests.relay.running import EPOCH, PUBLIC_URL, Relay, config
from tests.server.conftest import House, Person

TOKEN = "fcm-token-of-a-phone:APA91bH"
OTHER_TOKEN = "fcm-token-of-another:APA91bH"
UNCONFIGURED = {"issue_unconfigured": True}


def only_apps(**apps: Any) -> AppsSettings:
    return AppsSettings(**{"android": FcmAppSettings(app="hushpost-app"), **apps})


@dataclass
class Place:
    """A server, the relay behind it, and what calls it for ann of acme."""

    house: House
    ann: Acting
    session: ClientSession

    async def relay(self, **changes: Any) -> Relay:
        """Put a relay behind the server."""
        relay = await Relay.start(config(**changes), clock=self.house.clock, session=self.session)
        self.behind(relay.url)
        return relay

    def behind(self, url: str) -> None:
        """Have the server ask for handles at an address."""
        house = self.house
        look = RelayLook(PUBLIC_URL, url, self.session, house.clock, house.random)
        log = house.pieces.log
        house.wakes.handles = RelayHandles(look, house.pieces.identity.public.id, log).ask

    async def register(self, who: Acting | None = None, **more: Any) -> Reply:
        body = {"fcmToken": TOKEN, "platform": "ANDROID", "deviceId": "phone-1", **more}
        return await (who or self.ann).rpc("register-push-device", body)

    async def registered(self, who: Acting | None = None, **more: Any) -> str:
        """Register and return the device's token."""
        answer = await self.register(who, **more)
        assert answer.status == 200, answer.body
        return str(answer["deviceToken"])

    async def devices(self) -> list[dict[str, Any]]:
        """Return the rows of all devices in the order in which they were made."""
        rows = await self.house.pieces.db.read(
            lambda tx: tx.all(
                "SELECT d.*, u.external_id AS owner FROM devices d JOIN users u ON u.id = d.user_id ORDER BY d.id"
            )
        )
        return [dict(row) for row in rows]

    async def device(self) -> dict[str, Any]:
        [device] = await self.devices()
        return device

    def claims(self, handle: str) -> HandleClaims:
        """Open a handle as the relay does, which alone can."""
        server = self.house.pieces.identity.public.id
        return open_handle(handle, epochs={EPOCH.number: EPOCH}, server=server, now=self.house.clock())

    async def fetch(self, token: str) -> Reply:
        return await self.house.api.with_token(token).get("/api/v1/device/messages")

    async def channels(self, who: Acting | None = None) -> dict[str, tuple[bool, int]]:
        answer = await (who or self.ann).rpc("get-registered-channels")
        assert answer.status == 200, answer.body
        return {one["channel"]: (one["registered"], one["credentialCount"]) for one in answer["channels"]}

    async def send(self, *users: str) -> str:
        body = {"title": "Hello", "deliveryType": "NORMAL", "userIds": [*users], "channels": ["PUSH"]}
        answer = await self.ann.for_user(None).call("POST", "/api/v1/messages", body)
        assert answer.status == 201, answer.body
        return str(answer["id"])


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_apps(settings, only_apps())


def with_apps(settings: Settings, apps: AppsSettings) -> Settings:
    return Settings(server=settings.server, accounts=settings.accounts, apps=apps)


@pytest.fixture
async def place(house: House, admin: Person) -> AsyncIterator[Place]:
    """A server whose relay issues handles for whatever app is named."""
    async with ClientSession() as session:
        made = Place(house, Acting(await house.token(admin, "admin"), "acme", "ann"), session)
        relay = await made.relay(**UNCONFIGURED)
        yield made
        await relay.stop()


@pytest.fixture
async def providers(tmp_path: Path, clock: SettableClock) -> AsyncIterator[Providers]:
    async with Providers(tmp_path / "providers", clock=lambda: clock() / 1000) as running:
        yield running


async def is_balanced(house: House) -> bool:
    """Say whether the book of deliveries agrees with them."""
    return (await house.pieces.db.read(audit)).holds


def assert_refused(answer: Reply, status: int, code: str, *said: str) -> None:
    error = answer["error"]
    assert (answer.status, error["code"]) == (status, code), answer.body
    assert all(one in error["message"] for one in said), error["message"]
