"""Adding a notification again: under an id of the app's own it is there once, also where several ask at the same moment."""

import asyncio
import json
from typing import Any

import pytest

from server.store.accounts import ensure_tenant
from tests.harness.acting import Acting, rows_of
from tests.harness.velt import refusal
from tests.server.dialects.velt.adding import ANSWER, MADE, PLAIN, Acme

MINE = {**PLAIN, **MADE, "notificationId": "mine"}


async def test_the_same_body_again_does_nothing(acme: Acme) -> None:
    """However it is written, and whatever has been made or has gone since."""
    message = await acme.add(MINE)
    await acme.house.pieces.db.write(lambda tx: tx.run("DELETE FROM documents"))
    before, woken = await rows_of(acme.house.pieces.db), acme.house.wakes.count
    turned = dict(reversed(MINE.items()))
    raw = json.dumps({"data": turned}, indent=4).encode()
    headers = {"x-velt-api-key": acme.velt.token or "", "x-velt-auth-token": acme.velt.token or ""}
    answer = await acme.velt.api.with_token(None).call(
        "POST", "/v2/notifications/add", raw=raw, headers=headers
    )
    assert (answer.status, answer.json) == (200, ANSWER)
    assert await rows_of(acme.house.pieces.db) == before
    assert acme.house.wakes.count == woken
    assert await acme.names(message) == ["ben"]


async def test_another_body_under_the_same_id_is_refused(acme: Acme) -> None:
    await acme.add(MINE)
    before = await rows_of(acme.house.pieces.db)
    for more in ({"displayBodyMessage": "Else"}, {"documentId": "new"}, {"notifyUsers": [{"userId": "eve"}]}):
        answer = await acme.velt.call("notifications/add", {**MINE, **more})
        assert refusal(answer) == (
            409,
            "ALREADY_EXISTS",
            "data.notificationId is the id of another notification: choose another one; the same body again would do nothing",
        )
    assert await rows_of(acme.house.pieces.db) == before


async def test_an_id_is_an_organizations_own(acme: Acme) -> None:
    await acme.add(MINE)
    await acme.add(MINE, organizationId="umbrella", displayBodyMessage="Else")
    assert len(await messages(acme)) == 2


async def test_without_an_id_every_request_adds_one(acme: Acme) -> None:
    await acme.add()
    await acme.add()
    assert len(await messages(acme)) == 2


async def test_the_id_of_a_notification_without_one_of_the_apps_is_taken(acme: Acme) -> None:
    """It would be found by it."""
    message = await acme.add()
    for name in (message, message.upper()):
        answer = await acme.velt.call("notifications/add", {**MINE, "notificationId": name})
        assert refusal(answer)[:2] == (409, "ALREADY_EXISTS")


async def test_the_id_of_a_notification_that_was_taken_back_is_free(acme: Acme) -> None:
    """For the same body, too: it is added anew."""
    first = await acme.add(MINE)
    ann = Acting(acme.velt.api, "acme", "ann")
    assert (await ann.call("DELETE", f"/api/v1/messages/{first}")).status in {200, 204}
    second = await acme.add(MINE)
    assert second != first
    assert await acme.names(second) == ["ben"]


# At the same moment


async def test_of_the_same_requests_at_the_same_moment_one_adds_it_and_all_are_answered_alike(
    acme: Acme,
) -> None:
    answers = await at_once(acme, [MINE] * 8)
    assert answers == [(200, "success")] * 8
    assert len(await messages(acme)) == 1
    assert len(await acme.rows("SELECT id FROM inbox_items")) == 1
    assert len(await acme.rows("SELECT id FROM users WHERE external_id IN ('ann', 'ben')")) == 2


async def test_of_different_requests_with_one_id_at_the_same_moment_one_is_carried_out(acme: Acme) -> None:
    await acme.add()
    bodies = [{**MINE, "displayBodyMessage": f"Version {n}"} for n in range(8)]
    answers = await at_once(acme, bodies)
    assert sorted(answers) == [(200, "success"), *[(409, "ALREADY_EXISTS")] * 7]
    assert len(await messages(acme)) == 2


@pytest.mark.parametrize("organization", ["there", "new"])
async def test_what_several_make_at_the_same_moment_is_there_once(acme: Acme, organization: str) -> None:
    """Organization, document and users; who has made the document alone is on its list."""
    if organization == "there":
        await acme.house.pieces.db.write(lambda tx: ensure_tenant(tx, "1", "acme", 1))
    bodies = [
        {
            **PLAIN,
            **MADE,
            "actionUser": {"userId": f"actor-{n}", "email": "shared@example.com"},
            "notifyUsers": [{"userId": "ben"}, {"userId": f"cem-{n}", "email": "team@example.com"}],
        }
        for n in range(8)
    ]
    assert await at_once(acme, bodies) == [(200, "success")] * 8
    assert len(await acme.rows("SELECT id FROM tenants WHERE name = 'acme'")) == 1
    assert len(await acme.rows("SELECT id FROM documents")) == 1
    [listed] = await acme.listed()
    assert listed.startswith("actor-")
    users = await acme.users()
    assert len(users) == 17
    addresses = [user["email"] for user in users.values() if user["email"]]
    assert sorted(addresses) == ["shared@example.com", "team@example.com"]
    assert len(await messages(acme)) == 8
    assert len(await acme.rows("SELECT id FROM inbox_items")) == 16


async def at_once(acme: Acme, bodies: list[dict[str, Any]]) -> list[tuple[int, str]]:
    answers = await asyncio.gather(*(acme.velt.call("notifications/add", body) for body in bodies))
    return [
        (answer.status, (answer.json.get("error") or answer.json["result"])["status"]) for answer in answers
    ]


async def messages(acme: Acme) -> list[dict[str, Any]]:
    return await acme.rows("SELECT id FROM messages")
