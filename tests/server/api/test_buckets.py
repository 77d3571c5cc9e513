"""Buckets: made, listed, found by id or name."""

from urllib.parse import quote
from uuid import uuid4

from server.domain.bucket import Permission
from tests.server.conftest import House, Person

BUCKETS = "/api/v1/buckets"
UNSWEPT = {"lastSweptAt": None, "removed": 0}


async def test_a_bucket_has_what_it_was_given(admin: Person) -> None:
    """And is found by its id in any case, and by its name."""
    given = {
        "name": "Alerts / prod {1}",
        "description": "What wakes\nsomebody",
        "icon": "bell",
        "color": "#1E88E5",
        "protected": True,
        "public": True,
    }
    made = await admin.api.post(BUCKETS, given)
    assert made.status == 201
    assert made.headers["Location"] == f"{BUCKETS}/{made['id']}"
    assert given.items() <= made.json.items()
    assert made["ownerId"] == admin.id
    assert made["permissions"] == ["READ", "WRITE", "DELETE", "ADMIN"]
    for reference in (made["id"], made["id"].upper(), quote(made["name"], safe="")):
        assert (await admin.api.get(f"{BUCKETS}/{reference}")).json == made.json
    listed = (await admin.api.get(BUCKETS))["buckets"]
    assert [bucket["name"] for bucket in listed] == ["Alerts / prod {1}", "default"]


async def test_a_name_is_unique_for_its_owner_only(house: House, admin: Person) -> None:
    """Another owner may choose the same."""
    await house.bucket(admin, "Marketing")
    again = await admin.api.post(BUCKETS, {"name": "Marketing"})
    assert (again.status, again.code) == (409, "bucket_exists")
    assert again.faults.keys() == {"name"}
    await house.bucket(await house.register("other"), "Marketing")


async def test_what_one_is_no_member_of_does_not_exist(house: House, admin: Person) -> None:
    """By id, by name, in the list."""
    bucket = await house.bucket(admin, "Secret")
    other = await house.register("other")
    for reference in (bucket, "Secret", str(uuid4())):
        answer = await other.api.get(f"{BUCKETS}/{reference}")
        assert (answer.status, answer.code) == (404, "bucket_not_found")
    assert "Secret" not in str((await other.api.get(BUCKETS)).json)


async def test_a_member_sees_it_with_their_own_permissions(house: House, admin: Person) -> None:
    """An ambiguous name is refused with the ids that it may mean."""
    other = await house.register("other")
    shared, own = await house.bucket(admin, "Team"), await house.bucket(other, "Team")
    await house.join(other, shared, Permission.READ)
    assert (await other.api.get(f"{BUCKETS}/{shared}"))["permissions"] == ["READ"]
    answer = await other.api.get(f"{BUCKETS}/Team")
    assert (answer.status, answer.code) == (409, "bucket_ambiguous")
    assert shared in answer["errors"][0]["fix"]
    assert own in answer["errors"][0]["fix"]


async def test_faults_of_a_bucket_are_all_named(admin: Person) -> None:
    """A name that looks like an id would be taken for one."""
    body = {"name": str(uuid4()), "color": "red", "icon": "x" * 101, "public": "yes", "description": 1}
    answer = await admin.api.post(BUCKETS, body)
    assert answer.faults.keys() == {"name", "color", "icon", "public", "description"}


async def test_a_name_that_no_bucket_can_have_is_not_found(admin: Person) -> None:
    """A NUL too, which PostgreSQL cannot look for."""
    for name in ("%00", "a%0Ab", "%FF%FE", "%ED%A0%80"):
        answer = await admin.api.get(f"{BUCKETS}/{name}")
        assert (answer.status, answer.code) == (404, "bucket_not_found")


async def test_a_bucket_is_changed_field_by_field(house: House, admin: Person) -> None:
    """What is left out stays; null clears what may be empty."""
    bucket = await house.bucket(admin, "Alerts")
    whole = {
        "name": "Alarms",
        "description": "What wakes somebody",
        "icon": "bell",
        "color": "#1E88E5",
        "public": True,
        "retention": {"days": 30, "count": 1000},
    }
    changed = await admin.api.patch(f"{BUCKETS}/Alerts", whole)
    shown = whole | {"retention": {"days": 30, "count": 1000, **UNSWEPT}}
    assert (changed.status, shown.items() <= changed.json.items()) == (200, True)
    assert (await admin.api.get(f"{BUCKETS}/{bucket}")).json == changed.json
    less = {"icon": None, "public": False, "retention": {"days": None}, "name": None}
    left = await admin.api.patch(f"{BUCKETS}/{bucket}", less)
    assert left.json == {
        **changed.json,
        "icon": None,
        "public": False,
        "retention": {"days": None, "count": 1000, **UNSWEPT},
    }
    assert (await admin.api.patch(f"{BUCKETS}/{bucket}", {"retention": None}))["retention"] == {
        "days": None,
        "count": None,
        **UNSWEPT,
    }
    assert (await admin.api.patch(f"{BUCKETS}/{bucket}", {})).status == 200


async def test_a_bucket_is_made_with_a_retention(admin: Person) -> None:
    made = await admin.api.post(BUCKETS, {"name": "Log", "retention": {"days": 7}})
    assert made["retention"] == {"days": 7, "count": None, **UNSWEPT}


async def test_faults_of_a_change_are_all_named(house: House, admin: Person) -> None:
    bucket = await house.bucket(admin)
    body = {"name": "", "color": "red", "public": 1, "retention": {"days": 0, "count": 1_000_001}}
    answer = await admin.api.patch(f"{BUCKETS}/{bucket}", body)
    assert answer.faults.keys() == {"name", "color", "public", "retention.days", "retention.count"}
    assert (await admin.api.patch(f"{BUCKETS}/{bucket}", {"retention": 5})).faults.keys() == {"retention"}


async def test_a_bucket_cannot_take_the_name_of_another_one_of_its_owner(house: House, admin: Person) -> None:
    """Whoever asks for it."""
    await house.bucket(admin, "Alerts")
    bucket, other = await house.bucket(admin, "Team"), await house.register("other")
    await house.join(other, bucket, Permission.ADMIN)
    await house.bucket(other, "Mine")
    for api in (admin.api, other.api):
        answer = await api.patch(f"{BUCKETS}/{bucket}", {"name": "Alerts"})
        assert (answer.status, answer.code) == (409, "bucket_exists")
    assert (await other.api.patch(f"{BUCKETS}/{bucket}", {"name": "Mine"})).status == 200


async def test_a_protected_bucket_only_its_owner_changes_and_nobody_deletes(
    house: House, admin: Person
) -> None:
    """Until the owner ends that."""
    bucket, other = await house.bucket(admin), await house.register("other")
    await house.join(other, bucket, Permission.ADMIN)
    at = f"{BUCKETS}/{bucket}"
    assert (await admin.api.patch(at, {"protected": True}))["protected"]
    refused = await other.api.patch(at, {"protected": False})
    assert (refused.status, refused.code) == (403, "owner_only")
    for api in (admin.api, other.api):
        assert ((await api.delete(at)).status, (await api.delete(at)).code) == (409, "bucket_protected")
    assert (await admin.api.patch(at, {"description": "mine"})).status == 200
    assert (await admin.api.patch(at, {"protected": False})).status == 200
    assert (await other.api.delete(at)).status == 204


async def test_the_default_bucket_keeps_its_name_and_stays(admin: Person) -> None:
    """Though its owner may change the rest."""
    at = f"{BUCKETS}/default"
    renamed = await admin.api.patch(at, {"name": "other"})
    assert (renamed.status, renamed.code) == (409, "bucket_default")
    assert (await admin.api.patch(at, {"name": "default", "icon": "star", "protected": False})).status == 200
    deleted = await admin.api.delete(at)
    assert (deleted.status, deleted.code) == (409, "bucket_default")


async def test_since_when_a_bucket_is_public_does_not_move(house: House, admin: Person) -> None:
    bucket = await house.bucket(admin)
    await admin.api.patch(f"{BUCKETS}/{bucket}", {"public": True})
    before = await house.pieces.db.read(lambda tx: tx.all("SELECT public_at FROM buckets ORDER BY id"))
    house.clock.advance(1000)
    await admin.api.patch(f"{BUCKETS}/{bucket}", {"public": True})
    assert (
        await house.pieces.db.read(lambda tx: tx.all("SELECT public_at FROM buckets ORDER BY id")) == before
    )
