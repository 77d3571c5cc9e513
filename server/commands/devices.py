"""Devices: pairing codes, pairing, new keys and handles, unpairing (PROTOCOL.md, sections 1, 3 and 6).

The server holds what a device may be known by and nothing that opens or pays for anything: its public key, a handle
that only the relay opens, and the hash of its token.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from crypto.encoding import b64u, unb64u
from crypto.errors import Malformed
from crypto.keys import DevicePublicKey, IdentityPublicKey, Suite, fingerprint
from server.commands.callers import DEVICE_TOKEN, token_hash
from server.domain.account import User
from server.domain.device import PAIRING_LIFETIME, Device, PairDevice, new_device
from server.domain.errors import Forbidden, Invalid, NotFound
from server.domain.ids import new_id
from server.domain.ports import Database, Random, Transaction
from server.domain.rules import Wrong
from server.store import devices, outbox, pruning

_CODE_BYTES = 16
_TOKEN_BYTES = 32
_HANDLE_VERSION = 1
# PROTOCOL.md, section 3: version, epoch, nonce, claims padded to 512 or 1024 bytes, tag
_HANDLE_LENGTHS = frozenset(1 + 4 + 12 + claims + 16 for claims in (512, 1024))


@dataclass(frozen=True)
class PairingCode:
    code: str = field(repr=False)
    link: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True)
class Paired:
    device: Device
    token: str = field(repr=False)  # shown once


@dataclass(frozen=True)
class ServerAddress:
    """Where a device finds this server: what a pairing link says."""

    public_url: str
    relay_url: str
    server_key: IdentityPublicKey

    @property
    def server_key_text(self) -> str:
        return b64u(self.server_key.raw)

    def target_uri(self, path: str) -> str:
        """Return what a signed answer is bound to; Invalid for a whole address in the place of a path (RFC 9112, section 3.2.2).

        Behind our own address it would make that of another host, and whoever asks would choose which.
        """
        if not path.startswith("/"):
            raise Invalid("ask with a path, not with a whole address")
        return self.public_url + path

    def link(self, code: str) -> str:
        parts = {"s": self.public_url, "k": self.server_key.id, "c": code, "r": self.relay_url}
        return "hushpost://pair?" + urlencode(parts)


async def create_pairing_code(
    db: Database, user: User, *, address: ServerAddress, now: int, random: Random
) -> PairingCode:
    """Make a code that is good once and for ten minutes; only its hash is stored."""
    code = b64u(random(_CODE_BYTES))
    expires_at = now + PAIRING_LIFETIME
    await db.write(
        lambda tx: devices.add_pairing_code(tx, token_hash(code), user.id, now=now, expires_at=expires_at)
    )
    return PairingCode(code, address.link(code), expires_at)


async def pair(db: Database, command: PairDevice, *, now: int, random: Random) -> Paired:
    """Pair a device with the user whose code it has; Forbidden for a wrong, used or expired code."""
    token = DEVICE_TOKEN + b64u(random(_TOKEN_BYTES))
    device_id = new_id(now, random)

    async def job(tx: Transaction) -> Device:
        user_id = await devices.spend_pairing_code(tx, token_hash(command.code), now)
        if user_id is None:
            raise Forbidden("the code is wrong, used or expired; make a new one", code="pairing_code_invalid")
        device = _new_device(command, device_id, user_id, now)
        await devices.add_device(tx, device, handle=command.handle, token_hash=token_hash(token))
        return device

    return Paired(await db.write(job), token)


async def list_devices(db: Database, user: User) -> list[Device]:
    return await db.read(lambda tx: devices.list_devices(tx, user.id))


async def rename(db: Database, user: User, device_id: str, name: str) -> Device:
    """Give a device another name; NotFound where this user has none of that id."""

    async def job(tx: Transaction) -> Device:
        await devices.set_name(tx, device_id, user.id, name)
        device = await devices.find_device(tx, device_id, user.id)
        if device is None:
            raise NotFound("no such device")
        return device

    return await db.write(job)


async def unpair(db: Database, user_id: str, device_id: str) -> None:
    """Delete a device with everything that waits for it; NotFound where this user has none of that id."""

    async def job(tx: Transaction) -> None:
        if await devices.find_device(tx, device_id, user_id) is None:
            raise NotFound("no such device")
        await pruning.drop_deliveries(tx, device_id)
        await devices.delete_device(tx, device_id, user_id)

    await db.write(job)


async def renew_handle(
    db: Database, device_id: str, handle: str, *, now: int, wake: Callable[[], None]
) -> None:
    """Replace a device's handle: it is reachable again, whatever became of the old one."""

    async def job(tx: Transaction) -> None:
        await devices.set_handle(tx, device_id, handle, now)
        await outbox.hasten(tx, device_id, now)

    await db.write(job)
    wake()


async def replace_key(db: Database, device_id: str, suite: int, public_key: bytes, *, now: int) -> None:
    """Seal to a new key from now on; it was checked when it was read."""
    await db.write(lambda tx: devices.set_key(tx, device_id, suite, public_key, now))


def pairing_fingerprint(server: IdentityPublicKey, device: Device) -> str | None:
    """Return what both sides can show to each other; None for a device without a key."""
    if device.suite is None or device.public_key is None:
        return None
    return fingerprint(server, DevicePublicKey(Suite(device.suite), device.public_key))


def read_public_key(suite: int, text: str) -> DevicePublicKey | Wrong:
    """Read a device's public key, or say why it is none that can be used."""
    chosen = Suite(suite)
    fix = f"send {chosen.public_length} bytes as base64url without padding, a fresh key of suite {suite}"
    try:
        return DevicePublicKey(chosen, unb64u(text, chosen.public_length))
    except Malformed as error:
        return f"is not a usable key: {error}", fix


def handle_rule(text: str) -> Wrong | None:
    """Check the form of a sealed handle, which is all that a server can see of it."""
    fix = "send the handle as the relay's POST /v1/handles gave it, unchanged"
    try:
        sealed = unb64u(text)
    except Malformed:
        return "is not base64url without padding", fix
    if len(sealed) not in _HANDLE_LENGTHS:
        return f"has {len(sealed)} bytes, which no handle has", fix
    if sealed[0] != _HANDLE_VERSION:
        return f"is of version {sealed[0]}; this server knows version {_HANDLE_VERSION}", fix
    return None


def _new_device(command: PairDevice, device_id: str, user_id: str, now: int) -> Device:
    return replace(
        new_device(device_id, user_id, command.name, command.platform, now),
        suite=command.suite,
        public_key=command.public_key,
        key_set_at=now,
        handle_set_at=now,
    )
