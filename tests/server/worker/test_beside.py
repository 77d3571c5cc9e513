"""What goes on beside the outbox: a tenant has its part of the room, and no more of it."""

import asyncio

import structlog

from server.worker.beside import Beside


async def waits(event: asyncio.Event) -> None:
    await event.wait()


async def test_a_tenant_that_fills_its_part_leaves_room_for_others() -> None:
    beside, end = Beside(structlog.get_logger()), asyncio.Event()
    assert beside.has_room("acme", 5000), "what is alone in its part always has room"
    beside.start("acme", 1999, waits(end))
    assert beside.has_room("acme", 1)
    assert not beside.has_room("acme", 2)
    assert beside.has_room("other", 500)
    for number in range(3):
        beside.start(f"tenant {number}", 2000, waits(end))
    assert not beside.has_room("acme", 2)
    assert beside.has_room("other", 500)
    end.set()
    await asyncio.wait(beside.tasks)


async def test_room_is_free_again_when_a_task_is_over_however_it_ended() -> None:
    rung, end = [], asyncio.Event()
    beside = Beside(structlog.get_logger())
    beside.rings(lambda: rung.append(1))

    async def fails() -> None:
        await end.wait()
        raise ValueError

    beside.start("acme", 2000, fails())
    assert not beside.has_room("acme", 1)
    end.set()
    await asyncio.wait(beside.tasks)
    assert (beside.has_room("acme", 1), rung) == (True, [1])
