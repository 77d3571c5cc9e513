"""Members of buckets: who is in, and what each of them may do, to whom."""

import pytest

from server.domain.bucket import Permission
from tests.server.conftest import House, Person

BUCKETS = "/api/v1/buckets"
STRANGER, READER, WRITER, DELETER, ADMIN, OWNER = (
    "stranger",
    "reader",
    "writer",
    "deleter",
    "administrator",
    "owner",
)
EVERYBODY = (STRANGER, READER, WRITER, DELETER, ADMIN, OWNER)
OK, NOT_FOUND, FORBIDDEN, CONFLICT = "2xx", "404", "403", "409"


@pytest.fixture
async def people(house: House, admin: Person) -> dict[str, Person]:
    """Somebody of each sort, somebody to whom things are done, and somebody who is new."""
    names = (STRANGER, READER, WRITER, DELETER, ADMIN, "other", "newcomer")
    return {OWNER: admin} | {name: await house.register(name) for name in names}


async def fresh(house: House, people: dict[str, Person], name: str) -> str:
    """Make a bucket with them in it."""
    bucket = await house.bucket(people[OWNER], name)
    await house.join(people[READER], bucket, Permission.READ)
    await house.join(people[WRITER], bucket, Permission.READ, Permission.WRITE)
    await house.join(people[DELETER], bucket, Permission.READ, Permission.DELETE)
    await house.join(people[ADMIN], bucket, Permission.ADMIN)
    await house.join(people["other"], bucket, Permission.READ)
    return bucket


# What is done: method, path, body. {at} is the bucket, {message} one that is in it.
OPERATIONS: dict[str, tuple[str, str, object]] = {
    "show": ("GET", "{at}", None),
    "send": ("POST", "/api/v1/messages", {"title": "x", "bucketId": "Team", "deliveryType": "NORMAL"}),
    "retract": ("DELETE", "/api/v1/messages/{message}", None),
    "change": ("PATCH", "{at}", {"icon": "star"}),
    "snooze": ("POST", "{at}/snooze", {"minutes": 5}),
    "quiet": ("PUT", "{at}/quiet-times", {"quietTimes": []}),
    "list": ("GET", "{at}/members", None),
    "add": ("POST", "{at}/members", {"user": "newcomer"}),
    "give": ("PATCH", "{at}/members/other", {"permissions": ["READ", "WRITE"]}),
    "take out": ("DELETE", "{at}/members/other", None),
    "give the owner": ("PATCH", "{at}/members/admin", {"permissions": ["READ"]}),
    "take out the owner": ("DELETE", "{at}/members/admin", None),
    "invite": ("POST", "/api/v1/invitations", {"bucketId": "Team"}),
    "leave": ("POST", "{at}/leave", None),
    "delete": ("DELETE", "{at}", None),
}
MEMBERS = {READER: OK, WRITER: OK, DELETER: OK, ADMIN: OK, OWNER: OK}
ADMINS = {READER: FORBIDDEN, WRITER: FORBIDDEN, DELETER: FORBIDDEN, ADMIN: OK, OWNER: OK}
NOT_THE_OWNER = {**ADMINS, ADMIN: CONFLICT, OWNER: CONFLICT}
TABLE = {
    "show": MEMBERS,
    "send": {**ADMINS, WRITER: OK},
    "retract": {**ADMINS, DELETER: OK},
    "change": ADMINS,
    "snooze": MEMBERS,
    "quiet": MEMBERS,
    "list": ADMINS,
    "add": ADMINS,
    "give": ADMINS,
    "take out": ADMINS,
    "give the owner": NOT_THE_OWNER,
    "take out the owner": NOT_THE_OWNER,
    "invite": ADMINS,
    "leave": {**MEMBERS, OWNER: CONFLICT},
    "delete": ADMINS,
}


@pytest.mark.parametrize("operation", TABLE)
async def test_who_may_do_what(house: House, people: dict[str, Person], operation: str) -> None:
    """What a stranger asks for is not there."""
    method, path, body = OPERATIONS[operation]
    found = {}
    for name in EVERYBODY:
        bucket = await fresh(house, people, "Team")
        message = (await house.send(people[OWNER].api, bucket))["id"]
        where = path.format(at=f"{BUCKETS}/{bucket}", message=message)
        status = (await people[name].api.call(method, where, body)).status
        found[name] = OK if status < 300 else str(status)
        await people[OWNER].api.delete(f"{BUCKETS}/{bucket}")
    assert found == {STRANGER: NOT_FOUND, **TABLE[operation]}


async def test_a_member_is_added_changed_and_taken_out(
    house: House, admin: Person, people: dict[str, Person]
) -> None:
    """Named by id, external id or username."""
    bucket, new = await house.bucket(admin), people["newcomer"]
    at = f"{BUCKETS}/{bucket}/members"
    added = await admin.api.post(at, {"user": "NewComer", "permissions": ["WRITE", "READ", "READ"]})
    assert (added.status, added["userId"], added["permissions"]) == (201, new.id, ["READ", "WRITE"])
    assert (added["username"], added["owner"]) == ("newcomer", False)
    assert (await house.send(new.api, bucket)).status == 201
    changed = await admin.api.patch(f"{at}/{new.id}", {"permissions": ["READ"]})
    assert (changed.status, changed["permissions"]) == (200, ["READ"])
    assert (await house.send(new.api, bucket)).code == "bucket_forbidden"
    assert (await admin.api.delete(f"{at}/newcomer")).status == 204
    assert (await new.api.get(f"{BUCKETS}/{bucket}")).code == "bucket_not_found"
    gone = await admin.api.delete(f"{at}/newcomer")
    assert (gone.status, gone.code) == (404, "member_not_found")
    assert (await admin.api.patch(f"{at}/{new.id}", {"permissions": ["READ"]})).code == "member_not_found"


async def test_who_is_added_without_permissions_reads(admin: Person, people: dict[str, Person]) -> None:
    at = f"{BUCKETS}/default/members"
    assert (await admin.api.post(at, {"user": people["newcomer"].id}))["permissions"] == ["READ"]
    again = await admin.api.post(at, {"user": "newcomer"})
    assert (again.status, again.code) == (409, "member_exists")


@pytest.mark.parametrize("name", ["nobody", "00000000-0000-7000-8000-000000000000", "a b"])
async def test_who_is_nobody_is_named(admin: Person, name: str) -> None:
    answer = await admin.api.post(f"{BUCKETS}/default/members", {"user": name})
    assert (answer.status, answer.code, set(answer.faults)) == (404, "user_not_found", {"user"})
    assert name in answer["detail"]


async def test_a_member_takes_themselves_out(house: House, admin: Person, people: dict[str, Person]) -> None:
    bucket = await fresh(house, people, "Team")
    reader = people[READER]
    assert (await reader.api.delete(f"{BUCKETS}/{bucket}/members/reader")).status == 204
    members = (await admin.api.get(f"{BUCKETS}/{bucket}/members"))["members"]
    assert reader.id not in [member["userId"] for member in members]


async def test_who_is_no_admin_does_not_learn_who_there_is(house: House, people: dict[str, Person]) -> None:
    """A name that nobody has gets the answer of one that somebody has."""
    bucket = await fresh(house, people, "Team")
    api = people[READER].api
    for name in ("other", "newcomer", "nobody"):
        answer = await api.delete(f"{BUCKETS}/{bucket}/members/{name}")
        assert (answer.status, answer.code) == (403, "bucket_forbidden")


async def test_a_bucket_says_how_many_are_in_it_to_who_may_list_them(
    house: House, people: dict[str, Person]
) -> None:
    """In every answer that shows it."""
    bucket = await fresh(house, people, "Team")
    at = f"{BUCKETS}/{bucket}"
    await people[OWNER].api.patch(at, {"public": True})
    quiet: dict[str, object] = {"quietTimes": []}
    for who, number in ((OWNER, 6), (ADMIN, 6), (READER, None), (WRITER, None)):
        api = people[who].api
        lists = [(await api.get(f"{BUCKETS}{query}"))["buckets"] for query in ("", "?public=true")]
        [*listed] = [one["members"] for page in lists for one in page if one["id"] == bucket]
        shown = [
            (await api.get(at))["members"],
            (await api.post(f"{at}/join"))["members"],
            (await api.post(f"{at}/snooze", {"minutes": 5}))["members"],
            (await api.put(f"{at}/quiet-times", quiet))["members"],
        ]
        assert listed + shown == [number] * 6
    assert (await people[OWNER].api.patch(at, {"icon": "star"}))["members"] == 6
    made = await people[OWNER].api.post(BUCKETS, {"name": "Mine"})
    assert made["members"] == 1
    body = {"bucketId": "Mine", "permissions": ["ADMIN"]}
    code = (await people[OWNER].api.post("/api/v1/invitations", body))["code"]
    assert (await people["newcomer"].api.post("/api/v1/invitations/accept", {"code": code}))["members"] == 2


async def test_members_are_listed_in_pages(house: House, admin: Person, people: dict[str, Person]) -> None:
    bucket = await fresh(house, people, "Team")
    at, found, cursor = f"{BUCKETS}/{bucket}/members?limit=4", [], ""
    while cursor is not None:
        page = await admin.api.get(f"{at}{cursor and f'&cursor={cursor}'}")
        found += page["members"]
        cursor = page["nextCursor"]
    assert len(found) == 6
    assert {member["username"] for member in found} == {
        "admin",
        "other",
        READER,
        WRITER,
        DELETER,
        ADMIN,
    }
    assert [member["username"] for member in found if member["owner"]] == ["admin"]


@pytest.mark.parametrize("permissions", [None, [], ["READ", "OWN"], "READ", [1], ["READ"] * 5])
async def test_permissions_are_a_list_of_known_words(
    admin: Person, people: dict[str, Person], permissions: object
) -> None:
    at = f"{BUCKETS}/default/members"
    assert (await admin.api.post(at, {"user": people["other"].id})).status == 201
    answer = await admin.api.patch(f"{at}/other", {"permissions": permissions})
    assert answer.status == 400
    assert {path.partition("[")[0] for path in answer.faults} == {"permissions"}
