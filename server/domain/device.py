"""Devices as their users and the server see them."""

from dataclasses import dataclass, field
from enum import StrEnum

LONGEST_NAME = 100
LONGEST_PLATFORM = 32
LONGEST_EXTERNAL_ID = 255
LONGEST_PUSH_TOKEN = 4096
PAIRING_LIFETIME = 600_000  # PROTOCOL.md, section 6: ten minutes
MOVED = "moved"  # why a device has no handle any more: its phone is registered for somebody else


class Platform(StrEnum):
    """What a device that is registered by its push token runs on."""

    IOS = "IOS"
    ANDROID = "ANDROID"
    WEB = "WEB"


@dataclass(frozen=True)
class Device:
    """A paired or registered device. `handle_set_at` is None where it has no handle, and `handle_fault` may say why.

    `external_id` is its app's own name for one that was registered.
    """

    id: str
    user_id: str
    name: str
    platform: str
    suite: int | None
    public_key: bytes | None
    key_set_at: int | None
    handle_set_at: int | None
    handle_fault: str | None
    external_id: str | None
    head: int
    created_at: int
    last_seen_at: int | None
    last_fault: str | None
    last_fault_at: int | None


def new_device(device_id: str, user_id: str, name: str, platform: str, now: int) -> Device:
    """Return a device of which no more is known yet: it has no key and no handle, and has got nothing."""
    return Device(
        id=device_id,
        user_id=user_id,
        name=name,
        platform=platform,
        suite=None,
        public_key=None,
        key_set_at=None,
        handle_set_at=None,
        handle_fault=None,
        external_id=None,
        head=0,
        created_at=now,
        last_seen_at=None,
        last_fault=None,
        last_fault_at=None,
    )


@dataclass(frozen=True)
class PairDevice:
    """What a device says of itself when it pairs; the key was checked when it was read."""

    code: str = field(repr=False)
    name: str
    platform: str
    suite: int
    public_key: bytes
    handle: str = field(repr=False)


@dataclass(frozen=True)
class RegisterDevice:
    """What an app's server says of a device: its push token, or the handle that the app has for it, or both.

    `suite` and `public_key` are None for one that cannot decrypt, and is only woken. `name` None: as it is, or by its platform.
    """

    device_id: str
    platform: Platform
    token: str | None = field(repr=False)
    handle: str | None = field(repr=False)
    suite: int | None
    public_key: bytes | None
    name: str | None
