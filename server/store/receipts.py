"""What devices report of what they were sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.domain.delivery import Receipt, ReceiptEvent
from server.domain.ports import Transaction
from server.store.dialect import chunks, holes

_RECEIPT_COLUMNS: Mapping[ReceiptEvent, str] = {
    ReceiptEvent.RECEIVED: "received_at",
    ReceiptEvent.SHOWN: "shown_at",
    ReceiptEvent.READ: "read_at",
    ReceiptEvent.FAILED: "failed_at",
}


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """`read`: ids of the messages that were read. `took`: milliseconds from a provider to the device, of what is new to us."""

    read: list[str]
    took: list[int]


async def acknowledge(tx: Transaction, device_id: str, receipts: Sequence[Receipt]) -> Acknowledged:
    """Write down a device's receipts, the first of each event.

    A receipt for what the device was never sent changes nothing.
    """
    took = await _took(tx, device_id, receipts)
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
    read = [r.frame_id or "" for r in named if r.event is ReceiptEvent.READ]
    return Acknowledged(await _messages_of(tx, device_id, read), took)


async def _took(tx: Transaction, device_id: str, receipts: Sequence[Receipt]) -> list[int]:
    """Return how long it was from the provider to the device, by the device's clock, where it says for the first time that it has it."""
    at = {r.frame_id: r.at for r in receipts if r.frame_id is not None and r.event is ReceiptEvent.RECEIVED}
    took = []
    for chunk in chunks(sorted(at)):
        rows = await tx.all(
            "SELECT frame_id, settled_at FROM deliveries WHERE device_id = $1 AND state = 'accepted'"
            f" AND received_at IS NULL AND frame_id IN ({holes(len(chunk), after=1)})",
            device_id,
            *chunk,
        )
        took += [max(at[row["frame_id"]] - row["settled_at"], 0) for row in rows]
    return took


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
