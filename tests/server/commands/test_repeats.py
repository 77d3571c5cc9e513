"""Keys of sends, where a call is repeated while the first one is under way."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from server.commands.repeats import key_of_tenant
from server.commands.send import find_sent, send
from server.domain.errors import InFlight
from server.domain.ports import Database
from tests.harness.calendar import PLAIN, Calendar
from tests.harness.model_world import World


@pytest.fixture
async def calendar(database: Database) -> AsyncIterator[Calendar]:
    with ThreadPoolExecutor(1) as pool:
        yield await Calendar.make(await World.make(database, 500, pool))


async def test_a_repeat_whose_time_passes_while_the_first_is_under_way_is_told_to_ask_again(
    calendar: Calendar,
) -> None:
    """It would be refused for its time, and its caller believe that nothing was sent."""
    sender, caller, now = calendar.world.sender, calendar.world.caller(calendar.ann), calendar.now
    key = key_of_tenant(caller, "/send-scheduled", "k", b"{}", place="idempotencyKey")
    command = replace(PLAIN, bucket=calendar.bucket, send_at=now + 10)
    sending = asyncio.create_task(send(sender, caller, command, key=key, now=now))
    await asyncio.sleep(0)  # it has begun
    with pytest.raises(InFlight):
        await find_sent(sender, key, now + 20)
    sent = await sending
    found = await find_sent(sender, key, now + 20)
    assert found is not None
    assert found.message.id == sent.message.id
