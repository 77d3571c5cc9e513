"""Every operation, asked for by strangers to the data: what is another tenant's, or user's, does not exist and stays as it is.

Each is asked for twice, with the names and ids of what somebody else has and with those of what nobody has: both are answered alike, byte
for byte but for ids and times. One that has no row here fails.
"""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from server.api.gate import TABLE
from server.app import build_server
from server.config import Settings
from tests.harness.acting import Acting, rows_of
from tests.harness.native import Native, Reply
from tests.harness.strangers import NAME, Ask, Known, filled, told, wrong_with
from tests.server.conftest import House, Person

ROOT = "/v1/"
ACME = "550e8400-e29b-41d4-a716-446655440000"
ANN = "550e8400-e29b-41d4-a716-446655440001"
NEIGHBOUR = "550e8400-e29b-41d4-a716-446655440003"
UNKNOWN: Known = {
    "<tenant>": "0197c5a4-1100-4b2d-8c0a-4e9f7d1c6a00",
    "<user>": "0197c5a4-5900-4b2d-8c0a-4e9f7d1c6a00",
    "<key>": "KEY_OF_NOBODY",
    "<label>": "Nothing",
    "<template>": "0197c5a4-5900-7b2d-8c0a-4e9f7d1c6a01",
    "<notification>": "0197c5a4-9d10-7b3e-9c61-4f7a2b8d0e11",
    "<message>": "0197c5a4-9d10-7b3e-9c61-4f7a2b8d0e12",
    "<entity>": "nothing",
}
TEMPLATE = {
    "tenantId": "<tenant>",
    "key": "<key>",
    "category": "<label>",
    "title": "Hello",
    "message": "{{who}}",
}
CREATE = {
    "templateKey": "<key>",
    "userId": "<user>",
    "tenantId": "<tenant>",
    "entityType": "plan",
    "entityId": "<entity>",
    "placeholders": {"who": "Mallory"},
}
READ, UNREAD = {"status": "READ"}, {"status": "UNREAD"}

# What each operation is asked for with; what is in angle brackets is somebody's. What takes a query is told the tenant there.
OF_USERS: dict[str, list[Any]] = {
    "GET notifications": [None],
    "GET notifications/count": [None],
    "GET notifications/<notification>": [None],
    "GET notifications/<message>": [None],
    "PATCH notifications/<notification>/toggle-status": [READ, UNREAD],
    "PATCH notifications/<message>/toggle-status": [READ],
    "PATCH notifications/mark-all": [READ, UNREAD],
    "DELETE notifications/<notification>": [None],
    "DELETE notifications/<message>": [None],
}
MANAGING: dict[str, list[Any]] = {
    "POST notifications": [CREATE, {**CREATE, "placeholders": {"who": "Mallory", "more": 1}}],
    "POST templates": [TEMPLATE],
    "GET templates": [None],
    "GET templates?key=<key>": [None],
    "GET templates/<template>": [None],
    "PATCH templates/<template>": [{"title": "Mallory was here"}, {"key": "<key>"}],
    "DELETE templates/<template>": [None],
}
_PLACE = re.compile(r"\{\w+(?::(?:[^{}]|\{[^{}]*\})*)?\}")


@dataclass(frozen=True)
class Somebody:
    """Whose data it is: `known` are their names and ids."""

    known: Known
    ann: Acting
    house: House

    async def looks(self) -> list[Any]:
        """Return what every reading operation tells them."""
        paths = [f"templates/{self.known['<template>']}", f"notifications/{self.known['<notification>']}"]
        answers = [
            await self.ann.call("GET", ROOT + path)
            for path in ("notifications", "notifications/count", "templates", *paths)
        ]
        assert {answer.status for answer in answers} == {200}
        return [answer["data"] for answer in answers]


@pytest.fixture
async def somebody(house: House, admin: Person) -> Somebody:
    """Ann of acme, who has two notifications of a template."""
    known = {
        "<tenant>": ACME,
        "<user>": ANN,
        "<key>": "KEY_OF_ACME",
        "<label>": "Plans",
        "<entity>": "plan-7",
    }
    ann = Acting(await house.token(admin, "admin"), ACME, ANN)
    template = await ann.call("POST", f"{ROOT}templates", filled(TEMPLATE, known))
    assert template.status == 201, template.body
    created = [await ann.call("POST", f"{ROOT}notifications", filled(CREATE, known)) for _ in range(2)]
    assert {answer.status for answer in created} == {201}
    notification = created[0]["data"]["id"]
    inbox = await ann.call("GET", "/api/v1/notifications")
    message = next(row["messageId"] for row in inbox["notifications"] if row["id"] == notification)
    more = {"<template>": template["data"]["id"], "<notification>": notification, "<message>": message}
    return Somebody({**known, **more}, ann, house)


def asking(acting: Acting) -> Ask:
    async def ask(method: str, path: str, body: Any) -> Reply:
        return await acting.call(method, path, body)

    return ask


def in_tenant(name: str) -> str:
    """Return the method and the path of an operation, with the tenant where there is a query."""
    method, _, path = name.partition(" ")
    tenant = "" if method == "POST" else f"{'&' if '?' in path else '?'}tenantId=<tenant>"
    return f"{method} {ROOT}{path}{tenant}"


def test_every_operation_has_a_row(house: House, settings: Settings) -> None:
    table = build_server(settings, house.pieces_again())[TABLE]
    served = {
        f"{route.method} {_PLACE.sub('<>', route.path.removeprefix(ROOT))}"
        for route in table
        if route.path.startswith(ROOT)
    }
    asked = {NAME.sub("<>", name.partition("?")[0]) for name in (*OF_USERS, *MANAGING)}
    assert asked == served


@pytest.mark.parametrize("scope", ["admin", "gateway"])
async def test_another_tenant_is_not_there(somebody: Somebody, admin: Person, scope: str) -> None:
    """For a token that is bound to one of its own."""
    house, wrong = somebody.house, []
    seen = await somebody.looks()
    stranger = await house.token_of(admin, own(0), scope)
    for name, bodies in asked_by(scope).items():
        for body in bodies:
            told = [
                (asking(Acting(stranger, None, known["<user>"])), known)
                for known in (somebody.known, UNKNOWN)
            ]
            wrong += await wrong_with(house.pieces.db, in_tenant(name), body, *told, theirs=ids(somebody))
            ask, known = told[0]
            method, _, path = filled(in_tenant(name), known).partition(" ")
            answer = await ask(method, path, filled(body, known))
            wrong += [] if answer.status == 404 else [f"{name}: {answer.status}"]
    assert wrong == []
    assert await somebody.looks() == seen


@pytest.mark.parametrize("kind", ["bound", "operator", "gateway"])
async def test_what_another_tenant_has_is_nobodys(somebody: Somebody, admin: Person, kind: str) -> None:
    """In the strangers' own its ids name nothing, its keys are free, and its users have nothing."""
    house, wrong = somebody.house, []
    operator = await house.token(admin, "admin")
    seen = await somebody.looks()
    for number, (name, bodies) in enumerate(asked_by(kind).items()):
        strangers = []
        for letter, known in enumerate((somebody.known, UNKNOWN), start=1):
            tenant = own(10 * number + letter)
            await make(operator, tenant)
            api = await client(house, admin, tenant, kind)
            names = {**known, "<tenant>": tenant}
            strangers.append((asking(Acting(api, tenant, known["<user>"])), names))
        for body in bodies:
            wrong += await wrong_with(
                house.pieces.db, in_tenant(name), body, *strangers, theirs=ids(somebody)
            )
    assert wrong == []
    assert await somebody.looks() == seen


async def test_a_neighbour_finds_nothing_of_another_user(somebody: Somebody, admin: Person) -> None:
    """Whoever shares the tenant shares no inbox."""
    house, wrong = somebody.house, []
    gateway = await house.token_of(admin, ACME, "gateway")
    seen = await somebody.looks()
    ask = asking(Acting(gateway, None, NEIGHBOUR))
    unknown = {**UNKNOWN, "<tenant>": ACME}
    for name, bodies in OF_USERS.items():
        for body in bodies:
            wrong += await wrong_with(
                house.pieces.db, in_tenant(name), body, (ask, somebody.known), (ask, unknown)
            )
    assert wrong == []
    assert await somebody.looks() == seen


async def test_whoever_is_signed_in_is_no_one_else(somebody: Somebody) -> None:
    """A person reads their own inbox, manages nothing, and names nobody."""
    house = somebody.house
    mallory = (await house.register("mallory")).api
    before = await rows_of(house.pieces.db)
    for name, bodies in {**OF_USERS, **MANAGING}.items():
        method, _, path = in_tenant(name).partition(" ")
        for body in bodies:
            answers = [
                await mallory.call(method, filled(path, known), filled(body, known))
                for known in (somebody.known, UNKNOWN)
            ]
            assert {answer.status for answer in answers} == {403 if name in MANAGING else 404}, name
            assert told(answers[0], somebody.known) == told(answers[1], UNKNOWN)
            for named in (Acting(mallory, ACME), Acting(mallory, None, ANN)):
                answer = await named.call(method, filled(path, somebody.known), filled(body, somebody.known))
                assert answer.status == 403, name
    assert await rows_of(house.pieces.db) == before
    assert (await mallory.get(f"{ROOT}notifications"))["data"]["data"] == []
    assert (await mallory.get(f"{ROOT}notifications/{somebody.known['<notification>']}")).status == 404


async def test_without_a_token_nothing_is_said(somebody: Somebody) -> None:
    nobody = somebody.house.api
    for name, bodies in {**OF_USERS, **MANAGING}.items():
        method, _, path = filled(in_tenant(name), somebody.known).partition(" ")
        answer = await nobody.call(method, path, filled(bodies[0], somebody.known))
        assert (answer.status, answer["statusCode"], answer["error"]) == (401, 401, "Unauthorized"), name


def own(number: int) -> str:
    """Return the name of a tenant of a stranger's."""
    return str(UUID(int=0x0197C5A4_2200_4B2D_8C0A_000000000000 + number))


async def make(operator: Native, tenant: str) -> None:
    """Make a tenant that has a template."""
    template = {"tenantId": tenant, "key": "OWN", "title": "Hello", "message": "Hello"}
    answer = await operator.post(f"{ROOT}templates", template)
    assert answer.status == 201, answer.body


async def client(house: House, admin: Person, tenant: str, kind: str) -> Native:
    scope = "gateway" if kind == "gateway" else "admin"
    return await (house.token(admin, scope) if kind == "operator" else house.token_of(admin, tenant, scope))


def asked_by(kind: str) -> dict[str, list[Any]]:
    """Return what somebody may ask for at all: a gateway, for what a user has."""
    return OF_USERS if kind == "gateway" else {**OF_USERS, **MANAGING}


def ids(somebody: Somebody) -> list[str]:
    """Return the ids that this server has made of theirs."""
    return [somebody.known[name] for name in ("<template>", "<notification>", "<message>")]
