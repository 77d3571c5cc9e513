"""Rows that nobody should have written: what is wrong with one delivery costs the others nothing."""

import pytest

from crypto.keys import Suite
from server.domain.delivery import Event
from tests.reliability.conftest import let_pass
from tests.server.worker.conftest import World

NO_POINT = bytes(32)  # X25519: of small order
NO_ENCAPSULATION_KEY = b"\xff" * 1184 + bytes([9]) + bytes(31)
KEYS = {
    "a point that the library refuses": (Suite.X25519, NO_POINT),
    "half of a key": (Suite.X25519, NO_POINT[:16]),
    "no key of ML-KEM": (Suite.XWING, NO_ENCAPSULATION_KEY),
    "another suite's key": (Suite.XWING, bytes([9]) + bytes(31)),
    "nothing at all": (Suite.X25519, b""),
}


@pytest.mark.parametrize(("suite", "raw"), KEYS.values(), ids=KEYS)
async def test_a_key_that_is_none_fails_its_own_delivery_and_no_other(
    world: World, suite: Suite, raw: bytes
) -> None:
    before, broken, after = [await world.phone() for _ in range(3)]
    await spoil(world, broken, "suite = $2, public_key = $3", int(suite), raw)
    rows = [(await world.seeded.message([phone], title="each alone"))[0] for phone in (before, broken, after)]
    async with world.running():
        await world.until_row(rows[1].id, state="failed", reason="bad_key", lease=None)
        await world.until_row(rows[0].id, state="accepted")
        await world.until_row(rows[2].id, state="accepted")
    assert [len(world.frames(phone)) for phone in (before, after)] == [1, 1]
    assert len(world.gateway.batches) == 1
    assert world.metric("hushpost_outbox_outcomes_total", event=Event.REJECT, reason="bad_key") == 1
    [entry] = [entry for entry in world.log.entries if entry["log_level"] == "error"]
    assert entry["deliveries"] == 1


async def test_a_key_that_is_none_fails_what_is_too_large_as_well(world: World) -> None:
    broken, well = [await world.phone() for _ in range(2)]
    await spoil(world, broken, "public_key = $2", NO_POINT)
    text = "".join(chr(0x4E00 + i * 37 % 9000) for i in range(9000))
    bad, good = await world.seeded.message([broken, well], title="long", body=text)
    async with world.running():
        await world.until_row(bad.id, state="failed", reason="bad_key")
        await world.until_row(good.id, state="accepted")


@pytest.mark.parametrize("handle", ["x", "é", "A" * 9_000, "AQ" * 100])
async def test_a_handle_that_is_none_costs_the_others_nothing(world: World, handle: str) -> None:
    before, broken, after = [await world.phone() for _ in range(3)]
    await spoil(world, broken, "handle = $2", handle)
    first, bad, last = await world.seeded.message([before, broken, after], title="together")
    async with world.running():
        await world.until_row(first.id, state="accepted")
        await world.until_row(last.id, state="accepted")
        await world.until_row(bad.id, lease=None)
    assert (await world.seeded.row(bad.id))["state"] in ("gone", "failed")


async def test_a_content_that_nobody_can_read_is_left_by_its_company_and_comes_back_alone(
    world: World,
) -> None:
    phones = [await world.phone() for _ in range(8)]
    rows = [(await world.seeded.message([phone], title="each alone"))[0] for phone in phones]
    broken = rows[3]
    sql = "UPDATE messages SET content = 'no JSON' WHERE id = $1"
    await world.db.write(lambda tx: tx.run(sql, broken.message_id))
    well = [row.id for row in rows if row is not broken]
    async with world.running():
        await world.until_row(broken.id, state="queued", reason="batch_failed")
        while {(await world.seeded.row(id_))["state"] for id_ in well} != {"accepted"}:
            await let_pass(world, 50)
    assert (await world.seeded.row(broken.id))["state"] == "queued"
    assert [len(world.frames(phone)) for phone in phones if phone != broken.device_id] == [1] * 7


async def spoil(world: World, device: str, change: str, *values: object) -> None:
    sql = f"UPDATE devices SET {change} WHERE id = $1"  # noqa: S608 - this file's own words
    await world.db.write(lambda tx: tx.run(sql, device, *values))
