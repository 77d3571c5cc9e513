"""A user's inbox: in pages, by every filter, counted, toggled, marked, deleted, and the same as the other APIs have it."""

from typing import Any

import pytest

from server.domain.ports import Transaction
from server.domain.times import read_time, show_time
from tests.harness.acting import Acting, rows_of
from tests.harness.aptly import PREFIXES, TENANT, USER, Aptly
from tests.harness.native import Reply
from tests.server.conftest import House, Person

MINUTE, DAY = 60_000, 86_400_000
OTHER = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
async def servers(house: House, admin: Person) -> Aptly:
    """The servers of an app, with three templates."""
    servers = Aptly(await house.token(admin, "admin"))
    for key, category in (("ONE", "Delegations"), ("TWO", "Plans"), ("THREE", None)):
        body = {
            "key": key,
            "category": category,
            "title": "{{title}}",
            "message": "m",
            "actionable": key == "ONE",
        }
        assert (await servers.template(**body)).status == 201
    return servers


@pytest.fixture
async def ann(house: House, admin: Person) -> Aptly:
    """What stands before those servers, calling for the user who gets it all."""
    return Aptly(await house.token(admin, "gateway")).as_user()


async def send(house: House, servers: Aptly, *titles: str, key: str = "ONE", **more: Any) -> list[str]:
    """Make notifications a minute apart; their ids."""
    made = []
    for title in titles:
        house.clock.advance(MINUTE)
        made.append((await servers.made(templateKey=key, placeholders={"title": title}, **more))["id"])
    return made


async def pages(who: Aptly, **query: Any) -> list[Reply]:
    """Return pages until one is empty."""
    found = [await who.inbox(page=1, **query)]
    while found[-1]["data"]["data"]:
        found.append(await who.inbox(page=len(found) + 1, **query))
    return found


def refusal(answer: Reply, status: int, error: str) -> str:
    """Hold a refusal to its form, and return what it says."""
    assert answer.status == status, answer.body
    assert answer.json.keys() == {"statusCode", "timestamp", "message", "error"}
    assert (answer["statusCode"], answer["error"]) == (status, error)
    return str(answer["message"])


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_pages_are_the_newest_first_and_say_how_many_there_are(
    house: House, servers: Aptly, ann: Aptly, prefix: str
) -> None:
    await send(house, servers, *"abcde")

    found = await pages(ann.at(prefix), limit=2)

    assert [[row["title"] for row in page["data"]["data"]] for page in found] == [
        ["e", "d"],
        ["c", "b"],
        ["a"],
        [],
    ]
    for number, page in enumerate(found, start=1):
        assert {**page["data"], "data": []} == {"page": number, "limit": 2, "total": 5, "data": []}
        assert {**page.json, "data": None} == {
            "statusCode": 200,
            "timestamp": show_time(house.clock()),
            "message": "Success",
            "data": None,
        }


async def test_what_comes_meanwhile_pushes_nothing_off_the_next_pages(
    house: House, servers: Aptly, ann: Aptly
) -> None:
    await send(house, servers, *"abcd")
    first = await ann.titles(limit=2)
    await send(house, servers, "new")
    later = [*await ann.titles(limit=2, page=2), *await ann.titles(limit=2, page=3)]
    assert (first, later) == (["d", "c"], ["c", "b", "a"])


async def test_the_total_of_a_long_inbox_is_only_counted_so_far(
    house: House, servers: Aptly, ann: Aptly, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("server.commands.entries", "server.dialects.aptly.fields"):
        monkeypatch.setattr(f"{module}.MOST_COUNTED", 2)
    await send(house, servers, *"ab")
    exact = (await ann.inbox(limit=1))["data"]
    await send(house, servers, "c")
    bounded = (await ann.inbox(limit=1))["data"]

    assert (exact["total"], "totalIsLowerBound" in exact) == (2, False)
    assert (bounded["total"], bounded["totalIsLowerBound"]) == (2, True)


async def test_each_filter_and_all_together(house: House, servers: Aptly, ann: Aptly) -> None:
    [read] = await send(house, servers, "one")
    await send(house, servers, "one of a plan", entityType="plan")
    await send(house, servers, "two", key="TWO", entityType="plan")
    await send(house, servers, "three", key="THREE")
    await ann.toggle(read, "READ")

    for query, titles in (
        ({"status": "READ"}, ["one"]),
        ({"status": "UNREAD"}, ["three", "two", "one of a plan"]),
        ({"templateKey": "ONE"}, ["one of a plan", "one"]),
        ({"templateKey": "one"}, []),
        ({"category": "Delegations"}, ["one of a plan", "one"]),
        ({"category": "Plans"}, ["two"]),
        ({"category": "Nothing"}, []),
        ({"entityType": "plan"}, ["two", "one of a plan"]),
        ({"entityType": "delegation"}, ["three", "one"]),
        ({"timePeriod": "all"}, ["three", "two", "one of a plan", "one"]),
        ({"timePeriod": "1m", "status": "READ"}, ["one"]),
        (
            {
                "status": "UNREAD",
                "templateKey": "ONE",
                "category": "Delegations",
                "entityType": "plan",
                "timePeriod": "6m",
            },
            ["one of a plan"],
        ),
    ):
        assert await ann.titles(**query) == titles, query
        paged = [row["title"] for page in await pages(ann, limit=1, **query) for row in page["data"]["data"]]
        assert paged == titles, query
        assert {page["data"]["total"] for page in await pages(ann, limit=1, **query)} == {len(titles)}
        counted = await ann.count(**{name: one for name, one in query.items() if name != "status"})
        assert counted["total"] >= len(titles)
    assert await ann.count(templateKey="ONE") == {"unread": 1, "read": 1, "total": 2, "timePeriod": "all"}
    assert await ann.count() == {"unread": 3, "read": 1, "total": 4, "timePeriod": "all"}


async def test_a_time_is_so_many_calendar_months_back(house: House, servers: Aptly, ann: Aptly) -> None:
    """From now, in UTC: to the millisecond."""
    for at in (
        "2026-11-30T12:00:00Z",
        "2027-02-28T11:59:59.999Z",
        "2027-02-28T12:00:00Z",
        "2027-04-30T12:00:00Z",
    ):
        house.clock.now = read_time(at)
        await servers.made(templateKey="ONE", placeholders={"title": at})
    house.clock.now = read_time("2027-05-31T12:00:00Z")

    async def days(period: str) -> list[str]:
        return [str(title)[5:10] for title in await ann.titles(timePeriod=period)]

    assert await days("1m") == ["04-30"]
    assert await days("3m") == ["04-30", "02-28"]
    assert await days("6m") == ["04-30", "02-28", "02-28", "11-30"]
    assert (await ann.count(timePeriod="3m")) == {"unread": 2, "read": 0, "total": 2, "timePeriod": "3m"}
    [row] = (await ann.inbox(timePeriod="1m"))["data"]["data"]
    assert row["relativeTime"] == "1 month ago"


async def test_what_other_apis_have_sent_is_there_with_the_fields_that_it_has(
    house: House, servers: Aptly, ann: Aptly
) -> None:
    content = {"title": "Hello", "body": "there", "data": {"a": 1}, "deepLink": "app://hello"}
    sent = await Acting(servers.api, TENANT).send(
        userId=USER, channel="IN_APP", content=content, category="PRODUCT"
    )
    assert sent

    [row] = (await ann.inbox())["data"]["data"]

    assert row == {
        "id": row["id"],
        "tenantId": TENANT,
        "templateKey": None,
        "category": None,
        "title": "Hello",
        "message": "there",
        "isActionable": False,
        "status": "UNREAD",
        "createdAt": show_time(house.clock()),
        "readAt": None,
        "userId": USER,
        "entityType": None,
        "entityId": None,
        "actionUrl": "app://hello",
        "payload": {"a": 1},
        "relativeTime": "just now",
    }
    assert await ann.titles(templateKey="ONE") == await ann.titles(category="PRODUCT") == []
    assert (await ann.get(row["id"]))["data"] == row


async def test_texts_that_are_kept_elsewhere_and_not_to_be_had_are_null_and_it_says_so(
    house: House, servers: Aptly, ann: Aptly
) -> None:
    [made] = await send(house, servers, "a")

    async def without(tx: Transaction) -> None:
        await tx.run("UPDATE messages SET content = $1", '{"unresolved": true}')

    await house.pieces.db.write(without)

    [row] = (await ann.inbox())["data"]["data"]
    assert (row["title"], row["message"], row["unresolved"]) == (None, None, True)
    assert (await ann.get(made))["data"] == (await ann.toggle(made, "UNREAD"))["data"] == row


async def test_toggling_is_idempotent_and_the_other_apis_see_it(
    house: House, servers: Aptly, ann: Aptly
) -> None:
    [made] = await send(house, servers, "a")
    native = Acting(servers.api, TENANT, USER)

    read_at = show_time(house.clock())
    first = await ann.toggle(made, "READ")
    house.clock.advance(MINUTE)
    again = await ann.toggle(made.upper(), "READ")

    assert (first.status, first["data"]["status"], first["data"]["readAt"]) == (200, "READ", read_at)
    assert again["data"] == {**first["data"], "relativeTime": "1 minute ago"}
    assert (await native.call("GET", f"/api/v1/notifications/{made}"))["readAt"] == read_at
    assert (await native.rpc("get-inbox-unseen-count"))["unreadCount"] == 0
    for _ in range(2):
        back = await ann.toggle(made, "UNREAD")
        assert (back["data"]["status"], back["data"]["readAt"]) == ("UNREAD", None)
        counted = (await native.rpc("get-inbox-unseen-count")).json
        assert counted == {"unseenCount": 0, "unreadCount": 1}  # what was read was seen
    await native.call("PATCH", f"/api/v1/notifications/{made}/read")
    assert (await ann.get(made))["data"]["status"] == "READ"


async def test_reading_clears_the_phone_and_deleting_takes_it_away(
    house: House, servers: Aptly, ann: Aptly
) -> None:
    device = {"fcmToken": "t", "deviceId": "phone", "platform": "ANDROID", "handle": house.handle()}
    await Acting(servers.api, TENANT, USER).rpc("register-push-device", device)
    one, two = await send(house, servers, "a", "b")
    await house.accept_pushes()

    await ann.toggle(one, "UNREAD")
    assert await house.deliveries(kind=3) == []
    woken = house.wakes.count
    await ann.toggle(one, "READ")
    assert len(await house.deliveries(kind=3)) == 1
    await ann.delete(two)
    assert len(await house.deliveries(kind=2)) == 1
    assert house.wakes.count > woken


async def test_all_are_marked_however_many_pages_that_takes(
    house: House, servers: Aptly, ann: Aptly, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.commands.inbox.AT_ONCE", 2)
    await send(house, servers, *"abcde")

    for status, counts in (("READ", (0, 5)), ("UNREAD", (5, 0))):
        marked = [(await ann.mark_all(status))["data"] for _ in range(2)]
        assert marked == [{"marked": 5}, {"marked": 0}]
        counted = await ann.count()
        assert (counted["unread"], counted["read"]) == counts


async def test_what_is_deleted_is_gone_and_deleting_it_again_does_nothing(
    house: House, servers: Aptly, ann: Aptly
) -> None:
    one, _ = await send(house, servers, "a", "b")
    for _ in range(2):
        deleted = await ann.delete(one.upper())
        assert (deleted.status, deleted["data"], deleted["message"]) == (200, None, "Success")
    assert await ann.titles() == ["b"]
    assert await ann.titles(templateKey="ONE") == ["b"]
    assert (await ann.count())["total"] == 1
    for answer in (await ann.get(one), await ann.toggle(one, "READ")):
        refusal(answer, 410, "Gone")


async def test_what_was_taken_back_is_gone(house: House, servers: Aptly, ann: Aptly) -> None:
    [made] = await send(house, servers, "a")
    native = Acting(servers.api, TENANT)
    message = (await native.for_user(USER).call("GET", f"/api/v1/notifications/{made}"))["messageId"]
    assert (await native.call("DELETE", f"/api/v1/messages/{message}")).status == 204
    assert await ann.titles() == await ann.titles(category="Delegations") == []
    refusal(await ann.get(made), 410, "Gone")


async def test_what_was_taken_back_is_gone_before_every_inbox_is_cleared_of_it(
    house: House, servers: Aptly, ann: Aptly
) -> None:
    """Of a large message inboxes are cleared one after the other."""
    _, made = await send(house, servers, "a", "b")

    async def blanked(tx: Transaction) -> None:
        sql = "UPDATE messages SET content = NULL, retracted_at = $1 WHERE id = (SELECT message_id FROM inbox_items WHERE id = $2)"
        await tx.run(sql, house.clock(), made)

    await house.pieces.db.write(blanked)
    assert await ann.titles() == ["a"]
    refusal(await ann.get(made), 410, "Gone")


async def test_what_nobody_has_is_not_found_nor_what_another_has(
    house: House, servers: Aptly, ann: Aptly
) -> None:
    """Of this tenant, or of another one by the same name."""
    [made] = await send(house, servers, "a")
    nowhere = "00000000-0000-7000-8000-000000000000"
    strangers = (ann.as_user(OTHER), Aptly(ann.api, OTHER, USER))
    for who, given in ((ann, nowhere), *((stranger, made) for stranger in strangers)):
        for answer in (await who.get(given), await who.toggle(given, "READ"), await who.delete(given)):
            assert refusal(answer, 404, "Not Found") == "no such notification"
    for stranger in strangers:
        assert await stranger.titles() == []
        assert (await stranger.count())["total"] == 0
        assert (await stranger.mark_all("READ"))["data"] == {"marked": 0}
    assert (await ann.count())["unread"] == 1


async def test_reading_makes_nobody(house: House, ann: Aptly) -> None:
    before = await rows_of(house.pieces.db)
    assert (await ann.inbox())["data"] == {"page": 1, "limit": 20, "total": 0, "data": []}
    assert await ann.count() == {"unread": 0, "read": 0, "total": 0, "timePeriod": "all"}
    assert (await ann.mark_all("READ"))["data"] == {"marked": 0}
    assert await rows_of(house.pieces.db) == before


async def test_the_tenant_is_named_in_the_query_or_the_header_and_they_agree(
    house: House, servers: Aptly, ann: Aptly
) -> None:
    await send(house, servers, "a")
    by_header = Aptly(ann.api, TENANT, USER, headers={"X-Tenant-ID": TENANT})

    assert await by_header.titles(tenantId=None) == await by_header.titles() == ["a"]
    assert await ann.titles(tenantId=None) == []  # of `default`, where there is no such user
    said = refusal(await by_header.inbox(tenantId=OTHER), 400, "Bad Request")
    assert said.startswith("?tenantId is not the tenant of X-Tenant-ID")


async def test_who_calls_for_a_tenant_names_the_user(servers: Aptly) -> None:
    """Not an empty inbox, but what is missing; in the header as in the query."""
    by_header = Aptly(servers.api, headers={"X-Tenant-ID": TENANT})
    for answer in (
        await servers.inbox(),
        await by_header.inbox(tenantId=None),
        await servers.mark_all("READ"),
    ):
        assert "X-User-ID is missing" in refusal(answer, 400, "Bad Request")


async def test_a_person_reads_their_own_inbox_and_names_no_other_tenant(
    house: House, servers: Aptly, admin: Person
) -> None:
    """With their own sign-in, in their own tenant; of others they learn nothing."""
    await send(house, servers, "a")
    ben = await house.register("ben")
    await house.send(admin.api, await house.bucket(admin), title="of the admin")
    for person, titles in ((ben, []), (admin, ["of the admin"])):
        own = Aptly(person.api)
        assert await own.titles(tenantId=None) == await own.titles(tenantId="default") == titles
        row = (await own.inbox(tenantId=None))["data"]["data"][:1]
        assert [(one["tenantId"], one["userId"]) for one in row] == [("default", person.id)] * len(titles)
    for tenant in (TENANT, OTHER):
        told = await Aptly(ben.api).inbox(tenantId=tenant)
        assert refusal(told, 404, "Not Found").startswith("no such tenant: ")
    assert await Aptly(admin.api).titles(tenantId=TENANT) == []  # an operator, but nobody there
    refusal(await Aptly(ben.api).as_user().inbox(tenantId=None), 403, "Forbidden")


async def test_every_fault_of_a_query_is_named(ann: Aptly) -> None:
    wrong = {
        "page": 0,
        "limit": 101,
        "status": "SEEN",
        "templateKey": "",
        "category": " x",
        "timePeriod": "2m",
    }
    said = refusal(await ann.inbox(**wrong), 400, "Bad Request")
    for name in wrong:
        assert f"?{name} " in said
    assert "?timePeriod " in refusal(
        await ann.call("GET", "notifications/count", timePeriod="1y"), 400, "Bad Request"
    )
    for path in ("notifications/mark-all", f"notifications/{OTHER}/toggle-status"):
        for body in ({}, {"status": "SEEN"}, {"status": None}):
            assert "status " in refusal(await ann.call("PATCH", path, body), 400, "Bad Request")


async def test_refusals_have_the_apis_own_form_below_both_prefixes(house: House, ann: Aptly) -> None:
    for prefix in PREFIXES:
        who = ann.at(prefix)
        assert refusal(await who.call("GET", "nothing"), 404, "Not Found")
        assert refusal(await who.call("GET", "notifications/not-an-id"), 404, "Not Found")
        put = await who.call("PUT", "notifications")
        assert refusal(put, 405, "Method Not Allowed")
        assert put.headers["Allow"] == "GET,HEAD,POST"
        nobody = await house.api.get(f"{prefix}/notifications")
        assert refusal(nobody, 401, "Unauthorized")
        assert nobody.headers["WWW-Authenticate"].startswith("Bearer")
        unnamed = await Aptly(ann.api, prefix=prefix).inbox(tenantId=None)
        assert "X-User-ID is missing" in refusal(unnamed, 400, "Bad Request")
        refused = await ann.api.call(
            "POST", f"{prefix}/templates", raw=b"{", headers={"X-User-ID": USER, "X-Tenant-ID": TENANT}
        )
        assert refusal(refused, 403, "Forbidden")
