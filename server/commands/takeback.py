"""Taking a message back: its content at once, from the devices that may have it a page at a time.

From the first commit on nothing of it goes out: a worker reads the content as it is then, and there is none. What devices have
already is taken from them by notices, the first page of which is in the same transaction.
"""

from server.commands.attachments import drop_unused
from server.domain.ids import new_id
from server.domain.outgoing import Kind as Requested
from server.domain.ports import Random, Transaction
from server.domain.task import Kind, Task
from server.store import messages, notices, outgoing, tasks

PAGE = 500  # deliveries that are looked at in one transaction


async def take_back(tx: Transaction, message_id: str, *, now: int, random: Random) -> None:
    """Forget a message's content, and what was still to be done for it; doing so again does nothing."""
    # First: a page that is being written is withdrawn with the others. What is begun meanwhile leaves tasks of its own, which are
    # there for a statement that comes after it has ended.
    await tasks.lock_tasks(tx, message_id)
    await tasks.drop_tasks(tx, message_id)
    if await messages.blank(tx, message_id, now):
        await drop_unused(tx, [message_id])  # the files themselves are swept
        await outgoing.drop(tx, message_id, Requested.SAVE)
        task = Task(new_id(now, random), Kind.RETRACT, message_id, {"after": ""}, now, 0, now)
        rest = await go_on(tx, task, now, random)
        if rest is not None:
            await tasks.add_task(tx, rest)


async def go_on(tx: Transaction, task: Task, now: int, random: Random) -> Task | None:
    """Withdraw the next page; return the task as it goes on, None where that was the end."""
    _, last = await notices.withdraw(
        tx, task.message_id or "", after=task.payload["after"], limit=PAGE, now=now, random=random
    )
    return None if last is None else task.at(now, {"after": last})
