"""Buckets: made, listed, found by id or name."""

from urllib.parse import quote
from uuid import uuid4

from server.domain.bucket import Permission
from tests.server.conftest import House, Person

BUCKETS = "/api/v1/buckets"


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
