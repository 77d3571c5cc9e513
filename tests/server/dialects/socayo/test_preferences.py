"""What a user wants, by channel and category: said by RPC or in the native API, and heeded by whatever is sent."""

from collections.abc import Sequence
from typing import Any

import pytest

from server.commands.due import run_due
from server.commands.people import ensure_people, ensure_tenant
from server.commands.preferences import set_preference
from server.commands.spread import PAGE
from server.domain.delivery import Channel
from server.domain.errors import NotFound
from server.domain.message import Category
from server.domain.ports import Transaction
from server.domain.preferences import CHOSEN, SetPreference
from tests.harness.acting import Acting, rows_of
from tests.harness.native import Reply
from tests.server.conftest import House, Person

PREFERENCES = "/api/v1/preferences"
CHANNELS = ["PUSH", "IN_APP", "EMAIL", "SMS", "CHAT"]
WANTED = {"TRANSACTIONAL": True, "PRODUCT": True, "PROMOTIONAL": True}
EVERYTHING = [{"channel": one, "channelEnabled": True, "categories": WANTED} for one in CHANNELS]


@pytest.fixture
async def ann(house: House, admin: Person) -> Acting:
    """Calls for ann of acme, of whom nothing is known yet."""
    return Acting(await house.token(admin, "admin"), "acme", "ann")


async def update(who: Acting, **body: Any) -> Reply:
    return await who.rpc("update-preferences", body)


async def send(
    who: Acting,
    users: Sequence[str],
    *,
    channels: Sequence[str] = ("IN_APP", "PUSH"),
    category: str = "TRANSACTIONAL",
) -> str:
    """Send to users by name, and return the message's id."""
    body = {
        "title": "Hello",
        "deliveryType": "NORMAL",
        "userIds": [*users],
        "channels": [*channels],
        "category": category,
    }
    answer = await who.for_user(None).call("POST", "/api/v1/messages", body)
    assert answer.status == 201, answer.body
    return str(answer["id"])


async def states(house: House, message: str) -> dict[str, tuple[str, str | None]]:
    """Return what became of a message to one user: state and reason by channel."""
    rows = await house.deliveries(message_id=message)
    return {row["channel"]: (row["state"], row["reason"]) for row in rows}


async def test_who_has_said_nothing_wants_everything_and_asking_makes_nobody(
    house: House, ann: Acting
) -> None:
    before = await rows_of(house.pieces.db)
    for answer in (await ann.rpc("get-preferences"), await ann.call("GET", PREFERENCES)):
        assert (answer.status, answer.json) == (200, {"preferences": EVERYTHING})
    assert await rows_of(house.pieces.db) == before


async def test_a_category_of_a_channel_is_refused_and_wanted_again(ann: Acting) -> None:
    """As often as one likes; the answer is what `get-preferences` says from then on."""
    refused = [{**EVERYTHING[0], "categories": {**WANTED, "PROMOTIONAL": False}}, *EVERYTHING[1:]]
    for enabled, expected in ((False, refused), (False, refused), (True, EVERYTHING), (True, EVERYTHING)):
        answer = await update(ann, channel="PUSH", category="PROMOTIONAL", enabled=enabled)
        assert (answer.status, answer.json) == (200, {"preferences": expected})
        assert (await ann.rpc("get-preferences")).json == answer.json
        assert (await ann.call("GET", PREFERENCES)).json == answer.json


async def test_a_channel_as_a_whole_is_refused_without_forgetting_its_categories(ann: Acting) -> None:
    await update(ann, channel="SMS", category="PRODUCT", enabled=False)
    answer = await update(ann, channel="SMS", enabled=False)
    assert answer["preferences"][3] == {
        "channel": "SMS",
        "channelEnabled": False,
        "categories": {**WANTED, "PRODUCT": False},
    }
    answer = await update(ann, channel="SMS", enabled=True)
    assert answer["preferences"][3]["categories"] == {**WANTED, "PRODUCT": False}


async def test_both_apis_write_the_same(house: House, ann: Acting) -> None:
    await update(ann, channel="CHAT", enabled=False)
    by_rpc = await opt_outs(house)
    await update(ann, channel="CHAT", enabled=True)
    assert await opt_outs(house) == []
    answer = await ann.call("PATCH", PREFERENCES, {"channel": "CHAT", "category": None, "enabled": False})
    assert answer.status == 200
    assert await opt_outs(house) == by_rpc
    assert answer.json == (await ann.rpc("get-preferences")).json


async def test_the_native_api_makes_whom_it_writes_for(house: House, ann: Acting) -> None:
    answer = await ann.call("PATCH", PREFERENCES, {"channel": "PUSH", "enabled": False})
    assert (answer.status, answer["preferences"][0]["channelEnabled"]) == (200, False)
    assert (await ann.rpc("get-preferences")).json == answer.json
    assert len((await rows_of(house.pieces.db))["tenants"]) == 2


async def test_people_who_are_signed_in_have_their_own(house: House, admin: Person) -> None:
    bob = await house.register("bob")
    await bob.api.patch(PREFERENCES, {"channel": "PUSH", "enabled": False})
    assert (await bob.api.get(PREFERENCES))["preferences"][0]["channelEnabled"] is False
    assert (await admin.api.get(PREFERENCES)).json == {"preferences": EVERYTHING}


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"channel": "is missing", "enabled": "is missing"}),
        ({"channel": "FAX", "enabled": "no"}, {"channel": "is none of the known words", "enabled": "is a text"}),
        ({"channel": "PUSH", "category": "SYSTEM", "enabled": False}, {"category": "always comes"}),
        ({"channel": "PUSH", "category": "NEWS", "enabled": False}, {"category": "is none that can be chosen"}),
        ({"channel": "PUSH", "category": ["PRODUCT"], "enabled": False}, {"category": "is none that can be chosen"}),
        ({"channel": "PUSH", "enabled": None}, {"enabled": "is missing"}),
    ],
)  # fmt: skip
async def test_what_cannot_be_said_is_refused_with_every_fault(
    house: House, ann: Acting, body: dict[str, Any], wrong: dict[str, str]
) -> None:
    """In the form of each API; nobody is made by it."""
    before = await rows_of(house.pieces.db)
    answer = await update(ann, **body)
    said = {fault["path"]: fault["reason"] for fault in answer["error"]["details"]}
    assert (answer.status, said) == (400, wrong)
    native = await ann.call("PATCH", PREFERENCES, body)
    assert (native.status, native.faults) == (400, wrong)
    assert await rows_of(house.pieces.db) == before


async def test_of_somebody_who_was_deleted_meanwhile_nothing_is_written(house: House, ann: Acting) -> None:
    await update(ann, channel="PUSH", enabled=True)

    async def delete(tx: Transaction) -> str:
        row = await tx.one("UPDATE users SET deleted_at = 1 WHERE external_id = 'ann' RETURNING id")
        assert row is not None
        return str(row["id"])

    user_id = await house.pieces.db.write(delete)
    command = SetPreference(Channel.PUSH, None, enabled=False)
    with pytest.raises(NotFound):
        await set_preference(house.pieces.db, user_id, command, now=1)
    assert await opt_outs(house) == []


async def test_another_tenant_has_a_user_of_that_name_of_its_own(ann: Acting) -> None:
    await update(ann, channel="PUSH", enabled=False)
    stranger = Acting(ann.api, "other", "ann")
    assert (await stranger.rpc("get-preferences")).json == {"preferences": EVERYTHING}
    await update(stranger, channel="PUSH", enabled=True)
    assert (await ann.rpc("get-preferences"))["preferences"][0]["channelEnabled"] is False


@pytest.mark.parametrize("category", CHOSEN)
async def test_a_category_that_is_not_wanted_does_not_come_on_that_channel(
    house: House, ann: Acting, category: Category
) -> None:
    """It is written down why; everything else comes."""
    await update(ann, channel="IN_APP", category=category.value, enabled=False)
    for one in Category:
        came = await states(house, await send(ann, ["ann"], category=one))
        refused = one is category
        assert came == {
            "IN_APP": ("suppressed", "opted_out") if refused else ("accepted", None),
            "PUSH": ("suppressed", "no_channel"),
        }
    assert (await ann.call("GET", "/api/v1/notifications/counts"))["total"] == len(Category) - 1


@pytest.mark.parametrize("channel", Channel)
async def test_of_a_channel_that_is_not_wanted_nothing_comes_but_what_is_of_the_system(
    house: House, ann: Acting, channel: Channel
) -> None:
    await update(ann, channel=channel.value, enabled=False)
    usual = await states(house, await send(ann, ["ann"], channels=CHANNELS))
    system = await states(house, await send(ann, ["ann"], channels=CHANNELS, category="SYSTEM"))
    assert usual.pop(channel) == ("suppressed", "opted_out")
    assert all(reason != "opted_out" for _, reason in usual.values())
    assert all(reason != "opted_out" for _, reason in system.values())
    assert system["IN_APP"] == ("accepted", None)


@pytest.mark.parametrize("category", ["TRANSACTIONAL", "SYSTEM"])
async def test_a_phone_that_is_there_is_not_pushed_to_where_that_is_not_wanted(
    house: House, ann: Acting, category: str
) -> None:
    """One row says so for all of its owner's devices; what is of the system goes to each."""
    for name in ("one", "two"):
        device = {"platform": "IOS", "deviceId": name, "handle": house.handle()}
        assert (await ann.rpc("register-push-device", device)).status == 200
    await update(ann, channel="PUSH", enabled=False)
    message = await send(ann, ["ann"], channels=["PUSH"], category=category)
    rows = [
        (row["state"], row["reason"], row["device_id"] is None)
        for row in await house.deliveries(message_id=message)
    ]
    refused = [("suppressed", "opted_out", True)]
    assert rows == ([("queued", None, False)] * 2 if category == "SYSTEM" else refused)


async def test_whoever_opts_out_while_a_message_spreads_is_spared_if_it_has_not_come_to_them(
    house: House, ann: Acting
) -> None:
    """Whom it has come to keeps it: what counts is what they want when it is written for them."""
    crowd = [f"user-{number:03}" for number in range(PAGE + 2)]
    in_order = await gather(house, crowd)
    message = await send(ann, crowd, channels=["IN_APP"])
    first, last = in_order[0], in_order[-1]
    for name in (first, last):
        await update(ann.for_user(name), channel="IN_APP", category="TRANSACTIONAL", enabled=False)
    while await run_due(house.pieces.db, now=house.clock(), random=house.random, log=house.pieces.log):
        pass
    came = {row["user_id"]: row["state"] for row in await house.deliveries(message_id=message)}
    names = {name: user_id for user_id, name in (await external_ids(house)).items()}
    assert len(came) == len(crowd)
    assert (came.pop(names[first]), came.pop(names[last])) == ("accepted", "suppressed")
    assert set(came.values()) == {"accepted"}


async def opt_outs(house: House) -> list[tuple[str, str]]:
    rows = await house.pieces.db.read(lambda tx: tx.all("SELECT channel, category FROM opt_outs"))
    return [(row["channel"], row["category"]) for row in rows]


async def gather(house: House, names: Sequence[str]) -> list[str]:
    """Make users of acme, and return their names in the order in which a message reaches them."""

    async def job(tx: Transaction) -> list[str]:
        tenant = await ensure_tenant(tx, "acme", house.clock(), house.random)
        return await ensure_people(tx, tenant, names, house.clock(), house.random)

    await house.pieces.db.write(job)
    return list((await external_ids(house)).values())


async def external_ids(house: House) -> dict[str, str]:
    rows = await house.pieces.db.read(
        lambda tx: tx.all("SELECT id, external_id FROM users WHERE external_id LIKE 'user-%' ORDER BY id")
    )
    return {row["id"]: row["external_id"] for row in rows}
