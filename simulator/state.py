"""What a phone keeps across restarts, as one value, and the file that it lies in.

The file is replaced as a whole (written beside, synced, renamed): after a crash there is the state before or the state
after, so what was shown is never forgotten and never half known. It holds private keys: 0600, and a looser mode is
refused.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from crypto.encoding import unb64u
from crypto.keys import DeviceKey, IdentityPublicKey
from simulator.mail import DAY, WINDOW, Inbox
from simulator.subscription import Subscription

HANDLE_AGE = 7 * DAY
KEY_AGE = 30 * DAY
OWNER_ONLY = 0o077


class BadState(ValueError):
    """A state file that cannot be used; the text says what to do."""


@dataclass(frozen=True)
class Pairing:
    """One server, for good. Times in milliseconds; `platform` as told to the server. A browser has a `subscription`."""

    name: str
    platform: str
    server_url: str
    server_key: str
    relay_url: str
    device_id: str
    device_token: str = field(repr=False)
    provider: str
    app: str
    environment: str
    push_token: str = field(repr=False)
    handle_at: int
    subscription: Subscription | None = field(default=None, repr=False)

    @property
    def server(self) -> IdentityPublicKey:
        return IdentityPublicKey(unb64u(self.server_key))


@dataclass(frozen=True)
class HeldKey:
    """A device key. One that is not `registered` may or may not have reached the server: it is kept, and sent again."""

    text: str = field(repr=False)
    made_at: int
    registered: bool
    replaced_at: int | None

    @property
    def key(self) -> DeviceKey:
        return DeviceKey.from_text(self.text)


@dataclass(frozen=True)
class PhoneState:
    pairing: Pairing
    keys: tuple[HeldKey, ...] = field(repr=False)
    inbox: Inbox

    @property
    def current(self) -> HeldKey:
        """The newest key, by which the device is known."""
        return self.keys[-1]


def handle_is_old(state: PhoneState, now: int) -> bool:
    return now - state.pairing.handle_at >= HANDLE_AGE


def key_is_old(state: PhoneState, now: int) -> bool:
    return now - state.current.made_at >= KEY_AGE


def add_key(keys: tuple[HeldKey, ...], key: DeviceKey, now: int) -> tuple[HeldKey, ...]:
    """Hold a new key before the server hears of it: what is sealed to it then always opens."""
    return (*keys, HeldKey(key.text, now, registered=False, replaced_at=None))


def register_key(keys: tuple[HeldKey, ...], now: int) -> tuple[HeldKey, ...]:
    """Note that the server has the newest key: those before it are kept for what is still on its way to them."""
    newest = keys[-1]
    held = [HeldKey(one.text, one.made_at, one.registered, one.replaced_at or now) for one in keys[:-1]]
    return (*held, HeldKey(newest.text, newest.made_at, registered=True, replaced_at=None))


def drop_old_keys(keys: tuple[HeldKey, ...], now: int) -> tuple[HeldKey, ...]:
    """Delete the keys that were replaced 28 days ago."""
    return tuple(one for one in keys if one.replaced_at is None or now - one.replaced_at < WINDOW)


def save(path: Path, state: PhoneState) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def load(path: Path) -> PhoneState:
    """Read a saved state; `BadState` where others could read it or it is not one."""
    if path.stat().st_mode & OWNER_ONLY:
        raise BadState(f"{path}: others can read it and it holds private keys; chmod 600 it")
    try:
        return msgspec.json.decode(path.read_bytes(), type=PhoneState)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadState(f"{path}: not a phone's state; pair again into a new file") from error
