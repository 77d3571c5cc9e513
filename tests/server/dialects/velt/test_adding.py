"""Adding a notification: what is written, what is made for it, and who gets it."""

import json
from typing import Any

from server.commands.due import run_due
from server.domain.ports import Transaction
from tests.harness.acting import give_phones
from tests.server.conftest import Person
from tests.server.dialects.velt.adding import ANSWER, PLAIN, Acme, documented

MAIN = "This is main template, you can pass variables using curly brackets like this:"


# The documented requests


async def test_the_first_example_reaches_the_whole_organization_but_who_acts(acme: Acme) -> None:
    """It names a variable that it has no value for."""
    for known in ("ann", "ben"):
        await acme.add(organizationId="yourOrganizationId", actionUser={"userId": known})
    message = await acme.add(documented("add"))
    assert await acme.names(message) == ["ann", "ben", "testingUserId"]
    found = await acme.message(message)
    content = json.loads(found["content"])
    assert content["title"] == f"{MAIN} User Name, Recipient Name, {{yourCustomVariableWithStringValue}}"
    assert content["body"] == "This is body message (Secondary message)"
    assert (found["sender"], found["document"]) == ("yourUserId", "yourDocumentId")


async def test_the_second_example_reaches_who_has_access_to_the_document(acme: Acme) -> None:
    example = documented("add-with-permissions")
    message = await acme.add(example)
    assert await acme.names(message) == []
    assert await acme.listed("document3") == ["1.1"]
    await give_access(acme, "document3", "2.2")
    message = await acme.add(example)
    assert await acme.names(message) == ["2.2"]
    assert await title(acme, message) == f"{MAIN} 1.1, 2.2"


async def test_the_third_example_reaches_who_has_access_to_every_value(acme: Acme) -> None:
    """Whether or not it asks for permissions to be verified."""
    example = documented("add-with-context")
    await acme.add(example)
    await give_access(acme, "document3", "2.2", ("entityId", "numberOfVisitors"))
    assert await acme.names(await acme.add(example)) == []
    await give_access(acme, "document3", "2.2", ("dashboardId", "myDashboard"))
    message = await acme.add(example)
    assert await acme.names(message) == ["2.2"]
    assert await title(acme, message) == "New comment on Visitor Analytics"
    details = json.loads((await acme.message(message))["details"])
    assert details["context"] == example["context"]


async def test_the_fourth_example_has_no_texts_here(acme: Acme) -> None:
    message = await acme.add(documented("add-with-resolver"))
    assert await acme.names(message) == ["recipientUserId"]
    found = await acme.message(message)
    content = json.loads(found["content"])
    assert content["unresolved"] is True
    assert content.keys().isdisjoint({"title", "body"})
    assert found["name"] == "custom-notif-001"
    details = json.loads(found["details"])
    assert (details["isNotificationResolverUsed"], details["notificationSource"]) == (True, "custom")


async def test_texts_that_are_asked_for_are_not_kept_where_they_are_sent_nevertheless(acme: Acme) -> None:
    secret = {
        "displayHeadlineMessageTemplate": "for your eyes: {word}",
        "displayHeadlineMessageTemplateData": {"word": "sesame"},
        "displayBodyMessage": "for your eyes, too",
    }
    message = await acme.add(documented("add-with-resolver"), **secret)
    found = await acme.message(message)
    for text in ("eyes", "sesame"):
        assert text not in found["content"] + found["details"]


async def test_each_example_works_as_printed_where_organization_and_document_are_there(acme: Acme) -> None:
    for name in ("add", "add-with-permissions", "add-with-context", "add-with-resolver"):
        example = documented(name)
        refused = await acme.velt.call("notifications/add", example)
        assert (refused.status, refused["error"]["status"]) == (404, "NOT_FOUND")
        await acme.add(organizationId=example["organizationId"], documentId=example["documentId"])
        answer = await acme.velt.call("notifications/add", example)
        assert (answer.status, answer.json) == (200, ANSWER), name
        await forget(acme, example)


# What is written


async def test_a_notification_is_a_message_of_the_tenant_that_goes_to_inboxes_and_devices(acme: Acme) -> None:
    pieces = acme.house.pieces
    await acme.add()
    await give_phones(pieces.db, "acme", "ben", 2, now=acme.house.clock(), random=pieces.random)
    await give_phones(pieces.db, "acme", "ann", 1, now=acme.house.clock(), random=pieces.random)
    woken = acme.house.wakes.count
    message = await acme.add(notificationSourceData={"page": "home", "at": [1, 2]})
    found = await acme.message(message)
    assert json.loads(found["channels"]) == ["IN_APP", "PUSH"]
    assert (found["category"], found["delivery_type"], found["notifications"]) == (
        "TRANSACTIONAL",
        "NORMAL",
        1,
    )
    content = json.loads(found["content"])
    assert (content["title"], content["body"]) == ("ann has written", "Have a look")
    assert content["data"] == {"page": "home", "at": [1, 2]}
    ben = (await acme.users())["ben"]["id"]
    sent = await acme.house.deliveries(message_id=message)
    assert sorted((one["user_id"], one["channel"]) for one in sent) == [
        (ben, "IN_APP"),
        (ben, "PUSH"),
        (ben, "PUSH"),
    ]
    assert acme.house.wakes.count > woken


async def test_what_it_is_about_is_kept_as_it_was_given(acme: Acme) -> None:
    given: dict[str, Any] = {
        "actionUser": {"userId": "ann", "name": "Ann A.", "email": "ann@example.com", "photoUrl": "?"},
        "displayHeadlineMessageTemplateData": {"recipientUser": "ben", "page": "Home"},
        "notificationSource": "comment",
        "context": {"access": {"page": ["home", 5]}},
        "notifyUsers": [{"userId": "ben", "email": "ben@example.com"}, {"userId": "ann"}],
    }
    message = await acme.add(**given)
    found = await acme.message(message)
    details = json.loads(found["details"])
    meant = details.pop("meant")
    assert meant == [(await acme.users())["ben"]["id"]]
    assert details == {
        "actionUser": {"userId": "ann", "name": "Ann A.", "email": "ann@example.com"},
        "displayHeadlineMessageTemplate": "{actionUser} has written",
        "displayHeadlineMessageTemplateData": {"recipientUser": "ben", "page": "Home"},
        "notificationSource": "comment",
        "context": {"access": {"page": ["home", 5]}},
        "notifyAll": False,
        "notifyUsers": [{"userId": "ben", "email": "ben@example.com"}, {"userId": "ann"}],
        "isNotificationResolverUsed": False,
    }
    assert (found["name"], found["fingerprint"]) == (None, None)


async def test_what_is_null_counts_as_left_out(acme: Acme) -> None:
    """So everybody gets it."""
    await acme.add(actionUser={"userId": "eve"})
    message = await acme.add(
        notifyAll=None,
        notificationId=None,
        context=None,
        notificationSourceData=None,
        displayHeadlineMessageTemplateData={"page": None},
        verifyUserPermissions=None,
        isNotificationResolverUsed=None,
        actionUser={"userId": "ann", "name": None, "email": ""},
    )
    assert await acme.names(message) == ["ben", "eve"]
    assert await title(acme, message) == "ann has written"


# Who gets it


async def test_everyone_gets_it_where_nothing_is_said_of_that(acme: Acme) -> None:
    """Whichever API made them; those who are named are those whom it concerns."""
    await acme.add(notifyUsers=[{"userId": "cem"}, {"userId": "ben"}])
    everyone = {key: value for key, value in PLAIN.items() if key != "notifyAll"}
    message = await acme.add(everyone)
    assert await acme.names(message) == ["ben", "cem"]
    details = json.loads((await acme.message(message))["details"])
    assert details["notifyAll"] is True
    assert details["meant"] == [(await acme.users())["ben"]["id"]]


async def test_everyone_may_be_told_without_anybody_being_named(acme: Acme) -> None:
    await acme.add()
    message = await acme.add(notifyUsers=[], notifyAll=True)
    assert await acme.names(message) == ["ben"]


async def test_those_who_are_named_get_it_once_by_whichever_of_their_names(acme: Acme) -> None:
    await acme.add()
    ben = (await acme.users())["ben"]["id"]
    message = await acme.add(
        notifyUsers=[{"userId": "ben"}, {"userId": ben}, {"userId": "ben"}, {"userId": "cem"}]
    )
    assert await acme.names(message) == ["ben", "cem"]
    meant = json.loads((await acme.message(message))["details"])["meant"]
    assert meant == [ben, (await acme.users())["cem"]["id"]]


async def test_who_acts_does_not_get_it_by_whatever_name(acme: Acme) -> None:
    await acme.add()
    ann = (await acme.users())["ann"]["id"]
    for everyone in (True, False):
        message = await acme.add(notifyUsers=[{"userId": ann.upper()}, {"userId": "ben"}], notifyAll=everyone)
        assert await acme.names(message) == ["ben"]


async def test_where_nobody_is_left_it_is_added_and_nobody_is_told(acme: Acme) -> None:
    message = await acme.add(notifyUsers=[{"userId": "ann"}], notificationId="to-herself")
    assert await acme.names(message) == []
    assert (await acme.message(message))["name"] == "to-herself"
    assert await acme.house.deliveries(message_id=message) == []


async def test_permissions_hold_for_everyone_too(acme: Acme) -> None:
    await acme.add(notifyUsers=[{"userId": "ben"}, {"userId": "cem"}, {"userId": "dan"}])
    await give_access(acme, "plan", "cem", ("page", "home"), ("page", "5"))
    await give_access(acme, "plan", "dan", ("page", "home"))
    verified = await acme.add(notifyAll=True, verifyUserPermissions=True)
    assert await acme.names(verified) == ["cem", "dan"]
    within = await acme.add(notifyAll=True, context={"access": {"page": ["home", 5]}})
    assert await acme.names(within) == ["cem"]
    assert await acme.names(await acme.add(notifyAll=True, context={"access": {}})) == ["ben", "cem", "dan"]


async def test_another_organizations_users_of_the_same_names_get_nothing(acme: Acme) -> None:
    await acme.add(organizationId="umbrella")
    message = await acme.add(notifyAll=True)
    receivers = await acme.rows("SELECT user_id FROM inbox_items WHERE message_id = $1", message)
    assert [one["user_id"] for one in receivers] == [(await acme.users())["ben"]["id"]]
    assert (await acme.users("umbrella"))["ben"]["id"] != (await acme.users())["ben"]["id"]


async def test_a_thousand_users_are_made_and_told_in_one_go(acme: Acme) -> None:
    names = [f"user-{number:04}" for number in range(1000)]
    message = await acme.add(notifyUsers=[{"userId": name, "name": name} for name in names])
    assert (await acme.message(message))["notifications"] == 1000
    pieces = acme.house.pieces
    while await run_due(pieces.db, now=acme.house.clock(), random=pieces.random, log=pieces.log):
        pass
    assert await acme.names(message) == names
    assert set(names) <= (await acme.users()).keys()


# Who is made


async def test_who_is_named_first_comes_to_be_with_name_and_address(acme: Acme) -> None:
    await acme.add(
        actionUser={"userId": "ann", "name": "Ann Marie Archer", "email": "Ann@example.com"},
        notifyUsers=[{"userId": "ben", "name": " Ben "}, {"userId": "cem", "name": " ", "email": ""}],
    )
    users = await acme.users()
    profiles = {name: json.loads(user["profile"]) for name, user in users.items()}
    assert profiles == {
        "ann": {"firstName": "Ann", "lastName": "Marie Archer"},
        "ben": {"firstName": "Ben"},
        "cem": {},
    }
    assert {name: user["email"] for name, user in users.items()} == {
        "ann": "Ann@example.com",
        "ben": None,
        "cem": None,
    }


async def test_who_is_known_stays_as_they_are(acme: Acme) -> None:
    ben = {"userId": "ben", "name": "Ben Bright", "email": "ben@example.com"}
    await acme.add(notifyUsers=[ben])
    before = await acme.users()
    await acme.add(notifyUsers=[{"userId": "ben", "name": "Mallory", "email": "mallory@example.com"}])
    assert await acme.users() == before


async def test_what_is_said_of_somebody_twice_is_put_together(acme: Acme) -> None:
    await acme.add(
        actionUser={"userId": "ann", "email": "ann@example.com"},
        notifyUsers=[
            {"userId": "ann", "name": "Ann Archer", "email": "other@example.com"},
            {"userId": "ben"},
        ],
    )
    ann = (await acme.users())["ann"]
    assert (ann["email"], json.loads(ann["profile"])) == (
        "ann@example.com",
        {"firstName": "Ann", "lastName": "Archer"},
    )


async def test_an_address_that_somebody_has_is_left_out(acme: Acme) -> None:
    """Within one request the first who is named has it; in another organization it is free."""
    await acme.add(actionUser={"userId": "ann", "email": "team@example.com"})
    message = await acme.add(
        actionUser={"userId": "ann"},
        notifyUsers=[
            {"userId": "cem", "email": "TEAM@example.com", "name": "Cem"},
            {"userId": "dan", "email": "pair@example.com"},
            {"userId": "eve", "email": "Pair@example.com"},
        ],
    )
    assert await acme.names(message) == ["cem", "dan", "eve"]
    addresses = {name: user["email"] for name, user in (await acme.users()).items()}
    assert addresses == {
        "ann": "team@example.com",
        "ben": None,
        "cem": None,
        "dan": "pair@example.com",
        "eve": None,
    }
    assert json.loads((await acme.users())["cem"]["profile"]) == {"firstName": "Cem"}
    await acme.add(organizationId="umbrella", actionUser={"userId": "ann", "email": "team@example.com"})
    assert (await acme.users("umbrella"))["ann"]["email"] == "team@example.com"


async def test_a_document_that_is_made_lists_who_acts_and_one_that_is_there_stays_as_it_is(
    acme: Acme,
) -> None:
    await acme.add()
    assert await acme.listed() == ["ann"]
    await acme.add(actionUser={"userId": "cem"})
    assert await acme.listed() == ["ann"]
    assert len(await acme.rows("SELECT id FROM documents")) == 1


async def test_a_notification_that_was_added_here_is_read_in_the_native_api(
    acme: Acme, admin: Person
) -> None:
    """The default organization's users are the server's own."""
    sender = await acme.house.register("sender")
    message = await acme.add(
        organizationId="default", actionUser={"userId": sender.id}, notifyUsers=[{"userId": "admin"}]
    )
    [item] = (await admin.api.get("/api/v1/notifications"))["notifications"]
    assert item["message"]["id"] == message
    assert item["message"]["title"] == f"{sender.username}@example.com has written"


async def title(acme: Acme, message: str) -> str:
    return str(json.loads((await acme.message(message))["content"])["title"])


async def give_access(acme: Acme, document: str, user: str, *values: tuple[str, str]) -> None:
    """Put a user on the access list of a document that is there, with access to values of its fields."""

    async def job(tx: Transaction) -> None:
        where = "FROM documents d JOIN users u ON u.tenant_id = d.tenant_id WHERE d.key = $1 AND u.external_id = $2"
        await tx.run(
            f"INSERT INTO document_access (document_id, user_id, created_at) SELECT d.id, u.id, 1 {where}"
            " ON CONFLICT DO NOTHING",
            document,
            user,
        )
        for pair in values:
            await tx.run(
                "INSERT INTO document_fields (document_id, user_id, field, value)"
                f" SELECT d.id, u.id, CAST($3 AS TEXT), CAST($4 AS TEXT) {where}",
                document,
                user,
                *pair,
            )

    await acme.house.pieces.db.write(job)


async def forget(acme: Acme, example: dict[str, Any]) -> None:
    """Have an organization be gone, so that the next example finds nothing."""
    await acme.house.pieces.db.write(
        lambda tx: tx.run("UPDATE tenants SET name = id WHERE name = $1", example["organizationId"])
    )
