"""The outbox between a database and a real relay: what devices get, and what becomes of every delivery."""

import json

from crypto.keys import Suite
from server.domain.delivery import Kind
from tests.server.worker.conftest import World


async def test_a_message_reaches_every_device_sealed_for_each(world: World) -> None:
    phones = [await world.phone(suite=Suite.XWING), await world.phone(provider="fcm")]
    deliveries = await world.seeded.message(phones, title="Backup finished ✓", body="all of it")
    await world.run_until("accepted", "accepted")
    for phone, delivery in zip(phones, deliveries, strict=True):
        [frame] = world.frames(phone)
        assert json.loads(frame.body)["title"] == "Backup finished ✓"
        assert (str(frame.message_id), frame.sequence, frame.kind) == (delivery.frame_id, 1, Kind.MESSAGE)
        assert frame.sent_at == delivery.created_at
    assert len(world.gateway.batches) == 1
