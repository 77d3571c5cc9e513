"""Adding a notification, refused: every fault is named at once, and nothing is written."""

from typing import Any

import pytest

from tests.harness.acting import rows_of
from tests.harness.velt import Velt, refusal
from tests.server.conftest import House, Person
from tests.server.dialects.velt.adding import ANSWER, MADE, PLAIN, Acme, documented

# What is read before anything is asked of the database does not depend on it.
ONE_ENGINE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def refused(acme: Acme, given: dict[str, Any], status: int, word: str) -> str:
    """Add what is refused; return the message. Nothing is written."""
    before = await rows_of(acme.house.pieces.db)
    answer = await acme.velt.call("notifications/add", given)
    assert refusal(answer)[:2] == (status, word), answer.body
    assert await rows_of(acme.house.pieces.db) == before
    return refusal(answer)[2]


async def test_every_fault_is_named_with_its_place_the_reason_and_the_fix(acme: Acme) -> None:
    wrong = {
        "organizationId": "",
        "createDocument": "yes",
        "actionUser": {"userId": 7, "email": "ann at home"},
        "notificationId": "a b",
        "displayHeadlineMessageTemplateData": {"page": 5, "who": {"name": "Ann"}},
        "notifyUsers": [{"userId": "ben"}, {"name": "Cem"}, "dan"],
        "context": {},
    }
    message = await refused(acme, wrong, 400, "INVALID_ARGUMENT")
    named = {fault.partition(" ")[0]: fault for fault in message.split("; ")}
    assert named.keys() == {
        "data.organizationId",
        "data.documentId",
        "data.createDocument",
        "data.actionUser.userId",
        "data.actionUser.email",
        "data.notificationId",
        "data.displayHeadlineMessageTemplate",
        "data.displayHeadlineMessageTemplateData.page",
        "data.displayHeadlineMessageTemplateData.who.userId",
        "data.displayBodyMessage",
        "data.notifyUsers[1].userId",
        "data.notifyUsers[2]",
        "data.context.access",
    }
    assert named["data.notifyUsers[1].userId"] == (
        "data.notifyUsers[1].userId is missing: send a text of 1 to 100 characters"
    )
    assert named["data.displayBodyMessage"] == (
        "data.displayBodyMessage is missing: send a text of 1 to 4000 characters, or set isNotificationResolverUsed to have"
        " your server asked for it"
    )


@pytest.mark.parametrize(
    "body", [{}, {"data": None}, {"data": []}, {"data": "x"}, {"organizationId": "acme"}]
)
async def test_what_is_asked_for_stands_in_data(acme: Acme, body: object) -> None:
    answer = await acme.velt.post("notifications/add", body)
    assert refusal(answer)[:2] == (400, "INVALID_ARGUMENT")
    assert refusal(answer)[2].startswith("data is ")


@ONE_ENGINE
@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"notifyUsers": [], "notifyAll": False}, "data.notifyUsers is empty"),
        ({"notifyUsers": None}, "data.notifyUsers is missing"),
        ({"notifyUsers": [{"userId": f"u{n}"} for n in range(1001)]}, "data.notifyUsers has 1001 entries"),
        ({"notifyAll": "false"}, "data.notifyAll is a text"),
        ({"actionUser": None}, "data.actionUser is missing"),
        ({"actionUser": "ann"}, "data.actionUser is a text"),
        ({"actionUser": {"userId": "ann", "name": "x" * 101}}, "data.actionUser.name has 101 characters"),
        ({"notificationId": "ä"}, "data.notificationId has characters that an id cannot have"),
        ({"notificationId": "x" * 101}, "data.notificationId has 101 characters"),
        ({"notificationId": ""}, "data.notificationId is empty"),
        (
            {"displayHeadlineMessageTemplate": "x" * 1001},
            "data.displayHeadlineMessageTemplate has 1001 characters",
        ),
        ({"displayHeadlineMessageTemplate": " "}, "data.displayHeadlineMessageTemplate is empty"),
        ({"displayBodyMessage": "x" * 4001}, "data.displayBodyMessage has 4001 characters"),
        ({"displayBodyMessage": "\x00"}, "data.displayBodyMessage holds a control character"),
        (
            {"displayHeadlineMessageTemplateData": {str(n): "" for n in range(101)}},
            "data.displayHeadlineMessageTemplateData has 101 variables",
        ),
        (
            {"displayHeadlineMessageTemplateData": {"page": ["home"]}},
            "data.displayHeadlineMessageTemplateData.page is neither a text nor a user",
        ),
        (
            {"displayHeadlineMessageTemplateData": {"page": True}},
            "data.displayHeadlineMessageTemplateData.page is neither a text nor a user",
        ),
        (
            {"displayHeadlineMessageTemplateData": {"page": "x" * 1001}},
            "data.displayHeadlineMessageTemplateData.page has 1001 characters",
        ),
        ({"isNotificationResolverUsed": True}, "data.notificationSource is missing"),
        (
            {"isNotificationResolverUsed": True, "notificationSource": "comment"},
            "data.notificationSource is not custom",
        ),
        (
            {"notificationSourceData": {"x": "y" * 4096}},
            "data.notificationSourceData has more than 4096 bytes",
        ),
        ({"context": {"access": {"page": True}}}, "data.context.access.page is neither a text nor a number"),
        ({"context": {"access": {"page": ["home", {}]}}}, "data.context.access.page[1] is neither"),
        ({"context": {"access": {"page": None}}}, "data.context.access.page is neither a text nor a number"),
        ({"context": {"access": {"page": []}}}, "data.context.access.page has 0 entries"),
        ({"context": {"access": {"page": "x" * 256}}}, "data.context.access.page has 256 characters"),
        ({"context": {"access": {"": "x"}}}, "data.context.access has a field without a proper name"),
        ({"context": {"access": {"n": [*range(101)]}}}, "data.context.access has 101 values"),
        ({"context": {"access": {"n": ["same"] * 101}}}, "data.context.access has 101 values"),
        ({"context": {"access": 5}}, "data.context.access is a number"),
        ({"documentId": "x" * 256}, "data.documentId has 256 characters"),
    ],
)
async def test_each_field_has_its_limits(acme: Acme, more: dict[str, Any], fault: str) -> None:
    """Also where all else that is needed is there, or would be made."""
    message = await refused(acme, {**PLAIN, **MADE, **more}, 400, "INVALID_ARGUMENT")
    assert message.startswith(fault), message
    assert ": " in message[len(fault) :], "how to put it right"


async def test_the_furthest_that_each_field_may_go_is_taken(acme: Acme) -> None:
    await acme.add(
        documentId="d" * 255,
        notificationId="N_-" + "1" * 97,
        displayHeadlineMessageTemplate="{page}" + "x" * 994,
        displayHeadlineMessageTemplateData={"page": "y" * 1000, **{str(n): "" for n in range(99)}},
        displayBodyMessage="\n" + "z" * 3999,
        context={"access": {"f" * 100: [*range(99), "v" * 255]}},
        notificationSource="s" * 100,
    )


@ONE_ENGINE
async def test_what_is_wrong_with_the_whole_of_it_is_said_of_the_body(acme: Acme) -> None:
    answer = await acme.velt.post("notifications/add", [PLAIN])
    assert refusal(answer) == (400, "INVALID_ARGUMENT", "the body is a list: send one JSON object")


async def test_an_unknown_field_is_passed_over(acme: Acme) -> None:
    await acme.add(somethingElse={"deep": [1]}, actionUser={"userId": "ann", "color": "#fff"})


async def test_an_organization_that_is_not_there_is_not_found(acme: Acme) -> None:
    """Whether or not its document were to be made."""
    for more in ({}, {"createDocument": True}):
        message = await refused(acme, {**PLAIN, **more}, 404, "NOT_FOUND")
        assert message == (
            "data.organizationId is no organization, or none for these tokens: add it first, set createOrganization where a call takes that,"
            " or use tokens that are not bound to another one"
        )


async def test_a_document_that_is_not_there_is_not_found_and_no_organization_is_made(acme: Acme) -> None:
    message = await refused(acme, {**PLAIN, "createOrganization": True}, 404, "NOT_FOUND")
    assert message.startswith("data.documentId is no document of the organization: ")


async def test_a_document_of_another_organization_is_not_there(acme: Acme) -> None:
    await acme.add(organizationId="umbrella", documentId="theirs")
    await acme.add()
    await refused(acme, {**PLAIN, "documentId": "theirs"}, 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("template", "page", "reason"),
    [
        ("{page}{page}{page}", "x" * 1000, "has 3000 characters with its variables put in"),
        ("{page} ", "", "is empty with its variables put in"),
    ],
)
async def test_a_headline_that_cannot_be_shown_is_refused_and_nobody_is_made(
    acme: Acme, template: str, page: str, reason: str
) -> None:
    wrong = {
        **PLAIN,
        **MADE,
        "displayHeadlineMessageTemplate": template,
        "displayHeadlineMessageTemplateData": {"page": page},
    }
    message = await refused(acme, wrong, 400, "INVALID_ARGUMENT")
    assert message.startswith(f"data.displayHeadlineMessageTemplate {reason}: ")


# Who may


@pytest.mark.parametrize("scope", ["gateway", "messages:create", "messages:read", "metrics"])
async def test_only_who_manages_a_tenant_adds(house: House, admin: Person, scope: str) -> None:
    acme = Acme(Velt.of(await house.token(admin, scope)), house)
    await refused(acme, {**PLAIN, **MADE}, 403, "PERMISSION_DENIED")


async def test_an_admin_who_is_signed_in_may_add(acme: Acme, admin: Person) -> None:
    answer = await acme.velt.with_token(admin.access).call("notifications/add", {**PLAIN, **MADE})
    assert (answer.status, answer.json) == (200, ANSWER)


async def test_who_is_signed_in_may_not_add_not_even_in_their_own_name(acme: Acme) -> None:
    ann = await acme.house.register("ann")
    signed_in = Acme(acme.velt.with_token(ann.access), acme.house)
    own = {**PLAIN, "organizationId": "default", "actionUser": {"userId": ann.id}, "createDocument": True}
    await refused(signed_in, own, 403, "PERMISSION_DENIED")


@pytest.mark.parametrize("bound", ["key", "token", "both"])
async def test_a_token_of_one_organization_finds_and_makes_no_other(
    acme: Acme, admin: Person, bound: str
) -> None:
    tied = (await acme.house.token_of(admin, "acme", "admin")).token
    free = acme.velt.token
    own = Velt(
        acme.velt.api,
        tied if bound in {"key", "both"} else free,
        tied if bound in {"token", "both"} else free,
    )
    answer = await own.call("notifications/add", {**PLAIN, **MADE})
    assert (answer.status, answer.json) == (200, ANSWER)
    await acme.add(organizationId="umbrella")
    for organization in ("umbrella", "nobodys"):
        for more in ({}, MADE):
            theirs = {**PLAIN, **more, "organizationId": organization}
            await refused(Acme(own, acme.house), theirs, 404, "NOT_FOUND")


async def test_nothing_that_is_sent_is_said_again_or_logged(acme: Acme) -> None:
    secret = {"displayBodyMessage": "sesame" * 1000, "displayHeadlineMessageTemplateData": {"sesame-2": 5}}
    message = await refused(acme, {**documented("add"), **secret}, 400, "INVALID_ARGUMENT")
    assert "sesamesesame" not in message
    assert "sesamesesame" not in str(acme.house.log.entries)
