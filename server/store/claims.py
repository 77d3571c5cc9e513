"""Claims: the sealed blobs behind previews. One for each frame and device, made once, so that every attempt names the same."""

from collections.abc import Mapping, Sequence

from server.domain.claim import Claim, FileClaim, StoredClaim
from server.domain.ports import Row, Transaction
from server.store.dialect import chunks, holes

_CLAIM = "SELECT id, frame_id, device_id, key, sha256, size FROM claims"


async def keep_claims(
    tx: Transaction, claims: Sequence[StoredClaim], contents: Mapping[str, str]
) -> list[Claim]:
    """Store claims and return those that count: where one was there already, that one.

    `contents` are what the messages said when the claims were made, by their ids. One whose message was retracted or says
    something else by now is not stored, and not returned: the lock makes a change that has begun end first, and one that begins
    later find what was stored here.
    """
    await tx.many(
        "INSERT INTO claims (id, message_id, device_id, frame_id, key, blob, sha256, size, created_at)"
        " SELECT $1, m.id, v.id, $4, $5, $6, $7, $8, $9 FROM messages m, devices v"
        " WHERE m.id = $2 AND m.content = $10 AND v.id = $3 FOR SHARE OF m"
        " ON CONFLICT (frame_id, device_id) DO NOTHING",
        [(*_values(claim), contents[claim.message_id]) for claim in claims],
    )
    return await find_claims(tx, [(c.claim.frame_id, c.claim.device_id) for c in claims])


async def find_claims(tx: Transaction, pairs: Sequence[tuple[str, str]]) -> list[Claim]:
    """Return the claims that exist for pairs of frame and device."""
    wanted = set(pairs)
    found = []
    for chunk in chunks(sorted({frame_id for frame_id, _ in pairs})):
        rows = await tx.all(f"{_CLAIM} WHERE frame_id IN ({holes(len(chunk))})", *chunk)
        found += [_claim_of(row) for row in rows if (row["frame_id"], row["device_id"]) in wanted]
    return found


async def find_blob(tx: Transaction, claim_id: str, device_id: str) -> bytes | None:
    """Return the blob that a device may fetch under this id."""
    row = await tx.one("SELECT blob FROM claims WHERE id = $1 AND device_id = $2", claim_id, device_id)
    return None if row is None else bytes(row["blob"])


async def keep_file_claims(tx: Transaction, claims: Sequence[FileClaim]) -> None:
    """Store claims on files, but where one was there already, or the message, the device or the file is gone by now."""
    await tx.many(
        "INSERT INTO attachment_claims (id, attachment_id, message_id, device_id, frame_id, key, nonce, sha256, size,"
        " created_at) SELECT $1, a.id, m.id, v.id, $5, $6, $7, $8, $9, $10 FROM messages m, devices v, attachments a"
        " WHERE a.id = $2 AND m.id = $3 AND m.content IS NOT NULL AND v.id = $4 FOR SHARE OF m"
        " ON CONFLICT (frame_id, device_id, attachment_id) DO NOTHING",
        [_file_values(claim) for claim in claims],
    )


async def find_file_claims(tx: Transaction, frame_ids: Sequence[str]) -> list[FileClaim]:
    """Return the claims on files that frames name, of all devices."""
    found = []
    for chunk in chunks(sorted(set(frame_ids))):
        rows = await tx.all(
            f"SELECT * FROM attachment_claims WHERE frame_id IN ({holes(len(chunk))})", *chunk
        )
        found += [_file_claim_of(row) for row in rows]
    return found


async def find_file_claim(tx: Transaction, claim_id: str, device_id: str) -> FileClaim | None:
    """Return the claim on a file that a device may fetch under this id."""
    row = await tx.one(
        "SELECT * FROM attachment_claims WHERE id = $1 AND device_id = $2", claim_id, device_id
    )
    return None if row is None else _file_claim_of(row)


async def drop_of_user(tx: Transaction, user_id: str, message_ids: Sequence[str]) -> None:
    """Delete what a user's devices could claim of messages."""
    for chunk in chunks(sorted(set(message_ids))):
        for table in ("claims", "attachment_claims"):
            await tx.run(
                f"DELETE FROM {table} WHERE message_id IN ({holes(len(chunk), after=1)})"
                " AND device_id IN (SELECT id FROM devices WHERE user_id = $1)",
                user_id,
                *chunk,
            )


def _values(stored: StoredClaim) -> tuple[object, ...]:
    claim = stored.claim
    return (
        claim.id,
        stored.message_id,
        claim.device_id,
        claim.frame_id,
        claim.key,
        stored.blob,
        claim.sha256,
        claim.size,
        stored.created_at,
    )


def _claim_of(row: Row) -> Claim:
    return Claim(
        id=row["id"],
        frame_id=row["frame_id"],
        device_id=row["device_id"],
        key=row["key"],
        sha256=row["sha256"],
        size=row["size"],
    )


def _file_values(stored: FileClaim) -> tuple[object, ...]:
    claim = stored.claim
    return (
        claim.id,
        stored.file_id,
        stored.message_id,
        claim.device_id,
        claim.frame_id,
        claim.key,
        stored.nonce,
        claim.sha256,
        claim.size,
        stored.created_at,
    )


def _file_claim_of(row: Row) -> FileClaim:
    return FileClaim(_claim_of(row), row["attachment_id"], row["message_id"], row["nonce"], row["created_at"])
