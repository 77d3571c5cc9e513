"""What devices are told of messages that they may have: retracted, read elsewhere, changed.

A device may have what was handed to the relay, what may be on its way right now, and what it has fetched. Pages go by the ids of a
message's deliveries, so that each is a step of its own, however many there are.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby

from server.domain.delivery import (
    NOTICE_LIFETIME,
    WEB_HANDLE_LENGTH,
    Channel,
    Delivery,
    Draft,
    Kind,
    State,
)
from server.domain.ids import LAST_ID, new_id, new_push_id
from server.domain.message import Message
from server.domain.ports import Random, Row, Transaction
from server.domain.tally import moved
from server.store.audience import MUTED, READS, Place, place_of
from server.store.dialect import chunks, holes
from server.store.outbox import enqueue, keep_devices, keep_users
from server.store.tallies import note

_IDS_IN_A_NOTICE = 40  # 39 bytes each: fits the least room that the largest envelope has (1696)
# As `Address.is_web` has it: Web Push has no background pushes.
_NOT_WEB = f" AND v.platform <> 'web' AND (v.handle IS NULL OR LENGTH(v.handle) < {WEB_HANDLE_LENGTH})"
_FRAMES = "SELECT d.device_id, d.user_id, d.frame_id FROM deliveries d JOIN devices v ON v.id = d.device_id"
# Of one user by their devices: of a message to very many people only theirs are read, from the index of each device's.
_DEVICES = "SELECT id FROM devices WHERE user_id = $1"
# It is on its way, or was tried, whatever came of that; or the device has fetched it.
_MAY_HAVE = (
    "d.channel = 'PUSH' AND (d.attempts > 0 OR d.relayed_at IS NOT NULL OR d.state IN ('leased', 'accepted')"
    " OR d.received_at IS NOT NULL OR d.shown_at IS NOT NULL)"
)
_COMES = "d.channel = 'PUSH' AND d.state IN ('queued', 'leased', 'accepted', 'gone')"
_WITHDRAWN = f"(d.state = 'queued' OR {_MAY_HAVE})"


async def withdraw(
    tx: Transaction, message_id: str, *, after: str, limit: int, now: int, random: Random
) -> tuple[list[Delivery], str | None]:
    """Cancel what still waits among a message's next deliveries, and tell the devices that may have it.

    What a worker holds right now is not cancelled: it may be on its way. So may be what was tried before, whatever came of
    that, and what a device has reported, it has fetched. Call it when the content is blanked.

    Returns what was written, and the id to go on after, None where that was the end.
    """
    last = await _end_of_page(tx, message_id, after, limit)
    await _keep(tx, message_id, after, last)
    cancelled = await tx.run(
        "UPDATE deliveries SET state = 'cancelled', settled_at = $2 WHERE message_id = $1 AND id > $3 AND id <= $4"
        " AND state = 'queued'",
        message_id,
        now,
        after,
        last or LAST_ID,
    )
    await note(tx, moved({State.QUEUED: cancelled}, {State.CANCELLED: cancelled}))
    reached = await tx.all(
        f"{_FRAMES} WHERE d.message_id = $1 AND d.id > $2 AND d.id <= $3 AND {_MAY_HAVE}{_NOT_WEB} ORDER BY d.device_id",
        message_id,
        after,
        last or LAST_ID,
    )
    return await enqueue(tx, list(_notices(Kind.RETRACT, reached, now, random)), now), last


async def withdraw_from(
    tx: Transaction, user_id: str, message_ids: Sequence[str], *, but: str | None, now: int, random: Random
) -> list[Delivery]:
    """Withdraw messages from one user, who has deleted them: as `withdraw`, but not from `but`, which knows."""
    reached: list[Row] = []
    await keep_users(tx, [user_id])
    await tx.all(f"{_DEVICES} ORDER BY id FOR KEY SHARE", user_id)
    for chunk in chunks(sorted(set(message_ids))):
        named = holes(len(chunk), after=2)
        cancelled = await tx.run(
            "UPDATE deliveries SET state = 'cancelled', settled_at = $2 WHERE state = 'queued'"
            f" AND device_id IN ({_DEVICES}) AND message_id IN ({named})",
            user_id,
            now,
            *chunk,
        )
        await note(tx, moved({State.QUEUED: cancelled}, {State.CANCELLED: cancelled}))
        reached += await tx.all(
            f"{_FRAMES} WHERE v.user_id = $1 AND d.device_id <> $2 AND {_MAY_HAVE}{_NOT_WEB}"
            f" AND d.message_id IN ({named})",
            user_id,
            but or "",
            *chunk,
        )
    reached.sort(key=lambda row: str(row["device_id"]))
    return await enqueue(tx, list(_notices(Kind.RETRACT, reached, now, random)), now)


async def tell_read(
    tx: Transaction, user_id: str, message_ids: Sequence[str], *, but: str | None, now: int, random: Random
) -> list[Delivery]:
    """Tell a user's other devices (not `but`, which knows) that messages were read.

    Those too that are still to get them: a device that knows does not ring for what was read long ago.
    """
    reached: list[Row] = []
    for chunk in chunks(sorted(set(message_ids))):
        reached += await tx.all(
            f"{_FRAMES} WHERE v.user_id = $1 AND {_COMES}{_NOT_WEB} AND d.device_id <> $2 AND d.message_id IN ({holes(len(chunk), after=2)})",
            user_id,
            but or "",
            *chunk,
        )
    reached.sort(key=lambda row: str(row["device_id"]))
    return await enqueue(tx, list(_notices(Kind.READ, reached, now, random)), now)


async def tell_readers(
    tx: Transaction, message_id: str, user_ids: Sequence[str], *, now: int, random: Random
) -> list[Delivery]:
    """Tell all devices of users that they have read a message: as `tell_read`."""
    reached: list[Row] = []
    for chunk in chunks(sorted(set(user_ids))):
        reached += await tx.all(
            f"{_FRAMES} WHERE d.message_id = $1 AND {_COMES}{_NOT_WEB} AND v.user_id IN ({holes(len(chunk), after=1)})",
            message_id,
            *chunk,
        )
    reached.sort(key=lambda row: str(row["device_id"]))
    return await enqueue(tx, list(_notices(Kind.READ, reached, now, random)), now)


async def list_holders(
    tx: Transaction, message: Message, frame_id: str, *, after: str, limit: int
) -> tuple[list[Place], str | None]:
    """Return which devices may have a message, among its next deliveries, and have not been given a frame of this id.

    A device with several frames of the message is on several pages, so the one that it is told with says whether it was. A user who has
    deleted the message, or may not read in its bucket any more, is told nothing. The second value is the id to go on after, None where that was the end.
    """
    last = await _end_of_page(tx, message.id, after, limit)
    rows = await tx.all(
        f"SELECT DISTINCT d.user_id, d.device_id, {MUTED} FROM deliveries d"
        " JOIN devices v ON v.id = d.device_id"
        " LEFT JOIN inbox_items i ON i.message_id = d.message_id AND i.user_id = d.user_id"
        f" JOIN bucket_members m ON m.bucket_id = $5 AND m.user_id = d.user_id AND {READS}"
        f" WHERE d.message_id = $1 AND d.id > $2 AND d.id <= $3 AND {_MAY_HAVE} AND i.deleted_at IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM deliveries t WHERE t.frame_id = $4 AND t.device_id = d.device_id)"
        " ORDER BY d.device_id",
        message.id,
        after,
        last or LAST_ID,
        frame_id,
        message.bucket_id,
    )
    return [place_of(row) for row in rows], last


async def _keep(tx: Transaction, message_id: str, after: str, last: str | None) -> None:
    """Keep the users and devices of a page until the end of the transaction, before its deliveries are changed.

    Whoever deletes or renews one of them locks it first, and its deliveries then.
    """
    rows = await tx.all(
        "SELECT d.user_id, d.device_id FROM deliveries d WHERE d.message_id = $1 AND d.id > $2 AND d.id <= $3"
        f" AND d.device_id IS NOT NULL AND {_WITHDRAWN}",
        message_id,
        after,
        last or LAST_ID,
    )
    await keep_users(tx, {row["user_id"] for row in rows})
    await keep_devices(tx, {row["device_id"] for row in rows})


async def _end_of_page(tx: Transaction, message_id: str, after: str, limit: int) -> str | None:
    """Return the last of a message's next deliveries, at most `limit`; None where there are fewer."""
    row = await tx.one(
        "SELECT id FROM deliveries WHERE message_id = $1 AND id > $2 ORDER BY id LIMIT 1 OFFSET $3",
        message_id,
        after,
        limit - 1,
    )
    return None if row is None else str(row["id"])


def _notices(kind: Kind, reached: Sequence[Row], now: int, random: Random) -> Iterator[Draft]:
    """Make deliveries of kind 2 or 3, as few as hold the ids of each device; the rows are sorted by device."""
    for device_id, rows in groupby(reached, key=lambda row: str(row["device_id"])):
        frames = list(rows)
        for start in range(0, len(frames), _IDS_IN_A_NOTICE):
            ids = [row["frame_id"] for row in frames[start : start + _IDS_IN_A_NOTICE]]
            yield Draft(
                id=new_push_id(random),
                message_id=None,
                user_id=frames[0]["user_id"],
                device_id=device_id,
                channel=Channel.PUSH,
                kind=kind,
                frame_id=new_id(now, random),
                body=json.dumps({"ids": ids}, separators=(",", ":")),
                suppressed=None,
                due_at=now,
                turn=now,
                expires_at=now + NOTICE_LIFETIME,
            )
