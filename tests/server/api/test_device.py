"""What a device asks for itself: messages, claims, receipts, a new key, a new handle, the end."""

import asyncio
import json
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import pytest

from crypto.claim import open_claim
from crypto.encoding import b64u, unb64u
from crypto.envelope import SIZES, open_envelope
from crypto.frame import Frame
from crypto.keys import DeviceKey, Suite
from tests.server.conftest import House, Person, Phone

DEVICE = "/api/v1/device"


def opened(house: House, phone: Phone, envelope: str) -> Frame:
    """Open an envelope as the phone does."""
    raw = unb64u(envelope)
    assert len(raw) in SIZES
    return open_envelope(raw, keys=[phone.key], device_id=UUID(phone.id), server=house.pieces.identity.public)


async def fetch(phone: Phone, after: int = 0, **query: int) -> Any:
    """Return what a phone is given after a number."""
    more = "".join(f"&{name}={value}" for name, value in query.items())
    answer = await phone.api.get(f"{DEVICE}/messages?after={after}{more}")
    assert answer.status == 200, answer.body
    return answer.json


async def test_a_device_fetches_sealed_messages_in_order(house: House, admin: Person) -> None:
    """Page by page up to the head; only it can open them."""
    phone, bucket = await house.phone(admin), await house.bucket(admin)
    sent = [(await house.send(admin.api, bucket, title=f"number {n}"))["id"] for n in range(3)]
    first = await fetch(phone, limit=2)
    assert (first["head"], first["more"]) == (3, True)
    second = await fetch(phone, after=2)
    assert (second["head"], second["more"]) == (3, False)
    got = first["messages"] + second["messages"]
    assert [one["sequence"] for one in got] == [1, 2, 3]
    for number, one in enumerate(got):
        frame = opened(house, phone, one["envelope"])
        assert str(frame.message_id) == sent[number]
        assert frame.sequence == number + 1
        body = json.loads(frame.body)
        assert body["title"] == f"number {number}"
        assert body["bucket"] == {"id": bucket, "name": "Marketing"}
        assert body["createdAt"] == "2027-01-15T08:00:00.000Z"
    assert (await fetch(phone, after=3))["messages"] == []


async def test_what_was_cancelled_or_expired_is_named_as_such(house: House, admin: Person) -> None:
    """A number that is not named does not exist; what was retracted is listed too."""
    phone, bucket = await house.phone(admin), await house.bucket(admin)
    cancelled = (await house.send(admin.api, bucket))["id"]
    reached = (await house.send(admin.api, bucket))["id"]
    expired = (await admin.api.post(f"/api/v1/devices/{phone.id}/test?wait=0"))["messageId"]
    await admin.api.delete(f"/api/v1/messages/{cancelled}")
    await house.accept_pushes()
    await admin.api.delete(f"/api/v1/messages/{reached}")
    house.clock.advance(600_001)
    fetched = await fetch(phone)
    assert fetched["messages"] == [
        {"sequence": 1, "messageId": cancelled, "state": "cancelled"},
        {"sequence": 2, "messageId": reached, "state": "cancelled"},
        {"sequence": 3, "messageId": expired, "state": "expired"},
    ]
    assert sorted(fetched["retracted"]) == sorted([cancelled, reached])


async def test_a_large_message_is_a_preview_with_a_claim_for_this_device_alone(
    house: House, admin: Person
) -> None:
    """The same claim at every fetch; another device, or another token, finds nothing there."""
    phone, other, bucket = await house.phone(admin), await house.phone(admin), await house.bucket(admin)
    text = "".join(chr(0x4E00 + n * 37 % 20_000) for n in range(500))
    pictures = {name: f"https://example.com/{house.random(900).hex()}" for name in ("imageUrl", "gifUrl")}
    sent = (await house.send(admin.api, bucket, title="large", body=text, **pictures))["id"]
    frames = [opened(house, phone, (await fetch(phone))["messages"][0]["envelope"]) for _ in range(2)]
    previews = [json.loads(frame.body) for frame in frames]
    assert previews[0]["claim"] == previews[1]["claim"]
    assert previews[0]["truncated"] is True
    assert previews[0]["title"] == "large"

    claim = previews[0]["claim"]
    path = f"{DEVICE}/claims/{claim['id']}"
    blob = await phone.api.get(path)
    assert (blob.status, blob.headers["Content-Type"]) == (200, "application/octet-stream")
    assert b64u(sha256(blob.body).digest()) == claim["sha256"]
    whole = json.loads(
        open_claim(
            blob.body,
            message_id=UUID(sent),
            device_id=UUID(phone.id),
            key=unb64u(claim["key"]),
            sha256=unb64u(claim["sha256"]),
            size=claim["size"],
        )
    )
    assert whole["body"] == text

    stolen = await other.api.get(path)
    assert (stolen.status, stolen.code) == (404, "claim_not_found")
    assert (await admin.api.get(path)).status == 401
    await admin.api.delete(f"/api/v1/messages/{sent}")
    assert (await phone.api.get(path)).status == 404


async def test_a_device_without_a_key_gets_the_content_itself(house: House, admin: Person) -> None:
    """Over its own connection, and never in a push."""
    phone, bucket = await house.phone(admin), await house.bucket(admin)
    await house.pieces.db.write(lambda tx: tx.run("UPDATE devices SET suite = NULL, public_key = NULL"))
    sent = (await house.send(admin.api, bucket, title="plain"))["id"]
    [one] = (await fetch(phone))["messages"]
    message = one["message"]
    assert (one["sequence"], message["id"], message["kind"]) == (1, sent, 1)
    assert message["sentAt"] == house.clock.now
    assert message["body"]["title"] == "plain"
    [shown] = (await admin.api.get("/api/v1/devices"))["devices"]
    assert (shown["suite"], shown["fingerprint"]) == (None, None)


async def test_reading_on_one_device_is_told_to_the_others(house: House, admin: Person) -> None:
    """Once, however often it is reported, and not to the one that reported it."""
    phone, other, bucket = await house.phone(admin), await house.phone(admin), await house.bucket(admin)
    message = (await house.send(admin.api, bucket))["id"]
    await house.accept_pushes()
    receipts = {
        "receipts": [
            {"messageId": message.upper(), "event": event, "at": house.clock.now - 5}
            for event in ("received", "shown", "read")
        ]
    }
    for _ in range(2):
        assert (await phone.api.post(f"{DEVICE}/receipts", receipts)).status == 202
    [told] = await house.deliveries(kind=3)
    assert told["device_id"] == other.id
    assert json.loads(told["body"]) == {"ids": [message]}
    assert (await fetch(other))["read"] == [message]
    [row] = await house.deliveries(kind=1, device_id=phone.id)
    times = [row[name] for name in ("received_at", "shown_at", "read_at")]
    assert times == [house.clock.now - 5] * 3


async def test_a_failure_is_written_down_at_its_device(house: House, admin: Person) -> None:
    """Also where the message is not known; a time ahead of the server's clock counts as now."""
    phone, bucket = await house.phone(admin), await house.bucket(admin)
    message = (await house.send(admin.api, bucket))["id"]
    ahead = house.clock.now + 10**9
    report = {
        "receipts": [
            {"event": "failed", "reason": "not_my_key", "at": house.clock.now - 10},
            {"messageId": message, "event": "failed", "reason": "altered", "at": ahead},
        ]
    }
    assert (await phone.api.post(f"{DEVICE}/receipts", report)).status == 202
    [shown] = (await admin.api.get("/api/v1/devices"))["devices"]
    assert shown["lastFault"] == "altered"
    [row] = await house.deliveries(channel="PUSH")
    assert (row["fault"], row["failed_at"]) == ("altered", house.clock.now)


async def test_a_receipt_for_anothers_message_changes_nothing(house: House, admin: Person) -> None:
    """Nobody can mark what they were never sent."""
    stranger = await house.register("stranger")
    mine, theirs, bucket = await house.phone(admin), await house.phone(stranger), await house.bucket(admin)
    message = (await house.send(admin.api, bucket))["id"]
    await house.accept_pushes()
    body = {"receipts": [{"messageId": message, "event": "read", "at": 1}]}
    assert (await theirs.api.post(f"{DEVICE}/receipts", body)).status == 202
    assert (await fetch(mine))["read"] == []


async def test_faults_of_receipts_are_all_named(house: House, admin: Person) -> None:
    """Each with its place in the list."""
    phone = await house.phone(admin)
    body = {
        "receipts": [
            {"event": "seen", "at": 1, "messageId": str(uuid4())},
            {"event": "read", "at": "now"},
            {"event": "failed", "at": 1.0},
            "read",
            {"event": "read", "at": 1, "messageId": "x"},
        ]
    }
    answer = await phone.api.post(f"{DEVICE}/receipts", body)
    assert answer.faults.keys() == {
        "receipts[0].event",
        "receipts[1].at",
        "receipts[1].messageId",
        "receipts[2].reason",
        "receipts[3]",
        "receipts[4].messageId",
    }
    assert (await phone.api.post(f"{DEVICE}/receipts", {})).faults.keys() == {"receipts"}


async def test_a_new_key_is_sealed_to_from_then_on(house: House, admin: Person) -> None:
    """In another suite too; a key that cannot be used is refused."""
    phone, bucket = await house.phone(admin), await house.bucket(admin)
    await house.send(admin.api, bucket)
    fresh = DeviceKey.generate(Suite.XWING, house.random)
    refused = await phone.api.put(f"{DEVICE}/key", {"suite": 1, "publicKey": b64u(bytes(32))})
    assert refused.faults.keys() == {"publicKey"}
    new = {"suite": 2, "publicKey": b64u(fresh.public.raw)}
    assert (await phone.api.put(f"{DEVICE}/key", new)).status == 204
    [one] = (await fetch(phone))["messages"]
    frame = open_envelope(
        unb64u(one["envelope"]),
        keys=[fresh],
        device_id=UUID(phone.id),
        server=house.pieces.identity.public,
    )
    assert frame.sequence == 1


async def test_a_new_handle_makes_a_device_reachable_again(house: House, admin: Person) -> None:
    """What waited for it is due at once."""
    phone, bucket = await house.phone(admin), await house.bucket(admin)
    await house.pieces.db.write(
        lambda tx: tx.run("UPDATE devices SET handle = NULL, handle_fault = 'unregistered'")
    )
    [shown] = (await admin.api.get("/api/v1/devices"))["devices"]
    assert (shown["reachable"], shown["handleFault"]) == (False, "unregistered")
    await house.send(admin.api, bucket)
    await house.pieces.db.write(lambda tx: tx.run("UPDATE deliveries SET due_at = due_at + 1000000"))
    woken = house.wakes.count
    assert (await phone.api.put(f"{DEVICE}/handle", {"handle": house.handle()})).status == 204
    [shown] = (await admin.api.get("/api/v1/devices"))["devices"]
    assert (shown["reachable"], shown["handleFault"]) == (True, None)
    [row] = await house.deliveries(channel="PUSH")
    assert row["due_at"] == house.clock.now
    assert house.wakes.count == woken + 1


@pytest.mark.parametrize("by", ["device", "user"])
async def test_unpairing_deletes_all_of_it(house: House, admin: Person, by: str) -> None:
    """The device, its token, and what waits for it."""
    phone, bucket = await house.phone(admin), await house.bucket(admin)
    await house.send(admin.api, bucket)
    other = await house.register("other")
    assert (await other.api.delete(f"/api/v1/devices/{phone.id}")).status == 404
    if by == "device":
        assert (await phone.api.delete(DEVICE)).status == 204
    else:
        assert (await admin.api.delete(f"/api/v1/devices/{phone.id}")).status == 204
    assert (await phone.api.get(f"{DEVICE}/messages")).code == "device_token_invalid"
    assert (await admin.api.get("/api/v1/devices"))["devices"] == []
    assert await house.deliveries(channel="PUSH") == []
    assert (await house.send(admin.api, bucket)).status == 201


async def test_a_test_push_says_how_far_each_hop_got(house: House, admin: Person) -> None:
    """Nothing has answered yet; then the provider has; then the device."""
    phone = await house.phone(admin)
    other = await house.register("other")
    path = f"/api/v1/devices/{phone.id}/test?wait=0"
    assert (await other.api.post(path)).status == 404
    waiting = (await admin.api.post(path)).json
    assert [(hop["hop"], hop["outcome"]) for hop in waiting["hops"]] == [
        ("server", "stored"),
        ("relay", "waiting"),
        ("provider", "waiting"),
        ("device", "waiting"),
    ]
    assert (waiting["state"], waiting["deviceId"]) == ("queued", phone.id)
    frame = opened(house, phone, (await fetch(phone))["messages"][0]["envelope"])
    assert json.loads(frame.body)["body"] == "Pixel receives messages from this server."


async def test_a_test_push_waits_for_what_becomes_of_it(house: House, admin: Person) -> None:
    """Its answer leaves as soon as the device has reported."""
    phone = await house.phone(admin)
    house.wakes.woken.clear()
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(admin.api.post(f"/api/v1/devices/{phone.id}/test?wait=30"))
        await house.wakes.woken.wait()
        await house.accept_pushes()
        [row] = await house.deliveries(channel="PUSH")
        received = {"messageId": row["frame_id"], "event": "received", "at": house.clock.now}
        await phone.api.post(f"{DEVICE}/receipts", {"receipts": [received]})
    hops = asked.result()["hops"]
    assert [hop["outcome"] for hop in hops] == ["stored", "answered", "accepted", "received"]
    assert hops[3]["at"] == "2027-01-15T08:00:00.000Z"
