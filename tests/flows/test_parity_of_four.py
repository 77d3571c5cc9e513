"""The same notification by each of the four APIs: the rows that it leaves, and those that reading, deleting and taking back leave, are alike.

Four tenants of one server do the same at the same moments, each by one API, and then have the same rows in every table that is not an
API's own. What may differ, and why, stands beside DIFFERENT and APART.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from server.domain.ids import new_id
from server.store.tallies import audit
from tests.harness.acting import Acting
from tests.harness.four_ways import WAYS, Note, Place, Way, good
from tests.harness.same_rows import Columns, Tenant
from tests.server import conftest as served
from tests.server.conftest import House, Person

settings, open_house, house, admin = served.settings, served.open_house, served.house, served.admin

MINUTE = 60_000
SOCAYO = "socayo"
NOTE = Note("New comment", "on the page of visitors")
USER, SENDER = "7d444840-9dc0-11d1-b245-5ffdce74fad2", "7d444840-9dc0-11d1-b245-5ffdce74fad3"
# Velt says who has acted; the others send as the tenant's server.
DIFFERENT: Columns = {"messages": {"sender_id"}}
# Socayo sends by one channel a call, the one message after the other: its messages are two, alike but for the channel, and for how many
# deliveries had gone out.
APART: Columns = {"messages": {*DIFFERENT["messages"], "channels", "handed_over"}, "deliveries": {"turn"}}
# Of Velt and Aptly alone: what a notification is about, by what it was made, and who may see that.
OWN = {"documents", "document_access", "document_fields", "templates", "subjects"}
RETRACT, READ = '"kind": 2', '"kind": 3'
Rows = Mapping[str, list[str]]


@dataclass
class Four:
    """The tenants by the ways in which they do things.

    `unpushed`: what phones are told of what happens in the inbox, and are not where Socayo has sent to the inbox alone.
    """

    house: House
    tenants: Mapping[str, Tenant]
    unpushed: str | None = None

    def place(self, way: Way) -> Place:
        tenant = self.tenants[way.name]
        return Place(tenant.api.api, tenant.name, USER, SENDER)

    async def alike(self) -> Rows:
        """Hold the rows of the four against each other, Socayo's without what stands APART, and return them by table."""
        for tenant in self.tenants.values():
            await tenant.learn(self.house.pieces.db)
        whole = [await self._rows(name, DIFFERENT) for name in self.tenants if name != SOCAYO]
        assert whole[1:] == whole[:1] * (len(self.tenants) - 2)
        assert await self._rows(SOCAYO, APART) == await self._rows("native", APART)
        return whole[0]

    async def _rows(self, name: str, but: Columns) -> Rows:
        found = await self.tenants[name].rows(self.house.pieces.db, but=but)
        if but is APART:
            found["messages"] = sorted(set(found["messages"]))
            told = [row for row in found["deliveries"] if self.unpushed and self.unpushed in row]
            assert len(told) in ({0} if name == SOCAYO else {0, 1})
            found["deliveries"] = [row for row in found["deliveries"] if row not in told]
        return {table: rows for table, rows in found.items() if table not in OWN}

    async def wait(self) -> None:
        """Let time go by, and hand over what waits."""
        self.house.clock.advance(MINUTE)
        while await self.house.accept_pushes():
            pass
        await self.alike()


@pytest.fixture
async def four(house: House, admin: Person) -> Four:
    """Each with the user, who has a phone, and the one who acts; all are known before."""
    api = await house.token(admin, "admin")
    tenants = {}
    for number, way in enumerate(WAYS):
        name = f"550e8400-e29b-41d4-a716-44665544000{number}"
        tenants[way.name] = Tenant(name, Acting(api, name))
        for user in (USER, SENDER):
            await good(tenants[way.name].api.call("POST", "/api/v1/subscribers", {"userId": user}))
    four = Four(house, tenants)
    await four.alike()
    for tenant in tenants.values():
        ids = {name: id_ for id_, name in tenant.named.items()}
        await give_phone(house, ids[f"users {USER}"])
    await four.alike()
    return four


async def give_phone(house: House, user: str) -> None:
    values = (new_id(1, house.random), user, house.random(32))
    await house.pieces.db.write(lambda tx: tx.run(_DEVICE, *values))


_DEVICE = (
    "INSERT INTO devices (id, user_id, name, platform, handle, token_hash, head, created_at)"
    " VALUES ($1, $2, 'a phone', 'ios', 'h', $3, 0, 1)"
)


async def send(four: Four) -> dict[str, list[str]]:
    sent = {way.name: await way.send(four.place(way), NOTE) for way in WAYS}
    await four.alike()
    return sent


async def test_the_same_notification_leaves_the_same_rows(four: Four) -> None:
    await send(four)
    rows = await four.alike()
    assert (len(rows["messages"]), len(rows["inbox_items"]), len(rows["deliveries"])) == (1, 1, 2)
    await four.wait()
    assert all('"state": "accepted"' in row for row in (await four.alike())["deliveries"])


async def test_what_is_read_is_alike(four: Four) -> None:
    sent = await send(four)
    await four.wait()
    four.unpushed = READ
    for way in WAYS:
        await way.read(four.place(way), sent[way.name][0])
    rows = await four.alike()
    assert all('"read_at": null' not in row for row in rows["inbox_items"])
    assert sum(READ in row for row in rows["deliveries"]) == 1
    await four.wait()


async def test_what_is_deleted_is_alike(four: Four) -> None:
    """By the user, for themselves."""
    sent = await send(four)
    await four.wait()
    four.unpushed = RETRACT
    for way in WAYS:
        await way.delete(four.place(way), sent[way.name][0])
    rows = await four.alike()
    assert all('"deleted_at": null' not in row for row in rows["inbox_items"])
    await four.wait()


@pytest.mark.parametrize("has_gone", [True, False])
async def test_what_is_taken_back_is_alike(four: Four, *, has_gone: bool) -> None:
    """In time, or once phones have it. Aptly's has no word for it: there it is done natively."""
    sent = await send(four)
    if has_gone:
        await four.wait()
    for way in WAYS:
        for message in sent[way.name]:
            native = WAYS[0] if way.name == "aptly" else way
            await native.take_back(four.place(way), message)
    rows = await four.alike()
    assert all('"retracted_at": null' not in row for row in rows["messages"])
    assert sum(RETRACT in row for row in rows["deliveries"]) == (1 if has_gone else 0)
    await four.wait()
    found = await four.house.pieces.db.read(audit)
    assert found.holds, found
