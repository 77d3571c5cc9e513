"""What each field of a message does, seen on the screen of a phone of each platform, through a whole running system."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from simulator.mail import Card
from simulator.phone import Phone
from tests.harness.stack import Stack, running

PLATFORMS = {"ios": 2, "android": 1, "web": 1}
URL = "https://example.com/a"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Scene:
    """One system for all of these tests, and a phone for each platform."""

    stack: Stack
    phones: tuple[Phone, ...]

    async def show(self, **message: Any) -> list[Card]:
        """Send a message and return how it stands on each screen."""
        sent = await self.stack.send(**{"title": "t", **message})
        for phone in self.phones:
            await phone.until(lambda inbox: any(one.message_id == sent for one in inbox.log))
        return [phone.card(sent) for phone in self.phones]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as closing:
        stack = await closing.enter_async_context(running(tmp_path_factory.mktemp("stack")))
        phones = []
        for platform, suite in PLATFORMS.items():
            phones.append(await stack.pair(platform=platform, suite=suite, name=platform, keep=False))
            closing.push_async_callback(phones[-1].close)
        yield Scene(stack, tuple(phones))


def seen(card: Card, name: str) -> Any:
    """Give what a screen makes of a field, or the field where it makes nothing else of it."""
    return getattr(card, name) if hasattr(card, name) else card.content.get(name)


def action(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, **more}


def picture(kind: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": kind, "url": URL, **more}


BUTTON = action("NAVIGATE", value="/orders/123", title="Show", icon="cart", destructive=True)

FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    # the message
    ({"title": "Order Confirmed"}, {"title": "Order Confirmed"}),
    ({"subtitle": "Payment received"}, {"subtitle": "Payment received"}),
    ({"body": "Your order #12345 has been confirmed"}, {"text": "Your order #12345 has been confirmed"}),
    ({"deliveryType": "NORMAL"}, {"manner": "normal"}),
    ({"deliveryType": "SILENT", "sound": "ping.aiff"}, {"manner": "silent", "sound": None}),
    ({"deliveryType": "CRITICAL", "sound": "alarm.aiff"}, {"manner": "critical", "sound": "alarm.aiff"}),
    (
        {"attachments": [picture("IMAGE"), picture("VIDEO")]},
        {"attachments": (picture("IMAGE"), picture("VIDEO"))},
    ),
    ({"actions": [BUTTON, action("DISMISS")]}, {"actions": (BUTTON, action("DISMISS"))}),
    ({"tapAction": BUTTON}, {"tap_action": BUTTON}),
    ({"sound": "ping.aiff"}, {"sound": "ping.aiff"}),
    ({"addMarkAsReadAction": True}, {"actions": (action("MARK_AS_READ"),)}),
    ({"addOpenNotificationAction": True}, {"actions": (action("OPEN_NOTIFICATION"),)}),
    ({"addDeleteAction": True}, {"actions": (action("DELETE", destructive=True),)}),
    ({"snoozes": [5, 10, 30]}, {"snoozes": [5, 10, 30]}),
    ({"postpones": [60]}, {"postpones": [60]}),
    ({"locale": "en-EN"}, {"locale": "en-EN"}),
    ({"groupId": "orders"}, {"group": "orders"}),
    ({"tags": ["blue", "green"]}, {"tags": ["blue", "green"]}),
    ({"imageUrl": URL}, {"attachments": (picture("IMAGE"),)}),
    ({"videoUrl": URL}, {"attachments": (picture("VIDEO"),)}),
    ({"gifUrl": URL}, {"attachments": (picture("GIF"),)}),
    ({"tapUrl": URL}, {"tap_action": action("NAVIGATE", value=URL)}),
    # its attachments
    *(
        ({"attachments": [picture(kind)]}, {"attachments": (picture(kind),)})
        for kind in ("GIF", "AUDIO", "ICON", "FILE")
    ),
    ({"attachments": [picture("DOCUMENT")]}, {"attachments": (picture("FILE"),)}),
    ({"attachments": [picture("FILE", name="a.pdf")]}, {"attachments": (picture("FILE", name="a.pdf"),)}),
    # its actions
    ({"tapAction": action("OPEN_URL", value=URL)}, {"tap_action": action("NAVIGATE", value=URL)}),
    *(
        ({"tapAction": action(kind, value=value)}, {"tap_action": action(kind, value=value)})
        for kind, value in {
            "BACKGROUND_CALL": f"POST::{URL}",
            "WEBHOOK": URL,
            "SNOOZE": "30",
            "POSTPONE": "60",
        }.items()
    ),
    *(
        ({"tapAction": action(kind)}, {"tap_action": action(kind)})
        for kind in ("MARK_AS_READ", "DELETE", "OPEN_NOTIFICATION", "DISMISS")
    ),
]


@pytest.mark.parametrize(("fields", "shown"), FIELDS)
async def test_a_field_is_seen_on_every_platform(
    scene: Scene, fields: dict[str, Any], shown: dict[str, Any]
) -> None:
    for card in await scene.show(**fields):
        assert {name: seen(card, name) for name in shown} == shown


async def test_it_was_shown_in_its_manner(scene: Scene) -> None:
    """A silent one has made no sound on any platform, and a critical one has."""
    for kind, manner in {"SILENT": "silent", "CRITICAL": "critical"}.items():
        await scene.show(deliveryType=kind, body=kind)
        assert [(await phone.shows(kind)).manner for phone in scene.phones] == [manner] * len(scene.phones)


async def test_a_bucket_is_where_it_comes_from_and_what_it_is_stacked_with(scene: Scene) -> None:
    bucket = await scene.stack.call(
        "POST", "/api/v1/buckets", {"name": "Marketing", "icon": "megaphone", "color": "#1E88E5"}
    )
    for reference in (bucket["id"], "Marketing"):
        for card in await scene.show(bucketId=reference):
            shown = {name: bucket[name] for name in ("id", "name", "icon", "color")}
            assert (card.content["bucket"], card.group) == (shown, bucket["id"])


async def test_a_later_one_takes_the_place_of_what_has_the_same_collapse_id(scene: Scene) -> None:
    first = await scene.show(collapseId="order-123")
    second = await scene.show(collapseId="order-123")
    for phone, before, after in zip(scene.phones, first, second, strict=True):
        assert (phone.card(before.message_id).state, phone.card(after.message_id).state) == (
            "history",
            "shown",
        )


async def test_what_is_for_the_inbox_only_or_for_others_is_not_shown(scene: Scene) -> None:
    """It is there for who looks into the inbox."""
    quiet = await scene.stack.send(title="t", deliveryType="NO_PUSH")
    for card in await scene.show(userIds=["ada"]):
        assert card.state == "shown"
    for phone in scene.phones:
        await phone.refresh()
        assert quiet not in phone.inbox.cards
    there = await scene.stack.call("GET", f"/api/v1/messages/{quiet}")
    assert (there["deliveryType"], there["notificationsCount"]) == ("NO_PUSH", 1)


async def test_a_message_with_everything_in_it_is_whole_on_every_platform(scene: Scene) -> None:
    """Far more than a push has room for: it is fetched before it is shown."""
    everything = {
        "subtitle": "s" * 100,
        "body": "漢" * 500,
        "attachments": [
            picture("IMAGE", name=str(number), url=f"{URL}{number:0>1500}") for number in range(10)
        ],
        "actions": [action("NAVIGATE", value=f"/{number:0>1500}", title="Show") for number in range(10)],
        "tags": [f"{number:0>100}" for number in range(10)],
    }
    for card in await scene.show(**everything):
        assert {name: card.content[name] for name in everything} == everything


async def test_a_file_that_comes_with_a_message_is_each_devices_own(scene: Scene) -> None:
    """A device is given a claim, by which it has the file, and no word of where that is; so it is with one that is named again."""
    form = aiohttp.FormData({"title": "t", "bucketId": "default"})
    form.add_field("attachments", b"\x89PNG", filename="a.png", content_type="image/png")
    stack = scene.stack
    headers = {"Authorization": f"Bearer {stack.token}"}
    async with stack.session.post(
        f"{stack.server.url}/api/v1/messages", data=form, headers=headers
    ) as answer:
        sent = await answer.json()
    [stored] = sent["attachments"]
    again = await scene.show(attachments=[stored | {"name": "b.png"}])
    for phone, card in zip(scene.phones, again, strict=True):
        await phone.until(lambda inbox: sent["id"] in inbox.cards)
        for name, shown in (("a.png", phone.card(sent["id"])), ("b.png", card)):
            [attachment] = shown.attachments
            assert attachment.keys() == {"mediaType", "name", "claim"}
            assert (attachment["mediaType"], attachment["name"]) == ("IMAGE", name)
            assert await phone.attachment(shown.message_id, 0) == b"\x89PNG"
