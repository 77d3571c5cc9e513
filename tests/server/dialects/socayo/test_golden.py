"""The documented examples of Socayo's API, request and answer as they are printed (tests/golden/socayo): one of each RPC."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from server.api.gate import TABLE
from server.app import build_server
from server.config import AppsSettings, FcmAppSettings, IosAppSettings, Settings
from tests.harness.acting import RPCS, Acting
from tests.harness.clock import SettableClock, at
from tests.harness.golden import Example, Play, examples, over
from tests.server.conftest import House, Person
from tests.server.dialects.socayo.registering import Place, with_apps

PROJECT = "hushpost-app"
USER = "recipient-user-id"
SECOND = {"fcmToken": "another-firebase-cloud-messaging-token"}
UNSEEN, UNREAD = 5, 12


@pytest.fixture
def clock() -> SettableClock:
    """The document's own day: what it schedules is still to come."""
    return SettableClock(at("2026-03-18T10:00:00Z"))


def test_there_is_an_example_of_each_rpc(house: House, settings: Settings) -> None:
    table = build_server(settings, house.pieces_again())[TABLE]
    served = sorted(route.path for route in table if route.method == "POST" and is_rpc(route.path))
    assert sorted(example.request["path"] for example in examples("socayo")) == served


def is_rpc(path: str) -> bool:
    """Say whether a path is one of this API's, and none of the native one's."""
    return path.startswith(RPCS) and not {"read-all", "{"} & {
        path.removeprefix(RPCS)[:8],
        path.removeprefix(RPCS)[:1],
    }


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With an app for each of the platforms that the document names."""
    project = FcmAppSettings(app=PROJECT)
    return with_apps(settings, AppsSettings(ios=IosAppSettings(app=PROJECT), android=project, web=project))


@pytest.fixture
async def place(house: House, admin: Person) -> AsyncIterator[Place]:
    """A server with a relay that issues handles for whatever app is named."""
    async with ClientSession() as session:
        place = Place(house, Acting(await house.token_of(admin, "acme", "admin")), session)
        relay = await place.relay(issue_unconfigured=True)
        yield place
        await relay.stop()


async def test_every_documented_example_works_as_printed(place: Place, admin: Person) -> None:
    """In an order in which each has what it needs, and what no document prints prepared before."""
    house = place.house
    tokens = {scope: await house.token_of(admin, "acme", scope) for scope in ("admin", "gateway")}
    secrets = {f"<{scope}-token>": (api.token or "").removeprefix("zat_") for scope, api in tokens.items()}
    play = Play(over(house.api), known={"<server>": "127.0.0.1:8080", **secrets})
    manager = Acting(tokens["admin"])
    for example in examples("socayo"):
        house.clock.advance(1)
        await prepare(house, manager, example)
        await play.run(example)


async def prepare(house: House, manager: Acting, example: Example) -> None:
    """Bring about what the printed answer presupposes."""
    name = example.request["path"].removeprefix(RPCS)
    if name == "get-registered-channels":
        second = {**SECOND, "platform": "ANDROID", "deviceId": "another-device"}
        assert (await manager.for_user(USER).rpc("register-push-device", second)).status == 200
    elif name == "manage/send":
        assert (await manager.for_user(USER).rpc("unregister-push-device", SECOND)).status == 200
    elif name == "manage/get-delivery-status":
        assert await house.accept_pushes("fcm-msg-xyz") == 1
    elif name == "get-inbox-feed":
        await fill_inbox(house, manager)


async def fill_inbox(house: House, manager: Acting) -> None:
    """Send what the document's inbox has: twelve that are unread, five of them unseen, the newest the one it prints."""
    for _ in range(UNREAD - UNSEEN):
        await send(manager, category="SYSTEM", content={"title": "An earlier one"})
    seen = await manager.for_user(USER).rpc("mark-all-inbox-messages", {"status": "SEEN"})
    assert seen.status == 200, seen.body
    for _ in range(UNSEEN - 1):
        await send(manager, category="SYSTEM", content={"title": "Another one"})
    house.clock.advance(1)
    printed = {
        "title": "New Message",
        "body": "You have a coaching update",
        "data": {"screen": "conversation"},
        "deepLink": "socayo://conversation/conv_abc",
    }
    await send(manager, category="TRANSACTIONAL", content=printed)


async def send(manager: Acting, **more: object) -> None:
    """Send something into the inbox."""
    answer = await manager.rpc("manage/send", {"userId": USER, "channel": "IN_APP", **more})
    assert answer.status == 200, answer.body
