"""Taking a message back: its content at once, from inboxes and the devices that may have it a page at a time.

From the first commit on nothing of it goes out: a worker reads the content as it is then, and there is none. What devices have
already is taken from them by notices, the first page of which is in the same transaction. Of what was planned for users who are
named a cancelled delivery is written for each, where there would be none: whoever asks what became of it is told.
"""

from collections.abc import Sequence
from dataclasses import replace

from server.commands import spread
from server.commands.attachments import drop_unused
from server.domain.audience import recipients_of
from server.domain.delivery import LEASE, Draft
from server.domain.ids import new_id
from server.domain.message import Message
from server.domain.outgoing import Kind as Requested
from server.domain.ports import Clock, Database, Random, Transaction
from server.domain.task import Kind, Task
from server.store import inbox, messages, notices, outbox, outgoing, tasks
from server.store.audience import START, Place, Reach, reached
from server.store.subjects import drop_subject

PAGE = 500  # deliveries, and inbox items, that are looked at in one transaction


async def take_back(tx: Transaction, message_id: str, *, now: int, random: Random) -> None:
    """Forget a message's content, and what was still to be done for it; doing so again does nothing."""
    # First: a page that is being written is withdrawn with the others. What is begun meanwhile leaves tasks of its own, which are
    # there for a statement that comes after it has ended.
    await tasks.lock_tasks(tx, message_id)
    planned = await tasks.find_send(tx, message_id)
    await tasks.drop_tasks(tx, message_id)
    if await messages.blank(tx, message_id, now):
        await drop_subject(tx, message_id)
        await drop_unused(tx, [message_id])  # the files themselves are swept
        await outgoing.drop(tx, message_id, Requested.SAVE)
        pages = {"users": "", "after": ""}
        task = Task(new_id(now, random), Kind.RETRACT, message_id, pages, now, 0, now)
        rest = await go_on(tx, task, now, random)
        if rest is not None:
            await tasks.add_task(tx, rest)
        if planned is not None:
            await _note_cancelled(tx, planned, now=now, random=random)


async def settle_count(db: Database, message_id: str, clock: Clock) -> None:
    """Note for good how much of a message had gone out that was taken back: once for all, whoever asks for it, and whenever.

    It is counted after the commit: until then a worker may take deliveries, and read what they say.
    """
    leased_until = clock() + LEASE
    await db.write(lambda tx: messages.count_handed_over(tx, message_id, leased_until))


async def go_on(tx: Transaction, task: Task, now: int, random: Random) -> Task | None:
    """Withdraw the next page; return the task as it goes on, None where that was the end.

    The payload: the user and the delivery to go on after, each None where that is done.
    """
    message_id, users, after = task.message_id or "", task.payload.get("users"), task.payload["after"]
    if users is not None:
        users = await inbox.take_out(tx, message_id, after=users, limit=PAGE, now=now)
    if after is not None:
        _, after = await notices.withdraw(tx, message_id, after=after, limit=PAGE, now=now, random=random)
    return None if users is after is None else task.at(now, {"users": users, "after": after})


async def _note_cancelled(tx: Transaction, planned: Task, *, now: int, random: Random) -> None:
    """Write down that those who were named would have got a message; of a whole bucket nobody knows who that would have been."""
    recipients = recipients_of(planned.payload)
    message = await messages.load_message(tx, planned.message_id or "")
    if recipients.only is None or message is None:
        return
    reach = Reach(message.bucket_id, recipients, channels=(), category=None)
    places = await reached(tx, reach, after=START, limit=len(recipients.only))
    users = [place.user_id for place in places]
    await outbox.enqueue(tx, _cancelled(message, users, now=now, random=random), now)


def _cancelled(message: Message, users: Sequence[str], *, now: int, random: Random) -> list[Draft]:
    return [
        replace(
            spread.draft_of(message, Place(user, ""), channel, turn=now, now=now, random=random),
            suppressed=None,
            cancelled=True,
        )
        for user in users
        for channel in message.channels
    ]
