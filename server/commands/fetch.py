"""What a device fetches: the deliveries after a number, sealed like a push, and what else brings it up to date.

What is fetched is authoritative: every number up to the head is named, as an envelope or as cancelled or expired, so that
what is not named does not exist (PROTOCOL.md, section 2). A device without a key gets the content over its TLS connection.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from crypto.claim import sealed_size
from server.commands.enclosing import sealed_pieces
from server.commands.sealing import Sealer, body_of, seal_parcels
from server.domain.account import CallingDevice
from server.domain.delivery import Address, Parcel, State
from server.domain.errors import NotFound
from server.domain.message import LONGEST_TTL
from server.domain.ports import Database, Transaction
from server.store import parcels
from server.store.claims import find_blob, find_file_claim
from server.store.devices import find_address
from server.store.files import Files


@dataclass(frozen=True)
class Fetch:
    after: int
    limit: int


@dataclass(frozen=True)
class Named:
    """One number: exactly one of `envelope`, `content` (for a device without a key) and `state` is there."""

    sequence: int
    message_id: str
    kind: int
    sent_at: int
    envelope: bytes | None = field(repr=False)
    content: dict[str, Any] | None = field(repr=False)
    state: State | None


@dataclass(frozen=True)
class Fetched:
    messages: list[Named]
    retracted: list[str]
    read: list[str]
    head: int
    more: bool


@dataclass(frozen=True)
class Blob:
    """What a claim names: so many bytes, in pieces."""

    size: int
    pieces: AsyncIterator[bytes] = field(repr=False)


@dataclass(frozen=True)
class _Found:
    address: Address
    parcels: list[Parcel]
    retracted: list[str]
    read: list[str]
    head: int


async def fetch(db: Database, device: CallingDevice, command: Fetch, *, sealer: Sealer, now: int) -> Fetched:
    """Return what the device does not have; NotFound where it was unpaired meanwhile."""
    found = await db.read(lambda tx: _find(tx, device, command, now))
    page = found.parcels[: command.limit]
    alive = [parcel for parcel in page if _dead(parcel, now) is None]
    sealed = await seal_parcels(db, alive, {device.id: found.address}, sealer)
    keyless = found.address.public_key is None
    named = [_name(parcel, sealed.envelopes, now, keyless=keyless) for parcel in page]
    return Fetched(named, found.retracted, found.read, found.head, len(found.parcels) > command.limit)


async def fetch_claim(db: Database, device: CallingDevice, claim_id: str, files: Files) -> Blob:
    """Return the blob of a claim of this device; NotFound, also where it is another's, or the file is lost."""
    body = await db.read(lambda tx: find_blob(tx, claim_id, device.id))
    if body is not None:
        return Blob(len(body), _one(body))
    claim = await db.read(lambda tx: find_file_claim(tx, claim_id, device.id))
    if claim is None or not await files.has(claim.file_id, claim.claim.size):
        raise NotFound("no such claim", code="claim_not_found")
    return Blob(sealed_size(claim.claim.size), sealed_pieces(claim, files))


async def _one(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


async def _find(tx: Transaction, device: CallingDevice, command: Fetch, now: int) -> _Found:
    address = await find_address(tx, device.id)
    if address is None:
        raise NotFound("this device is not paired any more")
    return _Found(
        address=address,
        parcels=await parcels.list_parcels(tx, device.id, after=command.after, limit=command.limit + 1),
        retracted=await parcels.list_retracted(tx, device.id, now - LONGEST_TTL),
        read=await parcels.list_read(tx, device.id, now - LONGEST_TTL),
        head=await parcels.head_of(tx, device.id),
    )


def _dead(parcel: Parcel, now: int) -> State | None:
    """Return the state of a parcel that holds nothing to show any more."""
    if parcel.state is State.CANCELLED or parcel.body is None:
        return State.CANCELLED
    if parcel.state is State.EXPIRED or parcel.expires_at <= now:
        return State.EXPIRED
    return None


def _name(parcel: Parcel, envelopes: Mapping[str, bytes], now: int, *, keyless: bool) -> Named:
    dead, envelope = _dead(parcel, now), envelopes.get(parcel.id)
    shown = keyless and dead is None
    if envelope is None and not shown:
        dead = dead or State.CANCELLED  # retracted while it was being sealed, or its key is none
    return Named(
        sequence=parcel.sequence,
        message_id=parcel.frame_id,
        kind=parcel.kind.value,
        sent_at=parcel.created_at,
        envelope=envelope,
        content=json.loads(body_of(parcel, None)) if shown else None,
        state=dead,
    )
