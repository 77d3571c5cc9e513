"""What happened to a message on its way to each device, and the second chance of what came to nothing."""

import asyncio

import pytest

from server.domain.bucket import Permission
from server.domain.delivery import Event, Settlement
from server.domain.ports import Transaction
from server.store import leases, tallies
from server.store.leases import Times
from tests.harness.native import Native, Reply
from tests.server.conftest import House, Person, Phone

DELIVERIES = "/api/v1/deliveries"
RETRY = f"{DELIVERIES}/retry"
AT = "2027-01-15T08:00:0{}.000Z"


def timeline_of(message_id: str, query: str = "") -> str:
    return f"/api/v1/messages/{message_id}/deliveries{query}"


async def send(house: House, sender: Native, bucket: str, **more: object) -> str:
    return str((await house.send(sender, bucket, **more))["id"])


async def settle(house: House, event: Event, reason: str | None = None, *, due_in: int = 0) -> int:
    """Seal what waits, have it relayed a second later and settled a second after that, all of it in the same way."""
    now = house.clock()

    async def job(tx: Transaction) -> int:
        await leases.claim(tx, "lease", now=now, until=now + 30_000, limit=500)
        batch = await leases.read_batch(tx, "lease")
        settled = [
            Settlement(
                id=parcel.id,
                device_id=parcel.device_id,
                event=event,
                reason=reason,
                due_at=now + due_in,
                handle=batch.addresses[parcel.device_id].handle,
                provider_id="provider-7",
                relayed=True,
            )
            for parcel in batch.parcels
        ]
        return len(await leases.settle(tx, "lease", settled, now + 2000, Times(now, now + 1000)))

    return await house.pieces.db.write(job)


async def new_handle(house: House, phone: Phone) -> None:
    assert (await phone.api.put("/api/v1/device/handle", {"handle": house.handle()})).status == 204


async def books_hold(house: House) -> bool:
    return (await house.pieces.db.read(tallies.audit)).holds


def reasons(reply: Reply) -> list[str]:
    return [refused["reason"] for refused in reply["notQueued"]]


async def test_a_timeline_tells_what_happened_at_each_hop(house: House, admin: Person) -> None:
    """To the inbox and to the phone, from the server to what the phone reports."""
    phone, bucket = await house.phone(admin), await house.bucket(admin)
    id_ = await send(house, admin.api, bucket)
    await settle(house, Event.ACCEPT)
    receipts = [{"messageId": id_, "event": "shown", "at": house.clock() + 3000}]
    house.clock.advance(5000)
    await phone.api.post("/api/v1/device/receipts", {"receipts": receipts})
    [push] = await house.deliveries(channel="PUSH")
    [item] = await house.deliveries(channel="IN_APP")
    answer = (await admin.api.get(timeline_of(id_))).json
    shown = {delivery["channel"]: delivery for delivery in answer.pop("deliveries")}
    assert answer == {"messageId": id_, "counts": {"accepted": 2}, "nextCursor": None}
    assert shown["IN_APP"] == {
        "id": item["id"],
        "userId": admin.id,
        "deviceId": None,
        "deviceName": None,
        "channel": "IN_APP",
        "kind": "message",
        "state": "accepted",
        "reason": None,
        "quiet": None,
        "attempts": 0,
        "providerId": None,
        "timeline": [{"hop": "server", "outcome": "stored", "at": AT.format(0)}],
    }
    assert shown["PUSH"] == {
        "id": push["id"],
        "userId": admin.id,
        "deviceId": phone.id,
        "deviceName": "Pixel",
        "channel": "PUSH",
        "kind": "message",
        "state": "accepted",
        "reason": None,
        "quiet": None,
        "attempts": 1,
        "providerId": "provider-7",
        "timeline": [
            {"hop": "server", "outcome": "stored", "at": AT.format(0)},
            {"hop": "seal", "outcome": "sealed", "at": AT.format(0)},
            {"hop": "relay", "outcome": "answered", "at": AT.format(1)},
            {"hop": "provider", "outcome": "accepted", "at": AT.format(2)},
            {"hop": "device", "outcome": "shown", "at": AT.format(3)},
        ],
    }


async def test_what_waits_says_why_and_until_when(house: House, admin: Person) -> None:
    phone, bucket = await house.phone(admin), await house.bucket(admin)
    id_ = await send(house, admin.api, bucket)
    await settle(house, Event.RETRY, "throttled", due_in=9000)
    [waiting] = (await admin.api.get(timeline_of(id_, "?state=queued")))["deliveries"]
    assert (waiting["deviceId"], waiting["reason"], waiting["dueAt"]) == (phone.id, "throttled", AT.format(9))
    assert waiting["timeline"][-1] == {
        "hop": "relay",
        "outcome": "retry",
        "reason": "throttled",
        "at": AT.format(1),
    }


async def test_a_timeline_tells_nothing_that_opens_or_reaches_anything(house: House, admin: Person) -> None:
    """No handle, no token, no content, not of the dead ones either."""
    phone, bucket = await house.phone(admin), await house.bucket(admin)
    id_ = await send(house, admin.api, bucket, title="Payroll", body="4711", collapseId="secret-topic")
    await settle(house, Event.REJECT, "wrong_topic")
    for path in (timeline_of(id_), DELIVERIES):
        body = (await admin.api.get(path)).body.decode()
        assert id_ in body
        for hidden in (phone.handle, phone.token, "Payroll", "4711", "secret-topic"):
            assert hidden not in body


async def test_a_timeline_comes_in_pages_and_by_state(house: House, admin: Person) -> None:
    """Each delivery once; the counts are of all of them, and come with the first page."""
    bucket = await house.bucket(admin)
    for _ in range(4):
        await house.phone(admin)
    id_ = await send(house, admin.api, bucket)
    await settle(house, Event.ACCEPT)
    await house.phone(admin)
    found, query = [], "?limit=2"
    for size in (2, 2, 1):
        page = (await admin.api.get(timeline_of(id_, query))).json
        assert len(page["deliveries"]) == size
        assert page.get("counts") == ({"accepted": 5} if query == "?limit=2" else None)
        assert (page["nextCursor"] is None) is (size == 1)
        found += [delivery["id"] for delivery in page["deliveries"]]
        query = f"?limit=2&cursor={page['nextCursor']}"
    assert found == sorted(row["id"] for row in await house.deliveries())
    assert (await admin.api.get(timeline_of(id_, "?state=failed")))["deliveries"] == []


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("?limit=101", "?limit"),
        ("?limit=0", "?limit"),
        ("?state=lost", "?state"),
        ("?cursor=x", "?cursor"),
    ],
)
async def test_what_is_asked_for_wrongly_is_named(house: House, admin: Person, query: str, path: str) -> None:
    id_ = await send(house, admin.api, await house.bucket(admin))
    answer = await admin.api.get(timeline_of(id_, query))
    assert (answer.status, list(answer.faults)) == (400, [path])


async def test_each_sees_what_is_theirs_to_see(house: House, admin: Person) -> None:
    """The sender, who oversees the bucket, and an admin all of it; a recipient their own; a stranger nothing."""
    people = {name: await house.register(name) for name in ("sender", "overseer", "recipient", "stranger")}
    bucket = await house.bucket(people["sender"])
    await house.join(people["overseer"], bucket, Permission.DELETE)
    await house.join(people["recipient"], bucket, Permission.READ)
    for name in ("sender", "recipient"):
        await house.phone(people[name])
    id_ = await send(house, people["sender"].api, bucket)
    for api in (people["sender"].api, people["overseer"].api, admin.api, await house.token(admin, "admin")):
        answer = (await api.get(timeline_of(id_))).json
        assert (len(answer["deliveries"]), answer["counts"]) == (4, {"accepted": 2, "queued": 2})
    own = (await people["recipient"].api.get(timeline_of(id_))).json
    assert {delivery["userId"] for delivery in own["deliveries"]} == {people["recipient"].id}
    assert own["counts"] == {"accepted": 1, "queued": 1}
    reading = await house.token(admin, "messages:read")  # an admin's, but it does not operate
    for api in (people["stranger"].api, reading):
        answer_to_stranger = await api.get(timeline_of(id_))
        assert (answer_to_stranger.status, answer_to_stranger.code) == (404, "message_not_found")


async def test_a_message_that_is_scheduled_has_no_deliveries_yet(house: House, admin: Person) -> None:
    """And says when it will be sent, until it is sent or retracted."""
    bucket = await house.bucket(admin)
    id_ = await send(house, admin.api, bucket, delaySeconds=5)
    scheduled = (await admin.api.get(timeline_of(id_))).json
    assert scheduled == {
        "messageId": id_,
        "scheduledSendAt": AT.format(5),
        "counts": {},
        "deliveries": [],
        "nextCursor": None,
    }
    await admin.api.delete(f"/api/v1/messages/{id_}")
    assert "scheduledSendAt" not in (await admin.api.get(timeline_of(id_))).json


async def test_a_retracted_message_keeps_its_timeline(house: House, admin: Person) -> None:
    await house.phone(admin)
    id_ = await send(house, admin.api, await house.bucket(admin))
    await admin.api.delete(f"/api/v1/messages/{id_}")
    assert (await admin.api.get(timeline_of(id_)))["counts"] == {"accepted": 1, "cancelled": 1}


async def test_dead_deliveries_are_listed_newest_first(house: House, admin: Person) -> None:
    """By state, by reason, and since a time; in pages."""
    bucket = await house.bucket(admin)
    await house.phone(admin)
    fates = ((Event.REJECT, "bad_topic"), (Event.REJECT, "too_large"), (Event.EXPIRE, None))
    for event, reason in fates:
        await send(house, admin.api, bucket)
        await settle(house, event, reason)
        house.clock.advance(1000)
    await send(house, admin.api, bucket)
    await settle(house, Event.DEAD_HANDLE, "unregistered")

    async def found(query: str) -> list[str]:
        answer = await admin.api.get(f"{DELIVERIES}{query}")
        return [delivery["reason"] for delivery in answer["deliveries"]]

    assert await found("") == ["unregistered", None, "too_large", "bad_topic"]
    assert await found("?state=failed") == ["too_large", "bad_topic"]
    assert await found("?state=expired") == [None]
    assert await found("?state=gone&reason=unregistered") == ["unregistered"]
    assert await found(f"?since={AT.format(3)}") == ["unregistered", None, "too_large"]
    first = (await admin.api.get(f"{DELIVERIES}?state=failed&limit=1")).json
    assert [(one["kind"], one["settledAt"]) for one in first["deliveries"]] == [("message", AT.format(3))]
    second = await admin.api.get(f"{DELIVERIES}?state=failed&limit=1&cursor={first['nextCursor']}")
    assert ([one["reason"] for one in second["deliveries"]], second["nextCursor"]) == (["bad_topic"], None)
    for query in ("?state=accepted", "?cursor=1", "?since=yesterday", "?limit=1000"):
        assert (await admin.api.get(f"{DELIVERIES}{query}")).status == 400


async def test_dead_deliveries_of_the_same_moment_are_all_listed(house: House, admin: Person) -> None:
    bucket = await house.bucket(admin)
    for _ in range(5):
        await house.phone(admin)
    await send(house, admin.api, bucket)
    await settle(house, Event.REJECT, "bad_topic")
    found, query = set(), "?limit=2"
    for last in (False, False, True):
        page = (await admin.api.get(f"{DELIVERIES}{query}")).json
        assert (page["nextCursor"] is None) is last
        found |= {delivery["id"] for delivery in page["deliveries"]}
        query = f"?limit=2&cursor={page['nextCursor']}"
    assert len(found) == 5


async def test_an_admin_has_dead_deliveries_tried_again(house: House, admin: Person) -> None:
    """They are due at once, the workers know, and the books hold."""
    await house.phone(admin)
    id_ = await send(house, admin.api, await house.bucket(admin))
    await settle(house, Event.REJECT, "bad_topic")
    house.clock.advance(60_000)
    [dead] = (await admin.api.get(DELIVERIES))["deliveries"]
    woken = house.wakes.count
    answer = await admin.api.post(RETRY, {"ids": [dead["id"].upper(), dead["id"]]})
    assert answer.json == {"queued": 1, "notQueued": [], "nextCursor": None}
    assert house.wakes.count == woken + 1
    [row] = await house.deliveries(channel="PUSH")
    assert (row["state"], row["due_at"], row["turn"], row["settled_at"], row["reason"]) == (
        "queued",
        house.clock(),
        house.clock(),
        None,
        None,
    )
    assert await books_hold(house)
    assert await house.accept_pushes() == 1
    assert await books_hold(house)
    assert (await admin.api.get(timeline_of(id_)))["counts"] == {"accepted": 2}
    assert (await admin.api.get(DELIVERIES))["deliveries"] == []
    again = await admin.api.post(RETRY, {"ids": [row["id"]]})
    assert (again["queued"], reasons(again)) == (0, ["accepted"])
    assert house.wakes.count == woken + 1


async def test_what_several_admins_try_again_at_once_is_queued_once(house: House, admin: Person) -> None:
    """By ids and by state, while the phone brings a new handle, which does the same."""
    bucket = await house.bucket(admin)
    phones = [await house.phone(admin) for _ in range(3)]
    await send(house, admin.api, bucket)
    await settle(house, Event.DEAD_HANDLE, "unregistered")
    others = [(phone.id,) for phone in phones[1:]]  # these have handles that hasten nothing
    await house.pieces.db.write(lambda tx: tx.many("UPDATE devices SET handle = 'x' WHERE id = $1", others))
    ids = [row["id"] for row in await house.deliveries(channel="PUSH")]
    bodies = ({"ids": ids}, {"state": "gone"}, {"ids": ids[::-1]})
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(admin.api.post(RETRY, body)) for body in bodies]
        tasks.create_task(new_handle(house, phones[0]))
    tried = [task.result() for task in asked]
    assert [answer.status for answer in tried] == [200, 200, 200]
    assert {row["state"] for row in await house.deliveries(channel="PUSH")} == {"queued"}
    assert sum(answer["queued"] for answer in tried) in {2, 3}  # the new handle came first, or not
    assert await books_hold(house)


async def test_what_cannot_go_out_says_why(house: House, admin: Person) -> None:
    """Expired, retracted, nobody to reach, not there: each with its own word, and the others are queued."""
    bucket = await house.bucket(admin)
    phones = [await house.phone(admin) for _ in range(2)]
    retracted = await send(house, admin.api, bucket)
    await settle(house, Event.REJECT, "bad_topic")
    await admin.api.delete(f"/api/v1/messages/{retracted}")
    await settle(house, Event.REJECT, "bad_topic")  # the notices of that
    house.clock.advance(1000)
    await send(house, admin.api, bucket)
    await settle(house, Event.DEAD_HANDLE, "unregistered")
    await new_handle(house, phones[0])
    await settle(house, Event.REJECT, "bad_topic")
    kept = {row["id"]: row for row in await house.deliveries(channel="PUSH")}
    nobody = "00000000-0000-4000-8000-000000000000"
    answer = await admin.api.post(RETRY, {"ids": [*kept, nobody]})
    told = {refused["id"]: refused["reason"] for refused in answer["notQueued"]}
    assert told.pop(nobody) == "not_found"
    for id_, row in kept.items():
        if row["message_id"] == retracted:
            assert told[id_] == "retracted"
        else:
            assert told.get(id_) == (None if row["device_id"] == phones[0].id else "no_handle")
    assert answer["queued"] == len(kept) - len(told)
    operator = await house.token(admin, "admin")  # which outlives a session
    house.clock.advance(30 * 86_400_000)
    late = await operator.post(RETRY, {"state": "gone"})
    assert (late["queued"], reasons(late)) == (0, ["expired"])
    assert await books_hold(house)


async def test_dead_deliveries_are_tried_again_by_what_they_have_in_common(
    house: House, admin: Person
) -> None:
    """Of one state, for one reason, since a time; the others stay."""
    bucket = await house.bucket(admin)
    await house.phone(admin)
    for reason in ("bad_topic", "bad_topic", "not_configured"):
        await send(house, admin.api, bucket)
        await settle(house, Event.REJECT, reason)
        house.clock.advance(3000)
    body = {"state": "failed", "reason": "bad_topic", "since": AT.format(4)}
    assert (await admin.api.post(RETRY, body))["queued"] == 1
    assert (await admin.api.post(RETRY, body))["queued"] == 0
    assert (await admin.api.post(RETRY, {"state": "failed"}))["queued"] == 2
    assert await books_hold(house)


async def test_one_call_tries_a_bounded_number_again_and_says_where_to_go_on(
    house: House, admin: Person
) -> None:
    """What was refused does not stand in the way of the rest."""
    bucket = await house.bucket(admin)
    await house.phone(admin)
    ids = [await send(house, admin.api, bucket) for _ in range(3)]
    await settle(house, Event.REJECT, "bad_topic")
    await admin.api.delete(f"/api/v1/messages/{ids[0]}")
    told: list[object] = []
    cursor = None
    for last in (False, False, True):
        part = await admin.api.post(RETRY, {"state": "failed", "limit": 1, "cursor": cursor})
        told.append(reasons(part) or part["queued"])
        cursor = part["nextCursor"]
        assert (cursor is None) is last
    assert sorted(map(str, told)) == ["1", "1", "['retracted']"]
    assert await books_hold(house)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "ids"),
        ({"ids": ["x"]}, "ids[0]"),
        ({"ids": "x"}, "ids"),
        ({"ids": [], "state": "failed"}, "state"),
        ({"state": "expired"}, "state"),
        ({"state": "failed", "since": "yesterday"}, "since"),
        ({"state": "failed", "cursor": "1.x"}, "cursor"),
        ({"state": "failed", "limit": 501}, "limit"),
        ({"ids": ["0" * 36] * 501}, "ids"),
    ],
)
async def test_a_retry_that_is_asked_for_wrongly_names_the_place(
    admin: Person, body: dict[str, object], path: str
) -> None:
    answer = await admin.api.post(RETRY, body)
    assert answer.status == 400
    assert path in answer.faults


async def test_a_delivery_says_why_it_was_quiet(house: House, admin: Person) -> None:
    bucket = await house.bucket(admin)
    await house.phone(admin)
    sql = "UPDATE bucket_members SET snoozed_until = $1"
    await house.pieces.db.write(lambda tx: tx.run(sql, house.clock() + 1000))
    sent = await house.send(admin.api, bucket)
    shown = (await admin.api.get(timeline_of(sent["id"])))["deliveries"]
    assert {one["channel"]: one["quiet"] for one in shown} == {"IN_APP": None, "PUSH": "snoozed"}
