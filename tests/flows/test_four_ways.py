"""One person with one phone, and four APIs: whichever sends a notification, all of them show it, count it, read it and take it back."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crypto.encoding import unb64u
from crypto.keys import IdentityPublicKey
from simulator.phone import Phone
from simulator.registering import KnownServer
from tests.harness.four_ways import WAYS, Note, Place, Row, Way, good
from tests.harness.native import Native
from tests.harness.stack import Stack, running

PLACE = ("550e8400-e29b-41d4-a716-446655440000", "7d444840-9dc0-11d1-b245-5ffdce74fad2")
SENDER = "7d444840-9dc0-11d1-b245-5ffdce74fad3"
NOTE = Note("A heron", "by the bridge, and \N{DUCK} below it")
LONGEST_SECONDS = 120.0
_DIRECTORY = "/.well-known/http-message-signatures-directory"


@dataclass(frozen=True)
class World:
    place: Place
    phone: Phone

    async def send(self) -> dict[str, list[str]]:
        """Have the same sent in all four ways, and wait until the phone shows what is for phones."""
        sent = {way.name: await way.send(self.place, NOTE) for way in WAYS}
        pushed = {messages[-1] for messages in sent.values()}
        await self.phone.until(lambda inbox: pushed <= {card.message_id for card in inbox.visible})
        return sent

    async def rows(self) -> Sequence[Row]:
        """Return what all four inboxes show."""
        first, *others = [await way.inbox(self.place) for way in WAYS]
        assert all(other == first for other in others)
        return first

    async def unread(self) -> int:
        """Return what all four count."""
        first, *others = [await way.unread(self.place) for way in WAYS]
        assert all(other == first for other in others)
        return first

    async def disappears(self, message: str) -> None:
        """Wait until a message is not on the phone's screen."""
        await self.phone.until(lambda inbox: message not in {card.message_id for card in inbox.visible})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as stack:
        tenant, user = PLACE
        place = Place(Native(stack.session, stack.server.url, stack.token), tenant, user, SENDER)
        async with phone_of(stack, place) as phone:
            yield World(place, phone)


@asynccontextmanager
async def phone_of(stack: Stack, place: Place) -> AsyncIterator[Phone]:
    """Register a phone of the user's by its push token."""
    [key] = (await good(place.api.get(_DIRECTORY)))["keys"]
    server = KnownServer(stack.server.url, IdentityPublicKey(unb64u(key["x"])), "")

    async def pass_on(told: Mapping[str, Any]) -> Any:
        return await good(place.reader.rpc("register-push-device", told))

    phone = await Phone.register(
        server, pass_on, control=stack.providers.control_url, platform="android", suite=2, name="phone"
    )
    try:
        yield phone
    finally:
        await phone.close()


def after(way: Way, number: int) -> Way:
    """Return another way than this one."""
    return WAYS[(WAYS.index(way) + number) % len(WAYS)]


async def test_what_one_api_sends_all_show_count_read_and_take_back(world: World) -> None:
    async with asyncio.timeout(LONGEST_SECONDS):
        sent = await it_is_shown_by_all_and_on_the_phone(world)
        await it_is_read_by_another_api(world, sent)
        await it_is_taken_back_by_another_api(world)


async def it_is_shown_by_all_and_on_the_phone(world: World) -> Mapping[str, list[str]]:
    sent = await world.send()
    newest_first = [sent[way.name][0] for way in reversed(WAYS)]
    assert await world.rows() == [
        (message, NOTE.title, NOTE.text, NOTE.data, False) for message in newest_first
    ]
    shown = [dict(world.phone.card(messages[-1]).content) for messages in sent.values()]
    for content in shown:
        assert content.pop("createdAt") < content.pop("expiresAt")
        assert content == shown[0]
    assert (shown[0]["title"], shown[0]["body"], shown[0]["data"]) == (NOTE.title, NOTE.text, NOTE.data)
    return sent


async def it_is_read_by_another_api(world: World, sent: Mapping[str, list[str]]) -> None:
    """And the phone clears it; what Socayo has sent to phones is not what it has sent to the inbox."""
    for number, way in enumerate(WAYS, start=1):
        message = sent[way.name][0]
        await after(way, 1).read(world.place, message)
        assert await world.unread() == len(WAYS) - number
        assert [row[0] for row in await world.rows() if row[-1]] == [
            sent[one.name][0] for one in reversed(WAYS[:number])
        ]
        await world.disappears(message)


async def it_is_taken_back_by_another_api(world: World) -> None:
    """From the inbox and from the phone."""
    sent = await world.send()
    for way in WAYS:
        for message in sent[way.name]:
            taker = after(way, 2) if message == sent[way.name][0] else way
            await taker.take_back(world.place, message)
            assert message not in [row[0] for row in await world.rows()]
            await world.disappears(message)
    assert len(await world.rows()) == len(WAYS), "those of the first round"
    assert await world.unread() == 0
