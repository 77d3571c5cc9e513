"""What is asked of others over HTTP: claimed under a lease, settled where the lease still holds, kept for a while.

One whose lease has ended is due like any other: whoever held it is dead, or too late. Its id stays, so that who is asked a second time
can tell. Several processes may claim at the same moment on PostgreSQL: each skips the rows that another has locked.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from server.domain.outgoing import LEASE, Kind, Progress, Request, Settlement, State
from server.domain.ports import Row, Transaction
from server.store.dialect import holes

_WAITS = "state IN ('queued', 'leased')"
_LISTED = 20  # of one item's


async def add(tx: Transaction, request: Request, *, key: bytes | None) -> None:
    """Store a request that is due at once; NotUnique where one with this key is there."""
    await tx.run(
        "INSERT INTO outgoing_requests (id, kind, message_id, user_id, host, key, payload, state, attempts,"
        " created_at, due_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'queued', 0, $8, $8)",
        request.id,
        request.kind.value,
        request.message_id,
        request.user_id,
        request.host,
        key,
        _text(request.payload),
        request.created_at,
    )


async def claim(
    tx: Transaction, lease: str, *, now: int, places: int, busy: Mapping[str, int], per_host: int
) -> list[Request]:
    """Put up to `places` due requests under a lease, those that have waited longest first, and return them.

    `busy` says how many of a host's are under way already: there are `per_host` at most.
    """
    full = sorted(host for host, number in busy.items() if number >= per_host)
    others = f" AND host NOT IN ({holes(len(full), after=2)})" if full else ""
    rows = await tx.all(
        f"SELECT id, host FROM outgoing_requests WHERE {_WAITS} AND due_at <= $1{others}"
        " ORDER BY due_at, id LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        places,
        *full,
    )
    ids = _fair(rows, busy, per_host)
    if not ids:
        return []
    await tx.run(
        "UPDATE outgoing_requests SET state = 'leased', lease = $1, due_at = $2, attempts = attempts + 1"
        f" WHERE id IN ({holes(len(ids), after=2)})",
        lease,
        now + LEASE,
        *ids,
    )
    leased = await tx.all(
        "SELECT o.*, m.bucket_id, b.webhook_epoch FROM outgoing_requests o"
        " LEFT JOIN messages m ON m.id = o.message_id LEFT JOIN buckets b ON b.id = m.bucket_id"
        " WHERE o.lease = $1 ORDER BY o.created_at, o.id",
        lease,
    )
    return [_request_of(row) for row in leased]


async def is_held(tx: Transaction, lease: str, request_id: str) -> bool:
    """Say whether a request is still under a lease, as it then is until the end of the transaction."""
    row = await tx.one(
        "SELECT id FROM outgoing_requests WHERE id = $1 AND lease = $2 FOR UPDATE", request_id, lease
    )
    return row is not None


async def settle(tx: Transaction, lease: str, request: Request, settlement: Settlement, now: int) -> bool:
    """Write what came of an attempt; False where the request is not under the lease any more.

    Once it is over, nothing is kept of what was asked but what it was the answer to.
    """
    over = settlement.state.is_over
    payload = {"action": request.payload.get("action")} if over else request.payload
    written = await tx.run(
        "UPDATE outgoing_requests SET state = $3, reason = $4, status = $5, due_at = $6, settled_at = $7,"
        " payload = $8, lease = NULL WHERE id = $1 AND lease = $2",
        request.id,
        lease,
        settlement.state.value,
        settlement.reason,
        settlement.status,
        settlement.due_at,
        now if over else None,
        _text(payload),
    )
    return written == 1


async def release(tx: Transaction, now: int) -> int:
    """Make due what is leased, when nobody can be holding a lease: at the start of the only process."""
    return await tx.run(
        "UPDATE outgoing_requests SET due_at = $1 WHERE state = 'leased' AND due_at > $1", now
    )


async def advance(tx: Transaction, now: int) -> int:
    """Make due what waits for a later time: the clock by which that was set was put back. Leases end soon by themselves."""
    return await tx.run(
        "UPDATE outgoing_requests SET due_at = $1 WHERE (state = 'queued' AND due_at > $1)"
        " OR (state = 'leased' AND due_at > $2)",
        now,
        now + LEASE,
    )


async def next_due(tx: Transaction) -> int | None:
    row = await tx.one(f"SELECT MIN(due_at) AS due_at FROM outgoing_requests WHERE {_WAITS}")
    return None if row is None or row["due_at"] is None else int(row["due_at"])


async def is_waiting(tx: Transaction, message_id: str, kind: Kind) -> bool:
    """Say whether a message has requests of a kind that are not over."""
    row = await tx.one(
        f"SELECT id FROM outgoing_requests WHERE message_id = $1 AND kind = $2 AND {_WAITS} LIMIT 1",
        message_id,
        kind.value,
    )
    return row is not None


async def drop(tx: Transaction, message_id: str, kind: Kind) -> None:
    """Delete a message's requests of a kind; what comes of one that is under way settles nothing."""
    await tx.run("DELETE FROM outgoing_requests WHERE message_id = $1 AND kind = $2", message_id, kind.value)


async def find_by_key(tx: Transaction, key: bytes) -> tuple[str, Progress] | None:
    """Return the request that a key has made, and the id of its message."""
    row = await tx.one("SELECT * FROM outgoing_requests WHERE key = $1", key)
    return None if row is None else (row["message_id"], _progress_of(row))


async def of_item(tx: Transaction, user_id: str, message_id: str) -> list[Progress]:
    """Return what a user's presses on a message have asked for, the newest first."""
    rows = await tx.all(
        "SELECT * FROM outgoing_requests WHERE message_id = $1 AND user_id = $2 AND kind = 'webhook'"
        " ORDER BY id DESC LIMIT $3",
        message_id,
        user_id,
        _LISTED,
    )
    return [_progress_of(row) for row in rows]


async def prune(tx: Transaction, before: int, limit: int) -> int:
    """Delete at most so many requests that were settled before a time."""
    return await tx.run(
        "DELETE FROM outgoing_requests WHERE id IN"
        " (SELECT id FROM outgoing_requests WHERE settled_at < $1 ORDER BY settled_at LIMIT $2)",
        before,
        limit,
    )


def _fair(rows: Collection[Row], busy: Mapping[str, int], per_host: int) -> Sequence[str]:
    """Return the ids of those that leave each host so many under way at most."""
    under_way, ids = Counter(busy), []
    for row in rows:
        if under_way[row["host"]] < per_host:
            under_way[row["host"]] += 1
            ids.append(row["id"])
    return ids


def _text(payload: Mapping[str, Any]) -> str:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def _request_of(row: Row) -> Request:
    return Request(
        id=row["id"],
        kind=Kind(row["kind"]),
        message_id=row["message_id"],
        user_id=row["user_id"],
        host=row["host"],
        payload=json.loads(row["payload"]),
        attempts=row["attempts"],
        created_at=row["created_at"],
        bucket_id=row["bucket_id"],
        epoch=row["webhook_epoch"] or 0,
    )


def _progress_of(row: Row) -> Progress:
    return Progress(
        id=row["id"],
        payload=json.loads(row["payload"]),
        state=State(row["state"]),
        reason=row["reason"],
        status=row["status"],
        attempts=row["attempts"],
        created_at=row["created_at"],
        due_at=row["due_at"],
        settled_at=row["settled_at"],
    )
