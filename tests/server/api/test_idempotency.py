"""Repeated sends: a request with an idempotency key makes its message once, however often and wherever it arrives in a day."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from server.commands.repeats import KEPT
from server.config import Settings
from server.domain.times import show_time
from server.store.tallies import audit
from tests.harness.native import Native, Reply
from tests.server.conftest import House, Person

MESSAGES = "/api/v1/messages"


async def send(sender: Native, bucket: str, key: str, **more: object) -> Reply:
    body = {"title": "Hello", "bucketId": bucket, "deliveryType": "NORMAL", **more}
    return await sender.call("POST", MESSAGES, body, headers={"Idempotency-Key": key})


async def count(house: House, table: str) -> int:
    row = await house.pieces.db.read(lambda tx: tx.one(f"SELECT COUNT(*) AS n FROM {table}"))  # noqa: S608 - our names
    assert row is not None
    return int(row["n"])


async def test_a_hundred_requests_at_once_make_one_message(house: House, admin: Person) -> None:
    """Those that come while the first is worked on are told when to ask again, and then get its answer."""
    bucket = await house.bucket(admin)
    phones = [await house.phone(admin) for _ in range(2)]
    answers = await asyncio.gather(*(send(admin.api, bucket, "k") for _ in range(100)))
    statuses = Counter(answer.status for answer in answers)
    assert statuses.keys() <= {201, 409}
    assert len({answer["id"] for answer in answers if answer.status == 201}) == 1
    assert sum("Idempotency-Replayed" not in a.headers for a in answers if a.status == 201) == 1
    for answer in answers:
        if answer.status == 409:
            assert (answer.code, answer.headers["Retry-After"]) == ("idempotency_key_in_flight", "1")
    assert await count(house, "messages") == 1
    assert len(await house.deliveries(channel="PUSH")) == len(phones)
    assert (await house.pieces.db.read(audit)).holds
    again = await send(admin.api, bucket, "k")
    assert (again.status, again.headers["Idempotency-Replayed"]) == (201, "true")


async def test_two_servers_on_one_database_make_one_message(
    house: House, admin: Person, open_house: Callable[[Settings], Awaitable[House]], settings: Settings
) -> None:
    """What one of them does not know of the other, the record of the key says."""
    other = await open_house(settings)
    token = await house.token(admin, "messages:create")
    apis = [Native(one.api.session, one.api.url, token.token) for one in (house, other)]
    bucket = await house.bucket(admin)
    for round_ in range(10):
        answers = await asyncio.gather(*(send(api, bucket, f"k{round_}") for api in apis * 3))
        made = {answer["id"] for answer in answers if answer.status == 201}
        assert len(made) == 1
        assert {answer.code for answer in answers if answer.status == 409} <= {"idempotency_key_in_flight"}
        repeated = [await send(api, bucket, f"k{round_}") for api in apis]
        assert {answer["id"] for answer in repeated} == made
    assert await count(house, "messages") == 10
    assert await count(house, "idempotency_keys") == 10


async def test_a_repeated_request_gets_the_same_answer(house: House, admin: Person) -> None:
    """However the JSON is written, and though the phone and the time have changed; nothing more is written."""
    bucket = await house.bucket(admin)
    await house.phone(admin)
    first = await send(admin.api, bucket, "k", body="b", delaySeconds=5)
    assert "Idempotency-Replayed" not in first.headers
    await house.phone(admin)
    house.clock.advance(60_000)
    raw = f'{{ "delaySeconds":5,"body":"\\u0062", "deliveryType":"NORMAL","bucketId":"{bucket}","title":"Hello"}}'
    again = await admin.api.call("POST", MESSAGES, raw=raw.encode(), headers={"Idempotency-Key": '"k"'})
    assert (again.status, again.json) == (201, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert await count(house, "messages") == 1
    assert await count(house, "tasks") == 1


async def test_a_key_is_good_for_one_request(house: House, admin: Person) -> None:
    """Another body is a fault of the sender, who is told."""
    bucket = await house.bucket(admin)
    await send(admin.api, bucket, "k")
    refused = await send(admin.api, bucket, "k", body="another")
    assert (refused.status, refused.code) == (409, "idempotency_key_reused")
    assert refused.faults == {"Idempotency-Key": "was used for another request"}
    assert await count(house, "messages") == 1


async def test_after_a_day_a_key_is_new(house: House, admin: Person) -> None:
    """To the millisecond."""
    bucket, token = await house.bucket(admin), await house.token(admin, "messages:create")
    first = await send(token, bucket, "k")
    house.clock.advance(KEPT - 1)
    assert (await send(token, bucket, "k"))["id"] == first["id"]
    house.clock.advance(1)
    second = await send(token, bucket, "k", body="may be another now")
    assert (second.status, second["id"] == first["id"]) == (201, False)
    assert await count(house, "idempotency_keys") == 1


async def test_another_user_s_same_key_makes_another_message(house: House, admin: Person) -> None:
    """Of one user all credentials share them: a token and a session."""
    other = await house.register("other")
    bucket, others = await house.bucket(admin), await house.bucket(other)
    first = await send(admin.api, bucket, "k")
    assert (await send(other.api, others, "k"))["id"] != first["id"]
    token = await house.token(admin, "messages:create")
    assert (await send(token, bucket, "k"))["id"] == first["id"]


async def test_tokens_that_are_bound_to_their_buckets_do_not_get_each_other_s_answers(
    house: House, admin: Person
) -> None:
    """The same body without a bucket is not the same request: neither message is passed over in silence."""
    buckets = [await house.bucket(admin, name) for name in ("Backups", "Alarms")]
    tokens = [await house.token(admin, f"messages:create:{bucket}") for bucket in buckets]
    body = {"title": "Done", "deliveryType": "NORMAL"}
    first, second = [
        await token.call("POST", MESSAGES, body, headers={"Idempotency-Key": "2030-01-31"})
        for token in tokens
    ]
    assert (first.status, first["bucketId"]) == (201, buckets[0])
    assert (second.status, second.code) == (409, "idempotency_key_reused")
    named = await send(tokens[0], buckets[0], "2030-01-31", title="Done")
    assert (named.status, named["id"]) == (201, first["id"])  # however the bucket is meant


async def test_a_scheduled_message_is_answered_for_after_its_time_too(house: House, admin: Person) -> None:
    """Who got no answer in time asks again, and must not be told that the time has passed; another request is."""
    bucket = await house.bucket(admin)
    at = show_time(house.clock() + 2000)
    first = await send(admin.api, bucket, "k", scheduledSendAt=at)
    house.clock.advance(2000)
    again = await send(admin.api, bucket, "k", scheduledSendAt=at)
    assert (again.status, again.json) == (201, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    late = await send(admin.api, bucket, "another", scheduledSendAt=at)
    assert (late.status, late.faults) == (400, {"scheduledSendAt": "has passed"})
    await admin.api.delete(f"{MESSAGES}/{first['id']}")
    assert (await send(admin.api, bucket, "k", scheduledSendAt=at)).code == "message_retracted"


async def test_what_a_key_made_and_was_retracted_is_gone(house: House, admin: Person) -> None:
    """And is not made again by a request that was under way all the time."""
    bucket = await house.bucket(admin)
    message = (await send(admin.api, bucket, "k"))["id"]
    await admin.api.delete(f"{MESSAGES}/{message}")
    refused = await send(admin.api, bucket, "k")
    assert (refused.status, refused.code) == (410, "message_retracted")
    assert await count(house, "messages") == 1


async def test_a_request_that_failed_leaves_its_key_free(house: House, admin: Person) -> None:
    """A wrong body, a bucket or a user that is not there: it may be mended and sent with the same key."""
    bucket = await house.bucket(admin)
    for wrong, status in (({"title": ""}, 400), ({"userIds": ["nobody"]}, 404), ({"bucketId": "no"}, 404)):
        body = {"title": "x", "bucketId": bucket, "deliveryType": "NORMAL", **wrong}
        refused = await admin.api.call("POST", MESSAGES, body, headers={"Idempotency-Key": "k"})
        assert refused.status == status
    assert await count(house, "idempotency_keys") == 0
    assert (await send(admin.api, bucket, "k")).status == 201


@pytest.mark.parametrize("key", ["", " ", '""', "ü", "a b", "x" * 256, '"' + "x" * 256 + '"'])
async def test_a_key_that_is_none_is_refused(house: House, admin: Person, key: str) -> None:
    """Rather than passed over: its sender counts on it."""
    bucket = await house.bucket(admin)
    refused = await send(admin.api, bucket, key)
    assert (refused.status, refused.faults) == (400, {"Idempotency-Key": "is no key"})
    assert await count(house, "messages") == 0


@pytest.mark.parametrize(
    "key", ["1", "x" * 255, '"' + "x" * 255 + '"', "8e03978e-40d5-43dd-bc93-6894a57f9324", "!~", '"']
)
async def test_a_key_may_be_anything_visible(house: House, admin: Person, key: str) -> None:
    bucket = await house.bucket(admin)
    first, second = [await send(admin.api, bucket, key) for _ in range(2)]
    assert (first.status, second.status, second["id"]) == (201, 201, first["id"])


async def test_of_a_body_nothing_is_stored_that_guessing_would_confirm(house: House, admin: Person) -> None:
    """A code of six digits has a million hashes: what is kept of it cannot be made without the key."""
    bucket = await house.bucket(admin)
    prints = []
    for key in ("8e03978e-40d5-43dd-bc93-6894a57f9324", "0c1e3fd4-9f9b-4ab6-a0bb-0f1d2d3c4b5a"):
        await send(admin.api, bucket, key, body="123456")
        rows = await house.pieces.db.read(lambda tx: tx.all("SELECT fingerprint FROM idempotency_keys"))
        prints += [bytes(row["fingerprint"]) for row in rows]
    assert len(set(prints)) == 2


async def test_a_key_is_not_stored_as_it_is(house: House, admin: Person) -> None:
    """It may be an order number, or an address."""
    bucket = await house.bucket(admin)
    await send(admin.api, bucket, "CANARY-4711")
    rows = await house.pieces.db.read(lambda tx: tx.all("SELECT * FROM idempotency_keys"))
    assert b"4711" not in b"".join(bytes(row["hash"]) + bytes(row["fingerprint"]) for row in rows)
    assert "4711" not in str(house.log.entries)
