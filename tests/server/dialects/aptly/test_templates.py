"""Templates: made, listed, found by key, changed, deleted; one of a key for each tenant; what was sent stays as it is."""

import asyncio
from typing import Any

import pytest

from server.domain.times import show_time
from tests.harness.acting import rows_of
from tests.harness.aptly import PREFIXES, TENANT, Aptly
from tests.harness.native import Reply
from tests.server.conftest import House, Person

OTHER = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
async def servers(house: House, admin: Person) -> Aptly:
    """The servers of an app."""
    return Aptly(await house.token(admin, "admin"))


@pytest.fixture
async def ann(house: House, admin: Person) -> Aptly:
    return Aptly(await house.token(admin, "gateway")).as_user()


async def made(servers: Aptly, **more: Any) -> dict[str, Any]:
    answer = await servers.template(**more)
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer["data"]
    return found


async def listed(servers: Aptly, **query: Any) -> Any:
    answer = await servers.call("GET", "templates", **query)
    assert answer.status == 200, answer.body
    return answer["data"]


async def change(servers: Aptly, id_: str, **changes: Any) -> Reply:
    return await servers.call("PATCH", f"templates/{id_}", changes)


def refusal(answer: Reply, status: int) -> str:
    assert (answer.status, answer["statusCode"]) == (status, status), answer.body
    return str(answer["message"])


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_template_is_made_found_changed_and_deleted(
    house: House, servers: Aptly, prefix: str
) -> None:
    at = show_time(house.clock())
    here = servers.at(prefix)
    answer = await here.template(message="{{ who }} and {{what}}, {{who}}")
    template = answer["data"]
    assert (answer.status, answer["statusCode"], answer["message"]) == (201, 200, "Success")
    assert template == {
        "id": template["id"],
        "tenantId": TENANT,
        "key": "DELEGATION_ISSUED",
        "category": "Delegations",
        "title": "Delegation Issued",
        "message": "{{ who }} and {{what}}, {{who}}",
        "placeholders": ["who", "what"],
        "channels": ["IN_APP", "PUSH"],
        "actionable": True,
        "createdAt": at,
        "updatedAt": None,
    }
    place = f"templates/{template['id'].upper()}"
    assert (await here.call("GET", place))["data"] == template
    assert await listed(here) == {"page": 1, "limit": 20, "total": 1, "data": [template]}

    house.clock.advance(1000)
    changed = (await change(here, template["id"], title="New", category=None, actionable=False))["data"]
    assert changed == {
        **template,
        "title": "New",
        "category": None,
        "actionable": False,
        "updatedAt": show_time(house.clock()),
    }
    assert (await here.call("GET", place))["data"] == changed
    everything = {
        "key": "k",
        "category": "c",
        "title": "t",
        "message": "m",
        "channels": ["PUSH", "PUSH", "EMAIL"],
        "actionable": True,
    }
    again = (await change(here, template["id"], **everything))["data"]
    assert {name: again[name] for name in everything} == {**everything, "channels": ["PUSH", "EMAIL"]}

    deleted = await here.call("DELETE", place)
    assert (deleted.status, deleted["data"]) == (200, None)
    for method, body in (("GET", None), ("PATCH", {"title": "x"}), ("DELETE", None)):
        assert refusal(await here.call(method, place, body), 404).startswith("no such template: ")
    assert (await listed(here))["data"] == []


async def test_what_is_left_out_has_its_default(servers: Aptly) -> None:
    template = await made(servers, category=None, actionable=None, channels=None)
    shown = (template["category"], template["channels"], template["actionable"])
    assert shown == (None, ["IN_APP", "PUSH"], False)
    assert (await made(servers, key="b", channels=["IN_APP", "IN_APP"]))["channels"] == ["IN_APP"]


async def test_a_list_goes_by_key_in_pages_and_finds_one_by_it(servers: Aptly) -> None:
    for key in ("B", "A", "C"):
        await made(servers, key=key)
    await made(Aptly(servers.api, OTHER), key="D")

    pages = [await listed(servers, page=number, limit=2) for number in (1, 2, 3)]
    assert [[row["key"] for row in page["data"]] for page in pages] == [["A", "B"], ["C"], []]
    assert [{**page, "data": []} for page in pages] == [
        {"page": number, "limit": 2, "total": 3, "data": []} for number in (1, 2, 3)
    ]
    found = await listed(servers, key="B")
    assert ([row["key"] for row in found["data"]], found["total"]) == (["B"], 1)
    assert (await listed(servers, key="B", page=2))["data"] == []
    for query in ({"key": "D"}, {"key": "b"}, {"tenantId": None}, {"tenantId": "unknown"}):
        assert (await listed(servers, **query))["data"] == []


async def test_a_key_is_one_templates_in_its_tenant(servers: Aptly) -> None:
    one = await made(servers, key="A")
    two = await made(servers, key="B")
    taken = refusal(await servers.template(key="A"), 409)
    assert taken.startswith("key is the key of another template")
    assert refusal(await change(servers, two["id"], key="A", title="New"), 409) == taken
    assert (await listed(servers))["data"] == [one, two]
    assert (await change(servers, two["id"], key="B")).status == 200
    await made(Aptly(servers.api, OTHER), key="A")
    await servers.call("DELETE", f"templates/{one['id']}")
    assert (await change(servers, two["id"], key="A")).status == 200


async def test_of_many_who_make_one_at_the_same_time_one_does(house: House, servers: Aptly) -> None:
    answers = await asyncio.gather(*(servers.template(title=f"by {n}") for n in range(8)))
    assert sorted(answer.status for answer in answers) == [201, *[409] * 7]
    assert len((await rows_of(house.pieces.db))["templates"]) == 1
    [winner] = [answer["data"] for answer in answers if answer.status == 201]
    assert (await listed(servers))["data"] == [winner]


async def test_changes_at_the_same_time_undo_nothing_of_each_other(servers: Aptly) -> None:
    template = await made(servers)
    changes = {"title": "new title", "message": "new message", "category": "New", "channels": ["PUSH"]}
    await asyncio.gather(*(change(servers, template["id"], **{name: one}) for name, one in changes.items()))
    found = (await listed(servers))["data"][0]
    assert {name: found[name] for name in changes} == changes


async def test_notifications_while_it_is_deleted_are_made_whole_or_not_at_all(
    servers: Aptly, ann: Aptly
) -> None:
    template = await made(servers)
    sent, _ = await asyncio.gather(
        asyncio.gather(*(servers.notify() for _ in range(6))),
        servers.call("DELETE", f"templates/{template['id']}"),
    )
    assert {answer.status for answer in sent} <= {201, 404}
    rows = (await ann.inbox())["data"]["data"]
    assert len(rows) == len([answer for answer in sent if answer.status == 201])
    assert all(row["templateKey"] == "DELEGATION_ISSUED" for row in rows)


async def test_changing_and_deleting_it_changes_nothing_that_was_sent(servers: Aptly, ann: Aptly) -> None:
    template = await made(servers)
    await servers.made()
    before = (await ann.inbox())["data"]

    await change(
        servers, template["id"], key="NEW", title="New", message="New", category="New", actionable=False
    )
    assert (await ann.inbox())["data"] == before
    await servers.made(templateKey="NEW", placeholders={})
    await servers.call("DELETE", f"templates/{template['id']}")

    new, old = (await ann.inbox())["data"]["data"]
    assert [old] == before["data"]
    assert (new["templateKey"], new["title"], new["category"], new["isActionable"]) == (
        "NEW",
        "New",
        "New",
        False,
    )
    assert await ann.titles(templateKey="DELEGATION_ISSUED") == ["Delegation Issued"]


async def test_what_belongs_to_another_tenant_is_not_there(house: House, servers: Aptly) -> None:
    """By id, by a header, and by none, which is `default`; nothing changes."""
    template = await made(servers)
    before = await rows_of(house.pieces.db)
    place = f"templates/{template['id']}"
    for query in ({"tenantId": OTHER}, {"tenantId": None}, {"tenantId": "default"}):
        for method, body in (("GET", None), ("PATCH", {"title": "x"}), ("DELETE", None)):
            refused = await servers.call(method, place, body, **query)
            assert refusal(refused, 404).startswith("no such template: ")
    assert await rows_of(house.pieces.db) == before
    by_header = Aptly(servers.api, headers={"X-Tenant-ID": TENANT})
    assert (await by_header.call("GET", place, tenantId=None))["data"] == template


async def test_every_fault_is_named_at_once(house: House, servers: Aptly) -> None:
    wrong = {
        "tenantId": "acme",
        "key": "k" * 101,
        "category": " c",
        "title": "t" * 1_001,
        "message": "\x00",
        "channels": ["PIGEON"],
        "actionable": "yes",
    }
    before = await rows_of(house.pieces.db)
    said = refusal(await servers.template(**wrong), 400)
    for name in ("tenantId", "key", "category", "title", "message", "channels[0]", "actionable"):
        assert f"{name} " in said
    nothing = refusal(await servers.call("POST", "templates", {}, tenantId=None), 400)
    for name in ("tenantId", "key", "title", "message"):
        assert f"{name} is missing" in nothing
    assert await rows_of(house.pieces.db) == before

    template = await made(servers, title="t" * 1_000, message="m" * 4_000)
    del wrong["tenantId"]
    changed = refusal(await change(servers, template["id"], **{**wrong, "channels": []}), 400)
    for name in ("key", "category", "title", "message", "channels", "actionable"):
        assert f"{name} " in changed
    same = (await change(servers, template["id"], title=None, key=None))["data"]
    assert (same["title"], same["key"]) == (template["title"], template["key"])
