"""Sending: who receives what, and who sees it afterwards."""

import json
from typing import Any

import pytest

from server.domain.bucket import Permission
from tests.server.conftest import House, Person

MESSAGES = "/api/v1/messages"
EVERY_FIELD: dict[str, Any] = {
    "title": "Order Confirmed",
    "subtitle": "Payment received",
    "body": "Your order #12345 has been confirmed",
    "deliveryType": "CRITICAL",
    "sound": "ping.aiff",
    "locale": "en-EN",
    "groupId": "orders",
    "collapseId": "order-update-123",
}


async def test_a_message_is_answered_flat_after_its_shortcuts(house: House, admin: Person) -> None:
    """Every field as it is stored; URLs have become attachments and a tap action."""
    bucket = await house.bucket(admin)
    urls = {
        "imageUrl": "https://example.com/image.png",
        "videoUrl": "https://example.com/clip.mp4",
        "gifUrl": "https://example.com/fun.gif",
        "tapUrl": "https://app.zentik.app/orders/123",
    }
    sent = await house.send(admin.api, bucket, **EVERY_FIELD, **urls)
    assert sent.status == 201
    assert sent.headers["Location"] == f"{MESSAGES}/{sent['id']}"
    assert sent.json == {
        "id": sent["id"],
        **EVERY_FIELD,
        "bucketId": bucket,
        "channels": ["IN_APP", "PUSH"],
        "category": "TRANSACTIONAL",
        "data": None,
        "deepLink": None,
        "attachments": [
            {"mediaType": "IMAGE", "url": urls["imageUrl"]},
            {"mediaType": "VIDEO", "url": urls["videoUrl"]},
            {"mediaType": "GIF", "url": urls["gifUrl"]},
        ],
        "actions": [],
        "tapAction": {"type": "NAVIGATE", "value": urls["tapUrl"]},
        "snoozes": [],
        "postpones": [],
        "tags": [],
        "ephemeral": False,
        "remindEveryMinutes": None,
        "maxReminders": None,
        "senderId": admin.id,
        "createdAt": "2027-01-15T08:00:00.000Z",
        "scheduledSendAt": None,
        "updatedAt": None,
        "expiresAt": "2027-02-12T08:00:00.000Z",
        "notificationsCount": 1,
    }
    assert (await admin.api.get(f"{MESSAGES}/{sent['id']}")).json == sent.json


async def test_what_is_left_out_has_its_documented_default(house: House, admin: Person) -> None:
    """The group is the bucket; the rest is not there."""
    bucket = await house.bucket(admin)
    sent = (await house.send(admin.api, bucket)).json
    assert sent["groupId"] == bucket
    assert sent["attachments"] == []
    assert [name for name, value in sent.items() if value is None] == [
        "subtitle",
        "body",
        "data",
        "deepLink",
        "tapAction",
        "sound",
        "locale",
        "collapseId",
        "remindEveryMinutes",
        "maxReminders",
        "scheduledSendAt",
        "updatedAt",
    ]


async def test_one_send_writes_an_inbox_item_and_a_delivery_for_each_device(
    house: House, admin: Person
) -> None:
    """In one transaction, numbered without gaps; the worker is woken after it."""
    friend, bucket = await house.register("friend"), await house.bucket(admin)
    await house.join(friend, bucket, Permission.READ)
    phones = [await house.phone(admin), await house.phone(admin), await house.phone(friend)]
    for _ in range(2):
        assert (await house.send(admin.api, bucket))["notificationsCount"] == 2
    pushes = await house.deliveries(channel="PUSH")
    assert {(row["device_id"], row["sequence"]) for row in pushes} == {
        (phone.id, number) for phone in phones for number in (1, 2)
    }
    assert {row["state"] for row in pushes} == {"queued"}
    assert {row["state"] for row in await house.deliveries(channel="IN_APP")} == {"accepted"}
    assert house.wakes.count == 2


async def test_no_push_is_for_the_inbox_only(house: House, admin: Person) -> None:
    """Silent and critical ones are pushed: the device makes them so."""
    bucket = await house.bucket(admin)
    await house.phone(admin)
    await house.send(admin.api, bucket, deliveryType="NO_PUSH")
    assert [row["channel"] for row in await house.deliveries()] == ["IN_APP"]
    for kind in ("SILENT", "CRITICAL"):
        await house.send(admin.api, bucket, deliveryType=kind)
    assert len(await house.deliveries(channel="PUSH")) == 2


async def test_a_bucket_is_meant_by_id_or_by_a_name_that_one_may_write(house: House, admin: Person) -> None:
    """Names are looked for among the buckets that the caller may write; two are a conflict."""
    other = await house.register("other")
    mine, theirs = await house.bucket(admin, "Team"), await house.bucket(other, "Team")
    await house.join(admin, theirs, Permission.READ)
    assert (await house.send(admin.api, "Team"))["bucketId"] == mine
    assert (await house.send(admin.api, mine.upper()))["bucketId"] == mine
    refused = await house.send(admin.api, theirs)
    assert (refused.status, refused.code) == (403, "bucket_forbidden")

    await house.join(other, mine, Permission.WRITE)
    ambiguous = await house.send(other.api, "Team")
    assert (ambiguous.status, ambiguous.code) == (409, "bucket_ambiguous")
    unknown = await house.send(admin.api, "Nowhere")
    assert (unknown.status, unknown.code) == (404, "bucket_not_found")


async def test_a_bound_token_sends_to_its_bucket_and_may_leave_it_out(house: House, admin: Person) -> None:
    """To no other, by no name."""
    bucket, elsewhere = await house.bucket(admin), await house.bucket(admin, "Elsewhere")
    bound = await house.token(admin, f"messages:create:{bucket}")
    minimal = {"title": "Hello", "deliveryType": "NORMAL"}
    assert (await bound.post(MESSAGES, minimal))["bucketId"] == bucket
    for reference in (elsewhere, "Elsewhere"):
        refused = await house.send(bound, reference)
        assert (refused.status, refused.code) == (403, "scope_missing")
    two = await house.token(admin, f"messages:create:{bucket}", f"messages:create:{elsewhere}")
    assert (await two.post(MESSAGES, minimal)).faults.keys() == {"bucketId"}
    assert (await house.send(two, "Elsewhere"))["bucketId"] == elsewhere
    free = await house.token(admin, "messages:create")
    assert (await free.post(MESSAGES, minimal)).faults.keys() == {"bucketId"}


async def test_user_ids_choose_among_the_members(house: House, admin: Person) -> None:
    """By id or username, as a list, the JSON text of one or with commas; who is no member is left out."""
    friend, stranger = await house.register("friend"), await house.register("stranger")
    bucket = await house.bucket(admin)
    await house.join(friend, bucket, Permission.READ)
    phone = await house.phone(friend)
    await house.phone(admin)
    forms = [
        ["friend"],
        [friend.id.upper(), "FRIEND", stranger.id],
        json.dumps(["friend"]),
        f" {friend.id} , stranger,",
    ]
    for form in forms:
        sent = await house.send(admin.api, bucket, userIds=form)
        assert (sent.status, sent["notificationsCount"]) == (201, 1), form
    pushes = await house.deliveries(channel="PUSH")
    assert [row["device_id"] for row in pushes] == [phone.id] * len(forms)
    nobody = await house.send(admin.api, bucket, userIds=["stranger"])
    assert (nobody.status, nobody["notificationsCount"]) == (201, 0)


async def test_unknown_users_are_all_named_and_nothing_is_sent(house: House, admin: Person) -> None:
    """404, with their places."""
    bucket = await house.bucket(admin)
    answer = await house.send(admin.api, bucket, userIds=["admin", "nobody", "nothing"])
    assert (answer.status, answer.code) == (404, "user_not_found")
    assert answer.faults == {
        "userIds[1]": "no such user: nobody",
        "userIds[2]": "no such user: nothing",
    }
    assert await house.deliveries() == []
    assert house.wakes.count == 0


@pytest.mark.parametrize(
    "form", [[], "", " , ", "[]", '["a"', '{"a": 1}', 5, {"a": 1}, [None], [""], ["x" * 101]]
)
async def test_user_ids_that_name_nobody_are_no_way_to_reach_everybody(
    house: House, admin: Person, form: object
) -> None:
    """A program that has worked out an empty list did not mean the whole bucket."""
    bucket = await house.bucket(admin)
    answer = await house.send(admin.api, bucket, userIds=form)
    assert answer.status in {400, 404}
    assert await house.deliveries() == []


async def test_a_reader_cannot_send_and_a_writer_does_not_receive(house: House, admin: Person) -> None:
    """Permissions are apart from each other."""
    writer, bucket = await house.register("writer"), await house.bucket(admin)
    await house.join(writer, bucket, Permission.WRITE)
    await house.phone(writer)
    sent = await house.send(writer.api, bucket)
    assert (sent.status, sent["notificationsCount"]) == (201, 1)
    [push] = await house.deliveries(channel="PUSH")
    assert (push["user_id"], push["state"], push["reason"]) == (admin.id, "suppressed", "no_channel")


async def test_the_list_shows_what_one_sent_received_or_oversees(house: House, admin: Person) -> None:
    """And nothing that was meant for others."""
    reader, writer, overseer = [await house.register(name) for name in ("reader", "writer", "overseer")]
    bucket = await house.bucket(admin)
    await house.join(reader, bucket, Permission.READ)
    await house.join(writer, bucket, Permission.WRITE)
    await house.join(overseer, bucket, Permission.DELETE)
    to_all = (await house.send(admin.api, bucket, title="to all"))["id"]
    to_admin = (await house.send(writer.api, bucket, title="to admin", userIds=["admin"]))["id"]
    seen = {reader: [to_all], writer: [to_admin], overseer: [to_admin, to_all], admin: [to_admin, to_all]}
    for person, ids in seen.items():
        listed = (await person.api.get(MESSAGES)).json
        assert sorted(message["id"] for message in listed["messages"]) == sorted(ids), person.username
        for message_id in (to_all, to_admin):
            expected = 200 if message_id in ids else 404
            assert (await person.api.get(f"{MESSAGES}/{message_id}")).status == expected


async def test_pages_follow_each_other_without_gaps_or_repeats(house: House, admin: Person) -> None:
    """Newest first, by cursor, in one bucket or in all."""
    bucket, other = await house.bucket(admin), await house.bucket(admin, "Other")
    sent = []
    for number in range(7):
        house.clock.advance(1)
        sent.append((await house.send(admin.api, bucket, title=str(number)))["id"])
    await house.send(admin.api, other)
    got: list[str] = []
    cursor: str | None = ""
    for _ in range(4):
        page = (await admin.api.get(f"{MESSAGES}?limit=2&bucketId={bucket}{cursor}")).json
        got += [message["id"] for message in page["messages"]]
        cursor = page["nextCursor"] and f"&cursor={page['nextCursor']}"
    assert cursor is None
    assert got == sent[::-1]
    assert len((await admin.api.get(f"{MESSAGES}?limit=100"))["messages"]) == 8


async def test_messages_of_a_bucket_are_listed_by_its_name_too(house: House, admin: Person) -> None:
    sent = await house.send(admin.api, await house.bucket(admin, "Alarms"))
    await house.send(admin.api, await house.bucket(admin))
    listed = await admin.api.get(f"{MESSAGES}?bucketId=Alarms")
    assert [message["id"] for message in listed["messages"]] == [sent["id"]]
    unknown = await admin.api.get(f"{MESSAGES}?bucketId=Nowhere")
    assert (unknown.status, unknown.code) == (404, "bucket_not_found")


async def test_a_retracted_message_is_gone_everywhere(house: House, admin: Person) -> None:
    """Its content from the store, what waits from the outbox, and devices that have it are told."""
    bucket = await house.bucket(admin)
    reached = await house.phone(admin)
    message = (await house.send(admin.api, bucket, title="CANARY"))["id"]
    assert await house.accept_pushes() == 1
    await house.phone(admin)
    waiting = (await house.send(admin.api, bucket, title="CANARY"))["id"]

    for message_id in (message, waiting, message):
        assert (await admin.api.delete(f"{MESSAGES}/{message_id}")).status == 204
    gone = await admin.api.get(f"{MESSAGES}/{message}")
    assert (gone.status, gone.code) == (410, "message_retracted")
    assert (await admin.api.get(MESSAGES))["messages"] == []
    rows = await house.pieces.db.read(lambda tx: tx.all("SELECT content, collapse_id FROM messages"))
    assert [(row["content"], row["collapse_id"]) for row in rows] == [(None, None)] * 2
    cancelled = await house.deliveries(message_id=waiting, channel="PUSH")
    assert {row["state"] for row in cancelled} == {"cancelled"}
    [told] = await house.deliveries(kind=2)
    assert told["device_id"] == reached.id
    assert json.loads(told["body"]) == {"ids": [message]}


async def test_the_sender_and_who_may_delete_in_the_bucket_may_retract(house: House, admin: Person) -> None:
    """A reader may not, and for a stranger there is nothing."""
    people = {name: await house.register(name) for name in ("reader", "writer", "deleter", "stranger")}
    bucket = await house.bucket(admin)
    await house.join(people["reader"], bucket, Permission.READ)
    await house.join(people["writer"], bucket, Permission.WRITE)
    await house.join(people["deleter"], bucket, Permission.DELETE)
    message = (await house.send(people["writer"].api, bucket))["id"]
    refused = await people["reader"].api.delete(f"{MESSAGES}/{message}")
    assert (refused.status, refused.code) == (403, "forbidden")
    assert (await people["stranger"].api.delete(f"{MESSAGES}/{message}")).status == 404
    assert (await people["writer"].api.delete(f"{MESSAGES}/{message}")).status == 204
    other = (await house.send(people["writer"].api, bucket))["id"]
    assert (await people["deleter"].api.delete(f"{MESSAGES}/{other}")).status == 204
