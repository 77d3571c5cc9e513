"""Deliveries for tests of what goes out when: many at a time, with the turns that they would have."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from server.domain.delivery import Draft
from server.domain.ports import Transaction
from server.store import outbox as store
from tests.harness.gateways import Takes
from tests.server.worker.conftest import World

Numbers = Mapping[str, tuple[str, int]]
"""Device and number by delivery."""


async def write(world: World, phones: Sequence[str], each: int, *, turn: int | None = None) -> Numbers:
    """Write so many deliveries to each of the phones in one transaction."""
    message = await world.seeded.message([], title="many")
    assert message == []
    row = await world.db.read(
        lambda tx: tx.one("SELECT id, expires_at FROM messages ORDER BY id DESC LIMIT 1")
    )
    assert row is not None

    def draft(phone: str) -> Draft:
        made = world.seeded.draft(row["id"], phone, expires_at=row["expires_at"])
        return made if turn is None else replace(made, turn=turn)

    async def job(tx: Transaction) -> Numbers:
        drafts = [draft(phone) for _ in range(each) for phone in phones]
        written = await store.enqueue(tx, drafts, world.clock())
        return {one.id: (one.device_id or "", one.sequence or 0) for one in written}

    return await world.db.write(job)


async def deliver(world: World, rows: Numbers) -> Takes:
    """Let a relay that takes everything have all of them."""
    world.gateway.behind = relay = Takes()
    async with world.running():
        await settled(world, state="accepted", number=len(rows))
    return relay


async def settled(world: World, *, number: int, **having: str) -> None:
    """Wait until so many deliveries are like this."""
    [(name, value)] = having.items()

    async def reached() -> bool:
        row = await world.db.read(
            lambda tx: tx.one(f"SELECT COUNT(*) AS n FROM deliveries WHERE {name} = $1", value)  # noqa: S608 - our names
        )
        return row is not None and row["n"] == number

    await world.db.until(reached)


def assert_in_order(relay: Takes, rows: Numbers) -> None:
    """Each device's deliveries were asked for once, in the order of their numbers."""
    assert sorted(relay.pushes) == sorted(rows)
    numbers: dict[str, list[int]] = {}
    for id_ in relay.pushes:
        device, number = rows[id_]
        numbers.setdefault(device, []).append(number)
    assert all(got == sorted(got) for got in numbers.values())
