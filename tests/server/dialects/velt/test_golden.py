"""The documented examples of Velt's API, request and answer as they are printed (tests/golden/velt), and one of each call."""

import pytest

from server.api.gate import TABLE
from server.app import build_server
from server.config import Settings
from tests.harness.clock import SettableClock, at
from tests.harness.golden import Play, examples, over
from tests.harness.velt import Velt
from tests.server.conftest import House, Person

ROOT = "/v2/"
PRINTED = ("add", "add-with-permissions", "add-with-context", "add-with-resolver", "add-refused")


@pytest.fixture
def clock() -> SettableClock:
    """The day of the other documents."""
    return SettableClock(at("2026-03-18T10:00:00Z"))


def test_there_is_an_example_of_each_call(house: House, settings: Settings) -> None:
    table = build_server(settings, house.pieces_again())[TABLE]
    served = {f"{route.method} {route.path}" for route in table if route.path.startswith(ROOT)}
    shown = {f"{example.request['method']} {example.request['path']}" for example in examples("velt")}
    assert shown == served


async def test_every_documented_example_works_as_printed(house: House, admin: Person) -> None:
    """In an order in which each has what it needs; the organization that the document writes of is there before."""
    tokens = {scope: await house.token(admin, scope) for scope in ("admin", "gateway")}
    await open_organization(Velt.of(tokens["admin"]))
    secrets = {f"<{scope}-token>": (api.token or "").removeprefix("zat_") for scope, api in tokens.items()}
    play = Play(over(house.api), known=secrets)
    for example in examples("velt"):
        house.clock.advance(1)
        await play.run(example)


async def open_organization(velt: Velt) -> None:
    names = {"organizationId": "yourOrganizationId"}
    await velt.said("organizations/add", names)
    await velt.said("documents/add", {**names, "documentId": "yourDocumentId"})


MAIN = "This is main template, you can pass variables using curly brackets like this:"


async def test_what_the_document_prints_works_on_a_fresh_server_too(house: House, admin: Person) -> None:
    """Where it may make what it names; whoever acts is told nothing, and a document that is new lists nobody else."""
    velt = Velt.of(await house.token(admin, "admin"))
    for example in examples("velt"):
        if example.name[3:] in PRINTED:
            data = {**example.request["body"]["data"], "createOrganization": True, "createDocument": True}
            house.clock.advance(1)
            assert (await velt.call("notifications/add", data)).status == example.status
    received = {
        ("yourOrganizationId", "yourUserId"): [],
        ("yourOrganizationId", "testingUserId"): [
            f"{MAIN} User Name, Recipient Name, {{yourCustomVariableWithStringValue}}"
        ],
        ("yourOrganizationId", "recipientUserId"): [None],
        ("org1", "1.1"): [],
        ("org1", "2.2"): [],
    }
    for (organization, user), headlines in received.items():
        names = {"organizationId": organization, "userId": user}
        rows = await velt.said("notifications/get", names)
        assert [row["displayHeadlineMessage"] for row in rows] == headlines, user
        assert [row.get("unresolved", False) for row in rows] == [text is None for text in headlines]
