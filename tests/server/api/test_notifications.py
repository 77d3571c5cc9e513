"""The inbox: what is listed, counted and marked, by whom."""

import pytest

from server.domain.times import show_time
from tests.harness.native import Native, Reply
from tests.server.conftest import House, Person

INBOX = "/api/v1/notifications"


async def send(house: House, sender: Person, bucket: str, *titles: str) -> None:
    """Send messages a second apart."""
    for title in titles:
        house.clock.advance(1000)
        answer = await house.send(sender.api, bucket, title=title)
        assert answer.status == 201, answer.body


def titles(page: Reply) -> list[str]:
    return [item["message"]["title"] for item in page["notifications"]]


async def ids(api: Native) -> dict[str, str]:
    """Return what is in an inbox: ids by title."""
    page = await api.get(f"{INBOX}?limit=100")
    return {item["message"]["title"]: item["id"] for item in page["notifications"]}


async def patch(api: Native, item: str, mark: str) -> Reply:
    return await api.call("PATCH", f"{INBOX}/{item}/{mark}")


async def test_an_item_is_a_message_and_what_became_of_it(house: House, admin: Person) -> None:
    bucket = await house.bucket(admin)
    sent = await house.send(admin.api, bucket, title="Hello")

    page = await admin.api.get(INBOX)

    [item] = page["notifications"]
    assert item == {
        "id": item["id"],
        "messageId": sent["id"],
        "message": sent.json,
        "seenAt": None,
        "readAt": None,
        "postponedUntil": None,
        "createdAt": show_time(house.clock()),
    }
    assert page["nextCursor"] is None
    assert (await admin.api.get(f"{INBOX}/{item['id'].upper()}")).json == item


async def test_pages_are_the_newest_first_and_stay_right_while_things_change(
    house: House, admin: Person
) -> None:
    bucket = await house.bucket(admin)
    await send(house, admin, bucket, *"abcdefg")

    first = await admin.api.get(f"{INBOX}?limit=3")
    there = await ids(admin.api)
    await send(house, admin, bucket, "new")
    await patch(admin.api, there["d"], "read")
    assert (await admin.api.delete(f"{INBOX}/{there['c']}")).status == 204
    second = await admin.api.get(f"{INBOX}?limit=3&cursor={first['nextCursor']}")

    assert titles(first) == ["g", "f", "e"]
    assert titles(second) == ["d", "b", "a"]
    assert second["nextCursor"] is None


async def test_a_list_is_of_a_bucket_of_what_is_unread_or_of_what_came_since(
    house: House, admin: Person
) -> None:
    one, two = await house.bucket(admin, "One"), await house.bucket(admin, "Two")
    await send(house, admin, one, "a", "b")
    since = show_time(house.clock())
    await send(house, admin, two, "c", "d")
    there = await ids(admin.api)
    await patch(admin.api, there["b"], "read")
    await patch(admin.api, there["c"], "read")

    async def asked(query: str) -> list[str]:
        return titles(await admin.api.get(f"{INBOX}?{query}"))

    assert await asked(f"bucketId={one}") == await asked("bucketId=One") == ["b", "a"]
    assert await asked("unread=true") == ["d", "a"]
    assert await asked(f"unread=true&bucketId={two.upper()}") == ["d"]
    assert await asked(f"since={since}") == ["d", "c", "b"]
    assert await asked(f"since={since}&unread=true") == ["d"]
    assert await asked(f"bucketId={admin.id}") == []  # an id of nothing that is here
    assert (await admin.api.get(f"{INBOX}?bucketId=Nowhere")).code == "bucket_not_found"


async def test_every_fault_of_a_query_is_named(admin: Person) -> None:
    answer = await admin.api.get(f"{INBOX}?limit=101&cursor=x&since=yesterday&unread=yes")

    assert answer.status == 400
    assert answer.faults == {
        "?limit": "is no such number",
        "?cursor": "is not an id",
        "?since": "is not a time (RFC 3339)",
        "?unread": "is neither true nor false",
    }


async def test_counts_say_how_much_is_unread_in_which_bucket(house: House, admin: Person) -> None:
    one, two = await house.bucket(admin, "One"), await house.bucket(admin, "Two")
    assert (await admin.api.get(f"{INBOX}/counts")).json == {
        "total": 0,
        "unseen": 0,
        "unread": 0,
        "buckets": [],
    }
    await send(house, admin, one, "a", "b", "c")
    await send(house, admin, two, "d", "e")
    there = await ids(admin.api)
    await patch(admin.api, there["d"], "read")
    await patch(admin.api, there["e"], "read")
    await admin.api.delete(f"{INBOX}/{there['a']}")

    counts = await admin.api.get(f"{INBOX}/counts")

    assert counts.json == {
        "total": 4,
        "unseen": 2,
        "unread": 2,
        "buckets": [{"bucketId": one, "unread": 2}],
    }


async def test_marks_are_absolute(house: House, admin: Person) -> None:
    bucket = await house.bucket(admin)
    await send(house, admin, bucket, "a")
    item = (await ids(admin.api))["a"]

    first = await patch(admin.api, item, "read")
    read_at = show_time(house.clock())
    house.clock.advance(1000)
    again = await patch(admin.api, item, "read")

    assert (first.status, first["readAt"]) == (200, read_at)
    assert again.json == first.json
    assert (await patch(admin.api, item, "unread"))["readAt"] is None
    assert (await patch(admin.api, item, "unread"))["readAt"] is None


async def test_what_is_read_is_seen_and_stays_so_when_it_is_unread_again(house: House, admin: Person) -> None:
    bucket = await house.bucket(admin)
    await send(house, admin, bucket, "a", "b")
    item = (await ids(admin.api))["a"]

    read = await patch(admin.api, item, "read")
    unread = await patch(admin.api, item, "unread")

    assert read["seenAt"] == read["readAt"] == unread["seenAt"] == show_time(house.clock())
    assert unread["readAt"] is None
    counts = await admin.api.get(f"{INBOX}/counts")
    assert (counts["unseen"], counts["unread"]) == (1, 2)


async def test_reading_clears_the_devices_and_deleting_takes_it_from_them(
    house: House, admin: Person
) -> None:
    bucket = await house.bucket(admin)
    phone = await house.phone(admin)
    await send(house, admin, bucket, "a", "b")
    await house.accept_pushes()
    there, woken = await ids(admin.api), house.wakes.count

    await patch(admin.api, there["a"], "read")
    await admin.api.delete(f"{INBOX}/{there['b']}")

    kinds = [row["kind"] for row in await house.deliveries(device_id=phone.id)]
    assert sorted(kinds) == [1, 1, 2, 3]
    assert house.wakes.count > woken


async def test_what_is_deleted_or_retracted_is_gone_and_deleting_it_again_does_nothing(
    house: House, admin: Person
) -> None:
    bucket = await house.bucket(admin)
    await send(house, admin, bucket, "a", "b")
    there = await ids(admin.api)
    deleted = await admin.api.delete(f"{INBOX}/{there['a']}")
    message = (await admin.api.get(f"{INBOX}/{there['b']}"))["messageId"]
    await admin.api.delete(f"/api/v1/messages/{message}")

    assert deleted.status == 204
    for item in there.values():
        assert (await admin.api.delete(f"{INBOX}/{item}")).status == 204
        for answer in (
            await admin.api.get(f"{INBOX}/{item}"),
            await patch(admin.api, item, "read"),
            await patch(admin.api, item, "unread"),
        ):
            assert (answer.status, answer.code) == (410, "notification_gone")
    assert await ids(admin.api) == {}
    assert (await admin.api.get(f"{INBOX}/counts"))["total"] == 0


async def test_nobody_else_sees_or_marks_it(house: House, admin: Person) -> None:
    bucket = await house.bucket(admin)
    await send(house, admin, bucket, "a")
    item = (await ids(admin.api))["a"]
    stranger = await house.register("stranger")

    answers = [
        await stranger.api.get(f"{INBOX}/{item}"),
        await patch(stranger.api, item, "read"),
        await patch(stranger.api, item, "unread"),
        await stranger.api.delete(f"{INBOX}/{item}"),
    ]

    assert {(answer.status, answer.code) for answer in answers} == {(404, "notification_not_found")}
    assert await ids(stranger.api) == {}
    assert (await admin.api.get(f"{INBOX}/{item}"))["readAt"] is None


async def test_a_token_that_reads_does_not_mark(house: House, admin: Person) -> None:
    bucket = await house.bucket(admin)
    await send(house, admin, bucket, "a")
    reader = await house.token(admin, "messages:read")
    item = (await ids(reader))["a"]

    assert (await reader.get(f"{INBOX}/counts"))["unread"] == 1
    for answer in (
        await patch(reader, item, "read"),
        await reader.post(f"{INBOX}/read-all"),
        await reader.delete(f"{INBOX}/{item}"),
    ):
        assert (answer.status, answer.code) == (403, "scope_missing")


async def test_all_is_read_up_to_an_instant_in_one_bucket_or_in_all(house: House, admin: Person) -> None:
    one, two = await house.bucket(admin, "One"), await house.bucket(admin, "Two")
    await send(house, admin, one, "a", "b")
    await send(house, admin, two, "c")
    before = show_time(house.clock() + 1)
    await send(house, admin, one, "d")

    marked = [
        (await admin.api.post(f"{INBOX}/read-all", body)).json
        for body in ({"bucketId": "One", "before": before}, {"before": before}, None, None)
    ]

    assert marked == [{"marked": 2}, {"marked": 1}, {"marked": 1}, {"marked": 0}]
    assert (await admin.api.get(f"{INBOX}/counts"))["unread"] == 0
    refused = await admin.api.post(f"{INBOX}/read-all", {"bucketId": 5, "before": "soon"})
    assert refused.faults == {"bucketId": "is a number", "before": "is not a time (RFC 3339)"}


async def test_all_is_read_however_many_pages_that_takes(
    house: House, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.commands.inbox.AT_ONCE", 3)
    bucket = await house.bucket(admin)
    phone = await house.phone(admin)
    await send(house, admin, bucket, *"abcdefg")
    await house.accept_pushes()

    assert (await admin.api.post(f"{INBOX}/read-all"))["marked"] == 7

    assert len(await house.deliveries(device_id=phone.id, kind=3)) == 3
    assert (await admin.api.get(f"{INBOX}/counts"))["unread"] == 0


async def test_words_in_the_place_of_an_id_are_no_ids(admin: Person) -> None:
    assert (await admin.api.get(f"{INBOX}/count")).status == 404
    assert (await admin.api.get(f"{INBOX}/read-all")).status == 405
    assert (await admin.api.delete(f"{INBOX}/counts")).status == 405
