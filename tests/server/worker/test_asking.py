"""Pushes whose texts a tenant's own server keeps: asked for beside the outbox, and in nobody else's way."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from server.domain.delivery import SECOND, Event, Kind, Parcel, State
from server.domain.ports import Random
from server.worker import beside
from server.worker.asking import busy, by_tenant
from tests.harness.resolving import KEY, Says, TextServer, endpoints_on, text_server, texts
from tests.harness.rows import Seeded
from tests.server.worker.conftest import World

LONG = "".join(chr(0x4E00 + index * index % 20_000) for index in range(3900))
CANARY = "CANARY-81ab20"


@dataclass
class Told:
    """A world whose tenant's server is asked for texts."""

    world: World
    server: TextServer

    async def send(self, phones: list[str], of: Seeded | None = None, **content: Any) -> str:
        """Write a message whose texts are asked for, and return its id."""
        await (of or self.world.seeded).message(phones, unresolved=True, **content)
        self.world.clock.advance(1)
        [row] = await self.world.db.read(
            lambda tx: tx.all("SELECT id FROM messages ORDER BY id DESC LIMIT 1")
        )
        return str(row["id"])

    async def listed(self, seeded: Seeded, url: str) -> None:
        """Say where a tenant is asked."""
        db = self.world.db
        row = await db.read(lambda tx: tx.one("SELECT tenant_id FROM users WHERE id = $1", seeded.user_id))
        assert row is not None
        endpoints = endpoints_on(db, seeded.random)
        await endpoints.set(row["tenant_id"], url, KEY, self.world.clock())

    def bodies(self, phone: str) -> list[dict[str, Any]]:
        """Return what a phone was pushed."""
        return [json.loads(frame.body) for frame in self.world.frames(phone)]


@pytest.fixture
async def told(world: World) -> AsyncIterator[Told]:
    async with text_server() as server:
        made = Told(world, server)
        await made.listed(world.seeded, server.url)
        yield made


async def test_a_push_has_the_texts_that_are_kept_elsewhere(told: Told) -> None:
    phone = await told.world.phone()
    told.server.texts[await told.send([phone])] = texts("Hello {you}", CANARY)
    await told.world.run_until("accepted")
    [body] = told.bodies(phone)
    assert (body["title"], body["body"], "unresolved" in body) == ("Hello {you}", CANARY, False)


async def test_one_question_is_enough_for_all_of_its_phones(told: Told) -> None:
    phones = [await told.world.phone() for _ in range(3)]
    message = await told.send(phones)
    told.server.texts[message] = texts("Hello")
    await told.world.run_until(*["accepted"] * 3)
    assert [told.bodies(phone)[0]["title"] for phone in phones] == ["Hello"] * 3
    assert told.server.names == [message]


async def test_where_nobody_is_to_be_asked_it_goes_out_at_once_and_says_so(told: Told) -> None:
    phone = await told.world.phone()
    await told.world.db.write(lambda tx: tx.run("DELETE FROM resolvers"))
    await told.send([phone])
    await told.world.run_until("accepted")
    [body] = told.bodies(phone)
    assert (body["title"], body["unresolved"]) == ("New notification", True)


async def test_a_phone_without_a_key_is_woken_and_nobody_is_asked(told: Told) -> None:
    phone = await told.world.phone(keyless=True)
    await told.send([phone])
    await told.world.run_until("accepted")
    assert told.server.asked == []


async def test_what_was_not_answered_is_tried_again_and_goes_out_without_after_the_third_time(
    told: Told,
) -> None:
    world, phone = told.world, await told.world.phone()
    await told.send([phone])
    told.server.says = [Says(status=500)] * 3
    [row] = await world.db.read(lambda tx: tx.all("SELECT id FROM deliveries"))
    async with world.running():
        for attempt in (1, 2):
            await world.until_row(
                row["id"], state="queued", reason="resolver_failed", attempts=attempt, lease=None
            )
            assert world.frames(phone) == []
            due_at = (await world.seeded.row(row["id"]))["due_at"]
            assert 5 * SECOND <= due_at - world.clock() <= 7 * SECOND
            world.clock.now = due_at
        await world.until("accepted")
    [body] = told.bodies(phone)
    assert (body["title"], body["unresolved"]) == ("New notification", True)
    assert len(told.server.asked) == 3
    assert world.metric("hushpost_outbox_outcomes_total", event="retry", reason="resolver_failed") == 2


async def test_the_second_answer_counts(told: Told) -> None:
    world, phone = told.world, await told.world.phone()
    told.server.texts[await told.send([phone])] = texts("Hello")
    told.server.says = [Says(body=b"{}")]
    [row] = await world.db.read(lambda tx: tx.all("SELECT id FROM deliveries"))
    async with world.running():
        await world.until_row(row["id"], state="queued", reason="resolver_failed")
        world.clock.advance(10 * SECOND)
        await world.until("accepted")
    assert [body["title"] for body in told.bodies(phone)] == ["Hello"]


async def test_the_others_of_a_batch_go_out_at_once(told: Told) -> None:
    world, first, second = told.world, await told.world.phone(), await told.world.phone()
    told.server.held = asyncio.Event()
    told.server.texts[await told.send([first])] = texts("Late")
    await world.seeded.message([second], title="At once")
    async with world.running():
        await told.server.was_asked(1)
        await world.until("leased", "accepted")
        assert [body["title"] for body in told.bodies(second)] == ["At once"]
        told.server.held.set()
        await world.until("accepted", "accepted")
    assert [body["title"] for body in told.bodies(first)] == ["Late"]


async def test_a_server_that_hangs_holds_up_no_other_tenants_pushes(told: Told, random: Random) -> None:
    """Hundreds of messages for which nobody answers, and then one of another tenant, and one more that has its texts here."""
    world = told.world
    told.server.hangs = True
    phones = [await world.phone() for _ in range(3)]
    for number in range(300):
        await told.send([phones[number % 3]])
    other = await Seeded.make(world.db, world.clock, random)
    async with text_server() as quick:
        await told.listed(other, quick.url)
        async with world.running():
            await told.server.was_asked(4)
            resolved, plain = await world.phone(), await world.phone()
            quick.texts[await told.send([resolved], other)] = texts("Resolved")
            await other.message([plain], title="Plain")
            world.outbox.wake()
            rows = await world.db.read(
                lambda tx: tx.all("SELECT id FROM deliveries ORDER BY created_at DESC LIMIT 2")
            )
            for row in rows:
                await world.until_row(row["id"], state="accepted")
            assert not any(world.frames(phone) for phone in phones)
    assert [body["title"] for body in told.bodies(resolved) + told.bodies(plain)] == ["Resolved", "Plain"]


async def test_a_lease_lasts_while_an_answer_is_waited_for(told: Told) -> None:
    world, phone = told.world, await told.world.phone()
    told.server.held = asyncio.Event()
    told.server.texts[await told.send([phone])] = texts("Hello")
    async with world.running():
        await told.server.was_asked(1)
        world.clock.advance(20 * SECOND)
        told.server.held.set()
        await world.until("accepted")
    assert [body["title"] for body in told.bodies(phone)] == ["Hello"]
    assert [entry for entry in world.log.entries if entry["log_level"] != "info"] == []


async def test_what_is_taken_back_while_an_answer_is_waited_for_is_not_pushed(told: Told) -> None:
    world, phone = told.world, await told.world.phone()
    told.server.held = asyncio.Event()
    message = await told.send([phone])
    told.server.texts[message] = texts("Hello")
    async with world.running():
        await told.server.was_asked(1)
        await world.db.write(
            lambda tx: tx.run(
                "UPDATE messages SET content = NULL, retracted_at = $2 WHERE id = $1", message, world.clock()
            )
        )
        told.server.held.set()
        await world.until("cancelled")
    assert world.frames(phone) == []


async def test_a_stop_gives_back_what_waits_for_an_answer(hasty: World) -> None:
    async with text_server() as server:
        told = Told(hasty, server)
        await told.listed(hasty.seeded, server.url)
        server.held = asyncio.Event()
        await told.send([await hasty.phone()])
        async with hasty.running():
            await server.was_asked(1)
    assert await hasty.seeded.states() == ["queued"]


async def test_a_text_that_does_not_fit_is_cut_and_nothing_of_it_is_kept(told: Told) -> None:
    world, phone = told.world, await told.world.phone()
    told.server.texts[await told.send([phone])] = texts("Hello", LONG, notificationSourceData={"a": 1})
    await world.run_until("accepted")
    [body] = told.bodies(phone)
    assert body["title"] == "Hello"
    assert body["body"].endswith("…")
    assert LONG.startswith(body["body"][:-1])
    assert len(body["body"]) > 300
    assert "claim" not in body
    assert await world.db.read(lambda tx: tx.all("SELECT * FROM claims")) == []


PARCEL = Parcel(
    "p",
    "m",
    "d",
    Kind.MESSAGE,
    "m",
    1,
    State.LEASED,
    2,
    0,
    60_000,
    "NORMAL",
    None,
    '{"unresolved":true}',
    None,
)


def test_what_nobody_was_asked_for_comes_again_soon_and_has_lost_no_attempt() -> None:
    put_off = busy(PARCEL, 1000, 0.5)
    assert (put_off.event, put_off.reason, put_off.counts) == (Event.RETRY, "resolver_busy", False)
    assert put_off.due_at == 2500
    assert busy(PARCEL, 59_900, 0.5).due_at == 60_000, "it expires then"


async def test_what_there_is_no_room_for_is_not_taken_and_put_back_all_the_time(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "_MOST_OF_TENANT", 1)
    world = told.world
    first, second = await world.phone(), await world.phone()
    told.server.held = asyncio.Event()
    await told.send([first])
    async with world.running():
        await told.server.was_asked(1)
        message = await told.send([second])
        told.server.texts[message] = texts("Hello")
        sql = "SELECT id FROM deliveries WHERE message_id = $1"
        row = await world.db.read(lambda tx: tx.one(sql, message))
        assert row is not None
        world.outbox.wake()
        await world.until_row(row["id"], state="queued", reason="resolver_busy", attempts=0)
        assert (await world.seeded.row(row["id"]))["due_at"] >= world.clock() + 5 * SECOND
        told.server.held.set()
        world.clock.advance(7 * SECOND)
        await world.until_row(row["id"], state="accepted")


def test_what_is_asked_for_is_told_apart_by_tenant_and_what_is_gone_is_told() -> None:
    groups, gone = by_tenant([PARCEL, replace(PARCEL, id="q", message_id="n")], [])
    assert (groups, [parcel.id for parcel in gone]) == ({}, ["p", "q"])
