"""Public buckets: found, joined and left by anybody; and being left in peace by a bucket, for oneself."""

import pytest

from server.domain.bucket import Permission
from tests.server.conftest import House, Person

BUCKETS = "/api/v1/buckets"
NIGHTS = [{"days": ["MON", "SUN"], "from": "22:00", "to": "07:30"}]


@pytest.fixture
async def bob(house: House, admin: Person) -> Person:
    assert admin.id
    return await house.register("bob")


async def public(house: House, owner: Person, name: str = "News") -> str:
    bucket = await house.bucket(owner, name)
    assert (await owner.api.patch(f"{BUCKETS}/{bucket}", {"public": True})).status == 200
    return bucket


async def test_who_joins_a_public_bucket_reads_in_it(house: House, admin: Person, bob: Person) -> None:
    """By its name or its id; a second time changes nothing."""
    bucket = await public(house, admin)
    assert (await bob.api.get(f"{BUCKETS}/News"))["permissions"] == []
    joined = await bob.api.post(f"{BUCKETS}/News/join")
    assert (joined.status, joined["id"], joined["permissions"]) == (200, bucket, ["READ"])
    assert (await bob.api.post(f"{BUCKETS}/{bucket.upper()}/join")).json == joined.json
    assert (await bob.api.get(f"{BUCKETS}/{bucket}")).json == joined.json
    assert (await house.send(admin.api, bucket))["notificationsCount"] == 2
    assert (await house.send(bob.api, bucket)).code == "bucket_forbidden"


async def test_joining_takes_nothing_from_who_may_more(house: House, admin: Person) -> None:
    bucket = await public(house, admin)
    assert (await admin.api.post(f"{BUCKETS}/{bucket}/join"))["permissions"] == [*Permission]


async def test_what_is_not_public_is_neither_found_nor_joined(
    house: House, admin: Person, bob: Person
) -> None:
    """Also after it was."""
    bucket = await public(house, admin)
    await admin.api.patch(f"{BUCKETS}/{bucket}", {"public": False})
    for reference in (bucket, "News", "%00"):
        for answer in (
            await bob.api.get(f"{BUCKETS}/{reference}"),
            await bob.api.post(f"{BUCKETS}/{reference}/join"),
        ):
            assert (answer.status, answer.code) == (404, "bucket_not_found")
    assert (await bob.api.get(f"{BUCKETS}?public=true"))["buckets"] == []


async def test_a_public_name_that_two_buckets_have_is_ambiguous(
    house: House, admin: Person, bob: Person
) -> None:
    await public(house, admin)
    await public(house, bob)
    carol = await house.register("carol")
    assert (await carol.api.post(f"{BUCKETS}/News/join")).code == "bucket_ambiguous"


async def test_public_buckets_are_listed_in_pages(house: House, admin: Person, bob: Person) -> None:
    """With what the caller may do in those that they joined."""
    ids = []
    for number in range(3):
        ids.append(await public(house, admin, f"News {number}"))
        house.clock.advance(1)
    await bob.api.post(f"{BUCKETS}/{ids[1]}/join")
    first = await bob.api.get(f"{BUCKETS}?public=true&limit=2")
    second = await bob.api.get(f"{BUCKETS}?public=true&limit=2&cursor={first['nextCursor']}")
    assert second["nextCursor"] is None
    found = first["buckets"] + second["buckets"]
    assert [bucket["id"] for bucket in found] == ids
    assert [bucket["permissions"] for bucket in found] == [[], ["READ"], []]
    assert (await bob.api.get(f"{BUCKETS}?public=yes&limit=0&cursor=x")).faults.keys() == {
        "?public",
        "?limit",
        "?cursor",
    }


async def test_members_leave_and_the_owner_cannot(house: House, admin: Person, bob: Person) -> None:
    bucket = await public(house, admin)
    await bob.api.post(f"{BUCKETS}/{bucket}/join")
    assert (await bob.api.post(f"{BUCKETS}/{bucket}/leave")).status == 204
    assert (await bob.api.post(f"{BUCKETS}/{bucket}/leave")).code == "bucket_not_found"
    owner = await admin.api.post(f"{BUCKETS}/{bucket}/leave")
    assert (owner.status, owner.code) == (409, "bucket_owner")


async def test_a_snooze_is_the_callers_own_and_ends_by_itself(
    house: House, admin: Person, bob: Person
) -> None:
    """Or with 0 minutes."""
    bucket = await public(house, admin)
    await bob.api.post(f"{BUCKETS}/{bucket}/join")
    snoozed = await bob.api.post(f"{BUCKETS}/{bucket}/snooze", {"minutes": 90})
    assert snoozed["snoozedUntil"] == "2027-01-15T09:30:00.000Z"
    assert (await bob.api.get(f"{BUCKETS}/{bucket}")).json == snoozed.json
    assert (await admin.api.get(f"{BUCKETS}/{bucket}"))["snoozedUntil"] is None
    assert (await bob.api.post(f"{BUCKETS}/{bucket}/snooze", {"minutes": 0}))["snoozedUntil"] is None


@pytest.mark.parametrize("minutes", [None, -1, 10_081, "5", True, 1.5])
async def test_a_snooze_lasts_a_week_at_most(admin: Person, minutes: object) -> None:
    answer = await admin.api.post(f"{BUCKETS}/default/snooze", {"minutes": minutes})
    assert (answer.status, set(answer.faults)) == (400, {"minutes"})


async def test_quiet_times_are_the_callers_own(house: House, admin: Person, bob: Person) -> None:
    """Each setting takes the place of the one before."""
    bucket = await public(house, admin)
    await bob.api.post(f"{BUCKETS}/{bucket}/join")
    at = f"{BUCKETS}/{bucket}"
    quiet = await bob.api.put(f"{at}/quiet-times", {"quietTimes": NIGHTS})
    assert (quiet.status, quiet["quietTimes"]) == (200, NIGHTS)
    assert (await bob.api.get(at)).json == quiet.json
    assert (await admin.api.get(at))["quietTimes"] == []
    assert (await bob.api.put(f"{at}/quiet-times", {"quietTimes": []}))["quietTimes"] == []


async def test_faults_of_quiet_times_are_all_named(admin: Person) -> None:
    at = f"{BUCKETS}/default/quiet-times"
    times = [{"days": ["MON", "FUN"], "from": "24:00", "to": "7:30"}, {"days": []}, 5]
    answer = await admin.api.put(at, {"quietTimes": times})
    assert answer.faults == {
        "quietTimes[0].days[1]": "is none of the known words",
        "quietTimes[0].from": "is not a time on the clock",
        "quietTimes[0].to": "has 4 characters",
        "quietTimes[1].days": "names no day",
        "quietTimes[1].from": "is missing",
        "quietTimes[1].to": "is missing",
        "quietTimes[2]": "is a number",
    }
    assert (await admin.api.put(at, {})).faults == {"quietTimes": "is missing"}
    assert (await admin.api.put(at, {"quietTimes": NIGHTS * 21})).faults == {"quietTimes": "has 21 entries"}


async def test_who_is_no_member_has_nothing_to_be_left_in_peace_by(
    house: House, admin: Person, bob: Person
) -> None:
    bucket = await public(house, admin)
    for answer in (
        await bob.api.post(f"{BUCKETS}/{bucket}/snooze", {"minutes": 5}),
        await bob.api.put(f"{BUCKETS}/{bucket}/quiet-times", {"quietTimes": NIGHTS}),
    ):
        assert (answer.status, answer.code) == (404, "bucket_not_found")
