"""The documented example of Aptly's API, request and answer as they are printed (tests/golden/aptly), and one of each operation."""

import re
from dataclasses import replace

import pytest

from server.api.gate import TABLE
from server.app import build_server
from server.config import Settings
from tests.harness.clock import SettableClock, at
from tests.harness.golden import Example, Play, examples, over
from tests.harness.native import Native
from tests.server.conftest import House, Person

ROOTS = ("/v1/", "/notification/v1/")
HOUR = 3_600_000
USER = "550e8400-e29b-41d4-a716-446655440000"
OTHER_TENANT = "123e4567-e89b-12d3-a456-426614174000"
TEMPLATE = {
    "tenantId": OTHER_TENANT,
    "key": "DELEGATION_ISSUED",
    "category": "Delegations",
    "title": "Delegation Issued",
    "message": "Delegation {{delegation_id}} was issued to you. Click to review.",
    "actionable": True,
}
PRINTED = {
    "templateKey": "DELEGATION_ISSUED",
    "tenantId": OTHER_TENANT,
    "userId": USER,
    "entityType": "delegation",
    "entityId": "123456",
    "actionUrl": "https://example.com/delegations/123456",
    "payload": {"assignedBy": "John Doe", "priority": "high"},
    "placeholders": {"delegation_id": "ABC123"},
}
_PLACE = re.compile(r"\{\w+(?::(?:[^{}]|\{[^{}]*\})*)?\}")


@pytest.fixture
def clock() -> SettableClock:
    """The day of the other documents."""
    return SettableClock(at("2026-03-18T10:00:00Z"))


def test_there_is_an_example_of_each_operation(house: House, settings: Settings) -> None:
    """Below either root the same."""
    table = build_server(settings, house.pieces_again())[TABLE]
    shown = {shape(example) for example in examples("aptly")}
    for root in ROOTS:
        served = {
            f"{route.method} {_PLACE.sub('<>', route.path.removeprefix(root))}"
            for route in table
            if route.path.startswith(root)
        }
        assert served == shown


def shape(example: Example) -> str:
    path = example.request["path"].partition("?")[0].removeprefix(ROOTS[0])
    return f"{example.request['method']} {re.sub('<[a-z-]+>', '<>', path)}"


@pytest.mark.parametrize("root", ROOTS)
async def test_every_documented_example_works_as_printed(house: House, admin: Person, root: str) -> None:
    """In an order in which each has what it needs; what the document prints was created two hours before it is got."""
    tokens = {scope: await house.token(admin, scope) for scope in ("admin", "gateway")}
    known = {f"<{scope}-token>": (api.token or "").removeprefix("zat_") for scope, api in tokens.items()}
    play = Play(over(house.api), known=known)
    for example in examples("aptly"):
        house.clock.advance(1)
        if example.name.endswith("-get"):
            play.known["<printed>"] = await create(tokens["admin"])
            house.clock.advance(2 * HOUR)
        path = example.request["path"].replace(ROOTS[0], root)
        await play.run(replace(example, request={**example.request, "path": path}))


async def create(api: Native) -> str:
    """Create the notification whose answer the document prints."""
    assert (await api.post("/v1/templates", TEMPLATE)).status == 201
    answer = await api.post("/v1/notifications", PRINTED)
    assert answer.status == 201, answer.body
    return str(answer["data"]["id"])
