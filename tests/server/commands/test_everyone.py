"""A message to everyone of a tenant, or to those of them who have access to a document: they become its readers, and it goes on as any other."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from server.commands.cancel import cancel
from server.commands.changes import ChangeMessage, lock, rewrite
from server.commands.people import ensure_people, ensure_tenant
from server.commands.preferences import set_preference
from server.commands.send import send
from server.commands.subscribers import delete_subscriber
from server.domain.account import Caller
from server.domain.audience import Within
from server.domain.bucket import DIRECT
from server.domain.delivery import Channel, Kind, Quiet
from server.domain.ids import new_id
from server.domain.message import Category, DeliveryType, Message
from server.domain.ports import Database, Transaction
from server.domain.preferences import SetPreference
from server.domain.scopes import Grant
from tests.harness.calendar import PLAIN, Calendar, reminding
from tests.harness.model_world import World

PAGE = 3
NAMES = [f"user-{number:02}" for number in range(11)]
MINUTE = 60_000
DOCUMENT = "document"
LISTED = Within(DOCUMENT, listed=True, fields=())
BOTH = (Channel.IN_APP, Channel.PUSH)


@dataclass(frozen=True)
class Everyone:
    """A tenant whose users are NAMES, besides the four of the world; each has `phones` by the last digit of their number: 0, 1 or 2."""

    calendar: Calendar
    users: dict[str, str]  # ids by name

    @property
    def db(self) -> Database:
        return self.calendar.db

    @property
    def tenant(self) -> str:
        return self.calendar.ann.tenant_id

    @property
    def manager(self) -> Caller:
        return Caller(self.calendar.ann, Grant(frozenset({"admin"}), operator=True), None, "token")

    async def come(self, *names: str) -> None:
        """Have users come to be, each with phones."""
        random, now = self.calendar.world.random, self.calendar.now

        async def job(tx: Transaction) -> None:
            for index, name in enumerate(names):  # each a moment later: a message reaches them in this order
                [self.users[name]] = await ensure_people(tx, self.tenant, [name], now + index, random)
            phones = [
                (new_id(now, random), self.users[name], random(32))
                for name in names
                for _ in range(phones_of(name))
            ]
            sql = (
                "INSERT INTO devices (id, user_id, name, platform, handle, token_hash, head, created_at)"
                " VALUES ($1, $2, 'phone', 'ios', 'h', $3, 0, 1)"
            )
            await tx.many(sql, phones)

        await self.db.write(job)

    async def let(self, *names: str) -> None:
        """Put users on the access list of the document."""
        rows = [(DOCUMENT, self.users[name]) for name in names]
        sql = "INSERT INTO document_access (document_id, user_id, created_at) VALUES ($1, $2, 1)"
        await self.db.write(lambda tx: tx.many(sql, rows))

    async def refuse(self, *names: str) -> None:
        """Take users off the access list of the document."""
        rows = [(self.users[name],) for name in names]
        await self.db.write(lambda tx: tx.many("DELETE FROM document_access WHERE user_id = $1", rows))

    async def send(self, *, but: Sequence[str] = (), **changed: Any) -> Message:
        but = (*but, *(user.username or "" for user in self.calendar.world.users))
        command = replace(PLAIN, everyone=True, exclude=but, **changed)
        sender = self.calendar.world.sender
        return (await send(sender, self.manager, command, key=None, now=self.calendar.now)).message

    async def finish(self) -> None:
        """Do what is left, until nothing waits but what comes round again."""
        while await self.calendar.run() or await self.calendar.deliver():
            self.calendar.world.clock.advance(50)

    async def told(self, kind: Kind = Kind.MESSAGE) -> Counter[tuple[str, str, str]]:
        """Count the deliveries of each user, channel and state."""
        names = {id_: name for name, id_ in self.users.items()}
        rows = await self.calendar.rows("deliveries", kind=int(kind))
        return Counter((names[row["user_id"]], row["channel"], row["state"]) for row in rows)

    async def inboxes(self) -> list[str]:
        """Return in whose inbox there is something."""
        names = {id_: name for name, id_ in self.users.items()}
        rows = await self.calendar.rows("inbox_items", deleted_at=None)
        return sorted(names[row["user_id"]] for row in rows)

    async def readers(self) -> list[str]:
        """Return who of them may read what goes to users by name and to everyone."""
        [direct] = await self.calendar.rows("buckets", topic_key=DIRECT)
        members = {
            row["user_id"] for row in await self.calendar.rows("bucket_members", bucket_id=direct["id"])
        }
        return sorted(name for name, id_ in self.users.items() if id_ in members)


def phones_of(name: str) -> int:
    return int(name[-1]) % 3


def due_to(names: Sequence[str], push: str = "accepted") -> Counter[tuple[str, str, str]]:
    """Return what deliveries there are once these have been told."""
    expected: Counter[tuple[str, str, str]] = Counter()
    for name in names:
        expected[name, "IN_APP", "accepted"] = 1
        phones = phones_of(name)
        expected[name, "PUSH", push if phones else "suppressed"] = max(phones, 1)
    return expected


@pytest.fixture
async def everyone(database: Database, request: pytest.FixtureRequest) -> Everyone:
    with ThreadPoolExecutor(1) as pool:
        world = await World.make(database, getattr(request, "param", PAGE), pool)
    made = Everyone(await Calendar.make(world), {})
    await made.come(*NAMES)
    await database.write(
        lambda tx: tx.run(
            "INSERT INTO documents (id, tenant_id, key, created_at) VALUES ($1, $2, $1, 1)",
            DOCUMENT,
            made.tenant,
        )
    )
    return made


@pytest.mark.parametrize("everyone", [1, 2, 3, 5, 10, 11, 500], indirect=True)
async def test_everyone_is_told_once_and_reads_there_from_then_on(everyone: Everyone) -> None:
    """Whatever the size of a page, but for who is excluded; nobody of another tenant."""
    random = everyone.calendar.world.random

    async def others(tx: Transaction) -> None:
        await ensure_people(tx, await ensure_tenant(tx, "other", 1, random), ["stranger"], 1, random)

    await everyone.db.write(others)
    message = await everyone.send(but=["user-04", "nobody"])
    await everyone.finish()
    meant = [name for name in NAMES if name != "user-04"]
    assert await everyone.told() == due_to(meant)
    assert await everyone.inboxes() == await everyone.readers() == meant
    assert message.notifications == len(meant)
    assert await everyone.calendar.rows("tasks", kind="fanout") == []
    await everyone.calendar.check()


@pytest.mark.parametrize("everyone", [1, 3, 500], indirect=True)
async def test_only_who_has_access_is_told_and_becomes_a_reader(everyone: Everyone) -> None:
    meant = ["user-01", "user-05", "user-06", "user-10"]
    await everyone.let(*meant, "user-02")
    message = await everyone.send(but=["user-02"], within=LISTED)
    await everyone.finish()
    assert await everyone.told() == due_to(meant)
    assert await everyone.readers() == meant
    assert message.notifications == len(meant)
    await everyone.calendar.check()


async def test_where_nobody_has_access_nobody_is_told(everyone: Everyone) -> None:
    message = await everyone.send(within=LISTED)
    await everyone.finish()
    assert (await everyone.told(), await everyone.readers(), message.notifications) == (Counter(), [], 0)


async def test_a_page_goes_by_who_there_is_and_has_access_at_its_moment(everyone: Everyone) -> None:
    """Who comes, loses access or is deleted while it spreads; what was told before stays told."""
    await everyone.let(*NAMES)
    await everyone.send(within=LISTED, channels=(Channel.IN_APP,))
    assert await everyone.inboxes() == NAMES[:PAGE]
    await everyone.refuse("user-00", "user-05")
    world = everyone.calendar.world
    world.clock.advance(1_000)
    await everyone.come("user-90", "user-91")
    await everyone.let("user-91")
    await delete_subscriber(
        everyone.db, everyone.tenant, "user-07", now=world.clock(), random=world.random, wake=lambda: None
    )
    await everyone.finish()
    gone = ("user-05", "user-07")
    assert await everyone.inboxes() == [*(name for name in NAMES if name not in gone), "user-91"]
    await everyone.calendar.check()


async def test_what_is_sent_later_goes_to_who_there_is_then(everyone: Everyone) -> None:
    """The task has kept whom it means: it is read as it was written, whichever process does it."""
    await everyone.let("user-01", "user-02")
    at = everyone.calendar.now + MINUTE
    await everyone.send(within=LISTED, send_at=at, but=["user-04"])
    await everyone.refuse("user-02")
    await everyone.let("user-03", "user-04")
    assert await everyone.told() == Counter()
    everyone.calendar.world.clock.now = at
    await everyone.finish()
    assert await everyone.told() == due_to(["user-01", "user-03"])
    [message] = await everyone.calendar.rows("messages")
    assert message["notifications"] == 2


async def test_what_users_do_not_want_of_it_is_passed_over(everyone: Everyone) -> None:
    """It counts for who has never been told anything there, too, unless it is of the system."""
    for channel in BOTH:
        refusal = SetPreference(channel, Category.PRODUCT, enabled=False)
        await set_preference(everyone.db, everyone.users["user-05"], refusal, now=everyone.calendar.now)
    await everyone.send(category=Category.PRODUCT)
    await everyone.finish()
    told = await everyone.told()
    assert told["user-05", "IN_APP", "suppressed"] == told["user-05", "PUSH", "suppressed"] == 1
    assert await everyone.inboxes() == [name for name in NAMES if name != "user-05"]
    await everyone.send(category=Category.SYSTEM)
    await everyone.finish()
    assert (await everyone.inboxes()).count("user-05") == 1


async def test_who_has_snoozed_what_comes_there_is_left_in_peace(everyone: Everyone) -> None:
    """Not of what is critical; who is no reader yet has snoozed nothing."""
    await everyone.send(but=["user-02"], channels=BOTH)
    await everyone.finish()
    until = everyone.calendar.now + 10 * MINUTE
    [direct] = await everyone.calendar.rows("buckets", topic_key=DIRECT)
    sql = "UPDATE bucket_members SET snoozed_until = $3 WHERE bucket_id = $1 AND user_id = $2"
    await everyone.db.write(lambda tx: tx.run(sql, direct["id"], everyone.users["user-01"], until))
    assert await quiet(everyone, DeliveryType.NORMAL) == {"user-01": {Quiet.SNOOZED}, "user-02": {None}}
    assert await quiet(everyone, DeliveryType.CRITICAL) == {"user-01": {None}, "user-02": {None}}


async def quiet(everyone: Everyone, kind: DeliveryType) -> dict[str, set[Quiet | None]]:
    """Send to two of everyone, and return why their phones are quiet."""
    but = [name for name in NAMES if name not in ("user-01", "user-02")]
    message = await everyone.send(but=but, delivery_type=kind)
    await everyone.finish()
    rows = await everyone.calendar.rows("deliveries", message_id=message.id, state="accepted", channel="PUSH")
    names = {id_: name for name, id_ in everyone.users.items()}
    found: dict[str, set[Quiet | None]] = {}
    for row in rows:
        found.setdefault(names[row["user_id"]], set()).add(row["quiet"] and Quiet(row["quiet"]))
    return found


async def test_a_reminder_a_change_and_its_end_reach_them_as_readers_of_any_bucket(
    everyone: Everyone,
) -> None:
    """Also who has lost access since: they have the message."""
    meant = [name for name in NAMES if phones_of(name)]
    await everyone.let(*meant)
    message = await everyone.send(within=LISTED, options=reminding(1, 1))
    await everyone.finish()
    await everyone.refuse("user-01")
    everyone.calendar.world.clock.advance(MINUTE)
    await everyone.finish()
    each = {name: phones_of(name) for name in meant}
    assert of_phones(await everyone.told()) == {name: 2 * number for name, number in each.items()}
    world = everyone.calendar.world

    async def reword(tx: Transaction) -> None:
        await lock(tx, message.id)
        words = ChangeMessage({"title": "Water the cacti"}, None)
        await rewrite(tx, message, words, now=world.clock(), random=world.random)

    await everyone.db.write(reword)
    await everyone.finish()
    assert of_phones(await everyone.told(Kind.UPDATE)) == each
    tenant = everyone.tenant
    await cancel(everyone.db, tenant, message.id, clock=world.clock, random=world.random, wake=nobody)
    await everyone.finish()
    assert of_phones(await everyone.told(Kind.RETRACT)) == each
    assert await everyone.inboxes() == []
    await everyone.calendar.check()


def of_phones(told: Counter[tuple[str, str, str]]) -> dict[str, int]:
    return {name: number for (name, channel, _), number in told.items() if channel == "PUSH"}


def nobody() -> None:
    """Nobody waits to be woken: the test is the worker."""
