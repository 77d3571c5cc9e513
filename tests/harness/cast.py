"""The parties of the crypto tests: fixed keys, in the product's types and in those of the second implementation."""

import hashlib
from uuid import UUID

from crypto.frame import Frame, Kind
from crypto.keys import DeviceKey, EpochKey, IdentityKey, Suite
from tests.harness import second

SERVER_SEED = bytes.fromhex("5e" * 31 + "01")
RELAY_SEED = bytes.fromhex("4e" * 31 + "02")
SERVER = IdentityKey.from_seed(SERVER_SEED)
RELAY = IdentityKey.from_seed(RELAY_SEED)
STRANGER = IdentityKey.from_seed(bytes.fromhex("66" * 32))
DEVICE_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
OTHER_DEVICE_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8058")
MESSAGE_ID = UUID("01890a5d-ac97-7a3c-8c2e-5d4f60718293")
SEEDS = {Suite.X25519: bytes.fromhex("d1" * 32), Suite.XWING: bytes.fromhex("d2" * 32)}
PHONES = {suite: DeviceKey.from_seed(suite, seed) for suite, seed in SEEDS.items()}
SECOND_PHONES = {suite: second.Device(suite, seed, DEVICE_ID) for suite, seed in SEEDS.items()}
EPOCH = EpochKey(3, bytes.fromhex("e3" * 32))
EPHEMERAL = bytes.fromhex("7b" * 32)
NOW = 1_764_000_000
ROOM = {
    (Suite.X25519, 768): 608,
    (Suite.X25519, 1536): 1376,
    (Suite.X25519, 2304): 2144,
    (Suite.X25519, 2944): 2784,
    (Suite.XWING, 1536): 288,
    (Suite.XWING, 2304): 1056,
    (Suite.XWING, 2944): 1696,
}
"""Bytes of body by suite and size: the table of the protocol, section 2."""


def message(body: bytes, *, kind: int = Kind.MESSAGE, sequence: int = 9) -> Frame:
    return Frame(MESSAGE_ID, sequence, NOW * 1000, kind, body)


def said(body: bytes, *, kind: int = 1, encoding: int = 0) -> second.Said:
    return second.Said(MESSAGE_ID, 9, NOW * 1000, kind, encoding, body)


def noise(length: int) -> bytes:
    """Bytes that do not compress, the same at each run, and no zeros that could pass for padding."""
    return bytes(byte or 1 for byte in hashlib.shake_256(b"noise").digest(length))
