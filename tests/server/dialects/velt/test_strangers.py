"""Every call, made by strangers to the data: what is another organization's does not exist, is not counted, and stays as it is.

Each is made twice, with the names and ids of what somebody else has and with those of what nobody has: both are answered alike, byte
for byte but for ids and times. One that has no row here fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from server.api.gate import TABLE
from server.app import build_server
from server.config import Settings
from tests.harness.acting import rows_of
from tests.harness.native import Native, Reply
from tests.harness.strangers import ID, Ask, Known, filled, told, wrong_with
from tests.harness.velt import Velt
from tests.server.conftest import House, Person

ROOT = "/v2/"
UNKNOWN: Known = {
    "<organization>": "organization-of-nobody",
    "<document>": "document-of-nobody",
    "<user>": "who-is-nobody",
    "<user-id>": "0197c5a4-5900-7b2d-8c0a-4e9f7d1c6a00",
    "<email>": "nobody@example.org",
    "<notification>": "notification-of-nobody",
    "<message>": "0197c5a4-9d10-7b3e-9c61-4f7a2b8d0e11",
}
ACME, PLAN, ANN = "organization-of-ann", "document-of-ann", "ann-of-acme"
TEXTS = {
    "displayHeadlineMessageTemplate": "{actionUser} has written",
    "displayBodyMessage": "to {recipientUser}",
}
ADD = {
    **TEXTS,
    "documentId": "<document>",
    "actionUser": {"userId": "mallory"},
    "notifyUsers": [{"userId": "<user>"}],
    "notifyAll": False,
}
PAGE = {"documentId": "<document>", "users": [{"userId": "<user>"}]}

# What each call is asked with, beside an organization; what is in angle brackets is somebody's.
ASKED: dict[str, list[dict[str, Any]]] = {
    "notifications/add": [
        ADD,
        {**ADD, "createDocument": True, "notificationId": "<notification>"},
        {**ADD, "createDocument": True, "verifyUserPermissions": True},
        {**ADD, "createDocument": True, "context": {"access": {"page": "<document>"}}},
        {
            **ADD,
            "createDocument": True,
            "notifyAll": True,
            "displayHeadlineMessageTemplateData": {"recipientUser": "<user>"},
            "notifyUsers": [{"userId": "<user>", "email": "<email>"}],
        },
    ],
    "notifications/get": [
        {},
        {"documentId": "<document>"},
        {"userId": "<user>"},
        {"userId": "<user-id>"},
        {"notificationIds": ["<notification>", "<message>"]},
    ],
    "notifications/update": [
        {"notifications": [{"id": "<notification>", **TEXTS}, {"id": "<message>", **TEXTS}]},
        {"notifications": [{"id": "<notification>", "readByUserIds": ["<user>"]}]},
        {"documentId": "<document>", "notifications": [{"id": "<message>", "readByUserIds": ["<user-id>"]}]},
    ],
    "notifications/delete": [
        {"notificationIds": ["<notification>", "<message>"]},
        {"notificationIds": ["<notification>"], "userId": "<user>"},
        {"documentId": "<document>"},
        {"userId": "<user>"},
        {"userId": "<user-id>"},
    ],
    "organizations/add": [{}],
    "organizations/get": [{}],
    "organizations/update": [{"name": "Mallory's"}],
    "organizations/delete": [{}],
    "organizations/users/add": [{"users": [{"userId": "<user>", "name": "Mallory", "email": "<email>"}]}],
    "organizations/users/get": [{}],
    "organizations/users/remove": [{"users": [{"userId": "<user>"}]}, {"users": [{"userId": "<user-id>"}]}],
    "documents/add": [{"documentId": "<document>", "name": "Mallory's"}],
    "documents/get": [{}, {"documentId": "<document>"}],
    "documents/update": [{"documentId": "<document>", "name": "Mallory's"}],
    "documents/delete": [{"documentId": "<document>"}],
    "documents/access/add": [PAGE, {**PAGE, "access": {"page": "<document>"}}],
    "documents/access/get": [{"documentId": "<document>"}],
    "documents/access/remove": [PAGE, {**PAGE, "access": {"page": "home"}}],
    "organizations/resolver/set": [{"url": None}, {"url": "https://mallory.example.org/texts"}],
    "organizations/resolver/get": [{}],
}
READING = {"notifications/get"}
"""What a gateway may call, and who is signed in."""


@dataclass(frozen=True)
class Somebody:
    """Whose data it is: `known` are their names and ids."""

    known: Known
    velt: Velt
    house: House

    async def looks(self) -> list[Any]:
        """Return what every reading call tells them."""
        names = {"organizationId": ACME}
        return [
            await self.velt.said(name, {**names, **more})
            for name, more in (
                ("notifications/get", {}),
                ("notifications/get", {"userId": ANN}),
                ("organizations/get", {}),
                ("organizations/users/get", {}),
                ("documents/get", {}),
                ("documents/access/get", {"documentId": PLAN}),
                ("organizations/resolver/get", {}),
            )
        ]


@pytest.fixture
async def somebody(house: House, admin: Person) -> Somebody:
    """Ann of acme, which has one of everything."""
    velt = Velt.of(await house.token_of(admin, ACME, "admin"))
    names = {"organizationId": ACME, "documentId": PLAN}
    ann = {"userId": ANN, "name": "Ann", "email": "ann@acme.example"}
    await velt.said("organizations/update", {"organizationId": ACME, "name": "Acme"})
    await velt.said("organizations/users/add", {"organizationId": ACME, "users": [ann]})
    await velt.said("documents/add", {**names, "name": "Plan"})
    await velt.said("documents/access/add", {**names, "users": [{"userId": ANN}], "access": {"page": "home"}})
    resolver = {"organizationId": ACME, "url": "https://acme.example.com/texts"}
    await velt.said("organizations/resolver/set", resolver)
    add = {**ADD, **names, "actionUser": {"userId": "ben"}, "notifyUsers": [{"userId": ANN}]}
    await velt.said("notifications/add", {**add, "notificationId": "notification-of-ann"})
    house.clock.advance(1)
    await velt.said("notifications/add", add)
    [found] = await house.pieces.db.read(
        lambda tx: tx.all("SELECT id FROM users WHERE external_id = $1", ANN)
    )
    newest, _ = await velt.said("notifications/get", {"organizationId": ACME})
    known = {
        "<organization>": ACME,
        "<document>": PLAN,
        "<user>": ANN,
        "<user-id>": found["id"],
        "<email>": ann["email"],
        "<notification>": "notification-of-ann",
        "<message>": newest["id"],
    }
    return Somebody(known, velt, house)


def asking(velt: Velt) -> Ask:
    async def ask(_method: str, path: str, body: Any) -> Reply:
        return await velt.call(path.removeprefix(ROOT), body)

    return ask


def test_every_call_has_a_row(house: House, settings: Settings) -> None:
    table = build_server(settings, house.pieces_again())[TABLE]
    served = {route.path.removeprefix(ROOT) for route in table if route.path.startswith(ROOT)}
    assert ASKED.keys() == served


@pytest.mark.parametrize("kind", ["bound", "key", "token", "gateway"])
async def test_another_organization_is_not_there(somebody: Somebody, admin: Person, kind: str) -> None:
    """For whoever is bound to one of their own: by both headers, by either of them, or as a gateway."""
    house = somebody.house
    stranger = await bound(house, admin, "organization-of-mallory", kind)
    seen, wrong = await somebody.looks(), []
    for name, bodies in asked_by(kind).items():
        for body in bodies:
            told = [(asking(stranger), known) for known in (somebody.known, UNKNOWN)]
            asked = {"organizationId": "<organization>", **body}
            wrong += await wrong_with(
                house.pieces.db, f"POST {ROOT}{name}", asked, *told, theirs=ids(somebody)
            )
            answer = await stranger.call(name, filled(asked, somebody.known))
            wrong += [] if answer.status == 404 else [f"{name}: {answer.status}"]
    assert wrong == []
    assert await somebody.looks() == seen


@pytest.mark.parametrize("kind", ["bound", "key", "operator", "gateway"])
async def test_names_of_another_organization_are_nobodys(
    somebody: Somebody, admin: Person, kind: str
) -> None:
    """In the strangers' own, documents, users and notifications of that one are not there; its names are free."""
    house, operator = somebody.house, Velt.of(await somebody.house.token(admin, "admin"))
    seen, wrong = await somebody.looks(), []
    for number, (name, bodies) in enumerate(asked_by(kind).items()):
        strangers, own = [], []
        for letter, known in (("a", somebody.known), ("b", UNKNOWN)):
            own.append(f"organization-{number}-{letter}")
            await operator.said("organizations/add", {"organizationId": own[-1]})
            velt = await bound(house, admin, own[-1], kind)
            strangers.append((asking(velt), {**known, "<organization>": own[-1]}))
        for body in bodies:
            asked, path = {"organizationId": "<organization>", **body}, f"POST {ROOT}{name}"
            wrong += await wrong_with(house.pieces.db, path, asked, *strangers, theirs=ids(somebody), own=own)
    assert wrong == []
    assert await somebody.looks() == seen


async def test_whoever_is_signed_in_is_no_one_else(somebody: Somebody) -> None:
    """A person manages nothing, and finds neither another organization nor anybody else of their own."""
    house = somebody.house
    mallory = await house.register("mallory")
    velt = Velt(house.api, (await house.token(mallory)).token, mallory.access)
    before = await rows_of(house.pieces.db)
    for name, bodies in ASKED.items():
        for body in bodies:
            answers = [
                await velt.call(name, filled({"organizationId": "<organization>", **body}, known))
                for known in (somebody.known, UNKNOWN)
            ]
            statuses = {answer.status for answer in answers}
            assert statuses == {404 if name in READING else 403}, (name, answers)
            assert same(answers[0], answers[1], somebody.known)
    for other in ("admin", "nobody-at-all"):
        answer = await velt.call("notifications/get", {"organizationId": "default", "userId": other})
        assert (answer.status, answer["error"]["status"]) == (404, "NOT_FOUND")
    assert await rows_of(house.pieces.db) == before
    own = await velt.call("notifications/get", {"organizationId": "default", "userId": "mallory"})
    assert own.status == 200
    assert own["result"]["data"] == []


async def test_without_both_tokens_nothing_is_said(somebody: Somebody, admin: Person) -> None:
    good = somebody.velt.token
    before = await rows_of(somebody.house.pieces.db)
    for name, bodies in ASKED.items():
        for key, token in ((None, None), (good, None), (None, good), ("zat_no", good), (good, "zat_no")):
            asked = filled({"organizationId": "<organization>", **bodies[0]}, somebody.known)
            answer = await Velt(somebody.velt.api, key, token).call(name, asked)
            assert (answer.status, answer["error"]["status"]) == (401, "UNAUTHENTICATED"), name
    answer = await Velt(somebody.velt.api, admin.access, admin.access).call("organizations/get", {})
    assert answer.status == 401, "a key is an access token"
    assert lost_nothing(before, await rows_of(somebody.house.pieces.db))


async def bound(house: House, admin: Person, own: str, kind: str) -> Velt:
    """Return a client of an organization's, bound to it by one of the headers or by both, or an operator's, bound to none."""
    scope = "gateway" if kind == "gateway" else "admin"
    free, tied = await house.token(admin, scope), await house.token_of(admin, own, scope)
    key: Native = tied if kind in {"bound", "key", "gateway"} else free
    token: Native = tied if kind in {"bound", "token", "gateway"} else free
    return Velt(house.api, key.token, token.token)


def asked_by(kind: str) -> Mapping[str, list[dict[str, Any]]]:
    """Return what somebody may ask for at all: a gateway, for what a user it names has."""
    if kind != "gateway":
        return ASKED
    return {name: [body for body in ASKED[name] if "userId" in body] for name in READING}


def ids(somebody: Somebody) -> list[str]:
    return [value for value in somebody.known.values() if ID.fullmatch(value)]


def same(one: Reply, other: Reply, known: Known) -> bool:
    return told(one, known) == told(other, UNKNOWN)


def lost_nothing(before: Mapping[str, list[Any]], after: Mapping[str, list[Any]]) -> bool:
    return {name: rows for name, rows in before.items() if name != "access_tokens"} == {
        name: rows for name, rows in after.items() if name != "access_tokens"
    }
