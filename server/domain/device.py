"""Devices as their users and the server see them."""

from dataclasses import dataclass, field

LONGEST_NAME = 100
LONGEST_PLATFORM = 32
PAIRING_LIFETIME = 600_000  # PROTOCOL.md, section 6: ten minutes


@dataclass(frozen=True)
class Device:
    """A paired device. `handle_set_at` is None where it has no handle, and `handle_fault` may say why."""

    id: str
    user_id: str
    name: str
    platform: str
    suite: int | None
    public_key: bytes | None
    key_set_at: int | None
    handle_set_at: int | None
    handle_fault: str | None
    head: int
    created_at: int
    last_seen_at: int | None
    last_fault: str | None
    last_fault_at: int | None


@dataclass(frozen=True)
class PairDevice:
    """What a device says of itself when it pairs; the key was checked when it was read."""

    code: str = field(repr=False)
    name: str
    platform: str
    suite: int
    public_key: bytes
    handle: str = field(repr=False)
