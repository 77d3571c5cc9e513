"""What somebody can no longer see or do: after they deleted it, after they left, and after they may less than before."""

from typing import Any

import pytest

from server.commands.due import run_due
from server.domain.bucket import Permission
from tests.harness.native import Native
from tests.server.conftest import House, Person

MESSAGES, NOTIFICATIONS, ATTACHMENTS = "/api/v1/messages", "/api/v1/notifications", "/api/v1/attachments"
HOOK = {"type": "WEBHOOK", "value": "https://shop.example/hook", "title": "Approve"}


@pytest.fixture
async def bucket(house: House, admin: Person) -> str:
    return await house.bucket(admin)


@pytest.fixture
async def bob(house: House, bucket: str) -> Person:
    """A reader."""
    bob = await house.register("bob")
    await house.join(bob, bucket, Permission.READ)
    return bob


async def received(person: Person) -> dict[str, Any]:
    [item] = (await person.api.get(NOTIFICATIONS))["notifications"]
    return dict(item)


async def upload(api: Native) -> str:
    answer = await api.call("POST", ATTACHMENTS, raw=b"hello", headers={"Content-Type": "text/plain"})
    return str(answer["id"])


@pytest.mark.parametrize("ephemeral", [False, True])
async def test_what_somebody_deleted_is_not_theirs_to_see_any_more(
    house: House, admin: Person, bob: Person, bucket: str, *, ephemeral: bool
) -> None:
    """An ephemeral message counts as deleted by whoever has read it. Its sender still sees it, as others do who have it."""
    carol = await house.register("carol")
    await house.join(carol, bucket, Permission.READ)
    file = await upload(admin.api)
    attachments = [{"mediaType": "FILE", "attachmentUuid": file}]
    sent = await house.send(admin.api, bucket, ephemeral=ephemeral, attachments=attachments)
    item = await received(bob)
    paths = f"{MESSAGES}/{sent['id']}", f"{MESSAGES}/{sent['id']}/deliveries", f"{ATTACHMENTS}/{file}"
    assert [(await bob.api.get(path)).status for path in paths] == [200, 200, 200]

    if ephemeral:
        await bob.api.patch(f"{NOTIFICATIONS}/{item['id']}/read")
    else:
        await bob.api.delete(f"{NOTIFICATIONS}/{item['id']}")

    assert [(await bob.api.get(path)).status for path in paths] == [404, 404, 404]
    assert (await bob.api.get(MESSAGES))["messages"] == []
    for other in (admin, carol):
        assert [(await other.api.get(path)).status for path in paths] == [200, 200, 200]
        assert len((await other.api.get(MESSAGES))["messages"]) == 1


async def test_who_may_not_write_any_more_changes_nothing(
    house: House, admin: Person, bob: Person, bucket: str
) -> None:
    """A change speaks to everybody in the bucket, as sending does; taking back one's own words is still possible."""
    members = f"/api/v1/buckets/{bucket}/members"
    await admin.api.patch(f"{members}/bob", {"permissions": ["READ", "WRITE"]})
    sent = await house.send(bob.api, bucket)
    at = f"{MESSAGES}/{sent['id']}"
    assert (await bob.api.patch(at, {"title": "1"})).status == 200
    await admin.api.patch(f"{members}/bob", {"permissions": ["READ"]})
    assert (await bob.api.patch(at, {"title": "2"})).code == "forbidden"
    await admin.api.delete(f"{members}/bob")
    assert (await bob.api.patch(at, {"title": "3"})).code == "forbidden"
    assert (await admin.api.get(at))["title"] == "1"
    assert (await bob.api.delete(at)).status == 204


@pytest.mark.parametrize("permissions", [["READ"], []])
async def test_what_somebody_has_scheduled_is_not_sent_once_they_may_not_write(
    house: House, admin: Person, bob: Person, bucket: str, permissions: list[str]
) -> None:
    """It is taken back at its time; until then it waits, for they may be let in again."""
    member = f"/api/v1/buckets/{bucket}/members/bob"
    await admin.api.patch(member, {"permissions": ["READ", "WRITE"]})
    sent = await house.send(bob.api, bucket, delaySeconds=60)
    if permissions:
        await admin.api.patch(member, {"permissions": permissions})
    else:
        await admin.api.delete(member)
    house.clock.advance(60_000)
    while await run_due(house.pieces.db, now=house.clock(), random=house.random, log=house.pieces.log):
        pass
    assert (await admin.api.get(NOTIFICATIONS))["notifications"] == []
    assert (await bob.api.get(f"{MESSAGES}/{sent['id']}")).code == "message_retracted"


async def test_who_has_left_calls_no_webhook_of_the_bucket(
    house: House, admin: Person, bob: Person, bucket: str
) -> None:
    """It is signed with the bucket's key: whoever receives it takes it for a member's word."""
    await house.send(admin.api, bucket, actions=[HOOK, {"type": "MARK_AS_READ"}])
    at = f"{NOTIFICATIONS}/{(await received(bob))['id']}/actions"
    assert (await bob.api.post(f"{at}/0")).status == 202
    await admin.api.delete(f"/api/v1/buckets/{bucket}/members/bob")
    assert (await bob.api.post(f"{at}/0")).code == "bucket_not_found"
    assert (await bob.api.post(f"{at}/1")).status == 200


async def test_of_a_message_that_was_taken_back_no_file_is_fetched_any_more(
    house: House, admin: Person, bucket: str
) -> None:
    """Neither its address nor its name is kept for that."""
    url = "https://shop.example/secret.png"
    attachments = [{"mediaType": "IMAGE", "url": url, "name": "secret", "saveOnServer": True}]
    sent = await house.send(admin.api, bucket, attachments=attachments)
    assert (await admin.api.delete(f"{MESSAGES}/{sent['id']}")).status == 204
    rows = await house.pieces.db.read(lambda tx: tx.all("SELECT payload FROM outgoing_requests"))
    assert not any("secret" in row["payload"] for row in rows)
