"""Who was deleted is described nowhere any more: not in what they had, nor in what they have sent."""

import asyncio
import json
from typing import Any

import pytest

from server.commands import erasing
from server.domain.ports import Transaction
from server.domain.task import Kind, Task
from tests.server.commands.test_races import waits_for_a_lock
from tests.server.dialects.velt.there import Acme

ANN = {"userId": "ann", "name": "Ann Lee", "email": "ann@example.com"}
BEN = {"userId": "ben", "name": "Ben Kaya", "email": "ben@example.com"}
CLEO = {"userId": "cleo", "name": "Cleo Roux", "email": "cleo@example.com"}
SAID: dict[str, Any] = {
    "actionUser": ANN,
    "notifyUsers": [BEN, CLEO],
    "displayHeadlineMessageTemplate": "{actionUser} has written to {recipientUser}",
    "displayHeadlineMessageTemplateData": {"recipientUser": {**BEN, "phone": "+4915112345678"}},
}


async def remove(there: Acme, *users: str, organization: str = "acme") -> None:
    """Delete users, with all that is done about it in the next moments."""
    data = {"organizationId": organization, "users": [{"userId": user} for user in users]}
    outcomes = await there.velt.said("organizations/users/remove", data)
    assert all(one["success"] for one in outcomes.values())
    await there.pushed()


async def kept(there: Acme) -> str:
    """Return all that is kept of what notifications are about."""
    return "\n".join(row["details"] for row in await there.rows("SELECT details FROM subjects"))


async def test_who_had_it_is_named_by_the_id_alone(there: Acme) -> None:
    await there.add("n-1", **SAID)
    await remove(there, "ben")
    [row] = await there.get()
    assert row["notifyUsers"] == [{"userId": "ben"}, CLEO]
    assert row["displayHeadlineMessageTemplateData"] == {"recipientUser": {"userId": "ben"}}
    assert row["actionUser"] == ANN
    found = await kept(there)
    assert [word for word in ("Kaya", "ben@example.com", "+49") if word in found] == []


async def test_who_has_sent_it_is_named_by_the_id_alone(there: Acme) -> None:
    await there.add("n-1", **SAID)
    await remove(there, "ann")
    [row] = await there.get()
    assert (row["actionUser"], row["notifyUsers"]) == ({"userId": "ann"}, [BEN, CLEO])
    assert "Lee" not in await kept(there)


async def test_of_many_none_is_left(there: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what they had deleted from their inbox."""
    monkeypatch.setattr("server.commands.erasing._ROWS_AT_ONCE", 2)
    for number in range(5):
        await there.add(f"n-{number}", **SAID)
    await there.delete(notificationIds=["n-1"], userId="ben")
    await remove(there, "ann", "ben")
    found = await kept(there)
    assert [word for word in ("Lee", "Kaya", "ben@example.com") if word in found] == []
    assert found.count("cleo@example.com") == 5


async def test_somebody_of_the_same_id_elsewhere_stays(there: Acme) -> None:
    await there.add("n-1", **SAID)
    await there.add("n-2", **SAID, organizationId="globex")
    await remove(there, "ben", "ann")
    [row] = await there.get(organizationId="globex")
    assert (row["actionUser"], row["notifyUsers"]) == (ANN, [BEN, CLEO])


async def test_a_change_afterwards_does_not_bring_it_back(there: Acme) -> None:
    """What the headline says is put together of what is still known."""
    await there.add("n-1", **SAID)
    await remove(there, "ben")
    await there.update(
        {"id": "n-1", "displayHeadlineMessageTemplate": "To {recipientUser} from {actionUser}"}
    )
    [row] = await there.get()
    assert row["displayHeadlineMessage"] == "To ben from Ann Lee"
    assert "Kaya" not in await kept(there)


async def test_a_change_in_the_same_moment_does_not_bring_it_back(there: Acme) -> None:
    """It waits for what is being forgotten, and looks at what is left."""
    db, now = there.house.pieces.db, there.house.clock()
    if db.exclusive:
        pytest.skip("there is one writer")
    await there.add("n-1", **SAID)
    await there.velt.said("organizations/users/remove", {"organizationId": "acme", "users": [BEN]})
    [row] = await there.rows("SELECT payload FROM tasks WHERE kind = 'erase'")
    task = Task("t", Kind.ERASE, None, json.loads(row["payload"]), now, 0, now)
    change = {"id": "n-1", "displayHeadlineMessageTemplate": "To {recipientUser}"}
    changing: asyncio.Task[dict[str, dict[str, Any]]] | None = None

    async def forget(tx: Transaction) -> None:
        nonlocal changing
        await erasing.erase(tx, task, now, there.house.random)
        changing = asyncio.create_task(there.update(change))
        await waits_for_a_lock(db)

    await db.write(forget)
    assert changing is not None
    assert (await changing)["n-1"]["success"]
    [shown] = await there.get()
    assert shown["displayHeadlineMessage"] == "To ben"
    assert "Kaya" not in await kept(there)
