"""Who waits for whom: two that lock several rows take them in one order, or only one of them locks more than one at a time."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.commands import enrolling, erasing
from server.domain.ports import Database, Transaction
from server.domain.task import Kind, Task
from server.store import messages
from tests.harness.calendar import Calendar
from tests.harness.model_world import World
from tests.server.commands.test_races import waits_for_a_lock

_LOCK_USER = "SELECT id FROM users WHERE id = $1 FOR KEY SHARE"
_LOCK_ITEM = "SELECT id FROM inbox_items WHERE message_id = $1 AND user_id = $2 FOR UPDATE"


@pytest.fixture
async def calendar(database: Database) -> AsyncIterator[Calendar]:
    if database.exclusive:
        pytest.skip("there is one writer")
    with ThreadPoolExecutor(1) as pool:
        yield await Calendar.make(await World.make(database, 500, pool))


async def test_who_is_deleted_with_others_waits_for_nobody_while_holding_one_of_them(
    calendar: Calendar,
) -> None:
    """A message is written to the one who was made later first, and then to the other: nobody else does that in another order."""
    db, now, random = calendar.db, calendar.now, calendar.world.random
    names = {user.id: str(user.username) for user in (calendar.ben, calendar.cleo)}
    first, second = sorted(names)
    removal: asyncio.Task[enrolling.Outcomes] | None = None

    async def write(tx: Transaction) -> None:
        nonlocal removal
        await tx.one(_LOCK_USER, second)
        removal = asyncio.create_task(
            enrolling.remove_users(
                db, calendar.ann.tenant_id, [*names.values()], now=now, random=random, wake=lambda: None
            )
        )
        await waits_for_a_lock(db)
        await tx.one(f"{_LOCK_USER} NOWAIT", first)

    await db.write(write)
    assert removal is not None
    assert await removal == dict.fromkeys(names.values())


async def test_the_end_of_a_user_waits_for_no_message_while_it_holds_an_item(calendar: Calendar) -> None:
    """Whoever takes a message back has that first, and its items after it."""
    message = await calendar.send()
    user, now, random = calendar.cleo.id, calendar.now, calendar.world.random
    own = "UPDATE messages SET sender_id = $2 WHERE id = $1"
    await calendar.db.write(lambda tx: tx.run(own, message.id, user))
    task = Task("t", Kind.ERASE, None, {"user": user, "until": now}, now, 0, now)

    async def take_back(tx: Transaction) -> Task | None:
        await messages.blank(tx, message.id, now)
        return await calendar.db.write(lambda other: erasing.erase(other, task, now, random))

    assert await calendar.db.write(take_back) == task.at(now)
    assert [row["user_id"] for row in await calendar.rows("inbox_items")] == [calendar.ben.id]
    assert (await calendar.rows("messages"))[0]["sender_id"] == user
    assert await calendar.db.write(lambda tx: erasing.erase(tx, task, now, random)) == task.at(now)
    assert (await calendar.rows("messages"))[0]["sender_id"] is None


async def test_the_end_of_a_user_takes_items_in_the_order_in_which_messages_are_taken_back(
    calendar: Calendar,
) -> None:
    sent = [await calendar.send() for _ in range(2)]
    first, second = sorted(message.id for message in sent)
    user, now, random = calendar.cleo.id, calendar.now, calendar.world.random
    again = "UPDATE inbox_items SET changed_at = changed_at + 1 WHERE message_id = $1"
    await calendar.db.write(lambda tx: tx.run(again, first))  # it lies behind the other now
    task = Task("t", Kind.ERASE, None, {"user": user, "until": now}, now, 0, now)
    end: asyncio.Task[Task | None] | None = None

    async def take_back(tx: Transaction) -> None:
        nonlocal end
        await tx.one(_LOCK_ITEM, first, user)
        end = asyncio.create_task(calendar.db.write(lambda other: erasing.erase(other, task, now, random)))
        await waits_for_a_lock(calendar.db)
        await tx.one(f"{_LOCK_ITEM} NOWAIT", second, user)

    await calendar.db.write(take_back)
    assert end is not None
    assert await end == task.at(now)
    assert {row["user_id"] for row in await calendar.rows("inbox_items")} == {calendar.ben.id}
