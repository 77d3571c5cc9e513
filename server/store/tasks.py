"""Tasks: what is to be done at some time, each run in the transaction that also deletes or reschedules it.

So a task is done exactly once, whatever dies when. On PostgreSQL a row lock keeps it from other schedulers for as long as that
transaction lasts, and no longer: there is no lease that could be stale, and nobody to be elected.
"""

import json
from collections.abc import Sequence

from server.domain.delivery import SECOND
from server.domain.ports import Row, Transaction
from server.domain.task import PLANNED, Kind, Task
from server.domain.turns import BULK
from server.store.dialect import chunks, holes

# A newer version may have left tasks of other kinds: they wait for one that knows them, and are in nobody's way.
_KNOWN = ", ".join(f"'{kind.value}'" for kind in Kind)
_PLANNED = ", ".join(f"'{kind.value}'" for kind in PLANNED)
_REST = ", ".join(f"'{kind.value}'" for kind in Kind if kind not in PLANNED)
_DUE = "FROM tasks WHERE due_at <= $1 AND kind IN ({}) ORDER BY due_at, id LIMIT 1"


async def add_task(tx: Transaction, task: Task) -> None:
    await tx.run(
        "INSERT INTO tasks (id, kind, message_id, payload, due_at, attempts, created_at)"
        " VALUES ($1, $2, $3, $4, $5, 0, $6)",
        task.id,
        task.kind.value,
        task.message_id,
        _text(task),
        task.due_at,
        task.created_at,
    )


async def ensure_tasks(tx: Transaction, tasks: Sequence[Task]) -> None:
    """Add the tasks that are not there yet. One that is there keeps its time."""
    for task in tasks:
        await tx.run(
            "INSERT INTO tasks (id, kind, payload, due_at, attempts, created_at) VALUES ($1, $2, $3, $4, 0, $5)"
            " ON CONFLICT (id) DO NOTHING",
            task.id,
            task.kind.value,
            _text(task),
            task.due_at,
            task.created_at,
        )


async def take_due(tx: Transaction, now: int) -> Task | None:
    """Return the task that is next, locked until the end of the transaction.

    That is the one that has been due the longest; but what was planned for a time goes before what is only to be gone on with, which
    stands back for it by BULK: a tenant's messages to everybody are no reason for another's to be late, and nothing starves.
    """
    planned, rest = await _due_longest(tx, _PLANNED, now), await _due_longest(tx, _REST, now)
    is_late = rest is not None and (planned is None or rest + BULK < planned)
    for kinds in (_REST, _PLANNED) if is_late else (_PLANNED, _REST):
        row = await tx.one(f"SELECT * {_DUE.format(kinds)} FOR UPDATE SKIP LOCKED", now)
        if row is not None:
            return _task_of(row)
    return None


async def _due_longest(tx: Transaction, kinds: str, now: int) -> int | None:
    """Return since when the first of these tasks is due."""
    row = await tx.one(f"SELECT due_at {_DUE.format(kinds)}", now)
    return None if row is None else int(row["due_at"])


async def finish_task(tx: Transaction, task_id: str) -> None:
    await tx.run("DELETE FROM tasks WHERE id = $1", task_id)


async def reschedule(tx: Transaction, task: Task) -> None:
    """Write a task's new time, payload and number of failures."""
    await tx.run(
        "UPDATE tasks SET due_at = $2, payload = $3, attempts = $4 WHERE id = $1",
        task.id,
        task.due_at,
        _text(task),
        task.attempts,
    )


async def postpone(tx: Transaction, task: Task) -> None:
    """Write when a task that failed is tried again, unless somebody else has taken it further meanwhile."""
    await tx.run(
        "UPDATE tasks SET due_at = $2, attempts = $3 WHERE id = $1 AND attempts = $4",
        task.id,
        task.due_at,
        task.attempts,
        task.attempts - 1,
    )


async def advance(tx: Transaction, now: int) -> int:
    """Make due at once what waits for a later time and is not planned for it: the clock by which that was set was put back.

    A scheduled message that has failed once does not wait for its time any more.
    """
    return await tx.run(
        f"UPDATE tasks SET due_at = $1 WHERE due_at > $1 AND (kind NOT IN ({_PLANNED}) OR attempts > 0)", now
    )


async def forget_sooner(tx: Transaction, message_ids: Sequence[str], now: int) -> set[str]:
    """Have those of the messages looked at soon that are forgotten once nobody needs them; return which they are.

    Not at once: of many who read a message in the same second, the last one matters.
    """
    found: set[str] = set()
    for chunk in chunks(sorted(set(message_ids))):
        rows = await tx.all(
            "UPDATE tasks SET due_at = CASE WHEN due_at < $1 THEN due_at ELSE $1 END"
            f" WHERE kind = 'forget' AND message_id IN ({holes(len(chunk), after=1)}) RETURNING message_id",
            now + SECOND,
            *chunk,
        )
        found.update(row["message_id"] for row in rows)
    return found


async def drop_tasks(tx: Transaction, message_id: str) -> int:
    """Delete what is still to be done for a message but taking it back, which goes on; one that runs now ends first."""
    return await tx.run("DELETE FROM tasks WHERE message_id = $1 AND kind <> 'retract'", message_id)


async def is_spreading(tx: Transaction, message_id: str) -> bool:
    """Say whether there are recipients to whom a message is still to be written."""
    row = await tx.one("SELECT id FROM tasks WHERE message_id = $1 AND kind = 'fanout' LIMIT 1", message_id)
    return row is not None


async def lock_tasks(tx: Transaction, message_id: str) -> None:
    """Keep what is to be done for a message from the schedulers until the end of the transaction; what runs now ends first."""
    await tx.all("SELECT id FROM tasks WHERE message_id = $1 ORDER BY id FOR UPDATE", message_id)


async def find_send(tx: Transaction, message_id: str) -> Task | None:
    """Return the task that waits for a message's time, None where it has come."""
    row = await tx.one("SELECT * FROM tasks WHERE message_id = $1 AND kind = 'send'", message_id)
    return None if row is None else _task_of(row)


async def drop_kind(tx: Transaction, message_id: str, kind: Kind) -> None:
    """Delete what is still to be done of one kind for a message."""
    await tx.run("DELETE FROM tasks WHERE message_id = $1 AND kind = $2", message_id, kind.value)


async def move_send(tx: Transaction, message_id: str, due_at: int) -> None:
    """Have a scheduled message sent at another time."""
    await tx.run("UPDATE tasks SET due_at = $2 WHERE message_id = $1 AND kind = 'send'", message_id, due_at)


async def next_due(tx: Transaction, kind: Kind | None = None) -> int | None:
    """Return when the next task is due, of all or of a kind."""
    kinds = _KNOWN if kind is None else f"'{kind.value}'"
    row = await tx.one(f"SELECT due_at FROM tasks WHERE kind IN ({kinds}) ORDER BY due_at LIMIT 1")
    return None if row is None else int(row["due_at"])


async def count_tasks(tx: Transaction) -> dict[Kind, int]:
    """Return how many tasks there are of each kind."""
    rows = await tx.all("SELECT kind, COUNT(*) AS n FROM tasks GROUP BY kind")
    found = {row["kind"]: int(row["n"]) for row in rows}
    return {kind: found.get(kind.value, 0) for kind in Kind}


def _text(task: Task) -> str:
    return json.dumps(task.payload, ensure_ascii=False, separators=(",", ":"))


def _task_of(row: Row) -> Task:
    return Task(
        id=row["id"],
        kind=Kind(row["kind"]),
        message_id=row["message_id"],
        payload=json.loads(row["payload"]),
        due_at=row["due_at"],
        attempts=row["attempts"],
        created_at=row["created_at"],
    )
