"""Everything at once: senders, readers, changes, retractions, retention, schedulers and workers on the same messages.

What happens in what order is left to the loop and to PostgreSQL. When all has come to rest the book holds against the rows, and
nothing is left of what was taken back. A longer run:

    HUSHPOST_TEST_EXAMPLES=20000 .venv/bin/python -m pytest tests/reliability/test_at_once.py
"""

import asyncio
import os
import random as pseudo
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from server.commands import changes, inbox, takeback
from server.commands.changes import ChangeMessage
from server.commands.due import prepare_tasks, run_due
from server.commands.inbox import Marking
from server.commands.messages import retract
from server.commands.preferences import set_preference
from server.domain.account import User
from server.domain.delivery import Channel
from server.domain.errors import Refusal
from server.domain.inbox import Mark
from server.domain.message import NO_OPTIONS, DeliveryType
from server.domain.ports import Database, Transaction
from server.domain.preferences import SetPreference
from server.domain.task import Kind
from tests.harness.calendar import EPHEMERAL, Calendar, reminding
from tests.harness.model_world import World

STEPS = int(os.environ.get("HUSHPOST_TEST_EXAMPLES", "500"))
PAGE = 2  # every message is more than a page
_RECURRING = {Kind.PRUNE, Kind.COMPACT, Kind.RETAIN}
LEFT_OF_RETRACTED = """
    SELECT 'an item in an inbox' AS what, m.id FROM messages m JOIN inbox_items i ON i.message_id = m.id
        WHERE m.retracted_at IS NOT NULL AND i.deleted_at IS NULL
    UNION ALL SELECT 'a delivery that waits', m.id FROM messages m JOIN deliveries d ON d.message_id = m.id
        WHERE m.retracted_at IS NOT NULL AND d.state IN ('queued', 'leased')
    UNION ALL SELECT 'a claim', m.id FROM messages m JOIN claims c ON c.message_id = m.id
        WHERE m.retracted_at IS NOT NULL
    UNION ALL SELECT 'something to do', m.id FROM messages m JOIN tasks t ON t.message_id = m.id
        WHERE m.retracted_at IS NOT NULL
"""
NUMBERED_TWICE = """
    SELECT device_id, sequence FROM deliveries WHERE sequence IS NOT NULL GROUP BY device_id, sequence HAVING COUNT(*) > 1
"""
SENT_TWICE = """
    SELECT frame_id, device_id FROM deliveries WHERE kind = 1 AND device_id IS NOT NULL
        GROUP BY frame_id, device_id HAVING COUNT(*) > 1
"""


@dataclass
class Crowd:
    """People who do as they like, in an order that comes of a seed and of who is faster."""

    calendar: Calendar
    dice: pseudo.Random
    steps: int = STEPS
    sent: list[str] = field(default_factory=list)

    async def person(self) -> None:
        """Do one thing after another; what is refused is refused."""
        while self.steps > 0:
            self.steps -= 1
            try:
                await self.dice.choice(self.deeds)()
            except Refusal:
                continue

    @property
    def deeds(self) -> list[Callable[[], Awaitable[Any]]]:
        return [
            self.send,
            self.send,
            self.change,
            self.take_back,
            self.mark,
            self.mark,
            self.delete,
            self.prefer,
        ]

    async def send(self) -> None:
        options = self.dice.choice([NO_OPTIONS, NO_OPTIONS, EPHEMERAL, reminding(1, 2)])
        later = self.dice.choice([None, None, self.calendar.now + 60_000])
        kind = self.dice.choice(list(DeliveryType))
        message = await self.calendar.send(options=options, send_at=later, delivery_type=kind)
        self.sent.append(message.id)

    async def change(self) -> None:
        command = ChangeMessage({"title": f"said {self.steps}"}, None)
        await changes.change(
            self.calendar.db,
            self.calendar.ann,
            self.any_message(),
            command,
            now=self.calendar.now,
            random=self.calendar.world.random,
            wake=nobody,
        )

    async def take_back(self) -> None:
        await retract(
            self.calendar.db,
            self.calendar.ann,
            self.any_message(),
            clock=lambda: self.calendar.now,
            random=self.calendar.world.random,
            wake=nobody,
        )

    async def mark(self) -> None:
        reader, how = self.reader(), self.dice.choice(list(Mark))
        await inbox.mark_item(self.marking, reader, await self.any_item(reader), how)

    async def delete(self) -> None:
        reader = self.reader()
        await inbox.delete_item(self.marking, reader, await self.any_item(reader))

    async def prefer(self) -> None:
        channel, enabled = self.dice.choice([Channel.IN_APP, Channel.PUSH]), self.dice.random() < 0.7
        command = SetPreference(channel, None, enabled=enabled)
        await set_preference(self.calendar.db, self.reader().id, command, now=self.calendar.now)

    async def schedule(self) -> None:
        """Do what is due, and let time pass, until everybody has had enough."""
        while self.steps > 0:
            self.calendar.world.clock.advance(self.dice.choice([0, 1_000, 60_000, 600_000]))
            await self.do_due()
            await asyncio.sleep(0)

    async def work(self) -> None:
        """Take what waits to the phones."""
        while self.steps > 0:
            await self.calendar.deliver()
            await asyncio.sleep(0)

    async def rest(self) -> None:
        """Do all that is left to do, hours later."""
        while True:
            self.calendar.world.clock.advance(3_600_000)
            done = await self.do_due()
            if not await self.calendar.deliver() and not done - _RECURRING:
                return

    async def do_due(self) -> set[Kind]:
        """Run what is due now, once round for what comes round again."""
        done: set[Kind] = set()
        now, log = self.calendar.now, structlog.get_logger()
        while task := await run_due(self.calendar.db, now=now, random=self.calendar.world.random, log=log):
            assert task.attempts == 0, f"{task.kind} has failed"
            done.add(task.kind)
        return done

    @property
    def marking(self) -> Marking:
        return Marking(self.calendar.db, self.calendar.world.clock, self.calendar.world.random, nobody)

    def any_message(self) -> str:
        if not self.sent:
            raise Nothing
        return self.dice.choice(self.sent)

    def reader(self) -> User:
        return self.dice.choice([self.calendar.ben, self.calendar.cleo])

    async def any_item(self, reader: User) -> str:
        sql = "SELECT id FROM inbox_items WHERE user_id = $1 ORDER BY id"
        rows = await self.calendar.db.read(lambda tx: tx.all(sql, reader.id))
        if not rows:
            raise Nothing
        return str(self.dice.choice(list(rows))["id"])


class Nothing(Refusal):
    """There is nothing yet to do something with."""

    code = "nothing"

    def __init__(self) -> None:
        super().__init__("nothing is there yet")


@pytest.fixture
async def crowd(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crowd]:
    monkeypatch.setattr(takeback, "PAGE", 1)
    with ThreadPoolExecutor(1) as pool:
        calendar = await Calendar.make(await World.make(database, PAGE, pool))
        await prepare_tasks(database, calendar.now)
        rule = "UPDATE buckets SET retention_count = 5 WHERE id = $1"
        await database.write(lambda tx: tx.run(rule, calendar.bucket))
        yield Crowd(calendar, pseudo.Random(8439))  # noqa: S311 - it repeats what it can


def nobody() -> None:
    """Nobody waits to be woken: the workers look again and again."""


async def test_whatever_happens_at_once_nothing_is_lost_or_left(crowd: Crowd) -> None:
    """Five people, two schedulers and two workers; then what is left to do, and a look at every row."""
    async with asyncio.TaskGroup() as group:
        for one in (*[crowd.person] * 5, *[crowd.schedule] * 2, *[crowd.work] * 2):
            group.create_task(one())
    await crowd.rest()
    await crowd.calendar.check()

    async def look(tx: Transaction) -> dict[str, list[dict[str, Any]]]:
        questions = {"left": LEFT_OF_RETRACTED, "numbered": NUMBERED_TWICE, "sent": SENT_TWICE}
        return {name: [dict(row) for row in await tx.all(sql)] for name, sql in questions.items()}

    assert await crowd.calendar.db.read(look) == {"left": [], "numbered": [], "sent": []}
    kept = await crowd.calendar.rows("messages", bucket_id=crowd.calendar.bucket)
    assert len(kept) < len(crowd.sent)
