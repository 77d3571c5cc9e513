"""Buttons, pressed with a user's token and with a device's own; and how far the webhooks are that they called."""

from typing import Any

import pytest

from server.domain.times import show_time
from tests.server.conftest import House, Person, Phone

BUTTONS = [
    {"type": "WEBHOOK", "value": "https://shop.example/hook", "title": "Approve"},
    {"type": "MARK_AS_READ"},
    {"type": "DELETE"},
    {"type": "SNOOZE", "value": "30"},
    {"type": "POSTPONE", "value": "60"},
    {"type": "NAVIGATE", "value": "/orders/1"},
]
WEBHOOK, READ, DELETE, SNOOZE, POSTPONE, NAVIGATE = range(6)


@pytest.fixture
async def phone(house: House, admin: Person) -> Phone:
    return await house.phone(admin)


@pytest.fixture
async def item(house: House, admin: Person, phone: Phone) -> dict[str, Any]:
    """A message with every kind of button, as it lies in the inbox of somebody with a phone."""
    assert phone.id
    bucket = await house.bucket(admin)
    tap = {"type": "MARK_AS_READ"}
    sent = await house.send(admin.api, bucket, actions=BUTTONS, tapAction=tap)
    assert sent.status == 201, sent.body
    [found] = (await admin.api.get("/api/v1/notifications"))["notifications"]
    return {**found, "bucketId": bucket}


def at(item: dict[str, Any], rest: str) -> str:
    return f"/api/v1/notifications/{item['id']}/{rest}"


async def frame_of(house: House) -> str:
    [delivery] = await house.deliveries(channel="PUSH", kind=1)
    return str(delivery["frame_id"])


async def test_a_message_is_named_by_its_item_by_itself_and_by_a_frame_of_the_device(
    house: House, admin: Person, phone: Phone, item: dict[str, Any]
) -> None:
    ids = (item["id"], item["messageId"], await frame_of(house))
    for who in (admin.api, phone.api):
        for name in ids:
            answer = await who.post(f"/api/v1/notifications/{name}/actions/{READ}")
            assert (answer.status, answer["type"], answer["state"]) == (200, "MARK_AS_READ", "done")
    assert (await admin.api.get(f"/api/v1/notifications/{item['id']}"))["readAt"] is not None


async def test_a_button_on_one_device_acts_on_the_others(
    house: House, admin: Person, phone: Phone, item: dict[str, Any]
) -> None:
    other = await house.phone(admin)
    await phone.api.post(at(item, f"actions/{READ}"))
    assert await house.deliveries(device_id=phone.id, kind=3) == []
    await phone.api.post(at(item, f"actions/{DELETE}"))
    assert (await admin.api.get(f"/api/v1/notifications/{item['id']}")).code == "notification_gone"
    assert (await phone.api.post(at(item, f"actions/{READ}"))).code == "notification_gone"
    assert other.id


async def test_a_tap_runs_the_tap_action(admin: Person, item: dict[str, Any]) -> None:
    assert (await admin.api.post(at(item, "actions/tap")))["type"] == "MARK_AS_READ"


async def test_snoozing_and_postponing_say_until_when(
    house: House, phone: Phone, admin: Person, item: dict[str, Any]
) -> None:
    now = house.clock()
    snoozed = await phone.api.post(at(item, f"actions/{SNOOZE}"))
    postponed = await phone.api.post(at(item, f"actions/{POSTPONE}"))
    assert [snoozed["type"], postponed["type"]] == ["SNOOZE", "POSTPONE"]
    assert minutes_after(now, 30) == snoozed["until"]
    assert minutes_after(now, 60) == postponed["until"]

    again = await phone.api.post(at(item, "snooze"), {"minutes": 5})
    later = await phone.api.post(at(item, "postpone"), {"minutes": 90})
    assert (again["until"], later["until"]) == (minutes_after(now, 5), minutes_after(now, 90))
    bucket = await admin.api.get(f"/api/v1/buckets/{item['bucketId']}")
    assert bucket["snoozedUntil"] == again["until"]
    shown = await admin.api.get(f"/api/v1/notifications/{item['id']}")
    assert shown["postponedUntil"] == later["until"]


@pytest.mark.parametrize("minutes", [0, 10_081, None, "x", 1.5])
async def test_minutes_are_a_week_at_most(admin: Person, item: dict[str, Any], minutes: object) -> None:
    for what in ("snooze", "postpone"):
        answer = await admin.api.post(at(item, what), {"minutes": minutes})
        assert (answer.status, list(answer.faults)) == (400, ["minutes"])


async def test_what_cannot_be_pressed_says_why(
    house: House, admin: Person, phone: Phone, item: dict[str, Any]
) -> None:
    missing = await admin.api.post(at(item, "actions/6"))
    assert (missing.status, missing.code) == (404, "action_not_found")
    on_device = await phone.api.post(at(item, f"actions/{NAVIGATE}"))
    assert (on_device.status, on_device.code) == (409, "action_is_device")
    unknown = await admin.api.post(f"/api/v1/notifications/{'0' * 8}-0000-7000-8000-{'0' * 12}/actions/0")
    assert (unknown.status, unknown.code) == (404, "notification_not_found")
    stranger = await house.register("stranger")
    for name in (item["id"], item["messageId"], await frame_of(house)):
        answer = await stranger.api.post(f"/api/v1/notifications/{name}/actions/0")
        assert (answer.status, answer.code) == (404, "notification_not_found")
    await admin.api.delete(f"/api/v1/messages/{item['messageId']}")
    for what in ("actions/0", "snooze", "postpone"):
        gone = await phone.api.post(at(item, what), {"minutes": 1})
        assert (gone.status, gone.code) == (410, "notification_gone")


async def test_a_webhook_is_queued_once_while_it_is_tried(
    house: House, admin: Person, phone: Phone, item: dict[str, Any]
) -> None:
    house.wakes.woken.clear()
    first = await phone.api.post(at(item, f"actions/{WEBHOOK}"))
    assert (first.status, first["type"], first["state"]) == (202, "WEBHOOK", "queued")
    assert house.wakes.woken.is_set()
    second = await admin.api.post(at(item, f"actions/{WEBHOOK}"))
    assert second["request"]["id"] == first["request"]["id"]
    listed = (await phone.api.get(at(item, "actions")))["requests"]
    assert listed == [first["request"]]
    assert (listed[0]["action"], listed[0]["attempts"], listed[0]["reason"]) == ("0", 0, None)
    assert "shop.example" not in str(listed)


async def test_a_key_makes_one_webhook_however_often_it_is_sent(
    admin: Person, phone: Phone, item: dict[str, Any]
) -> None:
    async def press(who: Phone | Person, which: int, key: str) -> Any:
        return await who.api.call("POST", at(item, f"actions/{which}"), headers={"Idempotency-Key": key})

    first, again = await press(phone, WEBHOOK, "a"), await press(admin, WEBHOOK, '"a"')
    assert again["request"]["id"] == first["request"]["id"]
    assert (await press(phone, WEBHOOK, "b"))["request"]["id"] != first["request"]["id"]
    assert (await press(phone, WEBHOOK, "x" * 256)).faults == {"Idempotency-Key": "is no key"}
    assert (await press(phone, WEBHOOK, '"a')).json["request"]["id"] != first["request"]["id"]


async def test_a_key_is_good_for_one_button(house: House, admin: Person, item: dict[str, Any]) -> None:
    sent = await house.send(admin.api, item["bucketId"], actions=BUTTONS[:1])
    paths = (at(item, "actions/0"), f"/api/v1/notifications/{sent['id']}/actions/0")
    answers = [await admin.api.call("POST", path, headers={"Idempotency-Key": "k"}) for path in paths]
    assert [answer.status for answer in answers] == [202, 409]
    assert answers[1].code == "idempotency_key_reused"


async def test_the_webhook_secret_is_for_the_admins_of_the_bucket(
    house: House, admin: Person, item: dict[str, Any]
) -> None:
    path = f"/api/v1/buckets/{item['bucketId']}/webhook-secret"
    secret = (await admin.api.get(path))["secret"]
    house.secrets.append(secret)
    assert secret.startswith("whsec_")
    assert (await admin.api.get(path))["secret"] == secret
    replaced = (await admin.api.post(f"{path}/rotate"))["secret"]
    assert replaced != secret
    assert (await admin.api.get(path))["secret"] == replaced

    reader = await house.register("reader")
    assert (await reader.api.get(path)).code == "bucket_not_found"
    await house.join(reader, item["bucketId"])
    for answer in (await reader.api.get(path), await reader.api.post(f"{path}/rotate")):
        assert (answer.status, answer.code) == (403, "bucket_forbidden")


def minutes_after(now: int, minutes: int) -> str:
    return show_time(now + minutes * 60_000)
