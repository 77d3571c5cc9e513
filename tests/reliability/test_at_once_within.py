"""Everything at once about documents: notifications to everyone and to some, who has access, documents and users that come and go.

As `test_at_once_by_name.py`, whose servers do these things besides. A longer run:

    HUSHPOST_TEST_EXAMPLES=20000 .venv/bin/python -m pytest tests/reliability/test_at_once_within.py
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from server.commands import documents
from server.commands.adding import AddNotification, add_notification
from server.commands.send import send
from server.domain.audience import Within
from server.domain.headline import Headline
from server.domain.mention import Mention
from server.domain.ports import Transaction
from tests.harness.calendar import PLAIN
from tests.reliability.test_at_once import STEPS, nobody
from tests.reliability.test_at_once_by_name import NAMES, Servers, nothing_is_left, servers

__all__ = ["servers"]  # the fixture
_DOCUMENTS = ["plan", "budget"]
_VALUES = [("board", "sales"), ("board", "costs"), ("entity", "5")]
_LEFT_OF_DELETED = """
    SELECT a.user_id FROM document_access a JOIN users u ON u.id = a.user_id WHERE u.deleted_at IS NOT NULL
"""
_TOLD_WITHOUT_READING = """
    SELECT i.id FROM inbox_items i LEFT JOIN bucket_members m ON m.bucket_id = i.bucket_id AND m.user_id = i.user_id
        WHERE m.user_id IS NULL
"""


class Editors(Servers):
    """An app's servers, whose users work on documents."""

    @property
    def deeds(self) -> list[Callable[[], Awaitable[Any]]]:
        return [
            self.notify,
            self.notify,
            self.notify,
            *[self.let] * 3,
            self.take,
            self.take,
            self.end_document,
            self.cancel,
            self.cancel,
            self.register,
            self.unregister,
            self.refuse,
            self.send_by_name,
            self.delete_subscriber,
        ]

    async def notify(self) -> None:
        """Add a notification under one of few ids, so that some are asked for again."""
        everyone = self.dice.random() < 0.6
        name = self.dice.choice([None, *(f"id-{number}" for number in range(9))])
        command = AddNotification(
            tenant="default",
            makes_tenant=True,
            document=self.document(),
            makes_document=True,
            actor=Mention(self.name()),
            meant=[Mention(one) for one in self.dice.sample(NAMES, 2)],
            listed=self.dice.random() < 0.5,
            fields=tuple(self.values()),
            name=name,
            fingerprint=None if name is None else name.encode(),
            headline=Headline("{actionUser} has written", {}),
            headline_path="title",
            details={},
            message=replace(PLAIN, everyone=everyone),
        )
        sent = await add_notification(self.calendar.world.sender, self.manager, command, now=self.now)
        self.sent.append(sent.message.id)

    async def let(self) -> None:
        mentions = [Mention(name) for name in self.dice.sample(NAMES, 3)]
        where = (self.calendar.db, self.tenant, self.document())
        await documents.add_access(*where, mentions, self.values(), now=self.now, random=self.random)

    async def take(self) -> None:
        names, fields = self.dice.sample(NAMES, 2), self.dice.choice([None, self.values()])
        await documents.remove_access(self.calendar.db, self.tenant, self.document(), names, fields)

    async def end_document(self) -> None:
        await documents.delete_document(
            self.calendar.db, self.tenant, self.document(), now=self.now, random=self.random, wake=nobody
        )

    def document(self) -> str:
        return self.dice.choice(_DOCUMENTS)

    def values(self) -> list[tuple[str, str]]:
        return self.dice.sample(_VALUES, self.dice.randint(0, 2))


class Fickle(Editors):
    """Editors whose users come, go, and have access or not, but for some who stay as they are."""

    @property
    def deeds(self) -> list[Callable[[], Awaitable[Any]]]:
        return [*[self.let] * 3, self.take, self.take, self.register, self.unregister, self.delete_subscriber]

    def document(self) -> str:
        return _DOCUMENTS[0]


async def test_whatever_editors_do_at_once_nothing_is_lost_or_left(servers: Servers) -> None:
    """What is in an inbox its owner may read; nobody who was deleted is on a list."""
    editors = Editors(servers.calendar, servers.dice, STEPS)
    await at_once(editors, 6)
    for message in editors.told:
        await editors.cancelled(message)
    await nothing_is_left(editors)

    async def look(tx: Transaction) -> list[Any]:
        return [*await tx.all(_LEFT_OF_DELETED), *await tx.all(_TOLD_WITHOUT_READING)]

    assert await editors.calendar.db.read(look) == []
    rows = await editors.calendar.rows("subjects")
    names = [row["name"] for row in rows if row["name"] is not None]
    assert len(names) == len({*names})
    assert len(editors.sent) > STEPS // 20


async def test_nobody_without_access_is_told_and_who_keeps_it_is_told_once(servers: Servers) -> None:
    """While others gain and lose it: these are told once or not at all. A page is two of them."""
    editors = Fickle(servers.calendar, servers.dice, STEPS // 2)
    plan, others = (
        [f"faithful-{number:02}" for number in range(40)],
        [f"outside-{number}" for number in range(5)],
    )
    document = await make(editors, "plan", *plan, *NAMES)
    await make(editors, "budget", *others)
    within = Within(document, listed=True, fields=(_VALUES[0], _VALUES[2]))
    command = replace(PLAIN, everyone=True, within=within)
    sender = editors.calendar.world.sender
    sent = (await send(sender, editors.manager, command, key=None, now=editors.now)).message.id
    await at_once(editors, 4)
    await editors.calendar.check()
    named = {row["id"]: row["external_id"] for row in await editors.calendar.rows("users")}
    items = Counter(
        named[row["user_id"]] for row in await editors.calendar.rows("inbox_items", message_id=sent)
    )
    assert {name: items.get(name, 0) for name in plan} == dict.fromkeys(plan, 1)
    assert {name for name in items if name not in plan} <= {*NAMES, None}
    assert {number for name, number in items.items() if name is not None} == {1}


async def at_once(editors: Editors, people: int) -> None:
    """Have them do as they like beside schedulers and workers, and then what is left to do."""
    async with asyncio.TaskGroup() as group:
        for one in (*[editors.person] * people, *[editors.schedule] * 2, *[editors.work] * 2):
            group.create_task(one())
    await editors.rest()


async def make(editors: Editors, key: str, *names: str) -> str:
    """Make a document to which users have access who come one after the other; return its id."""
    where, now, random = (editors.calendar.db, editors.tenant, key), editors.now, editors.random
    document = await documents.add_document(*where, None, now=now, random=random)
    for name in names:
        await documents.add_access(*where, [Mention(name)], _VALUES, now=now, random=random)
    return document.id
