"""Which of the tasks that are due is next: nobody's planned message waits for somebody else's large one, and nothing starves."""

import pytest

from server.domain.ids import new_id
from server.domain.ports import Clock, Database, Random, Transaction
from server.domain.task import PLANNED, Kind, Task
from server.domain.turns import BULK
from server.store import tasks

OTHERS = [kind for kind in Kind if kind not in PLANNED]


async def add(db: Database, random: Random, kind: Kind, due_at: int) -> str:
    task = Task(new_id(due_at, random), kind, None, {}, due_at, 0, due_at)
    await db.write(lambda tx: tasks.add_task(tx, task))
    return task.id


async def take_all(db: Database, now: int) -> list[str]:
    """Take what is due, one after the other, each deleted."""

    async def job(tx: Transaction) -> str | None:
        task = await tasks.take_due(tx, now)
        if task is not None:
            await tasks.finish_task(tx, task.id)
        return None if task is None else task.id

    taken = []
    while (found := await db.write(job)) is not None:
        taken.append(found)
    return taken


@pytest.mark.parametrize("kind", OTHERS)
async def test_what_is_planned_goes_before_what_is_to_be_gone_on_with(
    database: Database, clock: Clock, random: Random, kind: Kind
) -> None:
    """Of each sort the one that has been due the longest is first."""
    now = clock()
    large = [await add(database, random, kind, now - BULK + number) for number in range(3)]
    late, later = [await add(database, random, Kind.SEND, now - number) for number in (0, 1)]
    await add(database, random, Kind.SEND, now + 1)
    assert await take_all(database, now) == [later, late, *large]


async def test_what_has_waited_for_long_goes_first(database: Database, clock: Clock, random: Random) -> None:
    """However much is planned."""
    now = clock()
    planned = [await add(database, random, kind, now) for kind in PLANNED]
    waited = await add(database, random, Kind.FANOUT, now - BULK - 1)
    taken = await take_all(database, now)
    assert taken[0] == waited
    assert set(taken[1:]) == set(planned)
