"""Changing what notifications say, what is shown of what they are about, and who has read them, for who manages their tenant.

Each is a transaction of its own: one that fails leaves the others as they are. The new text goes to every device that has the
old one (`changes.py`), and what somebody has read is cleared on theirs (`marks.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from server.commands.changes import ChangeMessage, lock, rewrite
from server.commands.inbox import Marking
from server.commands.marks import mark_read_by
from server.commands.mentions import render_headline
from server.commands.notifications import Whose, find
from server.commands.people import find_named
from server.domain.errors import Fault, Invalid, NotFound, Refusal, invalid
from server.domain.headline import Headline, wrong_headline
from server.domain.message import UNRESOLVED, Message
from server.domain.notification import Notification, named
from server.domain.ports import Random, Transaction
from server.domain.subject import Subject
from server.store import subjects


@dataclass(frozen=True)
class Revise:
    """What is new of a notification: words of its content and of its details, None for what it is to lose, and who has read it.

    `headline` makes its title of the details as they are then; None: it stays. `where` and `readers_at` say where in the request all
    of it, and the names of the readers, stand.
    """

    name: str
    words: Mapping[str, Any] = field(repr=False)
    details: Mapping[str, Any] = field(repr=False)
    headline: Callable[[Mapping[str, Any]], Headline] | None
    read_by: Sequence[str]
    where: str
    readers_at: str


async def revise_all(to: Marking, whose: Whose, commands: Sequence[Revise]) -> list[Refusal | None]:
    """Change notifications, and return of each why it was refused, None where it was not."""
    done = [await _try(to, whose, command) for command in commands]
    to.wake()
    return done


async def _try(to: Marking, whose: Whose, command: Revise) -> Refusal | None:
    now = to.clock()
    try:
        await to.db.write(lambda tx: _revise(tx, whose, command, now=now, random=to.random))
    except Refusal as refused:
        return refused
    return None


async def _revise(tx: Transaction, whose: Whose, command: Revise, *, now: int, random: Random) -> None:
    readers = await _readers(tx, whose.tenant_id, command)
    found = await _locked(tx, whose, command.name)
    message = await _rewritten(tx, found, command, now=now, random=random)
    await mark_read_by(tx, message, readers, now=now, random=random)


async def _locked(tx: Transaction, whose: Whose, name: str) -> Notification:
    """Return the notification of a name as nobody else changes it; NotFound."""
    found = named(name, await find(tx, whose, [name]))
    if found is not None:
        await lock(tx, found.message.id)
        await subjects.lock_subjects(tx, [found.message.id])  # what is being forgotten of it stays forgotten
        found = named(name, await find(tx, whose, [name]))
    if found is None:
        raise NotFound("no such notification", code="notification_not_found")
    return found


async def _readers(tx: Transaction, tenant_id: str, command: Revise) -> list[str]:
    """Return the ids of those who have read it; Invalid names those whom nobody knows."""
    found = await find_named(tx, tenant_id, command.read_by)
    faults = [
        Fault(f"{command.readers_at}[{index}]", "is nobody", "add the user first, or leave the name out")
        for index, name in enumerate(command.read_by)
        if name not in found
    ]
    if faults:
        raise Invalid("some of those who have read it are nobody", faults=faults)
    return list(found.values())


async def _rewritten(
    tx: Transaction, found: Notification, command: Revise, *, now: int, random: Random
) -> Message:
    """Write what it says now, and what is shown of what it is about."""
    subject = found.subject or Subject(details={})
    details = _changed(subject.details, command.details)
    words = {**command.words, **await _title(tx, found.message, command, details)}
    if found.subject is None and command.details:
        await subjects.add_subject(tx, found.message, replace(subject, details=details))
    elif details != subject.details:
        await subjects.write_details(tx, found.message.id, details)
    return await rewrite(tx, found.message, ChangeMessage(words, None), now=now, random=random)


async def _title(
    tx: Transaction, message: Message, command: Revise, details: Mapping[str, Any]
) -> Mapping[str, str]:
    """Return the title as a word of the content, where there is a new one; Invalid, also for texts that are not kept here."""
    if (message.content or {}).get(UNRESOLVED) and (command.headline is not None or "body" in command.words):
        fix = "change them there, and leave them out here"
        raise invalid(command.where, "has texts that are asked for at a resolver", fix)
    if command.headline is None:
        return {}
    title = await render_headline(tx, message.tenant_id, command.headline(details))
    wrong = wrong_headline(title)
    if wrong is not None:
        raise invalid(command.where, *wrong)
    return {"title": title}


def _changed(stored: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**stored, **new}.items() if value is not None}
