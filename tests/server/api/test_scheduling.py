"""Messages that are sent later: at an instant, at a local time, or after some seconds. The clock is 2027-01-15T08:00:00Z."""

from typing import Any

import pytest
import structlog

from server.commands.due import prepare_tasks, run_due
from server.domain.bucket import Permission
from server.domain.task import Kind
from server.store.tallies import audit
from tests.harness.native import Native, Reply
from tests.server.conftest import House, Person

MESSAGES = "/api/v1/messages"
NOON = "2027-01-15T12:00:00.000Z"
FOUR_HOURS = 4 * 3_600_000


async def run_tasks(house: House) -> list[Kind]:
    """Do what is due, as a scheduler does, and return what that was."""
    done = []
    while task := await run_due(
        house.pieces.db, now=house.clock(), random=house.random, log=structlog.get_logger()
    ):
        done.append(task.kind)
    return done


async def seen(api: Native) -> list[str]:
    return [message["id"] for message in (await api.get(MESSAGES))["messages"]]


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({"scheduledSendAt": "2027-01-15T12:00:00Z"}, NOON),
        ({"scheduledSendAt": "2027-01-15T13:00:00+01:00"}, NOON),
        ({"scheduledSendAt": "2027-01-15T13:00:00", "timezone": "Europe/Berlin"}, NOON),
        ({"scheduledSendAt": "2027-01-15T12:00:00Z", "timezone": "Asia/Tokyo"}, NOON),
        ({"delaySeconds": 14_400}, NOON),
        ({"delaySeconds": 1}, "2027-01-15T08:00:01.000Z"),
        ({"delaySeconds": 86_400}, "2027-01-16T08:00:00.000Z"),
        ({"scheduledSendAt": "2027-03-28T02:30:00", "timezone": "Europe/Berlin"}, "2027-03-28T01:30:00.000Z"),
        ({"scheduledSendAt": "2027-10-31T02:30:00", "timezone": "Europe/Berlin"}, "2027-10-31T00:30:00.000Z"),
        ({"scheduledSendAt": "2028-01-16T08:00:00Z"}, "2028-01-16T08:00:00.000Z"),
    ],
)
async def test_a_message_says_when_it_will_be_sent(
    house: House, admin: Person, more: dict[str, Any], shown: str
) -> None:
    """A time that is skipped moves forward, of one that is repeated the first counts; its life begins when it is sent."""
    bucket = await house.bucket(admin)
    sent = await house.send(admin.api, bucket, **more)
    assert sent.status == 201
    assert (sent["scheduledSendAt"], sent["notificationsCount"]) == (shown, 0)
    assert sent["createdAt"] == "2027-01-15T08:00:00.000Z"
    assert sent["expiresAt"] > shown
    assert (await admin.api.get(f"{MESSAGES}/{sent['id']}")).json == sent.json
    assert house.wakes.count == 1


@pytest.mark.parametrize(
    ("more", "faults"),
    [
        ({"scheduledSendAt": "2027-01-15T08:00:00Z"}, {"scheduledSendAt": "has passed"}),
        ({"scheduledSendAt": "2020-01-01T00:00:00Z"}, {"scheduledSendAt": "has passed"}),
        ({"scheduledSendAt": "2028-01-16T08:00:00.001Z"}, {"scheduledSendAt": "is more than a year ahead"}),
        ({"scheduledSendAt": "9999-12-31T23:59:59-23:59"}, {"scheduledSendAt": "is not a time (RFC 3339)"}),
        ({"scheduledSendAt": "soon"}, {"scheduledSendAt": "is not a time (RFC 3339)"}),
        ({"scheduledSendAt": 1_900_000_000}, {"scheduledSendAt": "is not a time (RFC 3339)"}),
        ({"scheduledSendAt": "2027-01-15T12:00:00"}, {"scheduledSendAt": "has no offset"}),
        ({"timezone": "Mars/Base"}, {"timezone": "is not a time zone"}),
        (
            {"scheduledSendAt": "2027-01-15T12:00:00", "timezone": "Mars/Base"},
            {"timezone": "is not a time zone"},
        ),
        ({"timezone": "../../etc/passwd"}, {"timezone": "is not a time zone"}),
        ({"delaySeconds": 5, "scheduledSendAt": NOON}, {"delaySeconds": "is given beside scheduledSendAt"}),
    ],
)
async def test_a_time_that_cannot_be_kept_is_refused(
    house: House, admin: Person, more: dict[str, Any], faults: dict[str, str]
) -> None:
    bucket = await house.bucket(admin)
    refused = await house.send(admin.api, bucket, **more)
    assert (refused.status, refused.faults) == (400, faults)


@pytest.mark.parametrize("delay", [0, -1, 86_401, 1.5, "soon", True, 10**30, [], {}])
async def test_a_delay_is_a_number_of_seconds_up_to_a_day(house: House, admin: Person, delay: object) -> None:
    refused = await house.send(admin.api, await house.bucket(admin), delaySeconds=delay)
    assert refused.status == 400
    assert refused.faults.keys() == {"delaySeconds"}


async def test_nobody_gets_it_before_its_time_and_everybody_then(house: House, admin: Person) -> None:
    """Its readers see it when it is sent, as old as its sending; its sender sees it at once."""
    friend, bucket = await house.register("friend"), await house.bucket(admin)
    await house.join(friend, bucket, Permission.READ)
    await house.phone(friend)
    sent = await house.send(admin.api, bucket, delaySeconds=300)
    assert (await seen(admin.api), await seen(friend.api)) == ([sent["id"]], [])
    assert (await friend.api.get(f"{MESSAGES}/{sent['id']}")).status == 404

    house.clock.advance(300_000 - 1)
    assert Kind.SEND not in await run_tasks(house)
    assert await house.deliveries() == []
    house.clock.advance(1)
    late = await house.phone(friend)  # who it reaches is seen when it is sent
    assert await run_tasks(house) == [Kind.SEND]
    pushes = await house.deliveries(channel="PUSH", state="queued")
    assert (len(pushes), late.id in {row["device_id"] for row in pushes}) == (2, True)
    assert {row["created_at"] for row in pushes} == {house.clock()}
    message = (await admin.api.get(f"{MESSAGES}/{sent['id']}")).json
    assert message == {**sent.json, "notificationsCount": 2}
    assert (await friend.api.get(f"{MESSAGES}/{sent['id']}")).json == message
    assert await run_tasks(house) == []
    assert (await house.pieces.db.read(audit)).holds


async def test_what_is_cancelled_before_its_time_is_never_sent(house: House, admin: Person) -> None:
    bucket = await house.bucket(admin)
    await house.phone(admin)
    sent = await house.send(admin.api, bucket, delaySeconds=60)
    assert (await admin.api.delete(f"{MESSAGES}/{sent['id']}")).status == 204
    house.clock.advance(60_000)
    assert await run_tasks(house) == []
    assert await house.deliveries() == []
    assert (await admin.api.get(f"{MESSAGES}/{sent['id']}")).status == 410


async def test_a_server_that_was_away_sends_what_has_come_due_in_the_order_of_its_times(
    house: House, admin: Person
) -> None:
    """Once: also where the clock goes back and forth."""
    bucket = await house.bucket(admin)
    await house.phone(admin)
    planned = [(await house.send(admin.api, bucket, delaySeconds=delay))["id"] for delay in (30, 10, 20)]
    await prepare_tasks(house.pieces.db, house.clock())  # as a server that starts
    house.clock.advance(3_600_000)
    assert (await run_tasks(house)).count(Kind.SEND) == 3
    house.clock.advance(-3_600_000)
    assert await run_tasks(house) == []
    house.clock.advance(7_200_000)
    assert Kind.SEND not in await run_tasks(house)
    pushes = sorted(await house.deliveries(channel="PUSH"), key=lambda row: int(row["sequence"]))
    assert [row["message_id"] for row in pushes] == [planned[1], planned[2], planned[0]]


async def test_a_clock_that_is_put_back_keeps_what_is_planned_for_its_time(
    house: House, admin: Person
) -> None:
    bucket = await house.bucket(admin)
    await house.send(admin.api, bucket, scheduledSendAt=NOON)
    house.clock.advance(-3_600_000)
    assert await run_tasks(house) == []
    house.clock.advance(FOUR_HOURS + 3_600_000 - 1)
    assert await run_tasks(house) == []
    house.clock.advance(1)
    assert await run_tasks(house) == [Kind.SEND]


async def test_it_is_sent_with_what_it_was_sent_as(house: House, admin: Person) -> None:
    """Named users and the kind of the message; who left meanwhile gets nothing."""
    friend, gone, bucket = (
        await house.register("friend"),
        await house.register("gone"),
        await house.bucket(admin),
    )
    for person in (friend, gone):
        await house.join(person, bucket, Permission.READ)
        await house.phone(person)
    sent: Reply = await house.send(
        admin.api, bucket, delaySeconds=1, userIds=["friend", "gone"], deliveryType="CRITICAL"
    )
    sql = "DELETE FROM bucket_members WHERE user_id = $1"
    await house.pieces.db.write(lambda tx: tx.run(sql, gone.id))
    house.clock.advance(1000)
    assert await run_tasks(house) == [Kind.SEND]
    [push] = await house.deliveries(channel="PUSH")
    assert (push["user_id"], push["turn"] < house.clock()) == (friend.id, True)
    assert (await admin.api.get(f"{MESSAGES}/{sent['id']}"))["notificationsCount"] == 1
