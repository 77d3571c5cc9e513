"""Parcels: deliveries with all that their frames are made of, as the worker and a fetching device need them."""

from collections.abc import Mapping, Sequence

from server.domain.delivery import Kind, Parcel, Quiet, State
from server.domain.ports import Row, Transaction
from server.store.dialect import chunks, holes

PARCEL = (
    "SELECT d.id, d.message_id, d.device_id, d.kind, d.frame_id, COALESCE(d.sequence, v.head) AS sequence,"
    " d.state, d.attempts, d.created_at, d.expires_at, d.body, d.quiet, m.delivery_type, m.collapse_id,"
    " v.platform, v.suite, v.public_key, v.handle, v.last_woken_at, i.deleted_at"
    " FROM deliveries d JOIN devices v ON v.id = d.device_id LEFT JOIN messages m ON m.id = d.message_id"
    " LEFT JOIN inbox_items i ON i.message_id = d.message_id AND i.user_id = d.user_id"
)


async def list_parcels(tx: Transaction, device_id: str, *, after: int, limit: int) -> list[Parcel]:
    """Return a device's numbered deliveries after a number, in order, whatever became of them."""
    rows = await tx.all(
        f"{PARCEL} WHERE d.device_id = $1 AND d.sequence > $2 ORDER BY d.sequence LIMIT $3",
        device_id,
        after,
        limit,
    )
    contents = await contents_of(tx, rows)
    return [parcel_of(row, contents) for row in rows]


async def contents_of(tx: Transaction, rows: Sequence[Row]) -> dict[str, str]:
    """Return the content of the messages that rows of PARCEL name, each once however many devices it goes to."""
    contents = {}
    for chunk in chunks(sorted({row["message_id"] for row in rows if row["message_id"] is not None})):
        found = await tx.all(
            f"SELECT id, content FROM messages WHERE id IN ({holes(len(chunk))}) AND content IS NOT NULL",
            *chunk,
        )
        contents.update({row["id"]: row["content"] for row in found})
    return contents


def parcel_of(row: Row, contents: Mapping[str, str]) -> Parcel:
    """Join a row of PARCEL with its message's content, which is gone for a user who has deleted it."""
    content = contents.get(row["message_id"]) if row["deleted_at"] is None else None
    return Parcel(
        id=row["id"],
        message_id=row["message_id"],
        device_id=row["device_id"],
        kind=Kind(row["kind"]),
        frame_id=row["frame_id"],
        sequence=row["sequence"],
        state=State(row["state"]),
        attempts=row["attempts"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        delivery_type=row["delivery_type"],
        collapse_id=row["collapse_id"],
        body=row["body"] if row["message_id"] is None else content,
        quiet=None if row["quiet"] is None else Quiet(row["quiet"]),
    )


async def head_of(tx: Transaction, device_id: str) -> int:
    """Return the last number given to a device; 0 where there is no such device."""
    row = await tx.one("SELECT head FROM devices WHERE id = $1", device_id)
    return 0 if row is None else int(row["head"])


async def list_retracted(tx: Transaction, device_id: str, since: int) -> list[str]:
    """Return the frame ids that a device was given and that were retracted since, or deleted by its user."""
    rows = await tx.all(
        "SELECT d.frame_id FROM deliveries d JOIN messages m ON m.id = d.message_id"
        " LEFT JOIN inbox_items i ON i.message_id = d.message_id AND i.user_id = d.user_id"
        " WHERE d.device_id = $1 AND d.sequence IS NOT NULL AND (m.retracted_at >= $2 OR i.deleted_at >= $2)"
        " ORDER BY d.sequence",
        device_id,
        since,
    )
    return [row["frame_id"] for row in rows]


async def list_read(tx: Transaction, device_id: str, since: int) -> list[str]:
    """Return the frame ids that a device was given and that its user read since, on whatever device."""
    rows = await tx.all(
        "SELECT d.frame_id FROM deliveries d"
        " JOIN inbox_items i ON i.message_id = d.message_id AND i.user_id = d.user_id"
        " WHERE d.device_id = $1 AND d.sequence IS NOT NULL AND i.read_at >= $2 ORDER BY d.sequence",
        device_id,
        since,
    )
    return [row["frame_id"] for row in rows]
