"""The delivery of a test message, as far as it has got."""

from server.domain.delivery import State
from server.domain.ports import Transaction
from server.domain.probe import Probe


async def find_probe(tx: Transaction, delivery_id: str) -> Probe | None:
    row = await tx.one("SELECT * FROM deliveries WHERE id = $1", delivery_id)
    if row is None:
        return None
    return Probe(
        id=row["id"],
        message_id=row["message_id"],
        device_id=row["device_id"],
        state=State(row["state"]),
        reason=row["reason"],
        attempts=row["attempts"],
        provider_id=row["provider_id"],
        created_at=row["created_at"],
        settled_at=row["settled_at"],
        received_at=row["received_at"] or row["shown_at"] or row["read_at"],
        fault=row["fault"],
    )
