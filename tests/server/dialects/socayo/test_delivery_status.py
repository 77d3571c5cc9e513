"""What became of what was sent: in one word, and delivery by delivery."""

import pytest

from server.commands.due import run_due
from server.domain.delivery import Event, Settlement
from server.domain.ids import new_push_id
from server.domain.pages import MOST_COUNTED
from server.domain.ports import Transaction
from server.domain.times import show_time
from server.store import leases, pruning
from server.store.leases import Times
from tests.harness.acting import Acting, give_phones
from tests.harness.native import Reply
from tests.server.conftest import House, Person

SECOND = 1000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
KEYS = {
    "transactionId",
    "channel",
    "result",
    "providerMessageId",
    "queuedAt",
    "deliveredAt",
    "deliveries",
    "hasMore",
    "page",
    "pageSize",
    "total",
}


@pytest.fixture
async def acme(house: House, admin: Person) -> Acting:
    """The servers of acme, where ann has a phone, cleo two and bob none."""
    acme = Acting(await house.token(admin, "admin"), "acme")
    for name, number in (("ann", 1), ("bob", 0), ("cleo", 2)):
        await give_phones(house.pieces.db, "acme", name, number, now=house.clock(), random=house.random)
    return acme


async def status(who: Acting, message: str, **page: int) -> Reply:
    answer = await who.rpc("manage/get-delivery-status", {"transactionId": message, **page})
    assert answer.status == 200, answer.body
    assert answer.json.keys() - {"totalIsLowerBound"} == KEYS
    assert answer["transactionId"] == message
    return answer


async def results(who: Acting, message: str) -> tuple[str, list[str]]:
    """Return the result of all, and those of each."""
    answer = await status(who, message)
    return answer["result"], [one["result"] for one in answer["deliveries"]]


async def attempt(house: House, *events: tuple[Event, str | None]) -> None:
    """Claim what is due, and end that many attempts in these ways."""
    now = house.clock()

    async def job(tx: Transaction) -> None:
        await leases.claim(tx, "l", now=now, until=now + 30_000, limit=len(events))
        batch = await leases.read_batch(tx, "l")
        settled = [
            Settlement(
                one.id, one.device_id, event, reason, now + HOUR, handle="h", provider_id=f"apns-{index}"
            )
            for index, (one, (event, reason)) in enumerate(zip(batch.parcels, events, strict=True))
        ]
        await leases.settle(tx, "l", settled, now, Times(now, now))

    await house.pieces.db.write(job)


async def run(house: House) -> None:
    pieces = house.pieces
    while await run_due(pieces.db, now=house.clock(), random=pieces.random, log=pieces.log):
        pass


async def test_a_push_is_sent_and_then_delivered(house: House, acme: Acting) -> None:
    message = await acme.send()
    queued_at = show_time(house.clock())
    answer = await status(acme, message)
    assert (answer["channel"], answer["result"], answer["queuedAt"]) == ("PUSH", "SENT", queued_at)
    assert (answer["providerMessageId"], answer["deliveredAt"]) == (None, None)
    house.clock.now += 2 * SECOND
    await attempt(house, (Event.ACCEPT, None))
    answer = await status(acme, message)
    delivered_at = show_time(house.clock())
    assert (answer["result"], answer["providerMessageId"]) == ("DELIVERED", "apns-0")
    assert (answer["queuedAt"], answer["deliveredAt"]) == (queued_at, delivered_at)
    assert answer["deliveries"] == [
        {
            "userId": "ann",
            "channel": "PUSH",
            "deviceId": "ann-0",
            "result": "DELIVERED",
            "providerMessageId": "apns-0",
            "queuedAt": queued_at,
            "deliveredAt": delivered_at,
            "receivedAt": None,
            "readAt": None,
        }
    ]


@pytest.mark.parametrize(
    ("event", "reason", "result"),
    [
        (Event.RETRY, "unavailable", "SENT"),
        (Event.RETRY, "throttled", "RATE_LIMITED"),
        (Event.RETRY, "relay_limited", "RATE_LIMITED"),
        (Event.DEAD_HANDLE, "unregistered", "INVALID_CREDENTIAL"),
        (Event.REJECT, "payload_too_large", "FAILED"),
        (Event.EXPIRE, None, "FAILED"),
        (Event.CANCEL, "retracted", "CANCELLED"),
    ],
)
async def test_what_a_provider_says_is_a_result(
    house: House, acme: Acting, event: Event, reason: str | None, result: str
) -> None:
    message = await acme.send()
    await attempt(house, (event, reason))
    answer = await status(acme, message)
    [delivery] = answer["deliveries"]
    assert answer["result"] == delivery["result"] == result
    assert delivery.get("reason") == reason
    assert (answer["deliveredAt"], delivery["deliveredAt"]) == (None, None)


async def test_who_does_not_want_it_or_cannot_get_it_is_named(house: House, acme: Acting) -> None:
    assert await results(acme, await acme.send(userId="bob")) == ("NO_CHANNEL", ["NO_CHANNEL"])
    assert await results(acme, await acme.send(channel="SMS")) == ("NO_CHANNEL", ["NO_CHANNEL"])
    await acme.for_user("ann").rpc("update-preferences", {"channel": "PUSH", "enabled": False})
    message = await acme.send()
    assert await results(acme, message) == ("OPTED_OUT", ["OPTED_OUT"])
    [delivery] = (await status(acme, message))["deliveries"]
    assert "deviceId" not in delivery
    assert delivery["reason"] == "opted_out"
    assert await house.deliveries(state="queued") == []


async def test_of_several_deliveries_one_that_got_through_is_enough(house: House, acme: Acting) -> None:
    message = await acme.send("send-bulk", userIds=["ann", "bob", "cleo"])
    await attempt(house, (Event.DEAD_HANDLE, "unregistered"), (Event.REJECT, "bad_envelope"))
    whole, each = await results(acme, message)
    assert (whole, sorted(each)) == ("SENT", ["FAILED", "INVALID_CREDENTIAL", "NO_CHANNEL", "SENT"])
    await attempt(house, (Event.ACCEPT, None))
    whole, each = await results(acme, message)
    assert (whole, sorted(each)) == ("DELIVERED", ["DELIVERED", "FAILED", "INVALID_CREDENTIAL", "NO_CHANNEL"])


async def test_the_inbox_is_delivered_with_the_commit_and_says_when_it_was_read(
    house: House, acme: Acting
) -> None:
    message = await acme.send(channel="IN_APP")
    sent_at = show_time(house.clock())
    house.clock.now += SECOND
    [item] = await house.pieces.db.read(lambda tx: tx.all("SELECT id FROM inbox_items"))
    await acme.for_user("ann").rpc("mark-inbox-message", {"messageId": item["id"], "status": "READ"})
    answer = await status(acme, message)
    [delivery] = answer["deliveries"]
    assert (answer["channel"], answer["result"], answer["deliveredAt"]) == ("IN_APP", "DELIVERED", sent_at)
    assert (delivery["deliveredAt"], delivery["readAt"]) == (sent_at, show_time(house.clock()))


async def test_of_two_channels_the_one_to_the_device_is_named_once_it_had_the_result(
    house: House, acme: Acting
) -> None:
    """The inbox takes everything at once."""
    body = {"title": "Hello", "deliveryType": "NORMAL", "userIds": ["ann"]}
    message = str((await acme.call("POST", "/api/v1/messages", body))["id"])
    assert ((await status(acme, message))["channel"], (await status(acme, message))["total"]) == ("IN_APP", 2)
    await attempt(house, (Event.ACCEPT, None))
    answer = await status(acme, message)
    assert (answer["channel"], answer["providerMessageId"]) == ("PUSH", "apns-0")


async def test_what_a_device_reports_is_shown(house: House, acme: Acting) -> None:
    message = await acme.send()
    await attempt(house, (Event.ACCEPT, None))
    received, read = house.clock() + SECOND, house.clock() + 2 * SECOND
    await house.pieces.db.write(
        lambda tx: tx.run("UPDATE deliveries SET received_at = $1, read_at = $2", received, read)
    )
    [delivery] = (await status(acme, message))["deliveries"]
    assert (delivery["receivedAt"], delivery["readAt"]) == (show_time(received), show_time(read))


async def test_what_waits_for_its_time_is_sent_and_says_since_when(house: House, acme: Acting) -> None:
    message = await acme.send("send-delayed", delaySeconds=60)
    asked_at = show_time(house.clock())
    answer = await status(acme, message)
    assert (answer["result"], answer["deliveries"], answer["total"]) == ("SENT", [], 0)
    assert (answer["queuedAt"], answer["deliveredAt"]) == (asked_at, None)
    house.clock.now += 60 * SECOND
    await run(house)
    assert (await status(acme, message))["queuedAt"] == show_time(house.clock())


@pytest.mark.parametrize("rpc", ["send", "send-delayed"])
async def test_what_was_cancelled_says_so(acme: Acting, rpc: str) -> None:
    message = await acme.send(rpc, delaySeconds=60)
    await acme.rpc("manage/cancel", {"transactionId": message})
    assert await results(acme, message) == ("CANCELLED", ["CANCELLED"])


async def test_what_was_planned_for_a_topic_and_cancelled_says_so_without_deliveries(acme: Acting) -> None:
    await acme.rpc("manage/create-topic", {"topicKey": "news"})
    body = {"title": "Hello", "deliveryType": "NORMAL", "topicKey": "news", "delaySeconds": 60}
    message = str((await acme.call("POST", "/api/v1/messages", body))["id"])
    await acme.rpc("manage/cancel", {"transactionId": message})
    assert await results(acme, message) == ("CANCELLED", [])


async def test_a_topic_without_subscribers_reaches_nobody(acme: Acting) -> None:
    await acme.rpc("manage/create-topic", {"topicKey": "news"})
    assert await results(acme, await acme.send("send-to-topic", topicKey="news")) == ("NO_CHANNEL", [])


async def test_reminders_are_no_deliveries_of_their_own(house: House, acme: Acting) -> None:
    body = {"title": "Hello", "deliveryType": "NORMAL", "userIds": ["ann"], "remindEveryMinutes": 1}
    message = str((await acme.call("POST", "/api/v1/messages", body))["id"])
    await attempt(house, (Event.ACCEPT, None))
    house.clock.now += 60 * SECOND
    await run(house)
    assert len(await house.deliveries(message_id=message)) == 3
    assert (await status(acme, message))["total"] == 2


async def test_pages_hold_each_delivery_once(house: House, acme: Acting) -> None:
    message = await acme.send("send-bulk", userIds=[f"u{n}" for n in range(45)], channel="IN_APP")
    seen = []
    for number, size, more in ((1, 20, True), (2, 20, True), (3, 5, False), (4, 0, False)):
        answer = await status(acme, message, page=number)
        assert (answer["page"], answer["pageSize"], answer["total"]) == (number, 20, 45)
        assert (len(answer["deliveries"]), answer["hasMore"]) == (size, more)
        assert answer["result"] == "DELIVERED"
        seen += [one["userId"] for one in answer["deliveries"]]
    assert sorted(seen) == sorted(f"u{n}" for n in range(45))
    assert len((await status(acme, message, pageSize=100))["deliveries"]) == 45
    assert len(await house.deliveries()) == 45


@pytest.mark.parametrize(("channel", "result"), [("IN_APP", "DELIVERED"), ("SMS", "NO_CHANNEL")])
async def test_very_many_are_not_counted(house: House, acme: Acting, channel: str, result: str) -> None:
    """The total says so, and the result is that of all of them; the last page is there."""
    message = await acme.send(channel=channel)
    [row] = await house.deliveries()
    names = ", ".join(row)
    copied = ", ".join("$1" if name == "id" else name for name in row)
    sql = f"INSERT INTO deliveries ({names}) SELECT {copied} FROM deliveries WHERE id = $2"  # noqa: S608 - our names
    more = [(new_push_id(house.random), row["id"]) for _ in range(MOST_COUNTED + 4)]
    await house.pieces.db.write(lambda tx: tx.many(sql, more))
    last = MOST_COUNTED // 20 + 1
    for number, size in ((1, 20), (last - 1, 20), (last, 5)):
        answer = await status(acme, message, page=number)
        assert (answer["total"], answer["totalIsLowerBound"]) == (MOST_COUNTED, True)
        assert (answer["result"], answer["channel"]) == (result, channel)
        assert (len(answer["deliveries"]), answer["hasMore"]) == (size, number < last)


@pytest.mark.parametrize("wrong", [{"page": 0}, {"pageSize": 0}, {"pageSize": 101}, {"page": "1"}])
async def test_a_page_that_is_none_is_refused(acme: Acting, wrong: dict[str, object]) -> None:
    answer = await acme.rpc("manage/get-delivery-status", {"transactionId": "x", **wrong})
    assert answer.status == 400
    assert [one["path"] for one in answer["error"]["details"]] == list(wrong)


@pytest.mark.parametrize(("channel", "result"), [("IN_APP", "DELIVERED"), ("PUSH", "SENT")])
async def test_when_its_deliveries_are_pruned_it_says_what_is_still_known(
    house: House, acme: Acting, channel: str, result: str
) -> None:
    """That it is in an inbox is known for ever; that a push was sent as well, but not what came of it."""
    message = await acme.send(channel=channel)
    if channel == "PUSH":
        await attempt(house, (Event.ACCEPT, None))
    house.clock.now += 40 * DAY
    await house.pieces.db.write(lambda tx: pruning.prune(tx, house.clock() - 30 * DAY, 100))
    answer = await status(acme, message)
    assert (answer["result"], answer["channel"], answer["deliveries"]) == (result, channel, [])
    assert (answer["total"], answer["hasMore"], answer["deliveredAt"]) == (0, False, None)


async def test_who_was_deleted_is_named_no_more(acme: Acting) -> None:
    message = await acme.send(channel="IN_APP")
    await acme.rpc("manage/delete-subscriber", {"userId": "ann"})
    for delivery in (await status(acme, message))["deliveries"]:
        assert delivery["userId"] != "ann"


async def test_what_another_tenant_has_sent_does_not_exist(acme: Acting) -> None:
    message = await acme.send()
    upper = await acme.rpc("manage/get-delivery-status", {"transactionId": message.upper()})
    assert upper["transactionId"] == message
    await Acting(acme.api, "globex").send()
    for tenant, asked in (("globex", message), ("nowhere", message), ("acme", "txn_abc123")):
        answer = await Acting(acme.api, tenant).rpc("manage/get-delivery-status", {"transactionId": asked})
        assert (answer.status, answer["error"]["code"]) == (404, "message_not_found")
