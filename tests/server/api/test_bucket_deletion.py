"""Deleting a bucket: nobody sees it from then on, its messages vanish from the devices, and every delivery stays in the book."""

import asyncio

from server.commands.due import run_due
from server.domain.bucket import Permission
from server.domain.delivery import DAYS_KEPT
from server.domain.file import StoredFile
from server.domain.ports import Transaction
from server.store import attachments, tallies
from tests.server.conftest import House, Person

BUCKETS = "/api/v1/buckets"
DAY = 86_400_000


async def run_tasks(house: House) -> int:
    """Do all that is due; return how many steps that took."""
    steps = 0
    while await run_due(house.pieces.db, now=house.clock(), random=house.random, log=house.pieces.log):
        steps += 1
    return steps


async def count(house: House, table: str) -> int:
    row = await house.pieces.db.read(lambda tx: tx.one(f"SELECT COUNT(*) AS n FROM {table}"))  # noqa: S608 - ours
    assert row is not None
    return int(row["n"])


async def holds(house: House) -> bool:
    return (await house.pieces.db.read(tallies.audit)).holds


async def test_a_deleted_bucket_is_gone_for_everybody_at_once(house: House, admin: Person) -> None:
    """Its name is free again."""
    bucket, other = await house.bucket(admin, "News"), await house.register("other")
    await admin.api.patch(f"{BUCKETS}/{bucket}", {"public": True})
    await house.join(other, bucket, Permission.READ, Permission.WRITE)
    invited = await admin.api.post("/api/v1/invitations", {"bucketId": bucket})
    before = house.wakes.count
    assert (await admin.api.delete(f"{BUCKETS}/News")).status == 204
    assert house.wakes.count > before
    for person in (admin, other):
        assert (await person.api.get(f"{BUCKETS}/{bucket}")).code == "bucket_not_found"
        assert (await person.api.delete(f"{BUCKETS}/{bucket}")).code == "bucket_not_found"
        assert (await house.send(person.api, bucket)).code == "bucket_not_found"
        assert (await person.api.post(f"{BUCKETS}/{bucket}/join")).code == "bucket_not_found"
    third = await house.register("third")
    accepted = await third.api.post("/api/v1/invitations/accept", {"code": invited["code"]})
    assert accepted.code == "invitation_invalid"
    assert await house.bucket(admin, "News") != bucket


async def test_its_messages_vanish_from_the_devices(house: House, admin: Person) -> None:
    """By notices to those that may have them; what still waited never goes out, and what was planned is not sent."""
    phone, bucket = await house.phone(admin), await house.bucket(admin)
    sent = await house.send(admin.api, bucket)
    await house.accept_pushes()
    await house.send(admin.api, bucket)
    await house.send(admin.api, bucket, delaySeconds=60)
    await house.send(admin.api, "default")
    await admin.api.delete(f"{BUCKETS}/{bucket}")
    await run_tasks(house)
    [notice] = await house.deliveries(kind=2)
    assert sent["id"] in notice["body"]
    assert len(await house.deliveries(state="cancelled")) == 1
    fetched = await phone.api.get("/api/v1/device/messages")
    assert sent["id"] in fetched["retracted"]
    assert sum("envelope" in named for named in fetched["messages"]) == 1  # of the other bucket
    house.clock.advance(60_000)
    await run_tasks(house)
    assert len(await house.deliveries(kind=2)) == 1
    assert (await admin.api.get(f"/api/v1/messages/{sent['id']}")).code == "message_retracted"
    assert await holds(house)


async def test_a_large_bucket_is_emptied_a_few_messages_at_a_time(house: House, admin: Person) -> None:
    bucket = await house.bucket(admin)
    for _ in range(45):
        assert (await house.send(admin.api, bucket)).status == 201
        house.clock.advance(1)
    await admin.api.delete(f"{BUCKETS}/{bucket}")
    assert await run_tasks(house) == 4  # 20, 20, 5, and to see that there are no more
    rows = await house.pieces.db.read(lambda tx: tx.all("SELECT content FROM messages"))
    assert [row["content"] for row in rows] == [None] * 45


async def test_what_is_left_goes_when_no_device_can_ask_for_it(house: House, admin: Person) -> None:
    """With its deliveries, through the book."""
    await house.phone(admin)
    bucket = await house.bucket(admin)
    await house.send(admin.api, bucket)
    await house.accept_pushes()
    await house.send(admin.api, bucket)
    await admin.api.delete(f"{BUCKETS}/{bucket}")
    await run_tasks(house)
    house.clock.advance(DAYS_KEPT * DAY - 1)
    await run_tasks(house)
    assert await count(house, "messages") == 2
    house.clock.advance(1)
    await run_tasks(house)
    assert [await count(house, table) for table in ("messages", "inbox_items", "tasks")] == [0, 0, 0]
    assert await count(house, "buckets") == 1
    assert len(await house.deliveries()) == len(await house.deliveries(kind=2))
    assert await holds(house)


async def test_files_that_are_named_to_the_last_go_with_what_names_them(house: House, admin: Person) -> None:
    """Where a message was given one after it was taken back."""
    bucket = await house.bucket(admin)
    sent = await house.send(admin.api, bucket)
    await admin.api.delete(f"{BUCKETS}/{bucket}")
    await run_tasks(house)

    async def name_late(tx: Transaction) -> None:
        file = StoredFile("a-file", admin.id, "a.txt", "text/plain", 1, b"sum", house.clock())
        await attachments.add_attachment(tx, file)
        await attachments.link(tx, sent["id"], file.id)

    await house.pieces.db.write(name_late)
    house.clock.advance(DAYS_KEPT * DAY)
    await run_tasks(house)
    assert [await count(house, table) for table in ("messages", "attachments")] == [0, 0]


async def test_what_comes_in_the_same_moment_is_taken_back_as_well(house: House, admin: Person) -> None:
    """Where a sender has found the bucket just before."""
    bucket = await house.bucket(admin)
    await admin.api.delete(f"{BUCKETS}/{bucket}")
    await run_tasks(house)
    late = await house.send(admin.api, "default")
    await house.pieces.db.write(
        lambda tx: tx.run("UPDATE messages SET bucket_id = $2 WHERE id = $1", late["id"], bucket)
    )
    house.clock.advance(3_600_000)
    await run_tasks(house)
    [row] = await house.pieces.db.read(lambda tx: tx.all("SELECT content, retracted_at FROM messages"))
    assert (row["content"], row["retracted_at"]) == (None, house.clock())


async def test_messages_that_are_sent_while_it_is_deleted_lose_no_delivery(
    house: House, admin: Person
) -> None:
    """Whichever comes first."""
    await house.phone(admin)
    bucket = await house.bucket(admin)
    sends = [house.send(admin.api, bucket) for _ in range(10)]
    answers = await asyncio.gather(*sends[:5], admin.api.delete(f"{BUCKETS}/{bucket}"), *sends[5:])
    assert {answer.status for answer in answers} <= {201, 204, 404}
    await run_tasks(house)
    for _ in range(2):
        house.clock.advance(3_600_000)
        await run_tasks(house)
    assert await holds(house)
    house.clock.advance(DAYS_KEPT * DAY)
    await run_tasks(house)
    assert await count(house, "messages") == 0
    assert await holds(house)
