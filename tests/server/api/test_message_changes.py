"""`PATCH /api/v1/messages/{id}`: who may change what, what is refused, and when it is sent then."""

from typing import Any

import pytest
import structlog

from server.commands.due import run_due
from server.domain.bucket import Permission
from server.domain.task import Kind
from tests.harness.native import Native, Reply
from tests.server.conftest import House, Person

MESSAGES = "/api/v1/messages"
FULL = {
    "subtitle": "s",
    "body": "b",
    "locale": "de",
    "tags": ["a"],
    "actions": [{"type": "MARK_AS_READ"}],
    "tapUrl": "https://example.org/1",
    "sound": "ping",
    "snoozes": [5],
    "postpones": [10],
}
NAVIGATE = {"type": "NAVIGATE", "value": "https://example.org/1"}


async def patch(api: Native, message: Reply, **changed: Any) -> Reply:
    return await api.patch(f"{MESSAGES}/{message['id']}", changed)


async def run_tasks(house: House) -> list[Kind]:
    done = []
    while task := await run_due(
        house.pieces.db, now=house.clock(), random=house.random, log=structlog.get_logger()
    ):
        done.append(task.kind)
    return done


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"title": "New"}, {"title": "New"}),
        ({"title": None}, {"title": "Hello"}),
        ({"subtitle": None, "body": ""}, {"subtitle": None, "body": None}),
        ({"body": "new\ntext", "locale": "en-GB"}, {"body": "new\ntext", "locale": "en-GB"}),
        (
            {"tags": ["b", "c"], "snoozes": [], "postpones": None},
            {"tags": ["b", "c"], "snoozes": [], "postpones": []},
        ),
        ({"actions": [], "sound": None}, {"actions": [], "sound": None}),
        (
            {"actions": [{"type": "OPEN_URL", "value": "/x"}]},
            {"actions": [{"type": "NAVIGATE", "value": "/x"}]},
        ),
        ({"tapAction": None}, {"tapAction": None}),
        ({"tapUrl": None}, {"tapAction": None}),
        ({"tapAction": {"type": "DISMISS"}, "tapUrl": "/y"}, {"tapAction": {"type": "DISMISS"}}),
        ({"tapUrl": "/y"}, {"tapAction": {"type": "NAVIGATE", "value": "/y"}}),
        ({"unknown": 1}, {}),
        ({}, {}),
    ],
)
async def test_what_a_message_says_can_be_changed(
    house: House, admin: Person, changed: dict[str, Any], shown: dict[str, Any]
) -> None:
    """What is left out stays, a null takes away; the answer is the message as it is now."""
    sent = await house.send(admin.api, await house.bucket(admin), **FULL)
    assert sent["tapAction"] == NAVIGATE
    house.clock.advance(1000)
    answer = await patch(admin.api, sent, **changed)
    assert answer.status == 200
    differs = any(sent[name] != value for name, value in shown.items())
    updated = "2027-01-15T08:00:01.000Z" if differs else None
    assert answer.json == {**sent.json, **shown, "updatedAt": updated}
    assert (await admin.api.get(f"{MESSAGES}/{sent['id']}")).json == answer.json


@pytest.mark.parametrize(
    ("changed", "faults"),
    [
        ({"title": ""}, {"title"}),
        ({"title": "x" * 101, "body": "x" * 501, "locale": "?"}, {"title", "body", "locale"}),
        ({"actions": [{"type": "WEBHOOK"}]}, {"actions[0].value"}),
        ({"snoozes": [0]}, {"snoozes[0]"}),
        ({"tapUrl": "javascript:x"}, {"tapUrl"}),
        ({"bucketId": "other", "deliveryType": "SILENT"}, {"bucketId", "deliveryType"}),
        ({"attachments": [], "imageUrl": None, "userIds": ["x"]}, {"attachments", "imageUrl", "userIds"}),
        (
            {"ephemeral": True, "maxReminders": 3, "collapseId": "c"},
            {"ephemeral", "maxReminders", "collapseId"},
        ),
        ({"delaySeconds": 0}, {"delaySeconds"}),
        ({"scheduledSendAt": "2027-01-15T07:00:00Z"}, {"scheduledSendAt"}),
    ],
)
async def test_what_cannot_be_so_is_refused_all_at_once(
    house: House, admin: Person, changed: dict[str, Any], faults: set[str]
) -> None:
    sent = await house.send(admin.api, await house.bucket(admin))
    refused = await patch(admin.api, sent, **changed)
    assert (refused.status, set(refused.faults)) == (400, faults)
    assert (await admin.api.get(f"{MESSAGES}/{sent['id']}")).json == sent.json


async def test_the_sender_may_and_an_admin_of_the_bucket(house: House, admin: Person) -> None:
    bucket = await house.bucket(admin)
    people = {}
    for name, permission in (
        ("sender", Permission.WRITE),
        ("boss", Permission.ADMIN),
        ("cleaner", Permission.DELETE),
        ("reader", Permission.READ),
    ):
        people[name] = await house.register(name)
        await house.join(people[name], bucket, permission)
    stranger = await house.register("stranger")
    sent = await house.send(people["sender"].api, bucket)
    codes = [(await patch(people[name].api, sent, body=name)).status for name in people]
    assert codes == [200, 200, 403, 403]
    missing = await patch(stranger.api, sent, body="x")
    assert (missing.status, missing.code) == (404, "message_not_found")
    token = await house.token(admin, "messages:create", "messages:read")
    assert (await patch(token, sent, body="x")).status == 403


async def test_what_was_retracted_stays_so(house: House, admin: Person) -> None:
    sent = await house.send(admin.api, await house.bucket(admin))
    await admin.api.delete(f"{MESSAGES}/{sent['id']}")
    gone = await patch(admin.api, sent, title="again")
    assert (gone.status, gone.code) == (410, "message_retracted")


async def test_what_is_still_to_be_sent_can_be_sent_at_another_time(house: House, admin: Person) -> None:
    """It is as old as its sending then, and lives as long as before."""
    await house.phone(admin)
    sent = await house.send(admin.api, await house.bucket(admin), delaySeconds=3600)
    moved = await patch(
        admin.api, sent, scheduledSendAt="2027-01-15T09:10:00", timezone="Europe/Berlin", title="Later"
    )
    assert (moved["scheduledSendAt"], moved["title"]) == ("2027-01-15T08:10:00.000Z", "Later")
    assert moved["expiresAt"] == "2027-02-12T08:10:00.000Z"
    house.clock.advance(10 * 60_000 - 1)
    assert Kind.SEND not in await run_tasks(house)
    sooner = await patch(admin.api, sent, delaySeconds=1)
    assert sooner["scheduledSendAt"] == "2027-01-15T08:10:00.999Z"
    house.clock.advance(1000)
    assert await run_tasks(house) == [Kind.SEND]
    [push] = await house.deliveries(channel="PUSH")
    assert push["created_at"] == house.clock()
    late = await patch(admin.api, sent, delaySeconds=1)
    assert (late.status, late.code) == (409, "already_sent")


async def test_a_change_wakes_the_workers_and_shows_in_the_inbox(house: House, admin: Person) -> None:
    sent = await house.send(admin.api, await house.bucket(admin))
    before, wakes = house.clock(), house.wakes.count
    house.clock.advance(1000)
    await patch(admin.api, sent, title="New")
    assert house.wakes.count == wakes + 1
    assert Kind.UPDATE in await run_tasks(house)
    [item] = await house.pieces.db.read(lambda tx: tx.all("SELECT changed_at FROM inbox_items"))
    assert item["changed_at"] == before + 1000
