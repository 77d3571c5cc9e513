"""Cancelling by RPC: at every stage, whoever sent it, and as often as one likes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from server.commands import takeback
from server.commands.cancel import Cancelled
from server.commands.cancel import cancel as command
from server.commands.due import run_due
from server.domain.delivery import Event, Settlement
from server.domain.ports import Database, Transaction
from server.store import leases
from server.store.leases import Times
from server.store.tallies import audit
from tests.harness.acting import Acting, give_phones, rows_of
from tests.harness.databases import engines
from tests.harness.native import Reply
from tests.server.conftest import House, Person

T = TypeVar("T")
HOUR = 3_600_000
DAY = 24 * HOUR
LATER = {"scheduledAt": "2027-01-15T09:00:00Z"}  # in an hour


@pytest.fixture
async def acme(house: House, admin: Person) -> Acting:
    """The servers of acme, where ann has two phones and bob none."""
    acme = Acting(await house.token(admin, "admin"), "acme")
    await give_phones(house.pieces.db, "acme", "ann", 2, now=house.clock(), random=house.random)
    await give_phones(house.pieces.db, "acme", "bob", 0, now=house.clock(), random=house.random)
    return acme


async def cancel(who: Acting, message: str) -> Reply:
    return await who.rpc("manage/cancel", {"transactionId": message})


async def cancelled(who: Acting, message: str) -> bool | int:
    """Cancel twice; True where nothing had gone out, else how much had."""
    first, second = await cancel(who, message), await cancel(who, message)
    assert first.status == second.status == 200, first.body
    assert first.json == second.json
    assert first["transactionId"] == message
    return True if first["cancelled"] else int(first["retracted"])


async def run(house: House) -> None:
    pieces = house.pieces
    while await run_due(pieces.db, now=house.clock(), random=pieces.random, log=pieces.log):
        pass


async def claim(house: House) -> None:
    now = house.clock()
    await house.pieces.db.write(lambda tx: leases.claim(tx, "l", now=now, until=now + 30_000, limit=500))


async def settle(house: House, event: Event, number: int | None = None) -> None:
    """End the attempts that were claimed, or so many of them."""
    now = house.clock()

    async def job(tx: Transaction) -> None:
        parcels = (await leases.read_batch(tx, "l")).parcels[:number]
        settled = [Settlement(one.id, one.device_id, event, None, now + HOUR) for one in parcels]
        await leases.settle(tx, "l", settled, now, Times(now, now))

    await house.pieces.db.write(job)


async def states(house: House, message: str) -> list[str]:
    return sorted(row["state"] for row in await house.deliveries(message_id=message))


async def check_book(house: House) -> None:
    found = await house.pieces.db.read(audit)
    assert found.holds, found


async def test_what_is_scheduled_never_comes(house: House, acme: Acting) -> None:
    """For each user who was named that is written down."""
    message = await acme.send("send-scheduled", **LATER)
    bulk = await acme.send("send-bulk", userIds=["ann", "bob", "eve"], channel="EMAIL")
    assert await cancelled(acme, message) is True
    [row] = await house.deliveries(message_id=message)
    assert (row["state"], row["channel"], row["device_id"]) == ("cancelled", "PUSH", None)
    assert (row["category"], row["tenant_id"] is None) == ("TRANSACTIONAL", False)
    house.clock.now += DAY
    await run(house)
    assert await states(house, message) == ["cancelled"]
    assert await states(house, bulk) == ["suppressed"] * 3
    await check_book(house)


async def test_what_is_delayed_never_comes(house: House, acme: Acting) -> None:
    message = await acme.send("send-delayed", delaySeconds=60, channel="IN_APP")
    assert await cancelled(acme, message) is True
    house.clock.now += DAY
    await run(house)
    assert await states(house, message) == ["cancelled"]
    items = await house.pieces.db.read(lambda tx: tx.all("SELECT id FROM inbox_items"))
    assert items == []
    await check_book(house)


async def test_of_what_was_planned_for_a_topic_nobody_is_named(house: House, acme: Acting) -> None:
    """Natively: its RPC sends to topics at once."""
    await acme.rpc("manage/create-topic", {"topicKey": "news"})
    await acme.rpc("manage/add-subscribers-to-topic", {"topicKey": "news", "subscriberIds": ["ann"]})
    body = {"title": "Hello", "deliveryType": "NORMAL", "topicKey": "news", "delaySeconds": 60}
    message = str((await acme.call("POST", "/api/v1/messages", body))["id"])
    assert await cancelled(acme, message) is True
    assert await house.deliveries() == []


async def test_what_is_queued_never_goes_out(house: House, acme: Acting) -> None:
    message = await acme.send()
    assert await states(house, message) == ["queued", "queued"]
    assert await cancelled(acme, message) is True
    assert await states(house, message) == ["cancelled", "cancelled"]
    assert await house.accept_pushes() == 0
    await check_book(house)


async def test_what_a_worker_holds_may_be_on_its_way(house: House, acme: Acting) -> None:
    """It is said to have gone out, and the phones are told to drop it, whatever comes of the attempt."""
    message = await acme.send()
    await claim(house)
    assert await cancelled(acme, message) == 2
    assert len(await house.deliveries(kind=2)) == 2
    await settle(house, Event.ACCEPT, 1)
    await settle(house, Event.CANCEL)
    assert await cancelled(acme, message) == 2
    assert await states(house, message) == ["accepted", "cancelled"]
    await check_book(house)


async def test_what_a_worker_takes_after_it_was_cancelled_changes_no_answer(
    house: House, acme: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large message some wait to be withdrawn; a worker that takes them finds nothing to send."""
    monkeypatch.setattr(takeback, "PAGE", 1)
    message = await acme.send()
    assert await cancelled(acme, message) is True
    await claim(house)
    assert await states(house, message) == ["cancelled", "leased"]
    assert await cancelled(acme, message) is True
    await settle(house, Event.CANCEL)
    assert await cancelled(acme, message) is True
    await check_book(house)


async def test_what_was_taken_back_by_the_native_api_is_answered_as_it_was_then(
    house: House, acme: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks first how far it had come, and whatever a worker has taken meanwhile."""
    monkeypatch.setattr(takeback, "PAGE", 1)
    message = await acme.send()
    assert (await acme.call("DELETE", f"/api/v1/messages/{message}")).status == 204
    await claim(house)
    assert await cancelled(acme, message) is True


async def test_a_process_that_dies_while_it_cancels_leaves_the_answer_to_the_next(
    house: House, acme: Acting
) -> None:
    """What a worker took before the content was gone is counted by whoever asks then, and once."""
    message = await acme.send()

    async def die_before_the_end(tx: Transaction) -> None:
        await takeback.take_back(tx, message, now=house.clock(), random=house.random)

    await claim(house)
    await house.pieces.db.write(die_before_the_end)
    assert await cancelled(acme, message) == 2
    await settle(house, Event.CANCEL)
    assert await cancelled(acme, message) == 2
    await check_book(house)


async def test_what_was_accepted_is_retracted(house: House, acme: Acting) -> None:
    message = await acme.send()
    await claim(house)
    await settle(house, Event.ACCEPT, 1)
    await settle(house, Event.RETRY)
    assert await cancelled(acme, message) == 1
    assert await states(house, message) == ["accepted", "cancelled"]
    assert (await acme.call("GET", f"/api/v1/messages/{message}")).status == 410
    await check_book(house)


async def test_what_waits_to_be_tried_again_never_came(house: House, acme: Acting) -> None:
    message = await acme.send()
    await claim(house)
    await settle(house, Event.RETRY)
    assert await cancelled(acme, message) is True
    await check_book(house)


async def test_what_is_in_an_inbox_is_taken_out_of_it(house: House, acme: Acting) -> None:
    message = await acme.send(channel="IN_APP")
    assert await cancelled(acme, message) == 1
    [item] = await house.pieces.db.read(lambda tx: tx.all("SELECT deleted_at FROM inbox_items"))
    assert item["deleted_at"] == house.clock()


async def test_what_came_to_nobody_anyway_is_cancelled(house: House, acme: Acting) -> None:
    message = await acme.send(userId="bob")
    assert await states(house, message) == ["suppressed"]
    assert await cancelled(acme, message) is True


async def test_what_has_expired_is_not_cancelled(house: House, acme: Acting) -> None:
    """Nothing of it waits any more; what became of it nobody may know by then."""
    message = await acme.send()
    house.clock.now += 60 * DAY
    await house.pieces.db.write(lambda tx: tx.run("DELETE FROM deliveries"))
    assert await cancelled(acme, message) == 0


async def test_a_reminder_of_what_has_gone_out_is_not_counted_again(house: House, acme: Acting) -> None:
    body = {
        "title": "Hello",
        "deliveryType": "NORMAL",
        "userIds": ["ann"],
        "remindEveryMinutes": 1,
    }
    message = str((await acme.call("POST", "/api/v1/messages", body))["id"])
    await house.accept_pushes()
    house.clock.now += 60_000
    await run(house)
    await house.accept_pushes()
    assert len(await house.deliveries(message_id=message, state="accepted")) == 5
    assert await cancelled(acme, message) == 3


# Whose


async def test_whatever_was_sent_in_the_tenant_is_cancelled(
    house: House, admin: Person, acme: Acting
) -> None:
    """By its native API, by a person in a bucket of their own, and in the name of another."""
    own = Acting(await house.token(admin, "admin"))
    bucket = await house.bucket(admin)
    sent = await house.send(admin.api, bucket)
    assert await cancelled(own, sent["id"]) == 1
    assert (await admin.api.get(f"/api/v1/messages/{sent['id']}")).status == 410
    other = await acme.for_user("coach").call(
        "POST", "/api/v1/messages", {"title": "x", "deliveryType": "NORMAL", "userIds": ["ann"]}
    )
    assert other.status == 201, other.body
    assert await cancelled(acme, other["id"]) == 1
    assert await cancelled(acme, await acme.for_user("coach").send()) is True


async def test_what_another_tenant_has_sent_does_not_exist(house: House, acme: Acting) -> None:
    message = await acme.send()
    before = await rows_of(house.pieces.db)
    for tenant in ("globex", None, "default"):
        answer = await cancel(Acting(acme.api, tenant), message)
        assert (answer.status, answer["error"]["code"]) == (404, "message_not_found")
    assert await rows_of(house.pieces.db) == before


@pytest.mark.parametrize("unknown", ["txn_abc123", "01890000-0000-7000-8000-000000000000"])
async def test_what_nobody_has_sent_is_not_found(acme: Acting, unknown: str) -> None:
    answer = await cancel(acme, unknown)
    assert (answer.status, answer["error"]["code"]) == (404, "message_not_found")


async def test_a_gateway_cancels_nothing(house: House, admin: Person, acme: Acting) -> None:
    message = await acme.send()
    answer = await cancel(Acting(await house.token(admin, "gateway"), "acme", "ann"), message)
    assert (answer.status, answer["error"]["code"]) == (403, "scope_missing")


async def test_the_native_api_shows_and_deletes_what_a_tenant_has_sent(house: House, acme: Acting) -> None:
    """To whoever manages the tenant, who need not name a user for that."""
    path = f"/api/v1/messages/{await acme.send()}"
    assert (await acme.call("GET", path))["title"] == "Hello"
    globex = Acting(acme.api, "globex")
    await globex.send()
    assert (await globex.call("GET", path)).status == 404
    assert (await globex.call("DELETE", path)).status == 404
    assert (await acme.call("DELETE", path)).status == 204
    assert (await acme.call("GET", path)).status == 410
    assert await cancelled(acme, path.rpartition("/")[2]) is True
    await check_book(house)


async def test_the_native_api_leaves_private_buckets_to_their_members(house: House, admin: Person) -> None:
    """Managing a tenant is no key to what its people write to each other."""
    ann = await house.register("ann")
    sent = await house.send(ann.api, await house.bucket(ann))
    path = f"/api/v1/messages/{sent['id']}"
    assert (await admin.api.get(path)).status == 404
    assert (await admin.api.delete(path)).status == 404
    assert (await ann.api.get(path)).status == 200


async def test_a_token_that_is_bound_to_the_tenant_manages_it(
    house: House, admin: Person, acme: Acting
) -> None:
    message = await acme.send()
    answer = await admin.api.post(
        "/api/v1/access-tokens", {"name": "t", "scopes": ["admin"], "tenantId": "acme"}
    )
    bound = Acting(house.api.with_token(answer["token"]))
    assert (await bound.call("GET", f"/api/v1/messages/{message}")).status == 200
    assert await cancelled(bound, message) is True


# At the same moment


async def test_of_many_who_cancel_all_are_told_the_same(house: House, acme: Acting) -> None:
    message = await acme.send()
    await claim(house)
    await settle(house, Event.ACCEPT)
    answers = await asyncio.gather(*(cancel(acme, message) for _ in range(8)))
    assert {answer.body for answer in answers} == {answers[0].body}
    assert answers[0]["retracted"] == 2
    assert len(await house.deliveries(kind=2)) == 2
    await check_book(house)


@pytest.mark.parametrize("channel", ["PUSH", "IN_APP"])
async def test_what_is_cancelled_while_it_is_being_sent_is_sent_or_cancelled(
    house: House, acme: Acting, channel: str
) -> None:
    """Never half of it, and the answer says which."""
    sent = [await acme.send("send-scheduled", channel=channel, **LATER) for _ in range(12)]
    house.clock.now += HOUR
    answers, _ = await asyncio.gather(
        asyncio.gather(*(cancelled(acme, message) for message in sent)),
        asyncio.gather(*(run(house) for _ in range(3))),
    )
    await run(house)
    for message, answer in zip(sent, answers, strict=True):
        assert answer is True or (channel == "IN_APP" and answer == 1)
        there = await states(house, message)
        if channel == "PUSH":
            assert there in (["cancelled"], ["cancelled", "cancelled"])
        else:
            assert there == (["cancelled"] if answer is True else ["accepted"])
    left = await house.pieces.db.read(
        lambda tx: tx.all("SELECT id FROM inbox_items WHERE deleted_at IS NULL")
    )
    tasks = await house.pieces.db.read(lambda tx: tx.all("SELECT id FROM tasks WHERE message_id IS NOT NULL"))
    assert (left, tasks) == ([], [])
    await check_book(house)


@dataclass(frozen=True)
class Busy:
    """A database on which something happens while the first transaction is open, and after it."""

    db: Database
    during: list[Callable[[], Awaitable[object]]]
    after: list[Callable[[], Awaitable[object]]]

    async def write(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        async def busy(tx: Transaction) -> T:
            done = await job(tx)
            while self.during:
                await self.during.pop()()
            return done

        done = await self.db.write(busy)
        while self.after:
            await self.after.pop()()
        return done

    async def read(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self.db.read(job)


async def cancel_while(
    house: House,
    message: str,
    *,
    during: Sequence[Callable[[], Awaitable[object]]],
    after: Sequence[Callable[[], Awaitable[object]]],
) -> Cancelled:
    busy: Any = Busy(house.pieces.db, [*during], [*after])  # of a database's methods, those that are called
    tenant = (await house.deliveries(message_id=message))[0]["tenant_id"]
    return await command(busy, tenant, message, clock=house.clock, random=house.random, wake=lambda: None)


@pytest.mark.parametrize("database_url", ["postgresql"] if "postgresql" in engines() else [], indirect=True)
async def test_what_a_worker_took_before_the_commit_counts(house: House, acme: Acting) -> None:
    """It may have read what it says: only PostgreSQL lets it."""
    await give_phones(
        house.pieces.db, "acme", "many", takeback.PAGE + 100, now=house.clock(), random=house.random
    )
    message = await acme.send(userId="many")
    await run(house)
    assert await cancel_while(house, message, during=[lambda: claim(house)], after=[]) == Cancelled(
        whole=False, retracted=100
    )


async def test_what_a_worker_takes_after_the_commit_does_not_count(house: House, acme: Acting) -> None:
    """There is nothing to be read any more."""
    await give_phones(
        house.pieces.db, "acme", "many", takeback.PAGE + 100, now=house.clock(), random=house.random
    )
    message = await acme.send(userId="many")
    await run(house)

    async def later() -> None:
        house.clock.now += 1
        await claim(house)
        house.clock.now -= 1

    assert await cancel_while(house, message, during=[], after=[later]) == Cancelled(whole=True, retracted=0)
    assert len(await house.deliveries(message_id=message, state="leased")) == 100


async def test_what_workers_take_while_it_is_cancelled_is_counted_or_never_goes_out(
    house: House, acme: Acting
) -> None:
    """Who is told that nobody got it can rely on that."""
    sent = [await acme.send() for _ in range(12)]

    async def work() -> None:
        for _ in range(6):
            await house.accept_pushes()

    answers, _ = await asyncio.gather(asyncio.gather(*(cancelled(acme, message) for message in sent)), work())
    for message, answer in zip(sent, answers, strict=True):
        accepted = (await states(house, message)).count("accepted")
        assert answer is (accepted == 0) or answer == accepted
    await check_book(house)
