"""Devices, their tokens (as SHA-256) and handles, and the codes with which they pair."""

from collections.abc import Sequence

from server.domain.account import CallingDevice
from server.domain.delivery import Address
from server.domain.device import Device
from server.domain.ports import Row, Transaction


async def add_device(
    tx: Transaction, device: Device, *, handle: str, token_hash: bytes, push_hash: bytes | None = None
) -> None:
    """Store a device; NotUnique where its user has another of its external id, or somebody another of its push token."""
    await tx.run(
        "INSERT INTO devices (id, user_id, name, platform, suite, public_key, key_set_at, handle, handle_set_at,"
        " token_hash, head, created_at, external_id, push_hash)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        device.id,
        device.user_id,
        device.name,
        device.platform,
        device.suite,
        device.public_key,
        device.key_set_at,
        handle,
        device.handle_set_at,
        token_hash,
        device.head,
        device.created_at,
        device.external_id,
        push_hash,
    )


async def register_again(
    tx: Transaction, device: Device, *, handle: str, token_hash: bytes, push_hash: bytes | None
) -> None:
    """Write what was registered of a device that is there; its head stays. NotUnique as `add_device`."""
    await tx.run(
        "UPDATE devices SET name = $2, platform = $3, suite = $4, public_key = $5, key_set_at = $6, handle = $7,"
        " handle_set_at = $8, handle_fault = NULL, token_hash = $9, external_id = $10, push_hash = $11 WHERE id = $1",
        device.id,
        device.name,
        device.platform,
        device.suite,
        device.public_key,
        device.key_set_at,
        handle,
        device.handle_set_at,
        token_hash,
        device.external_id,
        push_hash,
    )


async def lock_registered(
    tx: Transaction, user_id: str, external_id: str | None, push_hash: bytes | None
) -> list[Device]:
    """Return a user's device of an external id, and whoever's of a push token, as they stay until the transaction ends."""
    rows = await tx.all(
        "SELECT * FROM devices WHERE (user_id = $1 AND external_id = $2) OR push_hash = $3 ORDER BY id FOR UPDATE",
        user_id,
        external_id,
        push_hash,
    )
    return [_device_of(row) for row in rows]


async def take_phone(tx: Transaction, device_id: str, why: str, token_hash: bytes) -> None:
    """Let a device reach nobody, and nobody be it, since its phone is somebody else's now; what waits for it stays."""
    await tx.run(
        "UPDATE devices SET handle = NULL, handle_fault = $2, push_hash = NULL, token_hash = $3 WHERE id = $1",
        device_id,
        why,
        token_hash,
    )


async def count_reachable(tx: Transaction, user_id: str) -> int:
    """Return how many devices of a user a push can go to."""
    row = await tx.one("SELECT COUNT(*) AS n FROM devices WHERE user_id = $1 AND handle IS NOT NULL", user_id)
    return 0 if row is None else int(row["n"])


async def find_calling_device(tx: Transaction, token_hash: bytes) -> CallingDevice | None:
    row = await tx.one("SELECT id, user_id FROM devices WHERE token_hash = $1", token_hash)
    return None if row is None else CallingDevice(row["id"], row["user_id"])


async def list_devices(tx: Transaction, user_id: str) -> list[Device]:
    """Return a user's devices in the order in which they were paired."""
    rows = await tx.all("SELECT * FROM devices WHERE user_id = $1 ORDER BY id", user_id)
    return [_device_of(row) for row in rows]


async def find_device(tx: Transaction, device_id: str, user_id: str) -> Device | None:
    row = await tx.one("SELECT * FROM devices WHERE id = $1 AND user_id = $2", device_id, user_id)
    return None if row is None else _device_of(row)


async def find_address(tx: Transaction, device_id: str) -> Address | None:
    """Return what is needed to seal for a device."""
    row = await tx.one(
        "SELECT id, platform, suite, public_key, handle, last_woken_at FROM devices WHERE id = $1", device_id
    )
    if row is None:
        return None
    return Address(
        device_id=row["id"],
        platform=row["platform"],
        suite=row["suite"],
        public_key=row["public_key"],
        handle=row["handle"],
        woken_at=row["last_woken_at"],
    )


async def set_name(tx: Transaction, device_id: str, user_id: str, name: str) -> None:
    await tx.run("UPDATE devices SET name = $3 WHERE id = $1 AND user_id = $2", device_id, user_id, name)


async def set_handle(tx: Transaction, device_id: str, handle: str, now: int) -> None:
    await tx.run(
        "UPDATE devices SET handle = $2, handle_set_at = $3, handle_fault = NULL WHERE id = $1",
        device_id,
        handle,
        now,
    )


async def set_key(tx: Transaction, device_id: str, suite: int, public_key: bytes, now: int) -> None:
    await tx.run(
        "UPDATE devices SET suite = $2, public_key = $3, key_set_at = $4 WHERE id = $1",
        device_id,
        suite,
        public_key,
        now,
    )


async def delete_device(tx: Transaction, device_id: str, user_id: str) -> bool:
    """Delete a device with its claims; False where this user has none of that id. Its deliveries go before it (`pruning`)."""
    return await tx.run("DELETE FROM devices WHERE id = $1 AND user_id = $2", device_id, user_id) == 1


async def note_seen(tx: Transaction, seen: Sequence[tuple[str, int]]) -> None:
    """Write down when devices (id, time) last called; never back in time."""
    await tx.many(
        "UPDATE devices SET last_seen_at = $2 WHERE id = $1 AND (last_seen_at IS NULL OR last_seen_at < $2)",
        seen,
    )


async def add_pairing_code(
    tx: Transaction, code_hash: bytes, user_id: str, *, now: int, expires_at: int
) -> None:
    """Store a code, and drop the ones that nobody used in time."""
    await tx.run("DELETE FROM pairing_codes WHERE expires_at <= $1", now)
    await tx.run(
        "INSERT INTO pairing_codes (hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        code_hash,
        user_id,
        now,
        expires_at,
    )


async def spend_pairing_code(tx: Transaction, code_hash: bytes, now: int) -> str | None:
    """Take a code away and return whose it is; None where it is wrong, used or expired."""
    row = await tx.one(
        "DELETE FROM pairing_codes WHERE hash = $1 AND expires_at > $2 RETURNING user_id", code_hash, now
    )
    return None if row is None else str(row["user_id"])


def _device_of(row: Row) -> Device:
    return Device(
        id=row["id"],
        user_id=row["user_id"],
        name=row["name"],
        platform=row["platform"],
        suite=row["suite"],
        public_key=row["public_key"],
        key_set_at=row["key_set_at"],
        handle_set_at=row["handle_set_at"] if row["handle"] is not None else None,
        handle_fault=row["handle_fault"],
        external_id=row["external_id"],
        head=row["head"],
        created_at=row["created_at"],
        last_seen_at=row["last_seen_at"],
        last_fault=row["last_fault"],
        last_fault_at=row["last_fault_at"],
    )
