"""What has come into an inbox is told once, also to who takes long to catch up."""

from collections.abc import AsyncIterator

import pytest

from server.domain.inbox import OVERLAP, InboxItem
from server.live import arrivals
from server.live.arrivals import Told, follow_arrivals
from server.live.connection import MOST_WAITING
from server.live.hub import Hub
from tests.server.conftest import House, Person
from tests.server.live.test_hub import add_items, running


@pytest.fixture
async def hub(house: House) -> AsyncIterator[Hub]:
    async with running(house) as hub:
        yield hub


async def test_what_comes_while_one_slowly_catches_up_is_told_once(
    house: House, admin: Person, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub tells of it as well as the page that it is on, long before the last page was taken."""
    monkeypatch.setattr(arrivals, "PAGE", 1)
    sent = str((await house.send(admin.api, await house.bucket(admin)))["id"])
    house.clock.advance(10 * OVERLAP)
    began = house.clock()
    after = Told(began - 1_000, 0)
    await add_items(house, sent, admin, 1, began)
    told: list[str] = []
    with hub.connect(admin.id, lambda: False) as connection:
        news = follow_arrivals(hub, house.pieces.db, house.clock, connection, after)

        async def take() -> None:
            abouts = [arrival.news.about for arrival in await anext(news)]
            told.extend(about.id for about in abouts if isinstance(about, InboxItem))

        await take()
        for later in (0, 2 * OVERLAP):
            house.clock.now = began + later + 1
            await add_items(house, sent, admin, 1, house.clock())
            while connection.has_room(MOST_WAITING):  # until the hub has looked
                await house.pieces.db.read(lambda tx: tx.one("SELECT 1"))
            await take()
        while not connection.has_room(MOST_WAITING):
            await take()
    assert len(told) == len(set(told)) == 3
