"""What devices report of what they were sent."""

from collections.abc import Mapping, Sequence

from server.domain.delivery import Receipt, ReceiptEvent
from server.domain.ports import Transaction
from server.store.dialect import chunks, holes

_RECEIPT_COLUMNS: Mapping[ReceiptEvent, str] = {
    ReceiptEvent.RECEIVED: "received_at",
    ReceiptEvent.SHOWN: "shown_at",
    ReceiptEvent.READ: "read_at",
    ReceiptEvent.FAILED: "failed_at",
}


async def acknowledge(tx: Transaction, device_id: str, receipts: Sequence[Receipt]) -> list[str]:
    """Write down a device's receipts, the first of each event; return the ids of the messages that it read.

    A receipt for what the device was never sent changes nothing.
    """
    named = [receipt for receipt in receipts if receipt.frame_id is not None]
    for event, column in _RECEIPT_COLUMNS.items():
        fault = ", fault = $4" if event is ReceiptEvent.FAILED else ""
        await tx.many(
            f"UPDATE deliveries SET {column} = $3{fault}"
            f" WHERE device_id = $1 AND frame_id = $2 AND {column} IS NULL",
            [
                (device_id, receipt.frame_id, receipt.at, *([receipt.reason] if fault else []))
                for receipt in named
                if receipt.event is event
            ],
        )
    await _note_faults(tx, device_id, receipts)
    return await _messages_of(
        tx, device_id, [r.frame_id or "" for r in named if r.event is ReceiptEvent.READ]
    )


async def _note_faults(tx: Transaction, device_id: str, receipts: Sequence[Receipt]) -> None:
    faults = [receipt for receipt in receipts if receipt.event is ReceiptEvent.FAILED]
    if faults:
        newest = max(faults, key=lambda receipt: receipt.at)
        await tx.run(
            "UPDATE devices SET last_fault = $2, last_fault_at = $3"
            " WHERE id = $1 AND (last_fault_at IS NULL OR last_fault_at <= $3)",
            device_id,
            newest.reason,
            newest.at,
        )


async def _messages_of(tx: Transaction, device_id: str, frame_ids: Sequence[str]) -> list[str]:
    found: set[str] = set()
    for chunk in chunks(sorted(set(frame_ids))):
        rows = await tx.all(
            "SELECT message_id FROM deliveries WHERE device_id = $1 AND message_id IS NOT NULL"
            f" AND frame_id IN ({holes(len(chunk), after=1)})",
            device_id,
            *chunk,
        )
        found.update(row["message_id"] for row in rows)
    return sorted(found)
