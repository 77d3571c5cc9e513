"""Reading notifications: what a row shows, whose they are, and pages that stay as they are."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from server.commands.notifications import Whose, list_notifications
from server.domain.ids import new_id
from server.domain.ports import Database, Row, Transaction
from server.domain.times import show_time
from server.store import notifications
from tests.harness.velt import Velt, refusal
from tests.server.conftest import House, Person
from tests.server.dialects.velt.there import DOCUMENT, ORGANIZATION, Acme

T = TypeVar("T")
BEN = {"userId": "ben"}
WHOSE: dict[str, dict[str, Any]] = {
    "the organization's": {},
    "a document's": {"documentId": DOCUMENT},
    "a user's": BEN,
    "a user's about a document": {**BEN, "documentId": DOCUMENT},
}


# What a row shows


async def test_a_row_shows_what_was_added(there: Acme) -> None:
    name = await there.add(
        "n-1",
        notificationSource="comment",
        notificationSourceData={"comment": 7},
        context={"access": {}},
        notifyUsers=[{"userId": "ben", "name": "Ben", "email": "ben@example.com"}],
    )
    assert await there.get() == [
        {
            "id": name,
            "notificationId": name,
            "organizationId": ORGANIZATION,
            "documentId": DOCUMENT,
            "actionUser": {"userId": "ann", "name": "Ann Lee"},
            "displayHeadlineMessage": "Ann Lee has written about the plan",
            "displayBodyMessage": "Have a look",
            "displayHeadlineMessageTemplate": "{actionUser} has written about {page}",
            "displayHeadlineMessageTemplateData": {"page": "the plan"},
            "notificationSource": "comment",
            "notificationSourceData": {"comment": 7},
            "context": {"access": {}},
            "notifyAll": False,
            "notifyUsers": [{"userId": "ben", "name": "Ben", "email": "ben@example.com"}],
            "isNotificationResolverUsed": False,
            "readByUserIds": [],
            "timestamp": show_time(there.house.clock()),
        }
    ]


async def test_a_users_row_says_what_became_of_it(there: Acme) -> None:
    await there.add("n-1")
    [row] = await there.get(**BEN)
    assert (row["isRead"], row["readAt"], row["forYou"]) == (False, None, True)
    await there.socayo("ben").rpc("mark-all-inbox-messages", {"status": "READ"})
    [row] = await there.get(**BEN)
    assert (row["isRead"], row["readAt"]) == (True, show_time(there.house.clock()))
    [other] = await there.get(userId="cleo")
    assert (other["isRead"], other["readByUserIds"]) == (False, ["ben"])
    assert [row["readByUserIds"] for row in await there.get()] == [["ben"]]


async def test_what_went_to_everyone_is_for_those_whom_it_concerns(there: Acme) -> None:
    await there.add("n-1", "ben", notifyAll=True)
    assert {user: (await there.get(userId=user))[0]["forYou"] for user in ("ben", "cleo")} == {
        "ben": True,
        "cleo": False,
    }
    assert await there.get(userId="ann") == []


async def test_what_came_by_another_api_is_there_as_well(there: Acme) -> None:
    """With what it has, for its user and for the organization."""
    sent = await there.socayo().send(
        userId="ben", channel="IN_APP", content={"title": "Hello", "body": "World", "data": {"a": 1}}
    )
    [row] = await there.get(**BEN)
    assert [{**row, "isRead": None}] == [
        {
            "id": sent,
            "notificationId": sent,
            "organizationId": ORGANIZATION,
            "documentId": None,
            "actionUser": None,
            "displayHeadlineMessage": "Hello",
            "displayBodyMessage": "World",
            "displayHeadlineMessageTemplate": None,
            "displayHeadlineMessageTemplateData": None,
            "notificationSource": None,
            "notificationSourceData": {"a": 1},
            "context": None,
            "notifyAll": False,
            "notifyUsers": [],
            "isNotificationResolverUsed": False,
            "readByUserIds": [],
            "timestamp": show_time(there.house.clock()),
            "isRead": None,
            "readAt": None,
            "forYou": True,
        }
    ]
    assert await there.ids() == [sent]


async def test_texts_that_are_not_to_be_had_are_missing_and_a_row_says_so(there: Acme) -> None:
    await there.add(
        "n-1",
        isNotificationResolverUsed=True,
        notificationSource="custom",
        displayHeadlineMessageTemplate=None,
        displayBodyMessage=None,
    )
    [row] = await there.get()
    assert row["unresolved"] is True
    assert row["isNotificationResolverUsed"] is True
    assert (row["displayHeadlineMessage"], row["displayBodyMessage"]) == (None, None)


async def test_what_waits_for_its_time_is_not_there_yet(there: Acme) -> None:
    await there.socayo().send("send-scheduled", scheduledAt="2027-01-15T09:00:00Z")
    assert await there.get() == []


async def test_of_a_deleted_document_the_notifications_stay(there: Acme) -> None:
    await there.add("n-1")
    answer = await there.velt.call(
        "documents/delete", {"organizationId": ORGANIZATION, "documentId": DOCUMENT}
    )
    assert answer.status == 200, answer.body
    assert [row["documentId"] for row in await there.get()] == [None]


# Pages


@pytest.mark.parametrize("whose", WHOSE)
async def test_pages_show_each_once_the_newest_first(there: Acme, whose: str) -> None:
    names = [await there.add(f"n-{number}") for number in range(5)]
    assert await there.read_through(**WHOSE[whose]) == names[::-1]
    assert await there.ids(**WHOSE[whose]) == names[::-1]


@pytest.mark.parametrize("whose", WHOSE)
async def test_pages_stay_as_they_are_while_others_come_and_go(there: Acme, whose: str) -> None:
    names = [await there.add(f"n-{number}") for number in range(5)]
    first = await there.page(**WHOSE[whose], pageSize=2)
    assert [row["id"] for row in first["data"]] == names[:2:-1]
    await there.add("new")
    await there.delete(notificationIds=[names[2], names[3]])  # the one that the page ended with, and the next
    second = await there.page(**WHOSE[whose], pageSize=2, pageToken=first["pageToken"])
    assert [row["id"] for row in second["data"]] == names[1::-1]
    assert second["pageToken"] is None


async def test_of_a_large_document_a_users_are_found_wherever_they_are(
    there: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page may be empty then, and still say where to go on."""
    monkeypatch.setattr(notifications, "LOOKED_THROUGH", 2)
    await there.add("first", "ben")
    for number in range(4):
        await there.add(f"n-{number}", "cleo")
    await there.add("last", "ben")
    assert await there.read_through(**WHOSE["a user's about a document"]) == ["last", "first"]


async def test_what_is_left_of_very_many_is_found(there: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "LOOKED_THROUGH", 2)
    names = [await there.add(f"n-{number}") for number in range(7)]
    await there.delete(notificationIds=names[1:6])
    assert await there.read_through() == [names[6], names[0]]


class Counting:
    """A database that counts the statements of what is asked of it."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.statements: list[str] = []

    async def read(self, job: Callable[[Transaction], Awaitable[T]]) -> T:
        async def counted(tx: Transaction) -> T:
            counting: Any = _Counted(tx, self.statements)  # of a transaction, what reads
            return await job(counting)

        return await self._db.read(counted)


class _Counted:
    def __init__(self, tx: Transaction, statements: list[str]) -> None:
        self._tx = tx
        self._statements = statements

    async def all(self, sql: str, *args: object) -> Any:
        self._statements.append(sql)
        return await self._tx.all(sql, *args)

    async def one(self, sql: str, *args: object) -> Row | None:
        self._statements.append(sql)
        return await self._tx.one(sql, *args)


@pytest.mark.parametrize("whose", WHOSE)
async def test_a_page_asks_as_little_of_the_database_however_many_are_on_it(there: Acme, whose: str) -> None:
    async def asked(limit: int) -> tuple[int, int]:
        [row] = await there.rows(
            "SELECT t.id AS tenant, u.id AS ben FROM tenants t JOIN users u ON u.tenant_id = t.id"
            " WHERE t.name = $1 AND u.external_id = 'ben'",
            ORGANIZATION,
        )
        about = WHOSE[whose]
        meant = Whose(row["tenant"], row["ben"] if "userId" in about else None, about.get("documentId"))
        db: Any = Counting(there.house.pieces.db)  # of a database's methods, those that are called
        page = await list_notifications(db, there.house.pieces.resolver, meant, before=None, limit=limit)
        return len(page.notifications), len(db.statements)

    for number in range(7):
        await there.add(f"n-{number}")
    few, many, whole = await asked(1), await asked(6), await asked(7)
    assert (few[0], many[0], whole[0]) == (1, 6, 7)
    assert few[1] == many[1] == 2
    assert whole[1] <= 3


# By their ids


async def test_notifications_are_found_by_an_apps_ids_and_by_ours(there: Acme) -> None:
    names = [await there.add("n-1"), await there.add(), await there.add("n-3", "cleo")]
    [mine] = await there.rows("SELECT message_id FROM subjects WHERE name = 'n-1'")
    asked = [mine["message_id"].upper(), names[1], "n-3", "unknown", new_id(1, there.house.random)]
    assert await there.ids(notificationIds=asked) == ["n-3", names[1], "n-1"]
    assert await there.ids(notificationIds=asked, **BEN) == [names[1], "n-1"]
    assert await there.ids(notificationIds=asked, documentId="another") == []
    assert await there.ids(notificationIds=asked, documentId=DOCUMENT) == ["n-3", names[1], "n-1"]


async def test_an_id_of_an_apps_own_comes_before_one_of_ours(house: House, admin: Person) -> None:
    """Of what a person has of both."""
    ann = await house.register("ann")
    ours = str((await house.send(ann.api, await house.bucket(ann)))["id"])
    servers = Acme(house, Velt.of(await house.token(admin, "admin")))
    default = {"organizationId": "default"}
    await servers.add(ours, ann.id, actionUser={"userId": "boss"}, **default)
    rows = await servers.get(userId=ann.id, notificationIds=[ours], **default)
    assert [row["displayBodyMessage"] for row in rows] == ["Have a look"]


# Whose


async def test_another_organizations_are_not_there(there: Acme, house: House, admin: Person) -> None:
    name = await there.add("n-1")
    [ours] = await there.rows("SELECT message_id FROM subjects WHERE name = 'n-1'")
    await there.add("theirs", organizationId="globex")
    globex = {"organizationId": "globex"}
    assert await there.ids(**globex) == ["theirs"]
    assert await there.ids(notificationIds=[name, ours["message_id"]], **globex) == []
    assert await there.ids(**globex, documentId=DOCUMENT) == ["theirs"]
    bound = there.at(Velt.of(await house.token_of(admin, "globex", "gateway")))
    assert refusal(await bound.call("get", **BEN))[:2] == (404, "NOT_FOUND")


async def test_an_unknown_organization_is_not_found_and_an_unknown_user_has_nothing(there: Acme) -> None:
    await there.add()
    assert refusal(await there.call("get", organizationId="nobody"))[:2] == (404, "NOT_FOUND")
    assert await there.get(userId="nobody") == []
    assert await there.get(documentId="nothing") == []


async def test_a_gateway_names_the_user(there: Acme, house: House, admin: Person) -> None:
    name = await there.add()
    gateway = there.at(Velt.of(await house.token(admin, "gateway")))
    assert await gateway.ids(**BEN) == [name]
    status, word, message = refusal(await gateway.call("get"))
    assert (status, word) == (400, "INVALID_ARGUMENT")
    assert message.startswith("data.userId is missing")


async def test_who_is_signed_in_reads_what_is_theirs_and_nobody_elses(house: House, admin: Person) -> None:
    """What people write to each other is in their inboxes, and not the organization's."""
    ann, ben = await house.register("ann"), await house.register("ben")
    bucket = await house.bucket(ann)
    secret = str((await house.send(ann.api, bucket))["id"])
    default = {"organizationId": "default"}
    servers = Acme(house, Velt.of(await house.token(admin, "admin")))
    own = servers.at(servers.velt.with_token(ann.access))
    assert await own.ids(**default) == [secret]
    assert await own.ids(**default, userId=ann.id) == [secret]
    assert refusal(await own.call("get", **default, userId=ben.id))[:2] == (404, "NOT_FOUND")
    assert refusal(await own.call("get", organizationId="acme"))[:2] == (404, "NOT_FOUND")
    assert await servers.ids(**default) == []
    assert await servers.ids(**default, notificationIds=[secret]) == []
    assert await servers.ids(**default, userId=ann.id, notificationIds=[secret]) == [secret]


# What a user is shown of others

TO_BOTH: dict[str, Any] = {
    "notifyUsers": [
        {"userId": "ben", "name": "Ben", "email": "ben@example.com"},
        {"userId": "cleo", "name": "Cleo", "email": "cleo@example.com"},
    ],
    "displayHeadlineMessageTemplate": "{actionUser} has asked {recipientUser}",
    "displayHeadlineMessageTemplateData": {
        "recipientUser": {"userId": "ben", "name": "Ben", "email": "ben@example.com", "phone": "+491511"}
    },
}


async def test_a_user_is_shown_nobody_else_who_has_it(there: Acme, house: House, admin: Person) -> None:
    """Neither whom it concerns, nor who has read it, nor how to reach them; who has done something stays."""
    actor = {"userId": "ann", "name": "Ann Lee", "email": "ann@example.com"}
    await there.add("n-1", **{**TO_BOTH, "actionUser": actor})
    await there.update({"id": "n-1", "readByUserIds": ["ben", "cleo"]})
    gateway = there.at(Velt.of(await house.token(admin, "gateway")))
    [row] = await gateway.get(userId="cleo")
    assert row["notifyUsers"] == [{"userId": "cleo", "name": "Cleo", "email": "cleo@example.com"}]
    assert row["readByUserIds"] == ["cleo"]
    assert row["displayHeadlineMessageTemplateData"] == {"recipientUser": {"userId": "ben", "name": "Ben"}}
    assert row["actionUser"] == {"userId": "ann", "name": "Ann Lee"}
    assert row["displayHeadlineMessage"] == "Ann Lee has asked Ben"
    assert await gateway.get(userId="cleo", notificationIds=["n-1"]) == [row]


async def test_who_only_gets_what_concerns_others_is_not_told_whom(
    there: Acme, house: House, admin: Person
) -> None:
    await there.add("n-1", notifyUsers=[{"userId": "ben", "email": "ben@example.com"}], notifyAll=True)
    await there.update({"id": "n-1", "readByUserIds": ["ben"]})
    gateway = there.at(Velt.of(await house.token(admin, "gateway")))
    [row] = await gateway.get(userId="cleo")
    assert (row["notifyUsers"], row["readByUserIds"], row["forYou"]) == ([], [], False)


async def test_who_manages_the_organization_is_shown_all_of_a_users_too(there: Acme) -> None:
    await there.add("n-1", **TO_BOTH)
    await there.update({"id": "n-1", "readByUserIds": ["ben", "cleo"]})
    for whose in ({}, {"userId": "cleo"}):
        [row] = await there.get(**whose)
        assert row["notifyUsers"] == TO_BOTH["notifyUsers"]
        assert row["readByUserIds"] == ["ben", "cleo"]
        assert row["displayHeadlineMessageTemplateData"] == TO_BOTH["displayHeadlineMessageTemplateData"]


async def test_who_is_signed_in_is_shown_themselves_by_whichever_name(house: House, admin: Person) -> None:
    """Also one whose username is another's id in the app: what is said of that one is not theirs."""
    ann = await house.register("ann")
    servers = Acme(house, Velt.of(await house.token(admin, "admin")))
    own = servers.at(servers.velt.with_token(ann.access))
    default: dict[str, Any] = {"organizationId": "default"}
    by_name = {"actionUser": {"userId": "boss"}, **default}
    await servers.add("n-1", notifyUsers=[{"userId": "ANN", "email": "1@example.com"}], **by_name)
    await servers.add("n-2", notifyUsers=[{"userId": ann.id.upper(), "email": "2@example.com"}], **by_name)
    await servers.velt.said(
        "organizations/users/add", {**default, "users": [{"userId": "other", "email": "other@example.com"}]}
    )
    rename = "UPDATE users SET external_id = 'ann' WHERE external_id = 'other'"
    await house.pieces.db.write(lambda tx: tx.run(rename))
    both = [{"userId": "ann", "email": "other@example.com"}, {"userId": ann.id, "email": "3@example.com"}]
    await servers.add("n-3", notifyUsers=both, **by_name)
    rows = await own.get(**default)
    assert {row["id"]: [one["email"] for one in row["notifyUsers"]] for row in rows} == {
        "n-1": ["1@example.com"],
        "n-2": ["2@example.com"],
        "n-3": ["3@example.com"],
    }


# What is wrong


async def test_every_fault_is_named(there: Acme) -> None:
    given = {
        "pageSize": 0,
        "pageToken": "next",
        "notificationIds": [str(number) for number in range(31)],
        "userId": 5,
    }
    status, word, message = refusal(await there.call("get", **given))
    assert (status, word) == (400, "INVALID_ARGUMENT")
    for place in ("data.pageSize", "data.pageToken", "data.notificationIds", "data.userId"):
        assert place in message
    assert await there.get(notificationIds=[str(number) for number in range(30)], pageSize=1) == []
